"""Datagrams to a server that may be missing.  procmailrc(5), COMSAT."""

from __future__ import annotations

import _socket

from pyprocmail import numerals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Place: TypeAlias = tuple[str, int]

_LARGEST_PORT = 0xFFFF
"""The reference keeps the lower 16 bits of a larger number."""


def find(service: bytes, host: bytes) -> Place | None:
    """The address of a service, by name or number, on a host; None if it is not found."""
    try:
        port = numerals.whole(service)
        if port is None:
            port = _socket.getservbyname(service.decode("latin-1"), "udp")
        # A str would import the codec of international names, and the host's name is bytes anyway.
        return _socket.gethostbyname(host), port & _LARGEST_PORT  # type: ignore[arg-type]  # bytes are fine, whatever its stub says
    except (OSError, ValueError, OverflowError):
        return None


def send(place: Place, text: bytes) -> bool:
    """Send the text; whether the system accepted it."""
    sender = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        sender.sendto(text, place)
    except OSError:
        return False
    finally:
        sender.close()
    return True
