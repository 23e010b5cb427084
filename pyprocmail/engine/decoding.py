"""A decoded area of a mail, for a process that imports nothing any more: see apart."""

from __future__ import annotations

import os
import sys

from pyprocmail.engine.cache import pack
from pyprocmail.message.decoded import Decoded


def main() -> None:
    """Read the mail from standard input; write the area to standard output, and what of the mail it leaves out."""
    name, split, servers = [os.fsencode(word) for word in sys.argv[1:]]
    cut: list[bytes] = []
    decoded = Decoded(sys.stdin.buffer.read(), int(split), servers.split(), lambda what: cut.append(what.encode()))
    text = decoded.text(name)
    sys.stdout.buffer.write(pack(((text, *cut),)))
