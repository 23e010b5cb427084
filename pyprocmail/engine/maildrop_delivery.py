"""to, cc and the default mailbox.  maildropfilter(7), "to - deliver message to a mailbox"."""

from __future__ import annotations

import errno
import stat

from pyprocmail.delivery import dotlocks, maildirplus, mbox, storage
from pyprocmail.delivery.format import Text
from pyprocmail.delivery.results import Delivered
from pyprocmail.engine import maildrop_commands as commands
from pyprocmail.engine.maildrop_session import FilterError
from pyprocmail.message.postmark import timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyprocmail.delivery.format import Chunk
    from pyprocmail.delivery.locks import Lock
    from pyprocmail.engine.maildrop_session import Session

_MODE = 0o666
_WARNING_UMASK = 0o026
_SHELL_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@%_-+=:,./")
_UNOPENED = FilterError(b"Unable to open mailbox.").text
_FAILED = b"Unable to deliver to mailbox."
_ERROR = b"error writing to mailbox."


def deliver(session: Session, target: bytes) -> None:
    """Deliver the message to `|command`, `!addresses`, a maildir or an mbox.  A message of nothing goes nowhere.

    Raises:
        FilterError: it could not be delivered.
    """
    session.check_watchdog()
    if not session.message.data:
        return
    if target.startswith(b"|"):
        _to_program(session, target, target[1:].lstrip(b" \t"))
    elif target.startswith(b"!"):
        words = target[1:] if session.settings.strict else _quoted(target[1:])
        _to_program(session, target, session.value(b"SENDMAIL") + b" -f '' " + words.lstrip(b" \t"))
    else:
        _to_folder(session, target)


def _quoted(text: bytes) -> bytes:
    """Addresses for the shell: with the reference, an address with a `;` in it is two commands."""
    words = []
    for word in text.split():
        safe = all(byte in _SHELL_SAFE for byte in word)
        words.append(word if safe else b"'%b'" % word.replace(b"'", b"'\\''"))
    return b" ".join(words)


# -- programs ------------------------------------------------------------------------------


def _to_program(session: Session, target: bytes, command: bytes) -> None:
    if session.verbose:
        session.log.complain(b"Delivering to |%b" % command)
    message = session.message
    data = message.data
    chunks: list[Chunk] = [data] if data.endswith(b"\n") else [data, b"\n"]
    size = sum(map(len, chunks))
    ended = commands.run(session, command, chunks)
    status = ended.status or 0
    session.set_status(b"EXITCODE", status)
    if ended.unread:
        session.log.complain(_ERROR)
    session.log.write_delivery(message, target, size, failed=status != 0)
    if ended.unread and status:
        raise FilterError(_FAILED)
    if session.verbose > 4:
        session.log.complain(b"Delivery complete.")


# -- folders -------------------------------------------------------------------------------


def _to_folder(session: Session, target: bytes) -> None:
    folder = target.rstrip(b"/") if target.strip(b"/") else target
    umask = session.host.umask(session.umask)
    try:
        if maildirplus.is_maildir(session.host, folder):
            _to_maildir(session, target, folder)
        else:
            _to_mbox(session, target)
    finally:
        session.host.umask(umask)


def _to_maildir(session: Session, target: bytes, folder: bytes) -> None:
    from pyprocmail.delivery.quota import Quota, Usage

    host = session.host
    data = session.message.data
    quota = session.value(b"MAILDIRQUOTA")
    usage = Usage(host, folder, Quota(quota)) if quota else None
    try:
        room = usage is None or usage.has_room(len(data))
    except OSError as error:
        session.log.complain(_ERROR)
        raise FilterError(_FAILED) from error
    if not room:
        session.log.complain(b"maildir over quota.")
        raise FilterError(b"")
    result = maildirplus.store(
        host, folder, [data], len(data), flags=session.value(b"FLAGS"), keywords=session.value(b"KEYWORDS")
    )
    if not isinstance(result, Delivered):
        session.log.complain(_ERROR)
        session.log.write_delivery(session.message, target, len(data), failed=True)
        raise FilterError(_FAILED)
    if usage is not None:
        try:
            usage.add(len(data))
            _warn(session, folder, usage)
        except OSError:
            pass  # the mail is there; who looks at the quota next counts anew
    session.log.write_delivery(session.message, target, len(data), failed=False)


