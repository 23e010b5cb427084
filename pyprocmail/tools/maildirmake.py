"""maildirmake: make maildirs, folders in them, their quotas and their lists of shared maildirs.  maildirmake(1)"""

from __future__ import annotations

import errno
import os

from pyprocmail.delivery import maildir_making, quota, storage
from pyprocmail.host import LARGEST_FILE_BYTES
from pyprocmail.message import charsets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyprocmail.host import Host

    Write = Callable[[bytes], None]

_USAGE = b"Usage: maildirmake [ options ] maildir\n"
_SHARED = b"/shared-maildirs"
_LASTING = (errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL)
"""Permanent errors: exit status 1, like the reference.  Any other error is 75."""
_READ, _WRITE = (0o755, 0o755), (0o1755, 0o1777)
_OTHERS = 0o7


class Refusal(Exception):
    """The program prints `text` and exits with `status`."""

    def __init__(self, text: bytes, status: int = 1) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class UsageError(Exception):
    """The command line is invalid; `text` is the reason, for standard output as with the reference."""

    def __init__(self, text: bytes = _USAGE) -> None:
        super().__init__(text)
        self.text = text


class Options:
    """The command line.

    `modes` are those of a shared folder and of the folders in it.  `folder` is its name in the maildir, encoded; None
    for the maildir itself.
    """

    __slots__ = ("sharable", "modes", "folder", "quota", "add", "delete", "maildir")

    def __init__(self) -> None:
        self.sharable = False
        self.modes: tuple[int, int] | None = None
        self.folder: bytes | None = None
        self.quota: bytes | None = None
        self.add: tuple[bytes, bytes] | None = None
        self.delete: bytes | None = None
        self.maildir = b""


def run(host: Host, argv: Sequence[bytes], environ: Mapping[bytes, bytes], write: Write, note: Write) -> int:
    """Run maildirmake with `argv`; returns the exit status.

    Raises:
        OSError: a system call failed for a reason that may pass.
    """
    try:
        options = parse_options(argv[1:], charsets.of_locale(environ))
        _act(host, options, note)
    except UsageError as error:
        write(error.text)
        return 1
    except Refusal as refusal:
        note(refusal.text)
        return refusal.status
    return 0


def parse_options(words: Sequence[bytes], charset: bytes) -> Options:
    """Read the command line; `charset` is that of the name after -F.

    Raises:
        UsageError: it is invalid, or a folder cannot have that name.
        Refusal: the name is not valid in the character set.
    """
    options = Options()
    rest = list(words)
    while rest and rest[0].startswith(b"-"):
        word = rest.pop(0)
        if word == b"-S":
            options.sharable = True
            continue
        long = word in (b"--add", b"--del")
        value = b"" if long else word[2:]
        if not long and word[:2] not in (b"-q", b"-f", b"-F", b"-s"):
            raise UsageError
        if not value:
            if not rest:
                raise UsageError
            value = rest.pop(0)
        if word == b"--add":
            name, mark, path = value.partition(b"=")
            if not mark or not path.startswith(b"/"):
                raise UsageError
            options.add = name, path
        elif word == b"--del":
            options.delete = value
        elif word[:2] == b"-q":
            options.quota = value
        elif word[:2] == b"-s":
            options.modes = _modes(value)
        else:
            options.folder = _folder_name(value, charset if word[:2] == b"-F" else b"")
    if not rest or (options.modes and options.folder is None):
        raise UsageError
    options.maildir = rest[0]
    return options


def _modes(keywords: bytes) -> tuple[int, int]:
    """The modes of a shared folder, and of new, cur and tmp in it; the last of `read` and `write` counts."""
    modes = _READ
    words = [word.strip() for word in keywords.split(b",")]
    for word in words:
        modes = _WRITE if word == b"write" else _READ if word == b"read" else modes
    kept = ~_OTHERS if b"group" in words else ~0
    return modes[0] & kept, modes[1] & kept


def _folder_name(name: bytes, charset: bytes) -> bytes:
    if name.startswith(b".") or (b"/" in name and not charset):
        raise UsageError(b"Invalid folder name: %b\n" % name)
    if not charset:
        return name
    codec = charsets.find(charset.decode("latin-1"))
    try:
        text = name.decode(codec or "ascii")
    except UnicodeError:
        text = "/"
    if "/" in text:
        raise Refusal(b"Cannot convert %b to maildir encoding\n" % name)
    return modified_utf7(text)


