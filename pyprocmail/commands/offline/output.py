"""What these commands write beside lines for people: JSON, and pages for a browser."""

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


def write_json(name: str, mails: Iterable[Members], sums: Callable[[], Members] = dict) -> None:
    """Write one object, as the mails come, so that a large mailbox is not held; `sums` are its members after these."""
    click.echo(f'{{"schema": "pyprocmail-{name}", "version": {listing.VERSION}, "mails": [')
    comma = ""
    for mail in mails:
        click.echo(comma + json.dumps(mail), nl=False)
        comma = ",\n"
    rest = "".join(f", {json.dumps(key)}: {json.dumps(value)}" for key, value in sums().items())
    click.echo(f"\n]{rest}}}")


def pages() -> ModuleType:
    """What writes pages, if there is what it needs.

    Raises:
        RulesError: Jinja2 is not installed.
    """
    try:
        from pyprocmail.offline import pages
    except ImportError as error:
        raise RulesError(f"{error}: install it, or pyprocmail with [report]") from error
    return pages


def write_page(path: str, text: str) -> None:
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
