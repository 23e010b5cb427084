"""The command `pyprocmail mime`."""

from __future__ import annotations

import os

from pyprocmail.commands.descriptors import INTERRUPTED, Writer, read_mail
from pyprocmail.exits import EX_OK
from pyprocmail.host import Host
from pyprocmail.tools import mime
from pyprocmail.tools.mime.options import USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[bytes]) -> int:
    """Run `pyprocmail mime ...`; the exit status."""
    host = Host()
    if argv[2:] in ([], [b"--help"], [b"-h"]):
        host.write(1, USAGE)
        return EX_OK
    mail: list[bytes] = []

    def read(_size: int) -> bytes:
        """Read the whole mail at once, so that its size is checked against the memory."""
        if mail:
            return b""
        mail.append(read_mail(host))
        return mail[0]

    try:
        return mime.run(host, argv, os.environb, read, Writer(host, 1), Writer(host, 2))
    except KeyboardInterrupt:
        return INTERRUPTED
