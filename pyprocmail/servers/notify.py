"""Reports a server's state to the service manager.  sd_notify(3)"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

READY, STOPPING, RELOADING, WATCHDOG = "READY=1", "STOPPING=1", "RELOADING=1", "WATCHDOG=1"


def notify(state: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send the state to the socket NOTIFY_SOCKET; False if there is no such socket, or it cannot be reached."""
    name = environ.get("NOTIFY_SOCKET", "")
    if not name.startswith(("/", "@")):
        return False
    address = "\0" + name[1:] if name.startswith("@") else name
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return False
    return True


def watchdog_s(environ: Mapping[str, str] = os.environ) -> float:
    """The interval at which to send WATCHDOG, in seconds: half of the allowed time; 0 for never."""
    value = environ.get("WATCHDOG_USEC", "")
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    return int(value) / 2_000_000 if value.isascii() and value.isdigit() and len(value) < 19 else 0.0
