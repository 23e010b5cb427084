"""The subcommands of `pyprocmail`, with click."""

from __future__ import annotations

from pathlib import Path

import click

from pyprocmail import __version__
from pyprocmail.commands import links as launchers


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pyprocmail")
def cli() -> None:
    """Mail delivery and filtering with procmail's rules.

    Without one of the commands below, the options are procmail's: `pyprocmail -m rules.rc < mbox`
    runs the messages of a mailbox through an rcfile.  An rcfile that has the name of a command is
    written ./name.  See pyprocmail(1).
    """


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def links(folder: Path) -> None:
    """Write launchers for procmail and the other programs into DIR.

    Put DIR in front of the PATH, or name DIR/procmail where a mail server's configuration names
    procmail.
    """
    try:
        written = launchers.write(folder)
    except OSError as error:
        raise click.ClickException(f"cannot write launchers: {error}") from error
    for path in written:
        click.echo(path)
