"""Values of options that several servers share: times and permissions."""

from __future__ import annotations

import math
from typing import Any

import click

_MOST = 0o7777


class Seconds(click.FloatRange):
    """A finite time: with `nan` and `inf` timers would never expire, or expire at once."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The time."""
        found = super().convert(value, param, ctx)
        assert isinstance(found, float)
        if not math.isfinite(found):
            self.fail(f"{value!r} is no time; write a number of seconds", param, ctx)
        return found


def permissions(text: str) -> int:
    """The permissions of a Unix socket, written as an octal number.

    Raises:
        click.UsageError: the text is not such a number.
    """
    try:
        found = int(text, 8)
    except ValueError:
        found = -1
    if not 0 <= found <= _MOST:
        raise click.UsageError(f"{text}: no permissions; write 0660")
    return found
