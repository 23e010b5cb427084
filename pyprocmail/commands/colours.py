"""Colours of the commands that try rules: on a terminal only, and not with NO_COLOR."""

from __future__ import annotations

import os

import click

_BEGINNINGS = (
    ("    yes  ", "green"),
    ("    no  ", "red"),
    ("              near: ", "yellow"),
    ("    refused ", "red"),
    ("Wrong in the rules", "red"),
    ("The mail is nowhere", "red"),
    ("The mail ", "cyan"),
    ("A copy ", "cyan"),
    ("  - ", "red"),
    ("  + ", "green"),
)
_NOTES = "    ["


def echo(line: str) -> None:
    """Print a line of a listing.  click leaves out colours if the output is not a terminal."""
    click.echo(line if os.environ.get("NO_COLOR") else "\n".join(map(painted, line.split("\n"))))


def painted(line: str) -> str:
    """The line in the colour that its beginning decides; notes in brackets after a line have another colour."""
    for beginning, colour in _BEGINNINGS:
        if line.startswith(beginning):
            return click.style(line, fg=colour)
    text, bracket, notes = line.partition(_NOTES)
    return text + click.style(bracket + notes, fg="yellow") if bracket and line.endswith("]") else line
