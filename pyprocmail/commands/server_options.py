"""Options that `lmtp` and `gateway` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from pyprocmail.commands.values import Seconds, option

Decorator = Callable[[Any], Any]

socket_mode = option(
    "--socket-mode", metavar="MODE", default="0660", show_default=True, help="Permissions of a Unix socket."
)
socket_group = option("--socket-group", metavar="GROUP", default="", help="The group of a Unix socket.")
max_size = option(
    "--max-size",
    type=click.IntRange(1024, 1 << 30),
    default=50 << 20,
    show_default=True,
    help="The largest mail, in bytes.",
)
max_recipients = option(
    "--max-recipients",
    type=click.IntRange(1, 100_000),
    default=1000,
    show_default=True,
    help="The most recipients of a mail.",
)
session_timeout = option(
    "--session-timeout",
    type=Seconds(1),
    default=300.0,
    show_default=True,
    help="How long a client may be silent, in seconds.",
)
metrics = option("--metrics", metavar="FILE", default="", help="Write counters for Prometheus to this file.")


def connections(default: int) -> Decorator:
    """--connections with this default."""
    return option(
        "--connections",
        type=click.IntRange(1, 10_000),
        default=default,
        show_default=True,
        help="The most connections at a time.",
    )
