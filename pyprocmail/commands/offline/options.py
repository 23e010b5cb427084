"""The common parts of the commands that try rules: their options, and their exit status for errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import click

from pyprocmail.commands.offline.progress import progress
from pyprocmail.commands.values import option
from pyprocmail.exits import EX_USAGE
from pyprocmail.offline.replay import depends_on_order
from pyprocmail.offline.rules import MAILDROP, PROCMAIL, RulesError, Setup
from pyprocmail.offline.sources import NoMailError
from pyprocmail.offline.spreading import ClusterError, Spread
from pyprocmail.procmail.compiled.pieces import name_end

Function = TypeVar("Function", bound=Callable[..., None])
DIFFERENT = 1
"""The exit status if a command finds what it searches for: a difference, a mail that would not be delivered."""
_ONE_PROCESS = "pyprocmail: -j is ignored, because a mail may depend on those before it, or the input is a pipe"
threshold = option(
    "--threshold",
    type=click.FloatRange(0, 100),
    default=0.0,
    help="Exit with 1 if fewer percent of the recipes matched.",
)
EPILOG = "Nothing is delivered, sent or changed.  See pyprocmail-{name}(1)."


class WrongUsageError(click.UsageError):
    """click's usage error with our exit status."""

    exit_code = EX_USAGE


class OfflineCommand(click.Command):
    """A command that exits with 64 for an error on its command line, or in a file named there."""

    trouble = EX_USAGE

    def make_context(self, *arguments, **named) -> click.Context:  # type: ignore[no-untyped-def]  # click's own, as it is
        try:
            return super().make_context(*arguments, **named)
        except click.UsageError as error:
            raise WrongUsageError(error.format_message(), error.ctx) from error

    def invoke(self, ctx: click.Context) -> None:
        """Run it; report a file that cannot be read in a line on standard error."""
        try:
            super().invoke(ctx)
        except (RulesError, NoMailError, ClusterError) as error:
            click.echo(f"pyprocmail: {error}", err=True)
            ctx.exit(self.trouble)


def about_rules(function: Function) -> Function:
    """Add the options for the rules' user, values and programs."""
    options = [
        option(
            "-m", "mail_filter", is_flag=True, help="As procmail -m: MAILDIR is the current folder, without DEFAULT."
        ),
        option(
            "--set", "assignments", metavar="NAME=VALUE", multiple=True, help="Set a variable before the rcfile runs."
        ),
        click.option(
            "-a", "arguments", metavar="ARGUMENT", multiple=True, help="An argument of the rules: $1, $2 and so on."
        ),
        click.option("-f", "sender", metavar="SENDER", default="", help="The envelope sender."),
        option("--user", metavar="NAME", default="", help="The user of the rules; by default you."),
        option(
            "--home", metavar="DIR", default="", help="The home of that user, if the user database has another one."
        ),
        option(
            "--language",
            type=click.Choice((PROCMAIL, MAILDROP)),
            default=None,
            help="The language of the rules, if the file does not show it.",
        ),
        option("--before", metavar="FILE", default="", help="Rules that run first, as /etc/procmailrc does."),
        option("--date", metavar="DATE", default="", help="The time that the rules see, as 2026-01-31T12:00."),
        option("--canned", metavar="FILE", default="", help="A TOML file with the output of programs."),
        option(
            "--allow-commands",
            "allow",
            is_flag=True,
            help="Run the programs of filters and conditions, without network.",
        ),
    ]
    for decorator in reversed(options):
        function = decorator(function)
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
    date: str,
    canned: str,
    allow: bool,
) -> Setup:
    """The Setup that those options describe."""
    for assignment in assignments:
        name, equals, _ = os.fsencode(assignment).partition(b"=")
        if not equals or not name or name_end(name, 0) != len(name):
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
        date=date,
    )


def about_workers(function: Function) -> Function:
    """Add the options for the number of processes and for a cluster."""
    workers = option("-j", "workers", type=click.IntRange(1, 256), default=1, metavar="N", help="Work in N processes.")
    cluster = option(
        "--cluster", metavar="ADDRESS", default="", help="Work on the machines of a Dask scheduler, as tcp://host:8786."
    )
    return workers(cluster(function))


@contextmanager
def spread_of(
    workers: int, cluster: str, mail: tuple[str, ...], *setups: Setup, in_between: bool = False
) -> Iterator[Spread]:
    """The processes that share the work; only this one, with a message, if a mail may depend on those before it.

    Meanwhile a terminal shows the progress; `in_between` as for `progress`.
    """
    if (workers > 1 or cluster) and any(depends_on_order(setup, mail) for setup in setups):
        click.echo(_ONE_PROCESS, err=True)
        workers, cluster = 1, ""
    with progress(mail, in_between=in_between) as done:
        yield Spread(workers, cluster, done)
