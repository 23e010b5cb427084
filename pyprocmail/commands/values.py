"""Options of click's commands: those whose value is never empty, times and permissions."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import click
from click.core import ParameterSource

_MOST = 0o7777


def _refuse_empty(parameter: click.Parameter, ctx: click.Context, value: Any) -> None:
    given = parameter.name and ctx.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    if given and (value == "" or (isinstance(value, tuple | list) and "" in value)):
        raise click.BadParameter("it is empty; leave it out, or give it a value", ctx, parameter)


class FilledOption(click.Option):
    """An option that refuses an empty value: `--date "$DAY"` without DAY is a mistake, not a call without --date."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """See click."""
        _refuse_empty(self, ctx, value)
        return super().type_cast_value(ctx, value)


class FilledArgument(click.Argument):
    """An operand that refuses an empty value, which would be this folder, or standard input."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """See click."""
        _refuse_empty(self, ctx, value)
        return super().type_cast_value(ctx, value)


argument = partial(click.argument, cls=FilledArgument)
option = partial(click.option, cls=FilledOption)
"""`click.option` for all options but those whose value may be empty: an argument of rules, and an envelope sender."""


class Seconds(click.FloatRange):
    """A finite time: with `nan` and `inf` timers would never expire, or expire at once."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The time."""
        found = super().convert(value, param, ctx)
        assert isinstance(found, float)
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a time; write a number of seconds", param, ctx)
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
        raise click.UsageError(f"{text}: not permissions; write an octal number, such as 0660")
    return found
