"""The subcommands that show what the rules do, and do nothing: replay, explain and their like."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

import click

from pyprocmail.commands.colours import echo
from pyprocmail.exits import EX_OK, EX_TEMPFAIL, EX_USAGE
from pyprocmail.host import Host
from pyprocmail.offline import listing
from pyprocmail.offline.outcome import Outcome, open_rules
from pyprocmail.offline.replay import Summary, depends_on_order, outcomes, summed
from pyprocmail.offline.rules import MAILDROP, PROCMAIL, Rules, RulesError, Setup
from pyprocmail.offline.sources import NoMailError, mails
from pyprocmail.offline.spreading import ClusterError, Spread

if TYPE_CHECKING:
    from pyprocmail.host import User
    from pyprocmail.offline.filters import FilterRules
    from pyprocmail.offline.taking import Item, Source
    from pyprocmail.procmail.rcfiles import Loader

Function = TypeVar("Function", bound=Callable[..., None])
DIFFERENT = 1
_ONE_PROCESS = "pyprocmail: one process, since a mail may depend on those before it, or the input is a pipe"
_EPILOG = "Nothing is delivered, sent or changed.  See pyprocmail-{name}(1)."


class WrongUsageError(click.UsageError):
    """What click would have told, with our exit status."""

    exit_code = EX_USAGE


class OfflineCommand(click.Command):
    """A command with the exit status 64 for what is wrong on its command line, or with what it names."""

    trouble = EX_USAGE

    def make_context(self, *arguments, **named) -> click.Context:  # type: ignore[no-untyped-def]  # click's own, as it is
        try:
            return super().make_context(*arguments, **named)
        except click.UsageError as error:
            raise WrongUsageError(error.format_message(), error.ctx) from error

    def invoke(self, ctx: click.Context) -> None:
        """Run it; what cannot be read is a line on standard error."""
        try:
            super().invoke(ctx)
        except (RulesError, NoMailError, ClusterError) as error:
            click.echo(f"pyprocmail: {error}", err=True)
            ctx.exit(self.trouble)


def about_rules(function: Function) -> Function:
    """The options that say who the rules are for, and which programs run."""
    options = [
        click.option("-m", "mail_filter", is_flag=True, help="As procmail -m: MAILDIR is this folder; no DEFAULT."),
        click.option("--set", "assignments", metavar="NAME=VALUE", multiple=True, help="Assign before the rcfile."),
        click.option("-a", "arguments", metavar="ARGUMENT", multiple=True, help="$1, $2 and so on."),
        click.option("-f", "sender", metavar="SENDER", default="", help="The envelope sender."),
        click.option("--user", default="", help="Whom the rules are for; by default you."),
        click.option("--home", metavar="DIR", default="", help="The home of that user, if it is another one."),
        click.option(
            "--language", type=click.Choice((PROCMAIL, MAILDROP)), default=None, help="Of the rules, if it is not seen."
        ),
        click.option(
            "--before", metavar="FILE", default="", help="An rcfile that runs first, as /etc/procmailrc does."
        ),
        click.option("--canned", metavar="FILE", default="", help="Answers of programs, a TOML file."),
        click.option("--allow-commands", "allow", is_flag=True, help="Run filters and conditions, without network."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def setup_of(
    rcfile: str,
    mail_filter: bool,
    assignments: tuple[str, ...],
    arguments: tuple[str, ...],
    sender: str,
    user: str,
    home: str,
    language: str | None,
    before: str,
    canned: str,
    allow: bool,
) -> Setup:
    """What those options say."""
    for assignment in assignments:
        if "=" not in assignment:
            raise RulesError(f"--set {assignment}: this is not NAME=VALUE")
    return Setup(
        rcfile,
        user,
        home,
        mail_filter,
        assignments,
        arguments,
        sender,
        canned,
        allow,
        language=language or "",
        before=before,
    )


def about_workers(function: Function) -> Function:
    """The options that say who works."""
    workers = click.option(
        "-j", "workers", type=click.IntRange(1, 256), default=1, metavar="N", help="Work in N processes."
    )
    cluster = click.option(
        "--cluster", metavar="ADDRESS", default="", help="Work on the machines of a Dask scheduler, as tcp://host:8786."
    )
    return workers(cluster(function))


def spread_of(workers: int, cluster: str, mail: tuple[str, ...], *setups: Setup) -> Spread:
    """Who works: this process alone, as it says, where a mail may depend on those before it."""
    if (workers > 1 or cluster) and any(depends_on_order(setup, mail) for setup in setups):
        click.echo(_ONE_PROCESS, err=True)
        return Spread()
    return Spread(workers, cluster)


@click.command(cls=OfflineCommand, epilog=_EPILOG.format(name="replay"))
@click.argument("rcfile")
@click.argument("mail", nargs=-1)
@click.option("--list", "folder", metavar="FOLDER", default="", help="Show the mails that go there, and why.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON, one object, with every mail.")
@click.option("--html", "page", metavar="FILE", default="", help="Write a page for a browser as well.")
@click.option("--no-subjects", "bare", is_flag=True, help="Leave subjects out of the page.")
@click.option("--time", "timed", is_flag=True, help="Show the slowest recipes.")
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
    how = spread_of(workers, cluster, mail, setup)
    found = Summary()
    shown = _pages().ReplayPage(subjects=not bare) if page else None

    def counted() -> Iterable[Outcome]:
        headed = as_json or bool(folder or page)
        for outcome in outcomes(setup, mail, how=how, digests=as_json, timed=timed, headed=headed):
            found.add(outcome)
            if shown is not None:
                shown.add(outcome)
            yield outcome

    if as_json:
        _write_json("replay", counted(), found)
    elif folder:
        for line in listing.mails(counted(), folder):
            click.echo(line)
    else:
        if shown is None:
            found = summed(setup, mail, how=how, timed=timed)
        else:
            for _ in counted():
                pass
        for line in listing.summary(found):
            click.echo(line)
    if shown is not None:
        _write_page(page, shown.text(rcfile, found))
    click.get_current_context().exit(DIFFERENT if found.undelivered or found.faults else EX_OK)


def _pages() -> ModuleType:
    """What writes pages, if there is what it needs.

    Raises:
        RulesError: Jinja2 is not installed.
    """
    try:
        from pyprocmail.offline import pages
    except ImportError as error:
        raise RulesError(f"{error}: install it, or pyprocmail with [report]") from error
    return pages


def _write_page(path: str, text: str) -> None:
    """Put the page where it is to be: a file whole or not at all; a device or a pipe stays what it is.

    Raises:
        RulesError: it cannot be written.
    """
    page = text.encode("utf-8", "replace")
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            Path(path).write_bytes(page)
            return
        whole = os.path.realpath(path)
        temporary = f"{whole}.{os.getpid()}"
        try:
            Path(temporary).write_bytes(page)
            os.replace(temporary, whole)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise RulesError(f"{path}: {error.strerror}") from error


def _write_json(name: str, mails: Iterable[Outcome], found: Summary) -> None:
    """One object, written as the mails come, so that a large mailbox is not held."""
    click.echo(f'{{"schema": "pyprocmail-{name}", "version": {listing.VERSION}, "mails": [')
    comma = ""
    for outcome in mails:
        click.echo(comma + json.dumps(listing.outcome_json(outcome)), nl=False)
        comma = ",\n"
    click.echo(f'\n], "summary": {json.dumps(listing.summary_json(found))}}}')


@click.command(cls=OfflineCommand, epilog=_EPILOG.format(name="explain"))
@click.argument("rcfile")
@click.argument("mail", nargs=-1)
@click.option("--recipe", type=int, default=0, metavar="LINE", help="Only the recipe that begins in this line.")
@click.option("--all", "everything", is_flag=True, help="Variables, programs, locks and what is passed over, too.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON, one object.")
@about_rules
def explain(rcfile: str, mail: tuple[str, ...], recipe: int, everything: bool, as_json: bool, **named: object) -> None:
    """Show the way of each MAIL through RCFILE, and why it ends where it does.

    Of a pattern that is not found it says how far it got, and what is nearly right.

    \b
      pyprocmail explain ~/.procmailrc message.eml
      pyprocmail explain --recipe 20 rules.rc < message.eml
    """
    from pyprocmail.offline import explain as explaining

    setup = setup_of(rcfile, **named)  # type: ignore[arg-type]  # click calls with what `about_rules` names
    comma = ""
    if as_json:
        click.echo(f'{{"schema": "pyprocmail-explain", "version": {listing.VERSION}, "mails": [')
    with open_rules(setup, told=True) as rules:
        for one in mails(mail):
            found = explaining.explain(rules, one)
            if as_json:
                click.echo(comma + json.dumps(explaining.explained_json(found)), nl=False)
            else:
                echo(comma + "\n".join(explaining.lines(found, everything=everything, recipe=recipe)))
            comma = ",\n" if as_json else "\n"
    if as_json:
        click.echo("\n]}")


class DiffCommand(OfflineCommand):
    """As diff(1): 2 is trouble."""

    trouble = 2


@click.command(cls=DiffCommand, epilog=_EPILOG.format(name="diff"))
@click.argument("old")
@click.argument("new")
@click.argument("mail", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Write JSON, one object.")
@click.option("--html", "page", metavar="FILE", default="", help="Write a page for a browser as well.")
@click.option("--no-subjects", "bare", is_flag=True, help="Leave subjects out of the page.")
@click.option("-q", "--quiet", is_flag=True, help="Print the sums only.")
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

    The exit status is 0 if there is none, 1 if there are some, 2 if something cannot be read.

    \b
      pyprocmail diff ~/.procmailrc new.rc ~/Mail/inbox
    """
    from pyprocmail.offline import diff as comparing

    before = setup_of(old, **named)  # type: ignore[arg-type]  # click calls with what `about_rules` names
    after = replace(before, rcfile=new)
    how = spread_of(workers, cluster, mail, before, after)
    count = comparing.Compared()
    ways: Counter[tuple[str, str]] = Counter()
    shown = _pages().DiffPage(subjects=not bare) if page else None
    comma = ""
    if as_json:
        click.echo(f'{{"schema": "pyprocmail-diff", "version": {listing.VERSION}, "mails": [')
    for found in comparing.differences(before, after, mail, how=how, count=count):
        ways[found.way] += 1
        if shown is not None:
            shown.add(found)
        if as_json:
            click.echo(comma + json.dumps(comparing.difference_json(found)), nl=False)
            comma = ",\n"
        elif not quiet:
            echo("\n".join(comparing.lines(found)))
    if as_json:
        click.echo(f'\n], "compared": {count.mails}, "different": {count.different}}}')
    else:
        for line in comparing.summary(count, ways):
            click.echo(line)
    if shown is not None:
        _write_page(page, shown.text(old, new, count))
    click.get_current_context().exit(DIFFERENT if count.different else EX_OK)


