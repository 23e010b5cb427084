"""The subcommands of `pyprocmail`, with click."""

from __future__ import annotations

import difflib
import importlib
import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from pyprocmail import __version__
from pyprocmail.commands import links as launchers
from pyprocmail.commands.main import OWN_TOOLS, PROGRAMS, SUBCOMMANDS
from pyprocmail.commands.screens import SCREENS
from pyprocmail.commands.values import argument, option
from pyprocmail.exits import EX_USAGE, in_one_line

OPTIONS = ("--help", "--version", "--mbox", "--single", "--sync-each")
"""Our long options; those after --version are unknown to click."""
SHELLS = ("bash", "zsh", "fish")
_MODULES = {
    "replay": "offline.replay", "explain": "offline.explain", "diff": "offline.diff", "coverage": "offline.coverage",
    "test": "offline.ruletests", "refile": "offline.refile", "check": "check", "fmt": "fmt", "doctor": "doctor",
    "language-server": "language_server", "milter": "milter", "spool": "spool", "maillog": "maillog",
    "report": "report", "lmtp": "lmtp", "deliver": "deliver", "gateway": "gateway",
}  # fmt: skip
"""The module below commands/ of each subcommand, imported only for its own command: a server stays in memory, and would
keep all the others there."""


class _Program(click.Group):
    """The group of subcommands; it also completes words of a call without a subcommand: our options, and rcfiles."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See click."""
        return sorted({*super().list_commands(ctx), *_MODULES})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See click."""
        if cmd_name not in _MODULES:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"pyprocmail.commands.{_MODULES[cmd_name]}")
        found = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(found, click.Command)
        return found

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """See click."""
        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            return found + [CompletionItem(option) for option in OPTIONS[2:] if option.startswith(incomplete)]
        return found or [CompletionItem(incomplete, type="file")]


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pyprocmail")
def cli() -> None:
    """Mail delivery and filtering with procmail's rules.

    Without one of the commands below, the options are procmail's:

    \b
      pyprocmail -m rules.rc < mbox    run the messages of a mailbox through an rcfile
      pyprocmail -d alice              deliver the mail on standard input to a user

    An rcfile that has the name of a command is written ./name.  See pyprocmail(1).
    """


@cli.command()
@argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@option("--force", is_flag=True, help="Replace programs or pages in DIR that pyprocmail did not write.")
@option("--uninstall", is_flag=True, help="Remove what pyprocmail wrote to DIR, and nothing else.")
@option("--man", "pages", is_flag=True, help="Write the manual pages instead, to DIR/man1, DIR/man5 and so on.")
def links(folder: Path, force: bool, uninstall: bool, pages: bool) -> None:
    """Write launchers for procmail and the other programs into DIR, and list them.

    Put DIR in front of the PATH, or name DIR/procmail where a mail server's configuration names
    procmail.

    \b
      pyprocmail links /usr/local/bin
      pyprocmail links --man /usr/local/share/man
      pyprocmail links --uninstall /usr/local/bin
    """
    try:
        listed = _links(folder, force=force, uninstall=uninstall, pages=pages)
    except launchers.ForeignProgramError as error:
        raise click.ClickException(
            f"{error.path} exists, and pyprocmail did not write it: nothing was changed; --force replaces it"
        ) from error
    except OSError as error:
        what = "manual pages" if pages else "launchers"
        raise click.ClickException(
            f"cannot {'remove' if uninstall else 'write'} {what}: {in_one_line(error, str(folder))}"
        ) from error
    for path in listed:
        click.echo(f"removed {path}" if uninstall else path)
    if uninstall and not listed:
        click.echo(f"no {'manual page' if pages else 'launcher'} of pyprocmail in {folder}", err=True)
    if not uninstall and not pages:
        _point_out(folder)


def _links(folder: Path, *, force: bool, uninstall: bool, pages: bool) -> list[Path]:
    if pages:
        return launchers.remove_pages(folder) if uninstall else launchers.copy_pages(folder, force=force)
    return launchers.remove(folder) if uninstall else launchers.write(folder, force=force)


def _point_out(folder: Path) -> None:
    """Warn if only root can run the launchers, or if the PATH does not lead to them."""
    shut = launchers.shut_off() if os.geteuid() == 0 else None
    if shut is not None:
        click.echo(
            f"warning: only root can run these: other users may not enter {shut};"
            " make the virtual environment elsewhere, and with /usr/bin/python3",
            err=True,
        )
    first = launchers.first_in_path(folder)
    if first == folder:
        click.echo(f"note: {folder} is not in the PATH", err=True)
    elif first is not None:
        click.echo(f"note: {first} comes first in the PATH", err=True)


@cli.command()
@argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Write the completion of `pyprocmail` for a shell.

    \b
      pyprocmail completion bash > ~/.local/share/bash-completion/completions/pyprocmail
      pyprocmail completion zsh  > a folder of $fpath, as _pyprocmail
      pyprocmail completion fish > ~/.config/fish/completions/pyprocmail.fish
    """
    found = get_completion_class(shell)
    assert found is not None, shell
    click.echo(found(cli, {}, "pyprocmail", "_PYPROCMAIL_COMPLETE").source())


def _add_program(name: bytes) -> None:
    """Add a command for another program: click lists and completes it, but does not run it."""
    screen = SCREENS[name].decode()
    summary = next(line for line in screen.split("\n\n")[1].split("\n"))

    @cli.command(name.decode(), help=summary, context_settings={"ignore_unknown_options": True}, add_help_option=False)
    @click.argument("arguments", nargs=-1, type=click.Path())
    def program(arguments: tuple[str, ...]) -> None:
        raise AssertionError(arguments)


for _name in (*PROGRAMS, *OWN_TOOLS):
    _add_program(_name)


def refuse(word: str) -> int:
    """Report that the word is neither a command nor an rcfile; returns the exit status."""
    known = [*SUBCOMMANDS, *(name.decode() for name in (*PROGRAMS, *OWN_TOOLS)), *OPTIONS]
    near = difflib.get_close_matches(word, known, 1, 0.5)
    hint = f"do you mean `pyprocmail {near[0]}'?" if near else "see `pyprocmail --help'"
    what = "an option" if word.startswith("-") else "a command, and there is no rcfile of that name"
    click.echo(f"pyprocmail: '{word}' is not {what}: {hint}", err=True)
    return EX_USAGE
