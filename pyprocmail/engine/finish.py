"""The end of a run: what no rcfile delivered, the abstract, TRAP, and the exit status.  procmailrc(5)"""

from __future__ import annotations

from errno import ENOTDIR

from pyprocmail.delivery.folders import MAILDIR, MBOX, MH, kind_of, make_directory
from pyprocmail.delivery.format import for_program
from pyprocmail.delivery.locks import LockHeldError
from pyprocmail.delivery.results import Failed
from pyprocmail.engine import actions, programs
from pyprocmail.engine.procmail import ABANDONED, FELL_OFF, HOST_MISMATCH
from pyprocmail.exits import EX_CANTCREAT, EX_OK, EX_TEMPFAIL
from pyprocmail.message.model import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.engine.session import Session


def finish(session: Session, ending: str, *, requeue: bool = False) -> int:
    """Deliver what no rcfile delivered, write the abstract, run TRAP, give LOCKFILE back.

    Returns the exit status: EX_TEMPFAIL also when `requeue` (-t) is set.
    """
    if ending in (FELL_OFF, ABANDONED):
        delivered = _deliver_by_default(session)
    else:
        delivered = True
        if ending == HOST_MISMATCH:
            session.folder = session.environment.get(b"LASTFOLDER", b"")
    # Whoever is told now that the mail was not delivered would deliver it twice.
    session.host.settle()
    status = EX_OK
    if not delivered:
        retry = requeue or (session.temporary and not session.identity.strict)
        status = EX_TEMPFAIL if retry else EX_CANTCREAT
        session.folder = b"**Requeued**" if retry else b"**Bounced**"
        if session.reported_delivered:
            session.folder = b"**Lost**"
    session.release_local_lock()
    session.notify_comsat(b"" if delivered else session.folder)
    # A subject in two lines is one line in the log of procmail when the last it did was to search the header.
    joined = ending == HOST_MISMATCH and session.header_joined
    logged = Message(session.area(b"H").text) if joined else session.message
    session.log.write_abstract(logged, session.folder, session.size)
    status = _trap(session, status)
    session.release_global_lock()
    return status


def _deliver_by_default(session: Session) -> bool:
    """DEFAULT under its lockfile, then ORGMAIL.  procmailrc(5), DEFAULT and ORGMAIL."""
    environment = session.environment
    default = environment.get(b"DEFAULT", b"") if b"DEFAULT" in session.usable else b""
    original = environment.get(b"ORGMAIL", b"") if b"ORGMAIL" in session.usable else b""
    if default and _deliver_locked(session, default):
        return True
    if not original or original == default:
        return False
    return _deliver(session, original, _unusable_directory(session, original))


def _unusable_directory(session: Session, folder: bytes) -> OSError | None:
    """Why the maildir or MH folder that `folder` is spelled as cannot be one."""
    kind, path = kind_of(session.host, folder)
    return make_directory(session.host, path, session.note) if kind in (MAILDIR, MH) else None


def _deliver(session: Session, folder: bytes, error: OSError | None) -> bool:
    """As an action does, but what should be a directory and is none is not taken for a file."""
    if error is None:
        return actions.deliver(session, [folder])
    session.last_folder(folder)
    session.note("opening", folder)
    session.note("error-writing", kind_of(session.host, folder)[1])
    failed = Failed(folder, error.strerror or "not a directory", error.errno or ENOTDIR)
    session.temporary = session.temporary or failed.temporary
    return False


def _deliver_locked(session: Session, folder: bytes) -> bool:
    """Take the lockfile of an mbox, which `finish` gives back, and deliver."""
    kind, path = kind_of(session.host, folder)
    error = _unusable_directory(session, folder)
    if folder != b"/dev/null" and folder[:1] != b"|" and (kind == MBOX or error is not None):
        name = path + session.setting(b"LOCKEXT")
        if all(held is None or held.path != name for held in (session.global_lock, session.local_lock)):
            session.release_local_lock()
            try:
                session.local_lock = session.take_lock(name)
            except LockHeldError:
                session.temporary = True
                return False
    return _deliver(session, folder, error)


def _trap(session: Session, planned: int) -> int:
    """Run TRAP and settle the exit status.  procmailrc(5), TRAP and EXITCODE."""
    status = planned if session.exitcode is None or session.exitcode < 0 else session.exitcode
    trap = session.environment.get(b"TRAP")
    if not trap:
        return status & 0xFF
    decides = session.exitcode == session.TRAP_DECIDES
    if session.exitcode is None:
        session.set(b"EXITCODE", b"%d" % planned)
    command = programs.prepare(session, trap)
    ended = programs.run(session, command, for_program(session.message).batches(), stdout=session.log.fd)
    if decides and ended.status:
        status = ended.status
    return status & 0xFF
