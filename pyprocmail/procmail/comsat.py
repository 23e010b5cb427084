"""Telling the recipient's terminal of new mail: a datagram to the comsat server.  procmailrc(5), COMSAT."""

from __future__ import annotations

from pyprocmail import numerals
from pyprocmail.engine import datagrams  # noqa: F401  to have it before root is given up
from pyprocmail.procmail.effects import USUAL_COMSAT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.procmail.session import Session

_SERVICE, _HOST = b"biff", b"localhost"


def configure(session: Session, value: bytes) -> None:
    """Set the server for notices: `no`, `yes` or `[service]@[host]`.  A server that is not found counts as `no`."""
    service, found, host = value.partition(b"@")
    if not found:
        on = numerals.setting(value, session.variables.comsat is not None)
        session.variables.comsat = session.world.find_server(_SERVICE, _HOST) if on else None
    else:
        session.variables.comsat = session.world.find_server(service or _SERVICE, host or _HOST)
    if session.variables.comsat is None:
        session.note("assigning", b"COMSAT=no")
        session.environment[b"COMSAT"] = b"no"


def notify(session: Session, ended_as: bytes) -> None:
    """Send `user@offset:path` for the folder of the last delivery; nobody need receive it.

    Without a folder there is no offset.
    """
    if session.variables.comsat == USUAL_COMSAT:
        session.variables.comsat = session.world.find_server(_SERVICE, _HOST)
    address = session.variables.comsat
    if address is None or not (ended_as or session.environment.get(b"LASTFOLDER")):
        return
    text = session.environment.get(b"LOGNAME", b"") + b"@" + (b":" + ended_as if ended_as else _where(session))
    if session.world.tell(address, text):
        session.note("notified-comsat", text)


def _where(session: Session) -> bytes:
    stored = session.fate.stored
    path = session.environment.get(b"LASTFOLDER", b"")
    offset = b""
    if stored is not None and stored.folder == path:
        # Further folders are links to the first one.
        path = path.partition(b" ")[0]
        try:
            offset = b"%d" % max(session.host.stat(path).st_size - stored.size, 0)
        except OSError:
            pass  # it was standard output
    if not path.startswith(b"/"):
        path = session.fate.folder_base + b"/" + path
    return offset + b":" + path
