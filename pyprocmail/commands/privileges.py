"""Giving up root for good.

A process that has become the recipient must not run code that the recipient or the caller could
have placed somewhere.  So every module that may be needed is imported while we are root, and a
later import is a failure.  Only root loads this module: other users have no privileges to give up.
"""

from __future__ import annotations

import sys

from pyprocmail.commands.compiler import compile_apart
from pyprocmail.commands.toolbox import Toolbox
from pyprocmail.exits import LateImportError
from pyprocmail.matching import re2core
from pyprocmail.procmail import comsat  # noqa: F401  imports what talking to a server takes

__all__ = ["compile_apart", "drop", "load"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from pyprocmail.host import Host, User


def drop(host: Host, user: User) -> None:
    """Become `user`, with no way back.  From then on another process does the compiling.

    Raises:
        OSError: the identity could not be taken.
    """
    load()
    host.become(user)
    sys.meta_path.insert(0, _Refusal())


def drop_for_maildrop(host: Host, user: User) -> None:
    """As `drop`, with the modules that filter files may need.

    Raises:
        OSError: the identity could not be taken.
    """
    load_for_maildrop()
    host.become(user)
    sys.meta_path.insert(0, _Refusal())


def load_for_maildrop() -> None:
    """As `load`, for the modules that filter files may need."""
    import math  # noqa: F401  to have it

    from pyprocmail.delivery import dotlocks, folder, gdbm, maildirplus, quota, refresh  # noqa: F401  to have them
    from pyprocmail.maildrop import database  # noqa: F401  to have them
    from pyprocmail.matching import pcre
    from pyprocmail.message import charsets

    pcre.load()
    charsets.load()
    load()


def load() -> None:
    """Import the modules that a delivery imports only when needed, and let them load what they need in turn."""
    from pyprocmail.delivery import spool_lock  # noqa: F401  to have it
    from pyprocmail.engine import apart  # noqa: F401  to have it
    from pyprocmail.matching import automaton, utf8  # noqa: F401  to have them

    re2core.compile(b"a", fold=False)
    Toolbox().load()


class _Refusal:
    """The first finder of modules: it refuses every import before another finder is asked."""

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> None:
        raise LateImportError(name)
