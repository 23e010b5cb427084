"""A scanner that speaks like clamd, and knows EICAR's test file only."""

from __future__ import annotations

import socket
import threading
from pathlib import Path


class Clamd:
    """Answers like clamd: what has EICAR's text in it is infected."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mode = "plain"
        self.got = b""
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            with stream, stream.makefile("rb") as source:
                if source.read(10) != b"zINSTREAM\0":
                    continue
                data = b""
                while size := int.from_bytes(source.read(4), "big"):
                    data += source.read(size)
                self.got = data
                if self.mode == "silent":
                    continue
                found = b"Eicar-Signature FOUND" if b"EICAR-STANDARD" in data else b"OK"
                stream.sendall(b"stream: " + (found if self.mode == "plain" else b"size limit exceeded. ERROR") + b"\0")

    def close(self) -> None:
        """Answer no more."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(60)