@click.command(cls=OfflineCommand, epilog=_EPILOG.format(name="coverage"))
@click.argument("rcfile")
@click.argument("mail", nargs=-1)
@click.option("--log", metavar="FILE", default="", help="Count what a VERBOSE log says, instead of mail.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON, one object.")
@click.option("--threshold", type=click.FloatRange(0, 100), default=0.0, help="Exit 1 if fewer recipes matched (%).")
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
    """List RCFILE with how often each recipe and condition was tried, and held.

    It also says which conditions were the only ones to fail, which never decided, and which recipes no mail reaches.

    \b
      pyprocmail coverage ~/.procmailrc ~/Mail
      pyprocmail coverage --log ~/procmail.log ~/.procmailrc
    """
    from pyprocmail.offline import coverage as counting

    setup = setup_of(rcfile, **named)  # type: ignore[arg-type]  # click calls with what `about_rules` names
    rules: Rules | FilterRules
    if log:
        try:
            with open(log, "rb") as file:
                found, rules = counting.logged(setup, file)
        except OSError as error:
            raise NoMailError(log, error.strerror or "cannot be read") from error
    else:
        found, rules = counting.covered(setup, mail, how=spread_of(workers, cluster, mail, setup))
    with rules:
        table = list(counting.rows(found, rules))
    # A log does not say which recipe matched.
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


