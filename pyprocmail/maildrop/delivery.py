"""to, cc and the default mailbox.  maildropfilter(7), "to - deliver message to a mailbox"."""

from __future__ import annotations

import errno
import stat

from pyprocmail.delivery import dotlocks, maildirplus, storage
from pyprocmail.delivery.format import Text
from pyprocmail.delivery.results import Delivered, Failed
from pyprocmail.delivery.system_mailbox import mailbox_of
from pyprocmail.maildrop import commands
from pyprocmail.maildrop.session import FilterError
from pyprocmail.message.postmark import rfc_date, timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyprocmail.delivery.format import Chunk
    from pyprocmail.delivery.locks import Lock
    from pyprocmail.delivery.quota import Usage
    from pyprocmail.maildrop.session import Session

_MODE = 0o666
_WARNING_UMASK = 0o026
_SHELL_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@%_-+=:,./")


def deliver(session: Session, target: bytes, *, final: bool = False) -> None:
    """Deliver the message to `|command`, `!addresses`, a maildir or an mbox.  An empty message is not delivered.

    `final`: the delivery decides the fate of the message, as with `to`, and nothing later can change that.

    Raises:
        FilterError: it could not be delivered.
    """
    session.check_watchdog()
    session.final = final
    if not target.startswith(b"|"):
        diverted = session.world.divert(target, session.message, final=final)
        if diverted is not None:
            if not diverted:
                session.verdict.refuse(target, b"it takes no mail")
                raise FilterError("undelivered")
            session.done()
            return
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
    """Addresses for the shell: in the reference, an address with a `;` in it is two commands."""
    words = []
    for word in text.split():
        safe = all(byte in _SHELL_SAFE for byte in word)
        words.append(word if safe else b"'%b'" % word.replace(b"'", b"'\\''"))
    return b" ".join(words)


# -- programs ------------------------------------------------------------------------------


def _to_program(session: Session, target: bytes, command: bytes) -> None:
    if session.verbose:
        session.note("delivering-to-program", command)
    message = session.message
    data = message.data
    chunks: list[Chunk] = [data] if data.endswith(b"\n") else [data, b"\n"]
    size = sum(map(len, chunks))
    ended = commands.run(session, command, chunks)
    status = ended.status or 0
    if not status:
        session.done()
        session.verdict.forwarded.append(command)
        for hear in session.trace.forwarded:
            hear(session.trace.place, message, command, size, not session.final)
    else:
        session.verdict.refuse(target, b"exit status %d" % status if status > 0 else b"signal %d" % -status)
    session.set_status(b"EXITCODE", status)
    if ended.unread:
        session.note("error-writing")
    session.note("not-delivered" if status else "delivered", message.head, target, size)
    if ended.unread and status:
        raise FilterError("undelivered")
    if session.verbose > 4:
        session.note("delivery-complete")


# -- folders -------------------------------------------------------------------------------


def _to_folder(session: Session, target: bytes) -> None:
    folder = target.rstrip(b"/") if target.strip(b"/") else target
    umask = session.world.mask(session.umask)
    try:
        if maildirplus.is_maildir(session.host, folder):
            _to_maildir(session, target, folder)
        else:
            _to_mbox(session, target)
    finally:
        session.world.mask(umask)


def _stored(session: Session, result: Delivered) -> None:
    """The mail is in a folder: remember it, and report it to the readers of the trace."""
    session.verdict.stored.append((result.folder, result.size))
    for hear in session.trace.stored:
        hear(session.trace.place, session.message, result, not session.final)


def _refused(session: Session, result: Failed) -> None:
    """A folder did not take the mail: remember why, and report it to the readers of the trace."""
    session.verdict.refuse(result.folder, result.reason.encode(errors="backslashreplace"))
    for hear in session.trace.refused:
        hear(session.trace.place, result)


def _to_maildir(session: Session, target: bytes, folder: bytes) -> None:
    data = session.message.data
    quota = session.value(b"MAILDIRQUOTA")
    usage = session.world.usage(folder, quota) if quota else None
    try:
        room = usage is None or usage.has_room(len(data))
    except OSError as error:
        _refused(session, Failed(target, error.strerror or "no quota file", error.errno or 0))
        session.note("error-writing")
        raise FilterError("undelivered") from error
    if not room:
        _refused(session, Failed(target, "over quota", errno.EDQUOT))
        session.note("over-quota")
        raise FilterError
    result = session.world.deposit(
        folder, [data], len(data), flags=session.value(b"FLAGS"), keywords=session.value(b"KEYWORDS")
    )
    if not isinstance(result, Delivered):
        _refused(session, result)
        session.note("error-writing")
        session.note("not-delivered", session.message.head, target, len(data))
        raise FilterError("undelivered")
    session.done()
    _stored(session, result)
    if usage is not None:
        try:
            usage.add(len(data))
            _warn(session, folder, usage)
        except OSError:
            pass  # the mail is stored; the next use of the quota counts again
    session.note("delivered", session.message.head, target, len(data))