def modified_utf7(text: str) -> bytes:
    """The name of a folder in IMAP's encoding.  RFC 3501, section 5.1.3"""
    from binascii import b2a_base64

    out = bytearray()
    at = 0
    while at < len(text):
        end = at
        while end < len(text) and not " " <= text[end] <= "~":
            end += 1
        if end > at:
            packed = b2a_base64(text[at:end].encode("utf-16-be"), newline=False).rstrip(b"=")
            out += b"&%b-" % packed.replace(b"/", b",")
            at = end
            continue
        out += b"&-" if text[at] == "&" else text[at].encode()
        at += 1
    return bytes(out)


def _act(host: Host, options: Options, note: Write) -> None:
    maildir = options.maildir.rstrip(b"/") or options.maildir
    try:
        if options.add:
            _share(host, maildir, *options.add)
        elif options.delete is not None:
            _unshare(host, maildir, options.delete)
        elif options.quota is not None:
            _limit(host, _path(maildir, options), options.quota, note)
        else:
            _make(host, _path(maildir, options), options)
    except OSError as error:
        if error.errno not in _LASTING:
            raise
        path = os.fsencode(error.filename) if isinstance(error.filename, str | bytes) else maildir
        who = b"" if options.add or options.delete is not None else b"maildirmake: "
        raise Refusal(b"%b%b: %b\n" % (who, path, os.strerror(error.errno).encode())) from error


def _path(maildir: bytes, options: Options) -> bytes:
    return maildir if options.folder is None else b"%b/.%b" % (maildir, options.folder)


def _make(host: Host, path: bytes, options: Options) -> None:
    own = maildir_making.OWN_MODE
    mode, part_mode = options.modes or (_READ if options.sharable else (own, own))
    if options.folder is None:
        part_mode = own
    maildir_making.make(host, path, mode, part_mode, is_folder=options.folder is not None)


def _limit(host: Host, path: bytes, text: bytes, note: Write) -> None:
    """-q: give an existing maildir a quota, and count its contents."""
    limit = quota.written(text)
    if limit is None:
        note(b"WARN: quota string '%b' not parseable\n" % text)
    if not limit:
        return
    host.stat(path + b"/tmp")
    mask = host.umask(0)
    host.umask(mask)
    quota.Usage(host, path, quota.Quota(limit), 0o644 & ~mask).renew()


def _share(host: Host, maildir: bytes, name: bytes, path: bytes) -> None:
    """--add: add a shared maildir to this one's list, under a name."""
    if b"/" in name or b"." in name or b"\t" in name or b"\n" in name + path:
        raise Refusal(b"%b: invalid name\n" % name)
    host.stat(path)
    host.stat(maildir)
    lines = _shared(host, maildir)
    if name in (line.partition(b"\t")[0] for line in lines):
        raise Refusal(b"%b: already defined as a sharable maildir.\n" % name, 2)
    _write_shared(host, maildir, [*lines, b"%b\t%b" % (name, path)])


def _unshare(host: Host, maildir: bytes, name: bytes) -> None:
    """--del: remove a name from the list."""
    host.stat(maildir)
    lines = _shared(host, maildir)
    kept = [line for line in lines if line.partition(b"\t")[0] != name]
    if kept == lines:
        raise Refusal(b"%b: not found.\n" % name)
    _write_shared(host, maildir, kept)


def _shared(host: Host, maildir: bytes) -> list[bytes]:
    try:
        return host.read_file(maildir + _SHARED, LARGEST_FILE_BYTES).splitlines()
    except FileNotFoundError:
        return []


def _write_shared(host: Host, maildir: bytes, lines: Sequence[bytes]) -> None:
    temporary = b"%b/tmp/shared-maildirs.%d.%b" % (maildir, host.getpid(), host.hostname())
    fd = host.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    storage.write_file(host, temporary, fd, [b"".join(line + b"\n" for line in lines)])
    try:
        host.rename(temporary, maildir + _SHARED)
    except BaseException:
        storage.remove(host, temporary)
        raise
    storage.sync_folder(host, maildir)
