"""`pyprocmail report`: makes pages from the logs of the milter or of mailspy."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import click

from pyprocmail.commands.values import argument, option
from pyprocmail.exits import EX_TEMPFAIL, EX_UNAVAILABLE, in_one_line
from pyprocmail.report.archive import Archive, Taken


@click.command(epilog="See pyprocmail-report(1).")
@argument(
    "logs", metavar="LOG...", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@option(
    "--output",
    "-o",
    metavar="DIR",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the pages; made if it is missing.",
)
@option(
    "--days",
    metavar="N",
    type=click.IntRange(1, 10_000),
    default=366,
    show_default=True,
    help="Keep the newest N days.",
)
def report(logs: tuple[Path, ...], output: Path, days: int) -> None:
    """Write pages of the mails in logs: by day, sender, recipient, domain, subject and attachment, and a search.

    The logs are those of `pyprocmail milter` and of mailspy, rotated and compressed ones too; what an earlier run has
    read is not read again.

    \b
      15 * * * * pyprocmail report -o /var/www/mail /var/log/mailspy/mailspy*
    """
    try:
        from pyprocmail.report.pages import Pages
    except ImportError as error:
        click.echo(f"pyprocmail report: {error}: install it, or pyprocmail with [report]", err=True)
        sys.exit(EX_UNAVAILABLE)
    taken, place = Taken(), output / ".report.sqlite"
    try:
        output.mkdir(mode=0o750, exist_ok=True)
        with closing(Archive(place)) as kept:
            for place in logs:
                kept.add(place, taken)
            place = output / ".report.sqlite"
            gone = kept.forget(days)
            Pages(kept, output).write(taken.days - gone, gone)
    except (OSError, EOFError, sqlite3.Error) as error:
        why = in_one_line(error, str(place))
        where = "" if isinstance(error, OSError) else f"{place}: "
        click.echo(f"pyprocmail report: {where}{why}", err=True)
        sys.exit(EX_TEMPFAIL)
    skipped = f", {taken.skipped} lines that are not log lines" if taken.skipped else ""
    click.echo(f"{taken.mails} new mails{skipped}")
