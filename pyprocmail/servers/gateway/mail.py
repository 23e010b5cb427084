"""A mail while the gateway handles it, and the marks that reveal a mail loop."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pyprocmail.servers.outcome import printable

_MARK = rb"by %b \(pyprocmail gateway\)"


@dataclass(frozen=True, slots=True)
class Recipient:
    """An address and its parameters of RCPT."""

    address: bytes
    parameters: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Mail:
    """Lines of `text` end in LF.  `greeting` is the name that the client gave, `protocol` such as ESMTP or LMTPS."""

    sender: bytes
    recipients: Sequence[Recipient]
    text: bytes
    parameters: tuple[bytes, ...] = ()
    greeting: bytes = b""
    peer: bytes = b""
    protocol: bytes = b"ESMTP"


@dataclass(frozen=True, slots=True)
class Marks:
    """This gateway's name, how often a mail may pass it, and how many servers a mail may have passed in all."""

    name: bytes
    passes: int = 4
    hops: int = 50

    def loop(self, text: bytes) -> bytes:
        """Why the mail is in a loop; empty if it is not."""
        fields = _received(text)
        own = re.compile(_MARK % re.escape(self.name))
        passes = sum(own.search(field) is not None for field in fields)
        if passes >= self.passes:
            return b"The mail has passed here %d times already" % passes
        if len(fields) >= self.hops:
            return b"The mail has passed %d servers" % len(fields)
        return b""

    def received(self, mail: Mail) -> bytes:
        """The Received field to put before the mail: RFC 5321, 4.4.  It names no recipient: others could read it."""
        client = printable(mail.greeting).translate(None, b"()\\") or b"unknown"
        peer = b" (%b)" % mail.peer if mail.peer else b""
        when = time.strftime("%a, %d %b %Y %H:%M:%S %z", time.localtime()).encode()
        return b"Received: from %b%b\n\tby %b (pyprocmail gateway) with %b; %b\n" % (
            client, peer, self.name, mail.protocol, when,
        )  # fmt: skip


def _received(text: bytes) -> list[bytes]:
    """The Received fields, each on one line."""
    head = text[: text.find(b"\n\n") + 1] if b"\n\n" in text else text
    unfolded = head.replace(b"\n ", b" ").replace(b"\n\t", b" ")
    return [line for line in unfolded.split(b"\n") if line[:9].lower() == b"received:"]
