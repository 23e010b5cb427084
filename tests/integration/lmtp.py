"""`pyprocmail lmtp` beside a mail server, as a service manager would start it."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.conftest import PATIENCE_S, User


@contextmanager
def serving(path: Path, *options: str, user: User | None = None) -> Iterator[None]:
    """A server that listens at the path, until the end; it has to end by itself then."""
    path.parent.mkdir(mode=0o755, exist_ok=True)
    notices = Path("/run/lmtp-notices")
    notices.unlink(missing_ok=True)
    command = ["/usr/local/bin/pyprocmail", "lmtp", "--listen", f"unix:{path}", *options]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(os.fsencode(notices))
        notices.chmod(0o777)
        notified.settimeout(PATIENCE_S)
        environment = {**os.environ, "NOTIFY_SOCKET": str(notices)}
        if user is None:
            server = subprocess.Popen(command, cwd="/", env=environment)
        else:
            server = subprocess.Popen(command, cwd="/", env=environment, user=user.uid, group=user.gid, extra_groups=[])
        try:
            assert notified.recv(100) == b"READY=1"
            yield
            server.terminate()
            assert server.wait(PATIENCE_S) == 0
        finally:
            server.kill()
            server.wait()
