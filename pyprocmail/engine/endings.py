"""How a session ends that neither a rule nor the end of an rcfile ends.

Whatever happened, its locks go, and the mail stays with whom we have it from.
"""

from __future__ import annotations

from pyprocmail.exits import EX_CANTCREAT, EX_OK, EX_TEMPFAIL, traced
from pyprocmail.signals import SIGHUP, SIGINT, SIGQUIT, SIGTERM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.engine.session import Session
    from pyprocmail.host import Host


def by_import(session: Session, name: str) -> int:
    """What we are lacks a part, and as the recipient it is too late to get it."""
    return _requeued(session, "late-import", name.encode())


def by_compiler(session: Session, path: bytes) -> int:
    """What an rcfile says is not known now."""
    return _requeued(session, "couldnt-compile", path)


def _requeued(session: Session, kind: str, text: bytes) -> int:
    session.note(kind, text)
    session.log.write_abstract(session.message, b"**Requeued**", 0)
    return _left(session, EX_TEMPFAIL)


def by_fault(session: Session, error: Exception) -> int:
    """Clean up after an exception that nobody expected, and log where it came from."""
    session.log.write(traced(error).encode(errors="backslashreplace"))
    return _left(session, EX_TEMPFAIL)


def by_signal(session: Session, signum: int) -> int:
    """Clean up after a signal: no TRAP, the locks go, the mail stays with the MTA."""
    if session.waiting_for:
        session.note("terminating-whilst-waiting", session.waiting_for)
    else:
        session.note("terminating-prematurely")
    status, folder = _fate(signum, strict=session.identity.strict)
    session.notify_comsat(folder)
    session.log.write_abstract(session.message, folder, session.size, subject=False)
    return _left(session, status)


def before_session(host: Host, signum: int, *, strict: bool) -> int:
    """A signal came while the mail was read; there is no rcfile yet that would say where the log is."""
    try:
        host.write(2, b"procmail: Terminating prematurely\n")
    except OSError:
        pass
    return _fate(signum, strict=strict)[0]


def _fate(signum: int, *, strict: bool) -> tuple[int, bytes]:
    """The exit status after a signal, and what the abstract calls it."""
    assert signum in (SIGHUP, SIGINT, SIGQUIT, SIGTERM)
    if strict and signum in (SIGHUP, SIGINT):
        return EX_CANTCREAT, b"**Bounced**"
    if strict and signum == SIGQUIT:
        return EX_OK, b"**Lost**"
    return EX_TEMPFAIL, b"**Requeued**"


def _left(session: Session, status: int) -> int:
    """Give the locks back; a clone ends here."""
    session.release_local_lock()
    session.release_global_lock()
    if session.clone:
        session.host.exit_now(status)
    return status
