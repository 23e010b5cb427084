"""`pyprocmail maillog`: writes the milter's log lines for saved mail.  pyprocmail-milter(8)"""

from __future__ import annotations

import os
import sys

import click

from pyprocmail.commands.descriptors import Writer, reader
from pyprocmail.commands.values import option
from pyprocmail.exits import EX_OK
from pyprocmail.host import Host
from pyprocmail.tools import maillog as log_lines


@click.command()
@option("--json", "as_json", is_flag=True, help="Write a JSON object for each mail.")
@option("--decode", is_flag=True, help="Write subjects in UTF-8.")
def maillog(as_json: bool, decode: bool) -> None:
    """Write the line of each mail of the mailbox on standard input, as the milter logs them.

    The From_ line names the sender, To: and Cc: the recipients.
    """
    host = Host()
    argv = [b"maillog", *([b"--json"] if as_json else []), *([b"--decode"] if decode else [])]
    status = log_lines.run(host, argv, os.environb, reader(host, 0), Writer(host, 1), Writer(host, 2))
    if status != EX_OK:
        sys.exit(status)
