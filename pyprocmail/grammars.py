"""The grammar files, in the package when it is installed, beside it in a checkout; and the parser generator.

Lark imports hashlib, which would load OpenSSL, which reads the caller's environment.  Lark uses none of it here, so
hashlib is left with Python's own functions.
"""

from __future__ import annotations

import sys
from pathlib import Path

_OPENSSL = "_hashlib"


def _prepare() -> None:
    """Import hashlib without OpenSSL, unless somebody has imported it, or Python has no functions of its own."""
    if "hashlib" in sys.modules or _OPENSSL in sys.modules:
        return
    sys.modules[_OPENSSL] = None  # type: ignore[assignment]  # what the import system takes for "there is none"
    try:
        import _blake2  # noqa: F401  if it is there, so are the others
        import hashlib  # noqa: F401  to have it so
    except ImportError:
        sys.modules.pop("hashlib", None)
    finally:
        del sys.modules[_OPENSSL]


_prepare()

from lark import Lark, Transformer, UnexpectedToken  # noqa: E402  after hashlib
from lark.exceptions import VisitError  # noqa: E402
from lark.lexer import Lexer, TerminalDef, Token  # noqa: E402
from lark.parsers.lalr_interactive_parser import InteractiveParser  # noqa: E402

__all__ = [
    "InteractiveParser",
    "Lark",
    "Lexer",
    "TerminalDef",
    "Token",
    "Transformer",
    "UnexpectedToken",
    "VisitError",
    "load",
]


def load(name: str) -> str:
    """The text of the grammar `name`, such as "procmailrc".

    Raises:
        FileNotFoundError: the installation is not complete.
    """
    package = Path(__file__).parent
    installed = package / "grammar" / f"{name}.lark"
    if installed.is_file():
        return installed.read_text("utf-8")
    return (package.parent / "grammar" / f"{name}.lark").read_text("utf-8")
