"""The command mailstat."""

from __future__ import annotations

import os

from pyprocmail.commands.descriptors import INTERRUPTED, Writer, reader
from pyprocmail.host import Host
from pyprocmail.tools import mailstat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[bytes]) -> int:
    """Run mailstat with `argv`, its own name first; the exit status."""
    host = Host()
    try:
        return mailstat.run(host, argv, os.environb, reader(host, 0), Writer(host, 1), Writer(host, 2))
    except KeyboardInterrupt:
        return INTERRUPTED
