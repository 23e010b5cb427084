"""`pyprocmail fmt`: rcfiles and filter files in one layout."""

from __future__ import annotations

import sys

import click

from pyprocmail.commands.check import FOUND, difference, is_filter_file, read, replace
from pyprocmail.commands.values import argument, option
from pyprocmail.maildrop.syntax import layout as maildrop_layout
from pyprocmail.procmail.syntax import layout as procmail_layout


@click.command(epilog="Exit status: 0, 1 if --check or --diff find another layout, 2 an error.  See pyprocmail-fmt(1).")
@argument("rcfiles", metavar="RCFILE...", nargs=-1, required=True)
@option("--check", "only_check", is_flag=True, help="Name the files whose layout would change; change nothing.")
@option("--diff", is_flag=True, help="Show what would change; change nothing.")
@option(
    "--language", type=click.Choice(["procmail", "maildrop"]), help="The language, if neither name nor text show it."
)
def fmt(rcfiles: tuple[str, ...], only_check: bool, diff: bool, language: str | None) -> None:
    """Format rcfiles and filter files: indentation, blanks, empty lines.

    Comments stay, and the meaning never changes: the result is compared with the file before it replaces it.  `-` is
    standard input, written to standard output.

    \b
      pyprocmail fmt ~/.procmailrc
      pyprocmail fmt --diff *.rc
    """
    different = False
    for name in rcfiles:
        before = read(name)
        layout = maildrop_layout if is_filter_file(name, language or "", before) else procmail_layout
        after = layout.arranged(before)
        different = different or before != after
        if diff:
            click.echo(difference(name, before, after), nl=False)
        elif only_check:
            if before != after:
                click.echo(name)
        elif name == "-":
            sys.stdout.buffer.write(after)
        elif before != after:
            replace(name, after)
            click.echo(f"{name}: reformatted", err=True)
    if (diff or only_check) and different:
        click.get_current_context().exit(FOUND)
