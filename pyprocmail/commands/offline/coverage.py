"""pyprocmail coverage: how often each recipe and condition was tried, and was true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import click

from pyprocmail.commands.colours import echo
from pyprocmail.commands.offline.options import (
    DIFFERENT,
    EPILOG,
    OfflineCommand,
    about_rules,
    about_workers,
    setup_of,
    spread_of,
    threshold,
)
from pyprocmail.commands.values import argument, option
from pyprocmail.exits import EX_OK
from pyprocmail.offline import coverage as counting
from pyprocmail.offline import listing
from pyprocmail.offline.sources import NoMailError

if TYPE_CHECKING:
    from pyprocmail.offline.filters import FilterRules
    from pyprocmail.offline.rules import Rules


_LONGEST_LINE_BYTES = 1 << 20


@click.command(cls=OfflineCommand, epilog=EPILOG.format(name="coverage"))
@argument("rcfile")
@argument("mail", nargs=-1)
@option("--log", metavar="FILE", default="", help="Count from a VERBOSE log instead of mails.")
@option("--json", "as_json", is_flag=True, help="Write JSON, one object.")
@threshold
@about_workers
@about_rules
def coverage(
    rcfile: str,
    mail: tuple[str, ...],
    log: str,
    as_json: bool,
    threshold: float,
    workers: int,
    cluster: str,
    **named: object,
) -> None:
    """List RCFILE with how often each recipe and condition was tried, and matched.

    It also says which conditions were the only ones to fail, which never decided, and which recipes no mail reaches.

    \b
      pyprocmail coverage ~/.procmailrc ~/Mail
      pyprocmail coverage --log ~/procmail.log ~/.procmailrc
    """
    rules: Rules | FilterRules
    setup = setup_of(rcfile, **named)  # type: ignore[arg-type]  # click calls with what `about_rules` names
    if log:
        try:
            with open(log, "rb") as file:
                found, rules = counting.logged(setup, _lines(file, log))
        except OSError as error:
            raise NoMailError(log, error.strerror or "cannot be read") from error
    else:
        with spread_of(workers, cluster, mail, setup) as how:
            found, rules = counting.covered(setup, mail, how=how)
    with rules:
        table = list(counting.rows(found, rules))
    # A log does not show which recipe matched.
    reached = 100.0 if log else counting.share(table)
    if as_json:
        counted = [counting.row_json(row) for row in table if row.tried is not None]
        head = {"schema": "pyprocmail-coverage", "version": listing.VERSION, "mails": found.mails}
        click.echo(json.dumps({**head, "matched_percent": round(reached, 1), "rows": counted}, indent=1))
    else:
        for line in counting.lines(table):
            echo(line)
        if not log:
            click.echo(f"\n{reached:.1f}% of the recipes matched one of {found.mails:,} mails")
    click.get_current_context().exit(DIFFERENT if reached < threshold else EX_OK)


def _lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    """The lines of a log.

    Raises:
        NoMailError: a line has no end.
    """
    while line := file.readline(_LONGEST_LINE_BYTES + 1):
        if len(line) > _LONGEST_LINE_BYTES:
            raise NoMailError(name, f"a line of more than {_LONGEST_LINE_BYTES} bytes: this is not a log")
        yield line
