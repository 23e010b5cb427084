"""Output of these commands other than text: JSON, and pages for a browser."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

import click

from pyprocmail.offline import listing
from pyprocmail.offline.rules import RulesError

Members = dict[str, object]


class JsonObject:
    """One object of pyprocmail-json(5), written mail by mail, so that memory never has a whole mailbox.

    `rows` is the name of the list of mails.
    """

    def __init__(self, name: str, rows: str = "mails") -> None:
        click.echo(f'{{"schema": "pyprocmail-{name}", "version": {listing.VERSION}, "{rows}": [')
        self._comma = ""

    def add(self, row: Members) -> None:
        """Write a mail, each on a separate line."""
        click.echo(self._comma + json.dumps(row), nl=False)
        self._comma = ",\n"

    def close(self, sums: Members) -> None:
        """Write the members after the list, and the end."""
        rest = "".join(f", {json.dumps(key)}: {json.dumps(value)}" for key, value in sums.items())
        click.echo(f"\n]{rest}}}")


def write_json(name: str, rows: Iterable[Members], sums: Callable[[], Members] = dict, *, named: str = "mails") -> None:
    """Write the object with these rows; `sums`, called after the last row, returns the members after the list."""
    written = JsonObject(name, named)
    for row in rows:
        written.add(row)
    written.close(sums())


def pages() -> ModuleType:
    """The module that writes pages.

    Raises:
        RulesError: Jinja2 is not installed.
    """
    try:
        from pyprocmail.offline import pages
    except ImportError as error:
        raise RulesError(f"{error}: install it, or pyprocmail with [report]") from error
    return pages


def write_page(path: str, text: str) -> None:
    """Write the page to `path`: a file is replaced as a whole or not at all; a device or a pipe is written to.

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
