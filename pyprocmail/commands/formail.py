"""The command formail."""

from __future__ import annotations

import os

from pyprocmail.commands.descriptors import INTERRUPTED, Writer, reader
from pyprocmail.commands.siblings import SiblingHost
from pyprocmail.tools import formail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[bytes]) -> int:
    """Run formail with `argv`, its own name first; the exit status."""
    host = SiblingHost()
    try:
        return formail.run(host, argv, os.environb, reader(host, 0), Writer(host, 1), Writer(host, 2))
    except KeyboardInterrupt:
        return INTERRUPTED
