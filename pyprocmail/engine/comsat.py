"""Telling the recipient's terminal of new mail: a datagram to the comsat server.  procmailrc(5), COMSAT."""

from __future__ import annotations

import _socket

from pyprocmail.engine import numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.delivery.results import Delivered
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
        session.environment[b"COMSAT"] = b"no"


def _address(service: bytes, host: bytes) -> tuple[str, int] | None:
    try:
        port = int(service) if service.isdigit() else _socket.getservbyname(service.decode("latin-1"), "udp")
        return _socket.gethostbyname(host.decode("latin-1")), port
    except (OSError, ValueError, OverflowError):
        return None


def notify(session: Session, delivered: Delivered) -> None:
    """Send `user@offset:path` for what was just stored; nobody need listen."""
    address = session.comsat
    if address is None:
        return
    path = delivered.folder.partition(b" ")[0]
    try:
        offset = max(session.host.stat(path).st_size - delivered.size, 0)
    except OSError:
        offset = 0
    if not path.startswith(b"/"):
        path = session.environment.get(b"MAILDIR", b".") + b"/" + path
    text = b"%b@%d:%b" % (session.environment.get(b"LOGNAME", b""), offset, path)
    sender = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        sender.sendto(text, address)
    except OSError:
        return
    finally:
        sender.close()
    session.note("notified-comsat", text)
