"""The commands vacation and duplicate."""

from __future__ import annotations

from pyprocmail.commands.descriptors import Writer, reader
from pyprocmail.commands.environment import given

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyprocmail.engine.tools import Tool
    from pyprocmail.host import Host


def find(name: bytes) -> Tool:
    """The tool of that name."""
    if name == b"duplicate":
        from pyprocmail.tools import duplicate

        return duplicate.run
    from pyprocmail.tools import vacation

    return vacation.run


def main(argv: Sequence[bytes], host: Host, environ: Mapping[bytes, bytes]) -> int:
    """Run the tool with `argv`, its own name first; the exit status."""
    return find(argv[0])(host, argv, given(environ), reader(host, 0), Writer(host, 1), Writer(host, 2))
