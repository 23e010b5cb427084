"""A mail server that says 250 when a mail is on disk, and that can be killed at any moment: PORT FOLDER."""

from __future__ import annotations

import os
import socketserver
import sys
import uuid
from pathlib import Path


class Conversation(socketserver.StreamRequestHandler):
    """As much of SMTP as a gateway asks for."""

    def handle(self) -> None:
        self._say(b"220 hop ESMTP")
        for line in self.rfile:
            verb = line[:4].upper()
            if verb == b"DATA":
                self._say(b"354 Go on")
                lines: list[bytes] = []
                for text in self.rfile:
                    if text == b".\r\n":
                        store(b"".join(lines))
                        self._say(b"250 2.0.0 On disk")
                        break
                    lines.append(text)
            elif verb == b"QUIT":
                self._say(b"221 Bye")
                return
            else:
                self._say(b"250 PIPELINING" if verb == b"EHLO" else b"250 Ok")

    def _say(self, reply: bytes) -> None:
        self.wfile.write(reply + b"\r\n")
        self.wfile.flush()


def store(text: bytes) -> None:
    """Have the text on disk."""
    folder = Path(sys.argv[2])
    path = folder / str(uuid.uuid4())
    with open(path.with_suffix(".new"), "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    path.with_suffix(".new").rename(path.with_suffix(".mail"))
    fd = os.open(folder, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


class Server(socketserver.ThreadingTCPServer):
    """Many clients at once."""

    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server(("127.0.0.1", int(sys.argv[1])), Conversation) as server:
        server.serve_forever()
