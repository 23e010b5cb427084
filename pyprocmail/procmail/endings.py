"""How a session ends: normally, early after a signal or a fault; the abstract, TRAP, and the exit status.

`finish` delivers a mail that no rcfile delivered.  After a signal or a fault the locks are released, and the caller
keeps the mail.  procmailrc(5), DEFAULT, ORGMAIL, TRAP, EXITCODE; procmail(1), SIGNALS.
"""

from __future__ import annotations

import os
from errno import ENOTDIR

from pyprocmail.delivery.folder import Folder
from pyprocmail.delivery.format import for_program
from pyprocmail.delivery.locks import LockHeldError
from pyprocmail.delivery.results import Failed
from pyprocmail.exits import EX_CANTCREAT, EX_OK, EX_TEMPFAIL, traced
from pyprocmail.message.model import Message
from pyprocmail.message.postmark import envelope_end
from pyprocmail.procmail import actions, command_lines
from pyprocmail.procmail.interpreter import ABANDONED, FELL_OFF, HOST_MISMATCH
from pyprocmail.signals import SIGHUP, SIGINT, SIGQUIT, SIGTERM, Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Result = TypeVar("Result")
    from pyprocmail.host import Host
    from pyprocmail.procmail.session import Session


def finish(session: Session, ending: str, *, requeue: bool = False) -> int:
    """Deliver a mail that no rcfile delivered, write the abstract, run TRAP, release LOCKFILE.

    Returns the exit status: EX_TEMPFAIL also if `requeue` (-t) is set and the delivery failed.
    """
    if ending in (FELL_OFF, ABANDONED):
        delivered = _deliver_by_default(session)
    else:
        delivered = True
        if ending == HOST_MISMATCH:
            session.fate.folder = session.environment.get(b"LASTFOLDER", b"")
    if delivered:
        session.decide()
    session.host.settle()
    status = EX_OK
    if not delivered:
        if session.fate.advice:
            session.note("make-mailbox", *session.fate.advice)
        retry = requeue or (session.fate.temporary and not session.identity.strict)
        status = EX_TEMPFAIL if retry else EX_CANTCREAT
        session.fate.folder = b"**Requeued**" if retry else b"**Bounced**"
        if session.fate.reported_delivered:
            session.fate.folder = b"**Lost**"
    # procmail logs a subject of two lines as one if its last act was to search the header.
    joined = ending == HOST_MISMATCH and session.mail.header_joined
    return close(session, status, joined=joined)


def close(session: Session, status: int, *, joined: bool = False) -> int:
    """The steps after the fate of the mail is decided; none of them can change the outcome.

    A step that fails is logged, and the next one follows.  TRAP may choose another status.
    """
    bounced = b"" if session.fate.delivered else session.fate.folder
    aside(session, session.locks.release_local)
    aside(session, lambda: session.notify_comsat(bounced))
    aside(session, lambda: _settle(session, joined=joined))
    chosen = aside(session, lambda: _trap(session, status))
    aside(session, session.locks.release_global)
    return status if chosen is None else chosen


def aside(session: Session, step: Callable[[], Result]) -> Result | None:
    """Do a step that the delivery does not depend on; None if it fails, which is logged."""
    try:
        return step()
    except Interrupted:
        return None
    except OSError as error:
        text = os.fsencode(f"procmail: After the delivery: {error}\n")
    except Exception as fault:  # noqa: BLE001  a fault of ours must not have the mail delivered twice
        text = traced(fault).encode(errors="backslashreplace")
    try:
        session.log.write(text)
    except Exception:  # noqa: BLE001  there is nowhere left to say it
        return None
    return None


def _settle(session: Session, *, joined: bool) -> None:
    logged = Message(session.area(b"H").text) if joined else session.message
    session.settle(logged, session.fate.folder, session.fate.size)


def _deliver_by_default(session: Session) -> bool:
    """DEFAULT under its lockfile, then ORGMAIL.  procmailrc(5), DEFAULT and ORGMAIL."""
    environment = session.environment
    default = environment.get(b"DEFAULT", b"") if b"DEFAULT" in session.variables.usable else b""
    original = environment.get(b"ORGMAIL", b"") if b"ORGMAIL" in session.variables.usable else b""
    if default and _deliver_locked(session, session.world.prepare(default)):
        return True
    if not original or original == default:
        return False
    folder = session.world.prepare(original)
    return _deliver(session, folder, session.world.refusal(folder, session.note))


