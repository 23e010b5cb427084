"""Giving up root for good.

A process that has become the recipient must not run code that the recipient, or who called us,
could have put somewhere.  So whatever may still be needed is imported while we are root, and from
then on an import is a failure.  Loaded by root only: nobody else has anything to give up.
"""

from __future__ import annotations

import sys

from pyprocmail.commands.toolbox import Toolbox
from pyprocmail.engine import comsat  # noqa: F401  imports what talking to a server takes
from pyprocmail.exits import LateImportError
from pyprocmail.matching import re2core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from pyprocmail.host import Host, User

# Each kind of statement once, and one that is wrong: Lark makes some things when they are first needed.
_SAMPLE = b"A=b\nC\n:0 c: lock\n* ! a\n{\n:0\n| d\n:0\n! e\n:0\nF=| g\n:0\nh\n}\n}\n="


def drop(host: Host, user: User, *, parser: bool) -> None:
    """Become `user`, with no way back.  Without `parser` no further rcfile can be compiled.

    Raises:
        OSError: the identity could not be taken.
    """
    load(parser=parser)
    host.become(user)
    sys.meta_path.insert(0, _Refusal())


def load(*, parser: bool) -> None:
    """Import what a delivery imports when it needs it, and let that import what it needs in turn."""
    re2core.compile(b"a", fold=False)
    Toolbox().load()
    # The way out of main for an exception that nobody expected.
    import traceback

    traceback.format_exception(LateImportError(""))
    if parser:
        from pyprocmail.procmailrc.lower import compile_rcfile

        compile_rcfile(_SAMPLE, strict=False)


class _Refusal:
    """The first finder of modules: it finds none, and lets nobody else look."""

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> None:
        raise LateImportError(name)
