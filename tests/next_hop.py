"""A mail server that a gateway passes mail on to: it does as it is told, and remembers what it has taken."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field

OFFERS = (b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"DSN", b"SIZE 1000000")


@dataclass
class Taken:
    """A mail for which 250 was said."""

    sender: bytes
    recipients: list[bytes]
    text: bytes


@dataclass
class NextHop:
    """Listens on a port of its own.

    `replies` are answers to commands that begin so; the first that fits is taken.  `answers` are those to the dots in
    their order, then 250; an empty one breaks the connection off instead, and what follows `raw`
    is all that is said before it is broken off.
    """

    offers: tuple[bytes, ...] = OFFERS
    replies: dict[bytes, bytes] = field(default_factory=dict)
    answers: list[bytes] = field(default_factory=list)
    mails: list[Taken] = field(default_factory=list)
    commands: list[bytes] = field(default_factory=list)
    port: int = 0

    def __enter__(self) -> NextHop:
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self.port = self._socket.getsockname()[1]
        self._lines: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for line in self._lines:
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is over already
            line.close()

    @property
    def said(self) -> list[bytes]:
        """The commands but for EHLO and QUIT."""
        return [command for command in self.commands if command[:4].upper() not in (b"EHLO", b"QUIT")]

    def _accept(self) -> None:
        threads = []
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                break
            self._lines.append(line)
            threads.append(threading.Thread(target=self._serve, args=(line,)))
            threads[-1].start()
        for line in self._lines:
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is over already
        for thread in threads:
            thread.join()

    def _serve(self, line: socket.socket) -> None:
        sender, recipients = b"", list[bytes]()
        with line.makefile("rb") as file:
            try:
                line.sendall(self.replies.get(b"", b"220 next ESMTP") + b"\r\n")
                for command in file:
                    command = command.rstrip(b"\r\n")
                    self.commands.append(command)
                    reply = next((self.replies[key] for key in self.replies if key and command.startswith(key)), b"")
                    verb = command[:4].upper()
                    if verb == b"EHLO":
                        offers = [b"250-next", *(b"250-" + offer for offer in self.offers), b"250 HELP"]
                        line.sendall(b"\r\n".join(offers) + b"\r\n")
                    elif reply:
                        line.sendall(reply + b"\r\n")
                    elif verb == b"DATA":
                        line.sendall(b"354 Go on\r\n")
                        text = b""
                        while not text.endswith(b"\r\n.\r\n") and text != b".\r\n":
                            piece = file.readline()
                            if not piece:
                                return
                            text += piece
                        answer = self.answers.pop(0) if self.answers else b"250 2.0.0 Queued"
                        if not answer:
                            return
                        if answer.startswith(b"raw"):
                            line.sendall(answer.removeprefix(b"raw"))
                            return
                        if answer.startswith(b"2"):
                            plain = (b"\r\n" + text).replace(b"\r\n.", b"\r\n")[2:].removesuffix(b"\r\n")
                            self.mails.append(Taken(sender, recipients, plain))
                        sender, recipients = b"", []
                        line.sendall(answer + b"\r\n")
                    elif verb == b"QUIT":
                        line.sendall(b"221 Bye\r\n")
                        return
                    else:
                        if verb == b"RSET":
                            sender, recipients = b"", []
                        elif verb == b"MAIL":
                            sender = command[10:]
                        elif verb == b"RCPT":
                            recipients.append(command[8:])
                        line.sendall(b"250 Ok\r\n")
            except OSError:
                pass  # the client is gone
            finally:
                try:
                    line.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # it is over already