def _deliver(session: Session, folder: Folder, error: OSError | None) -> bool:
    """Deliver as an action does; but a folder that should be a directory and is not one is an error, not an mbox."""
    if error is None:
        return actions.deliver(session, [folder.name])
    session.last_folder(folder.name)
    session.note("opening", folder.name)
    session.note("error-writing", folder.path)
    failed = Failed(folder.name, error.strerror or "not a directory", error.errno or ENOTDIR)
    session.refuse(failed)
    session.fate.temporary = session.fate.temporary or failed.temporary
    return False


def _deliver_locked(session: Session, folder: Folder) -> bool:
    """Take the lockfile of an mbox, which `finish` releases, and deliver."""
    error = session.world.refusal(folder, session.note)
    if folder.is_locked or error is not None:
        name = folder.path + actions.lock_extension(session)
        if not session.locks.hold(name):
            session.locks.release_local()
            try:
                session.locks.local = session.take_lock(name)
            except LockHeldError:
                session.fate.temporary = True
                return False
    return _deliver(session, folder, error)


def _trap(session: Session, planned: int) -> int:
    """Run TRAP and settle the exit status.  procmailrc(5), TRAP and EXITCODE."""
    exitcode = session.variables.exitcode
    status = planned if exitcode is None or exitcode < 0 else exitcode
    trap = session.environment.get(b"TRAP")
    if not trap:
        return status & 0xFF
    decides = exitcode == session.variables.TRAP_DECIDES
    if exitcode is None:
        session.set(b"EXITCODE", b"%d" % planned)
    command = command_lines.prepare(session, trap)
    command.purpose = "trap"
    ended = session.run(command, for_program(session.message).batches(), stdout=session.log.fd)
    if decides and ended.status:
        status = ended.status
    return status & 0xFF


# -- early ---------------------------------------------------------------------------------


def by_import(session: Session, name: str) -> int:
    """A module is needed that was not imported before we became the recipient; now it is too late."""
    return _requeued(session, "late-import", name.encode())


def by_compiler(session: Session, path: bytes) -> int:
    """An rcfile could not be compiled now."""
    return _requeued(session, "couldnt-compile", path)


def _requeued(session: Session, kind: str, text: bytes) -> int:
    session.note(kind, text)
    if session.fate.delivered:
        return _left(session, close(session, EX_OK))
    session.settle(session.message, b"**Requeued**", 0)
    return _left(session, EX_TEMPFAIL)


def by_fault(session: Session, error: Exception) -> int:
    """Clean up after an unexpected exception, and log where it came from."""
    if isinstance(error, OSError):
        session.log.write(os.fsencode(f"procmail: {error}\n"))
    else:
        session.log.write(traced(error).encode(errors="backslashreplace"))
    return _left(session, close(session, EX_OK) if session.fate.delivered else EX_TEMPFAIL)


def by_signal(session: Session, signum: int) -> int:
    """Clean up after a signal: no TRAP, the locks are released, the MTA keeps the mail."""
    if session.fate.delivered:
        return _left(session, close(session, EX_OK))
    if session.waiting_for:
        session.note("terminating-whilst-waiting", session.waiting_for)
    else:
        session.note("terminating-prematurely")
    status, folder = _fate(signum, strict=session.identity.strict)
    session.notify_comsat(folder)
    # After a signal the abstract has no subject.
    head = session.message.head
    session.settle(Message(head[: envelope_end(head)]), folder, session.fate.size)
    return _left(session, status)


def before_session(host: Host, signum: int, *, strict: bool) -> int:
    """A signal came while the mail was read; no rcfile has named a log yet."""
    try:
        host.write(2, b"procmail: Terminating prematurely\n")
    except OSError:
        pass
    return _fate(signum, strict=strict)[0]


def _fate(signum: int, *, strict: bool) -> tuple[int, bytes]:
    """The exit status after a signal, and its word in the abstract."""
    assert signum in (SIGHUP, SIGINT, SIGQUIT, SIGTERM)
    if strict and signum in (SIGHUP, SIGINT):
        return EX_CANTCREAT, b"**Bounced**"
    if strict and signum == SIGQUIT:
        return EX_OK, b"**Lost**"
    return EX_TEMPFAIL, b"**Requeued**"


def _left(session: Session, status: int) -> int:
    """Release the locks; a clone ends here."""
    aside(session, session.locks.release_local)
    aside(session, session.locks.release_global)
    if session.clone:
        session.world.leave(status)
    return status
