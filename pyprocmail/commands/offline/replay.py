"""pyprocmail replay: shows where the rules would put mail."""

from __future__ import annotations

from collections.abc import Iterable

import click

from pyprocmail.commands.offline.options import (
    DIFFERENT,
    EPILOG,
    OfflineCommand,
    about_rules,
    about_workers,
    setup_of,
    spread_of,
)
from pyprocmail.commands.offline.output import pages, write_json, write_page
from pyprocmail.commands.values import argument, option
from pyprocmail.exits import EX_OK
from pyprocmail.offline import listing
from pyprocmail.offline.outcome import Outcome
from pyprocmail.offline.replay import Summary, outcomes, summed


@click.command(cls=OfflineCommand, epilog=EPILOG.format(name="replay"))
@argument("rcfile")
@argument("mail", nargs=-1)
@option("--list", "folder", metavar="FOLDER", default="", help="Show the mails for this folder, and why they go there.")
@option("--json", "as_json", is_flag=True, help="Write JSON, one object, with every mail.")
@option("--html", "page", metavar="FILE", default="", help="Write a page for a browser as well.")
@option("--no-subjects", "bare", is_flag=True, help="Leave subjects out of the page.")
@option("--time", "timed", is_flag=True, help="Show the slowest recipes.")
@about_workers
@about_rules
def replay(
    rcfile: str,
    mail: tuple[str, ...],
    folder: str,
    as_json: bool,
    page: str,
    bare: bool,
    timed: bool,
    workers: int,
    cluster: str,
    **named: object,
) -> None:
    """Show where RCFILE would put each MAIL.

    MAIL is an mbox, a Maildir, an MH folder, a single mail, or a folder of these; without one they come from standard
    input.  The exit status is 1 if a mail would not be delivered.

    \b
      pyprocmail replay ~/.procmailrc ~/Mail
      pyprocmail replay --list lists/ new.rc inbox.mbox
    """
    setup = setup_of(rcfile, **named)  # type: ignore[arg-type]  # click calls with what `about_rules` names
    found = Summary()
    shown = pages().ReplayPage(subjects=not bare) if page else None

    def counted() -> Iterable[Outcome]:
        headed = as_json or bool(folder or page)
        for outcome in outcomes(setup, mail, how=how, digests=as_json, timed=timed, headed=headed):
            found.add(outcome)
            if shown is not None:
                shown.add(outcome)
            yield outcome

    with spread_of(workers, cluster, mail, setup, in_between=bool(as_json or folder)) as how:
        if as_json:
            write_json("replay", map(listing.outcome_json, counted()), lambda: {"summary": listing.summary_json(found)})
        elif folder:
            for line in listing.mails(counted(), folder):
                click.echo(line)
        elif shown is None:
            found = summed(setup, mail, how=how, timed=timed)
        else:
            for _ in counted():
                pass
    if not as_json and not folder:
        for line in listing.summary(found):
            click.echo(line)
    if shown is not None:
        write_page(page, shown.text(rcfile, found))
    click.get_current_context().exit(DIFFERENT if found.undelivered or found.faults else EX_OK)