def _warn(session: Session, folder: bytes, usage: Usage) -> None:
    """-w: put a message into a folder that is nearly full, once a day."""
    from pyprocmail.maildrop import functions

    host, settings = session.host, session.settings
    if not settings.warn_percent or usage.percent_full() < settings.warn_percent:
        return
    try:
        text = functions.read_file(session, settings.warning)
    except OSError:
        return
    if not session.world.warning_is_due(folder):
        return
    head = b"Date: %b\nMessage-Id: <%d.overquota@%b>\n" % (
        rfc_date(host.localtime()),
        int(host.time()),
        host.hostname(),
    )
    # The group may read it, even if UMASK forbids that for mail.
    umask = session.world.mask(_WARNING_UMASK)
    try:
        session.world.deposit(folder, [head, text], len(head) + len(text), flags=b"", keywords=b"")
    finally:
        session.world.mask(umask)


def _to_mbox(session: Session, path: bytes) -> None:
    host = session.host
    if session.verbose:
        session.note("delivering", path)
    status = None if b"\0" in path else storage.status_of(host, path)
    if not path or b"\0" in path or (status is not None and stat.S_ISDIR(status.st_mode)):
        _refused(session, Failed(path, "not a folder", errno.EISDIR))
        raise FilterError("unopened-mailbox")
    device = status is not None and stat.S_ISCHR(status.st_mode)
    lock_path = path + session.value(b"LOCKEXT")
    lock = None if device else take_dotlock(session, lock_path, kernel_lock_will_do=status is not None)
    text = Text(list(_entry(session)), b"")
    noted: list[str] = []
    try:
        result = session.world.append(
            path,
            text,
            lock_timeout_s=max(int(session.deadline() - host.monotonic()), 1),
            note=lambda kind, *_: noted.append(kind),
            done=session.done,
            mode=_MODE,
        )
    finally:
        if lock is not None:
            lock.release()
    if session.verbose > 4 and "acquiring-kernel-lock" in noted:
        session.note("flocking", path)
        session.note("appending", path)
    size = text.length - len(text.chunks[0]) - 1
    if not isinstance(result, Delivered):
        _refused(session, result)
        if "acquiring-kernel-lock" not in noted:
            raise FilterError("unopened-mailbox")
        session.note("error-writing")
        session.note("not-delivered", session.message.head, path, size)
        raise FilterError("undelivered")
    _stored(session, result)
    session.note("delivered", session.message.head, path, size)
    if session.verbose > 4:
        session.note("delivery-complete")


def _entry(session: Session) -> Iterator[Chunk]:
    """The message as an entry of an mbox: a From_ line, one more `>` before every From_ line in it, an empty line."""
    sender = session.value(b"FROM")
    yield b"From %b %b\n" % (sender, timestamp(session.host.localtime()))
    data = session.message.data
    at = start = 0
    view = memoryview(data)
    text = bytearray()
    while True:
        found = data.find(b"From ", at)
        if found < 0:
            break
        quoted = found
        while quoted > 0 and data[quoted - 1] == 0x3E:
            quoted -= 1
        if quoted == 0 or data[quoted - 1] == 0x0A:
            text += view[start:quoted]
            text += b">"
            start = quoted
        at = found + 5
    if text:
        yield memoryview(text)
    yield view[start:]
    if not data.endswith(b"\n"):
        yield b"\n"
    yield b"\n"


def take_dotlock(session: Session, path: bytes, *, kernel_lock_will_do: bool = False) -> Lock | None:
    """Take the lock `path`, and wait for it as long as LOCKSLEEP and LOCKTIMEOUT say.

    None if we may not write to the folder and `kernel_lock_will_do`, as in the spool of the system.

    Raises:
        FilterError: the folder cannot be written to, or the watchdog's time is over.
    """
    try:
        lock = session.world.take_dotlock(
            path,
            sleep_s=session.seconds(b"LOCKSLEEP"),
            stale_s=session.seconds(b"LOCKTIMEOUT"),
            deadline=session.deadline(),
        )
    except dotlocks.NoLockError as error:
        if kernel_lock_will_do and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return _spool_lock(session, path)
        _refused(session, Failed(path, error.strerror or "no lock", error.errno or 0))
        raise FilterError("no-dotlock", error.path) from error
    except TimeoutError as error:
        raise FilterError("timeout") from error
    for hear in session.trace.locked:
        hear(session.trace.place, path)
    return lock


def _spool_lock(session: Session, path: bytes) -> Lock | None:
    """The lock of the system mailbox, made by dotlockfile(1); None if that is impossible: the kernel lock must do."""
    from pyprocmail.delivery import spool_lock
    from pyprocmail.delivery.locks import LockHeldError

    if path != mailbox_of(session.settings.user) + b".lock":
        return None
    sleep_s, stale_s = session.seconds(b"LOCKSLEEP"), session.seconds(b"LOCKTIMEOUT")
    try:
        return spool_lock.take(session.host, path, sleep_s=sleep_s, stale_s=stale_s, note=lambda *_: None)
    except LockHeldError as error:
        raise FilterError("timeout") from error
