"""`pyprocmail language-server`: serves an editor over standard input and output."""

from __future__ import annotations

import os
import sys

import click

from pyprocmail.commands.links import pages
from pyprocmail.commands.values import option
from pyprocmail.editor.manual import Manual, read
from pyprocmail.lint.machine import Machine

TROUBLE = 2


@click.command("language-server", epilog="See pyprocmail-language-server(1).")
@option("--home", metavar="DIR", default="", help="The value of HOME; by default yours.")
@option("--stdio", is_flag=True, hidden=True, expose_value=False, help="What some editors add.")
def language_server(home: str) -> None:
    """Serve an editor by the Language Server Protocol, on standard input and output.

    It shows and corrects mistakes in rcfiles and filter files while you type, explains flags, variables and macros,
    opens included files, folds, formats and completes.  An editor starts it; it needs
    pip install 'pyprocmail[editor]'.
    """
    try:
        from pyprocmail.editor import server
    except ImportError as error:
        click.echo(f"pyprocmail language-server needs pygls: pip install 'pyprocmail[editor]' ({error})", err=True)
        sys.exit(TROUBLE)
    machine = Machine(os.fsencode(home or os.path.expanduser("~")), os.environb.get(b"PATH", os.defpath.encode()))
    server.make(machine, _manual("pyprocmailrc"), _manual("maildropfilter")).start_io()


def _manual(name: str) -> Manual:
    """A page of the manual; empty if it is not installed, and there is less to show."""
    try:
        return next((read(page.read_text("utf-8")) for page in pages() if page.stem == name), Manual())
    except OSError:
        return Manual()
