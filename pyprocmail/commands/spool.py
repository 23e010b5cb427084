"""`pyprocmail spool`: the mails that wait for the rules of a milter.  pyprocmail-milter(8)"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from pyprocmail.commands.values import argument, option
from pyprocmail.servers.milter.workers import postmark
from pyprocmail.servers.spool import FOLDER, Spool, Waiting, read


@click.group()
@option(
    "--spool",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=FOLDER,
    show_default=True,
    help="The spool of the milter.",
)
@click.pass_context
def spool(ctx: click.Context, folder: Path) -> None:
    """Show and manage the mails that wait for the rules of a milter, or failed there."""
    ctx.obj = Spool(folder)


@spool.command("list")
@click.pass_obj
def spool_list(found: Spool) -> None:
    """List the mails: name, size, how often tried, when next, sender."""
    for part in ("new", "failed"):
        for one in found.waiting(part):
            due = "failed" if part == "failed" else time.strftime("%Y-%m-%d %H:%M", time.localtime(one.due))
            due = "now" if part == "new" and one.due <= time.time() else due
            click.echo(f"{one.name}  {one.path.stat().st_size:>9}  {one.tries:>2}  {due:<16}  {_sender(one)}")


def _sender(one: Waiting) -> str:
    try:
        with one.path.open("rb") as file:
            return read(file.fileno())[0].sender.decode(errors="replace")
    except (OSError, ValueError):
        return "?"


def _named(found: Spool, name: str) -> Waiting:
    for one in found.find(name):
        return one
    raise click.ClickException(f"there is no mail {name} in {found.folder}; `pyprocmail spool list` has the names")


@contextmanager
def _told(one: Waiting) -> Iterator[None]:
    """Report why the mail is not available."""
    try:
        yield
    except BlockingIOError as error:
        raise click.ClickException(f"{one.name}: a worker has it; wait until it is done") from error
    except OSError as error:
        raise click.ClickException(f"{one.name}: {error.strerror}") from error


@spool.command("show")
@argument("name")
@click.pass_obj
def spool_show(found: Spool, name: str) -> None:
    """Write a mail on standard output, as the rules would get it."""
    with _named(found, name).path.open("rb") as file:
        envelope, mail = read(file.fileno())
    click.echo(postmark(envelope) + mail, nl=False)


@spool.command("retry")
@argument("names", nargs=-1)
@option("--all", "every", is_flag=True, help="All that failed.")
@click.pass_obj
def spool_retry(found: Spool, names: tuple[str, ...], every: bool) -> None:
    """Try mails again now, whether they wait or have failed."""
    if bool(names) == every:
        raise click.UsageError("name the mails to try again; --all is for those that failed")
    chosen = found.waiting("failed") if every else [_named(found, name) for name in names]
    for one in chosen:
        with _told(one):
            found.retry(one)
        click.echo(f"{one.name} is tried again")


@spool.command("drop")
@argument("names", nargs=-1, required=True)
@click.pass_obj
def spool_drop(found: Spool, names: tuple[str, ...]) -> None:
    """Remove mails for good."""
    for one in [_named(found, name) for name in names]:
        with _told(one):
            found.drop(one)
        click.echo(f"{one.name} is removed")
