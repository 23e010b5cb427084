"""Telling the recipient's terminal of new mail: a datagram to the comsat server.  procmailrc(5), COMSAT."""

from __future__ import annotations

import _socket

from pyprocmail.engine import numbers
from pyprocmail.engine.variables import USUAL_COMSAT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.engine.session import Session

_SERVICE, _HOST = b"biff", b"localhost"


def configure(session: Session, value: bytes) -> None:
    """`no`, `yes`, `[service]@[host]`: whom to tell.  What cannot be found becomes `no`."""
    service, found, host = value.partition(b"@")
    if not found:
        on = numbers.read(value, session.comsat is not None)
        session.comsat = _address(_SERVICE, _HOST) if on else None
    else:
        session.comsat = _address(service or _SERVICE, host or _HOST)
    if session.comsat is None:
        session.note("assigning", b"COMSAT=no")
        session.environment[b"COMSAT"] = b"no"


def _address(service: bytes, host: bytes) -> tuple[str, int] | None:
    try:
        port = int(service) if service.isdigit() else _socket.getservbyname(service.decode("latin-1"), "udp")
        # A str would import the codec of international names, and the host's name is bytes anyway.
        return _socket.gethostbyname(host), port  # type: ignore[arg-type]  # bytes are fine, whatever its stub says  # type: ignore[arg-type]  # a str would import a codec
    except (OSError, ValueError, OverflowError):
        return None


def notify(session: Session, ended_as: bytes) -> None:
    """Send `user@offset:path` for the folder of the last delivery; nobody need listen.

    There is no offset for what is not in a folder.
    """
    if session.comsat == USUAL_COMSAT:
        session.comsat = _address(_SERVICE, _HOST)
    address = session.comsat
    if address is None or not (ended_as or session.environment.get(b"LASTFOLDER")):
        return
    text = session.environment.get(b"LOGNAME", b"") + b"@" + (b":" + ended_as if ended_as else _where(session))
    sender = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        sender.sendto(text, address)
    except OSError:
        return
    finally:
        sender.close()
    session.note("notified-comsat", text)


def _where(session: Session) -> bytes:
    stored = session.stored
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
        path = session.folder_base + b"/" + path
    return offset + b":" + path
