"""pyprocmail duplicate: whether a mail has been seen before.  pyprocmail-duplicate(1), RFC 7352

After a failed delivery the same copy of a mail comes again.  It must not count as a duplicate, or it would be lost.
Copies are distinguished by the fields that mail servers add, such as Received.
"""

from __future__ import annotations

from pyprocmail.exits import EX_USAGE, MailTooLargeError
from pyprocmail.numerals import whole
from pyprocmail.tools.reformail import Mail, name_of
from pyprocmail.tools.seen import Seen, key_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyprocmail.host import Host

    Write = Callable[[bytes], None]

DUPLICATE, NEW = 0, 1
_DAY_S = 86400
_DAYS = 7
_MOST_DAYS = 3650
_FILE = b".duplicate.cache"
_READ_BYTES = 1 << 20
_ON_THE_WAY = (b"received:", b"delivered-to:", b"x-original-to:")
_USAGE = b"""\
Usage: pyprocmail duplicate [--cache FILE] [--days N] [--handle NAME] [--header NAME] [--exact] [--last]

    Exits with 0 if the mail on standard input was here before, with 1 if not.
"""


class Options:
    """The command line."""

    __slots__ = ("cache", "days", "handle", "header", "exact", "last")

    def __init__(self) -> None:
        self.cache = b""
        self.days = _DAYS
        self.handle = b""
        self.header = b"message-id"
        self.exact = False
        self.last = False


def parse_options(words: Sequence[bytes]) -> Options | None:
    """Read the command line; None when it cannot be read."""
    options = Options()
    rest = list(words)
    while rest:
        word, mark, value = rest.pop(0).partition(b"=")
        if word in (b"--exact", b"--last") and not mark:
            options.exact |= word == b"--exact"
            options.last |= word == b"--last"
            continue
        if word not in (b"--cache", b"-c", b"--days", b"--handle", b"--header"):
            return None
        if not mark:
            if not rest:
                return None
            value = rest.pop(0)
        if not value and word != b"--handle":
            return None
        if word == b"--days":
            days = whole(value)
            if days is None or not 0 < days <= _MOST_DAYS:
                return None
            options.days = days
        elif word == b"--handle":
            options.handle = value
        elif word == b"--header":
            options.header = value.rstrip(b":").lower()
        else:
            options.cache = value
    return options


def run(
    host: Host,
    argv: Sequence[bytes],
    environ: Mapping[bytes, bytes],
    read: Callable[[int], bytes],
    write: Write,
    note: Write,
) -> int:
    """Run `duplicate` with `argv`; DUPLICATE, NEW, or EX_USAGE.

    Raises:
        OSError: the cache cannot be used, so it is unknown whether the mail has been seen.
    """
    del write
    options = parse_options(argv[1:])
    if options is None:
        note(_USAGE)
        return EX_USAGE
    mail = Mail(read_all(host, read))
    identity = b" ".join(mail.values(options.header + b":")).strip()
    if not identity:
        return NEW
    key, copy = key_of(options.handle, identity), copy_of(mail)
    seen = Seen(host, options.cache or in_home(environ, _FILE))
    try:
        first = seen.get(key)
        is_new = first is None or (first == copy != b"-" and not options.exact)
        if first is None or options.last:
            seen.put(key, first or copy, host.time() + options.days * _DAY_S)
    finally:
        seen.close()
    return NEW if is_new else DUPLICATE


def copy_of(mail: Mail) -> bytes:
    """The identity of this copy: a hash of the fields that mail servers added.  `-` if there are none."""
    fields = [field for field in mail.fields if name_of(field) in _ON_THE_WAY]
    return key_of(*fields) if fields else b"-"


def in_home(environ: Mapping[bytes, bytes], name: bytes) -> bytes:
    """The path of the file in the home directory, or in the current directory without HOME."""
    home = environ.get(b"HOME", b"")
    return home + b"/" + name if home else name


def read_all(host: Host, read: Callable[[int], bytes]) -> bytes:
    """The whole mail.

    Raises:
        MailTooLargeError: it does not fit into memory.
    """
    limit = left = host.largest_mail()
    pieces = []
    while piece := read(_READ_BYTES):
        left -= len(piece)
        if left < 0:
            raise MailTooLargeError(limit)
        pieces.append(piece)
    return b"".join(pieces)