@click.command(cls=OfflineCommand, epilog=_EPILOG.format(name="test"))
@click.argument("names", nargs=-1, required=True, metavar="DIR|FILE...")
@click.option(
    "--output-format",
    "form",
    type=click.Choice(("full", "concise", "junit", "github")),
    default="concise",
    help="How the results are written.",
)
@click.option("--threshold", type=click.FloatRange(0, 100), default=0.0, help="Exit 1 if fewer recipes matched (%).")
@click.option("--update", is_flag=True, help="Write what happens into the tests that fail.")
@click.option("-j", "workers", type=click.IntRange(1, 256), default=1, metavar="N", help="Work in N processes.")
def test(names: tuple[str, ...], form: str, threshold: float, update: bool, workers: int) -> None:
    """Run the tests of rcfiles: TOML files that say what must become of mails.

    The exit status is 1 if a test fails.

    \b
      [[test]]
      name = "a list"
      mail = \"\"\"
      Subject: the list
      \"\"\"
      folder = "Mail/lists"
    """
    from pyprocmail.offline import ruletests

    try:
        found = [(path, ruletests.cases(path)) for path in ruletests.files(names)]
    except ruletests.UnreadableError as error:
        raise RulesError(str(error)) from error
    every = [case for _, cases in found for case in cases]
    results = list(ruletests.results(every, workers, counted=threshold > 0))
    for line in ruletests.report(results, form):
        click.echo(line)
    if update:
        for path, _ in found:
            changed = ruletests.update(path, [result for result in results if result.case.path == path])
            if changed:
                click.echo(f"{path}: wrote what happens into {changed} of its tests: review it", err=True)
    reached = ruletests.share_of(results) if threshold else 100.0
    if threshold:
        click.echo(f"{reached:.1f}% of the recipes matched in a test", err=True)
    failed = reached < threshold or any(result.failures for result in results)
    click.get_current_context().exit(DIFFERENT if failed else EX_OK)


