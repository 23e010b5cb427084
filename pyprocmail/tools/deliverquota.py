"""deliverquota: store a mail in a maildir that has a quota.  deliverquota(8), maildirquota(7)"""

from __future__ import annotations

import errno
import os

from pyprocmail.delivery import maildir_making, maildirplus, quota
from pyprocmail.delivery.results import Failed
from pyprocmail.exits import EX_CANTCREAT, EX_NOPERM, EX_OK, EX_TEMPFAIL
from pyprocmail.host import LARGEST_FILE_BYTES
from pyprocmail.message import postmark
from pyprocmail.numerals import leading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyprocmail.host import Host

    Write = Callable[[bytes], None]

_USAGE = b"Usage: deliverquota [-c] [-w percent] maildir\n"
_WARNING_FILE = b"/etc/quotawarnmsg"


class Options:
    """The command line."""

    __slots__ = ("create", "warn_percent", "warning", "maildir", "quota")

    def __init__(self) -> None:
        self.create = False
        self.warn_percent = 0
        self.warning = _WARNING_FILE
        self.maildir = b""
        self.quota = b""


def parse_options(words: Sequence[bytes]) -> Options | None:
    """Read the command line; None if it is invalid."""
    options = Options()
    rest = list(words)
    while rest and rest[0].startswith(b"-") and len(rest[0]) > 1:
        word = rest.pop(0)
        if word == b"--":
            break
        if word == b"-c":
            options.create = True
            continue
        value = word[2:] or (rest.pop(0) if rest else None)
        if value is None or word[:2] not in (b"-w", b"-W"):
            return None
        if word[:2] == b"-W":
            options.warning = value
        else:
            options.warn_percent = leading(value) or 0
    if not rest or len(rest) > 2:
        return None
    options.maildir = rest[0].rstrip(b"/") or rest[0]
    options.quota = rest[1] if len(rest) > 1 else b""
    return options


def run(
    host: Host,
    argv: Sequence[bytes],
    environ: Mapping[bytes, bytes],
    read: Callable[[], bytes],
    write: Write,
    note: Write,
) -> int:
    """Run deliverquota with `argv` on the mail that `read` returns; returns the exit status.

    Raises:
        OSError: the mail is not stored, because a system call failed.
    """
    options = parse_options(argv[1:])
    if options is None:
        note(_USAGE)
        # The administrator can correct a command line: the mail server keeps the mail until then.
        return EX_CANTCREAT if environ.get(b"PYPROCMAIL_STRICT") == b"yes" else EX_TEMPFAIL
    mail = read()
    folder = options.maildir
    if options.create:
        maildir_making.make_with_parents(host, folder)
    if not maildirplus.is_maildir(host, folder):
        note(b"%b: %b\n" % (folder, os.strerror(errno.ENOENT).encode()))
        return EX_TEMPFAIL
    usage = _usage(host, folder, options.quota, note)
    if usage is not None and not usage.has_room(len(mail)):
        write(b"Mail quota exceeded.\n")
        return EX_NOPERM
    result = maildirplus.store(host, folder, [mail], len(mail), flags=b"", keywords=b"")
    if isinstance(result, Failed):
        note(b"deliverquota: %b: %b\n" % (folder, result.reason.encode()))
        return EX_TEMPFAIL
    if usage is not None:
        try:
            usage.add(len(mail))
            _warn(host, options, usage)
        except OSError:
            pass  # the mail is stored; the next check of the quota counts again
    return EX_OK


def _usage(host: Host, folder: bytes, given: bytes, note: Write) -> quota.Usage | None:
    """The usage of a maildir under the quota `given`, else its own quota; None without a quota."""
    limit = quota.written(given)
    if limit is None:
        note(b"WARN: quota string '%b' not parseable\n" % given)
    limit = limit or quota.current(host, folder)
    return quota.Usage(host, folder, quota.Quota(limit), _mode(host)) if limit else None


def _mode(host: Host) -> int:
    """The mode of a new file that others may read."""
    mask = host.umask(0)
    host.umask(mask)
    return 0o644 & ~mask


def _warn(host: Host, options: Options, usage: quota.Usage) -> None:
    """-w: put a message into a maildir that is nearly full, once a day."""
    if not options.warn_percent or usage.quota.percent(usage.size, usage.messages) < options.warn_percent:
        return
    try:
        text = host.read_file(options.warning, LARGEST_FILE_BYTES)
    except OSError:
        return
    if not quota.warning_is_due(host, options.maildir, _mode(host)):
        return
    when = postmark.rfc_date(host.localtime())
    head = b"Date: %b\nMessage-Id: <%d.overquota@%b>\n" % (when, int(host.time()), host.hostname())
    maildirplus.store(host, options.maildir, [head, text], len(head) + len(text), flags=b"", keywords=b"")