def _warn(session: Session, folder: bytes, usage: object) -> None:
    """-w: put a message into a folder that is nearly full, once a day."""
    from pyprocmail.delivery import quota
    from pyprocmail.engine import maildrop_functions

    assert isinstance(usage, quota.Usage)
    host, settings = session.host, session.settings
    if not settings.warn_percent or usage.percent_full() < settings.warn_percent:
        return
    try:
        text = maildrop_functions.read_file(session, settings.warning)
    except OSError:
        return
    if not quota.warning_is_due(host, folder):
        return
    head = b"Date: %b\nMessage-Id: <%d.overquota@%b>\n" % (rfc_date(session), int(host.time()), host.hostname())
    # The group may read it, whatever UMASK says of mail.
    umask = host.umask(_WARNING_UMASK)
    try:
        maildirplus.store(host, folder, [head, text], len(head) + len(text), flags=b"", keywords=b"")
    finally:
        host.umask(umask)


def rfc_date(session: Session) -> bytes:
    """The local time as mail writes it."""
    when = session.host.localtime()
    day, month, _, clock, year = timestamp(when).split()
    offset = when.tm_gmtoff // 60
    sign = b"-" if offset < 0 else b"+"
    return b"%b, %02d %b %b %b %b%02d%02d" % (
        day, when.tm_mday, month, year, clock, sign, abs(offset) // 60, abs(offset) % 60,
    )  # fmt: skip


def _to_mbox(session: Session, path: bytes) -> None:
    host = session.host
    if session.verbose:
        session.log.complain(b"Delivering to %b" % path)
    status = None if b"\0" in path else storage.status_of(host, path)
    if not path or b"\0" in path or (status is not None and stat.S_ISDIR(status.st_mode)):
        raise FilterError(_UNOPENED)
    device = status is not None and stat.S_ISCHR(status.st_mode)
    lock_path = path + session.value(b"LOCKEXT")
    lock = None if device else take_dotlock(session, lock_path, kernel_lock_will_do=status is not None)
    text = Text(list(_entry(session)), b"")
    noted: list[str] = []
    try:
        result = mbox.append(
            host,
            path,
            text,
            lock_timeout_s=max(int(session.deadline() - host.monotonic()), 1),
            note=lambda kind, *_: noted.append(kind),
            mode=_MODE,
        )
    finally:
        if lock is not None:
            lock.release()
    if session.verbose > 4 and "acquiring-kernel-lock" in noted:
        session.log.complain(b"Flock()ing %b." % path)
        session.log.complain(b"Appending to %b." % path)
    size = text.length - len(text.chunks[0]) - 1
    if not isinstance(result, Delivered):
        if "acquiring-kernel-lock" not in noted:
            raise FilterError(_UNOPENED)
        session.log.complain(_ERROR)
        session.log.write_delivery(session.message, path, size, failed=True)
        raise FilterError(_FAILED)
    session.log.write_delivery(session.message, path, size, failed=False)
    if session.verbose > 4:
        session.log.complain(b"Delivery complete.")


def _entry(session: Session) -> Iterator[Chunk]:
    """The message as an entry of an mbox: a From_ line, one more `>` before every From_ line in it, an empty line."""
    sender = session.value(b"FROM")
    yield b"From %b %b\n" % (sender, timestamp(session.host.localtime()))
    data = session.message.data
    at = start = 0
    view = memoryview(data)
    while True:
        found = data.find(b"From ", at)
        if found < 0:
            break
        quoted = found
        while quoted > 0 and data[quoted - 1] == 0x3E:
            quoted -= 1
        if quoted == 0 or data[quoted - 1] == 0x0A:
            yield view[start:quoted]
            yield b">"
            start = quoted
        at = found + 5
    yield view[start:]
    if not data.endswith(b"\n"):
        yield b"\n"
    yield b"\n"


def take_dotlock(session: Session, path: bytes, *, kernel_lock_will_do: bool = False) -> Lock | None:
    """Take the lock `path`, as patient as LOCKSLEEP and LOCKTIMEOUT say.

    None when the folder may not be written to and `kernel_lock_will_do`: so it is with the spool of the system.

    Raises:
        FilterError: the folder cannot be written to, or the watchdog barks.
    """
    host = session.host
    try:
        return dotlocks.take(
            host,
            path,
            sleep_s=session.seconds(b"LOCKSLEEP"),
            stale_s=session.seconds(b"LOCKTIMEOUT"),
            deadline=session.deadline(),
        )
    except dotlocks.NoLockError as error:
        if kernel_lock_will_do and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return None
        raise FilterError(b"Unable to create a dot-lock at %b.\n" % error.path) from error
    except TimeoutError as error:
        raise FilterError(b"Timeout quota exceeded.") from error
