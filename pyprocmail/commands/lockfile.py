"""The command lockfile."""

from __future__ import annotations

import os

from pyprocmail.commands.descriptors import Writer
from pyprocmail.delivery import locks
from pyprocmail.host import Host
from pyprocmail.tools import lockfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[bytes]) -> int:
    """Run lockfile with `argv`, its own name first; the exit status."""
    host = Host()
    host.catch_signals(lambda _: None)
    return lockfile.run(host, argv, os.environb, Writer(host, 2), lambda path: locks.attempt(host, path))
