"""pyprocmail diff: which mails two sets of rules would put into different folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

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
)
from pyprocmail.commands.offline.output import pages, write_json, write_page
from pyprocmail.commands.values import argument, option
from pyprocmail.exits import EX_OK
from pyprocmail.offline import diff as comparing


class DiffCommand(OfflineCommand):
    """As diff(1), it exits with 2 for trouble."""

    trouble = 2


@click.command(cls=DiffCommand, epilog=EPILOG.format(name="diff"))
@argument("old")
@argument("new")
@argument("mail", nargs=-1)
@option("--json", "as_json", is_flag=True, help="Write JSON, one object.")
@option("--html", "page", metavar="FILE", default="", help="Write a page for a browser as well.")
@option("--no-subjects", "bare", is_flag=True, help="Leave subjects out of the page.")
@option("-q", "--quiet", is_flag=True, help="Print the totals only.")
@about_workers
@about_rules
def diff(
    old: str,
    new: str,
    mail: tuple[str, ...],
    as_json: bool,
    page: str,
    bare: bool,
    quiet: bool,
    workers: int,
    cluster: str,
    **named: object,
) -> None:
    """Show which mails the rcfile NEW would put elsewhere than OLD does, and why.

    The exit status is 0 if there are no such mails, 1 if there are, 2 if a file cannot be read.

    \b
      pyprocmail diff ~/.procmailrc new.rc ~/Mail/inbox
    """
    before = setup_of(old, **named)  # type: ignore[arg-type]  # click calls with what `about_rules` names
    after = replace(before, rcfile=new)
    count = comparing.Compared()
    ways: Counter[tuple[str, str]] = Counter()
    shown = pages().DiffPage(subjects=not bare) if page else None

    def counted() -> Iterator[comparing.Difference]:
        for found in comparing.differences(before, after, mail, how=how, count=count):
            ways[found.way] += 1
            if shown is not None:
                shown.add(found)
            yield found

    with spread_of(workers, cluster, mail, before, after, in_between=as_json or not quiet) as how:
        if as_json:
            write_json("diff", map(comparing.difference_json, counted()), lambda: comparing.summary_json(count))
        else:
            for found in counted():
                if not quiet:
                    echo("\n".join(comparing.lines(found)))
    if not as_json:
        for line in comparing.summary(count, ways):
            click.echo(line)
    if shown is not None:
        write_page(page, shown.text(old, new, count))
    click.get_current_context().exit(DIFFERENT if count.different else EX_OK)
