"""pyprocmail refile: runs the rules over the mail in a folder, and moves it."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from pyprocmail.commands.offline.options import DIFFERENT, OfflineCommand, about_rules, setup_of
from pyprocmail.commands.offline.output import JsonObject
from pyprocmail.commands.values import argument, option
from pyprocmail.exits import EX_OK, EX_TEMPFAIL, in_one_line
from pyprocmail.host import Host
from pyprocmail.offline.outcome import open_rules
from pyprocmail.offline.rules import Rules, RulesError

if TYPE_CHECKING:
    from pyprocmail.host import User
    from pyprocmail.offline.filters import FilterRules
    from pyprocmail.offline.taking import Item, Source
    from pyprocmail.procmail.rcfiles import Loader


@click.command(cls=OfflineCommand, epilog="See pyprocmail-refile(1).")
@argument("rcfile")
@argument("folder")
@option("--execute", is_flag=True, help="Move the mails; without this only the plan is shown.")
@option("--json", "as_json", is_flag=True, help="Write JSON, one object.")
@about_rules
def refile(rcfile: str, folder: str, execute: bool, as_json: bool, **named: object) -> None:
    """Run RCFILE over the mail that is in FOLDER: an mbox, a Maildir or an MH folder.

    A mail that a recipe puts elsewhere is delivered there, and then taken out of FOLDER; the other mails stay.  The
    exit status is 1 if a mail could not be delivered.

    \b
      pyprocmail refile ~/.procmailrc ~/Mail/inbox
      pyprocmail refile --execute ~/.procmailrc ~/Mail/inbox
    """
    from pyprocmail.offline import refile as refiling
    from pyprocmail.offline import taking

    setup = setup_of(rcfile, **named)  # type: ignore[arg-type]  # click calls with what `about_rules` names
    if setup.before or setup.date:
        raise RulesError("refile runs one rcfile, and now: it takes no --before and no --date")
    host = Host()
    reasons: Counter[str] = Counter()
    unheard: list[OSError] = []
    written: JsonObject | None = None

    def tell(found: refiling.Plan, trouble: str) -> None:
        """Report a mail's fate.  With --execute the run is finished even if standard output fails."""
        reasons[found.reason] += found.verb == refiling.STAYS
        try:
            if written is not None and not unheard:
                written.add(refiling.plan_json(found, trouble))
            for line in refiling.lines(found, trouble) if written is None and not unheard else ():
                click.echo(line)
        except OSError as error:
            unheard.append(error)
            if not execute:
                raise

    with open_rules(setup) as rules:
        source = taking.source_of(host, folder) if execute else taking.to_look_at(host, folder)
        deliver = deliverer(host, rules, source) if execute else lambda _item: ""
        written = JsonObject("refile") if as_json else None
        try:
            report = refiling.execute(rules, source, deliver, tell)
        except (taking.ChangedError, OSError) as error:
            if not execute and isinstance(error, OSError):
                raise
            click.echo(
                f"pyprocmail: {folder}: mails were delivered, but are still there as well: {in_one_line(error)}",
                err=True,
            )
            click.get_current_context().exit(EX_TEMPFAIL)
    verb = "moved" if execute else "would be moved (--execute does it)"
    sums = f"{report.gone} {verb}, {report.stayed} stay, {len(report.failed)} failed"
    if unheard:
        click.echo(f"pyprocmail: standard output: {unheard[0].strerror}: {sums}", err=True)
        click.get_current_context().exit(DIFFERENT if report.failed else EX_OK)
    if written is not None:
        written.close(refiling.report_json(report, executed=execute))
    else:
        click.echo(f"\n{sums}")
        for reason, count in sorted(reasons.items()):
            if count:
                click.echo(f"{count:6}  stay: {reason}")
    click.get_current_context().exit(DIFFERENT if report.failed else EX_OK)


def deliverer(host: Host, rules: Rules | FilterRules, source: Source) -> Callable[[Item], str]:
    """A function that delivers a mail for real."""
    from pyprocmail.commands.compiler import compile_filter_here, compile_here
    from pyprocmail.commands.toolbox import Toolbox
    from pyprocmail.offline.refile import Deliverer
    from pyprocmail.procmail import run

    if not isinstance(rules, Rules):
        from pyprocmail.offline.refile_filters import FilterDeliverer

        return FilterDeliverer(host, rules, source, compile_filter_here).deliver

    def become(_host: Host, user: User, _loader: Loader) -> None:
        raise PermissionError(errno.EPERM, f"refile runs as the user who calls it, not as {os.fsdecode(user.name)}")

    setup = run.Setup(b"procmail", os.environb, compile_here, become, toolbox=Toolbox())
    return Deliverer(host, rules, source, setup).deliver