@click.command(cls=OfflineCommand, epilog="See pyprocmail-refile(1).")
@click.argument("rcfile")
@click.argument("folder")
@click.option("--execute", is_flag=True, help="Do it; without this the plan is shown, and nothing done.")
@about_rules
def refile(rcfile: str, folder: str, execute: bool, **named: object) -> None:
    """Run RCFILE over the mail that is in FOLDER: an mbox, a Maildir or an MH folder.

    What a recipe puts elsewhere is delivered there, and then taken out of FOLDER; what no recipe wants stays.  The exit
    status is 1 if a mail could not be delivered.

    \b
      pyprocmail refile ~/.procmailrc ~/Mail/inbox
      pyprocmail refile --execute ~/.procmailrc ~/Mail/inbox
    """
    from pyprocmail.offline import refile as refiling
    from pyprocmail.offline import taking

    setup = setup_of(rcfile, **named)  # type: ignore[arg-type]  # click calls with what `about_rules` names
    if setup.before:
        raise RulesError("refile runs one rcfile: --before is not for it")
    host = Host()
    reasons: Counter[str] = Counter()
    unheard: list[OSError] = []

    def tell(found: refiling.Plan, trouble: str) -> None:
        """Say what becomes of a mail.  Where nobody listens any more, what was begun is finished all the same."""
        reasons[found.reason] += found.verb == refiling.STAYS
        try:
            for line in refiling.lines(found, trouble) if not unheard else ():
                click.echo(line)
        except OSError as error:
            unheard.append(error)
            if not execute:
                raise

    with open_rules(setup) as rules:
        source = taking.source_of(host, folder) if execute else taking.to_look_at(host, folder)
        deliver = deliverer(host, rules, source) if execute else lambda _item: ""
        try:
            report = refiling.execute(rules, source, deliver, tell)
        except (taking.ChangedError, OSError) as error:
            if not execute and isinstance(error, OSError):
                raise
            click.echo(f"pyprocmail: {folder}: delivered mails are still there, too: {error}", err=True)
            click.get_current_context().exit(EX_TEMPFAIL)
    verb = "moved" if execute else "would be moved (--execute does it)"
    sums = f"{report.gone} {verb}, {report.stayed} stay, {len(report.failed)} failed"
    if unheard:
        click.echo(f"pyprocmail: standard output: {unheard[0].strerror}: {sums}", err=True)
        click.get_current_context().exit(DIFFERENT if report.failed else EX_OK)
    click.echo(f"\n{sums}")
    for reason, count in sorted(reasons.items()):
        if count:
            click.echo(f"{count:6}  stay: {reason}")
    click.get_current_context().exit(DIFFERENT if report.failed else EX_OK)


def deliverer(host: Host, rules: Rules | FilterRules, source: Source) -> Callable[[Item], str]:
    """What delivers a mail for real."""
    from pyprocmail.commands.compiler import compile_filter_here, compile_here
    from pyprocmail.commands.toolbox import Toolbox
    from pyprocmail.offline.refile import Deliverer
    from pyprocmail.procmail import run

    if not isinstance(rules, Rules):
        from pyprocmail.offline.refile_filters import FilterDeliverer

        return FilterDeliverer(host, rules, source, compile_filter_here).deliver

    def become(_host: Host, user: User, _loader: Loader) -> None:
        raise PermissionError(errno.EPERM, f"this runs as whoever calls it, not as {os.fsdecode(user.name)}")

    setup = run.Setup(b"procmail", os.environb, compile_here, become, toolbox=Toolbox())
    return Deliverer(host, rules, source, setup).deliver


COMMANDS = (replay, explain, diff, coverage, test, refile)
