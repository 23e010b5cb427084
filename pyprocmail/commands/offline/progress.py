"""The progress of a long run: a bar on a terminal, and nothing elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from pyprocmail.offline.sources import parts

_LONG_BYTES = 16 << 20
"""From this size on a run takes a second or more."""


@contextmanager
def progress(names: Sequence[str], *, in_between: bool) -> Iterator[Callable[[int], None]]:
    """A function to call with the number of bytes done; `in_between`: lines are printed before the end.

    The bar is on standard error; there is none if these lines go to a terminal too.

    Raises:
        NoMailError: there is no mail in a place that the user named.
    """
    seen = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not (in_between and sys.stdout.isatty())
    total = sum(part.size for part in parts(names)) if seen else 0
    if total < _LONG_BYTES:
        yield lambda _size: None
        return
    with click.progressbar(length=total, label="reading mail", file=sys.stderr) as bar:
        yield bar.update
