"""The grammar files, in an installed package or beside it in a checkout; and the parser generator.

Lark imports hashlib, which would load OpenSSL, and OpenSSL reads the caller's environment.  Lark does not need
OpenSSL here, so hashlib gets only Python's own functions.
"""

from __future__ import annotations

import sys
from pathlib import Path

_OPENSSL = "_hashlib"


def _prepare() -> None:
    """Import hashlib without OpenSSL, unless it is already imported, or Python lacks its own hash functions."""
    if "hashlib" in sys.modules or _OPENSSL in sys.modules:
        return
    sys.modules[_OPENSSL] = None  # type: ignore[assignment]  # to the import system this means "no such module"
    try:
        import _blake2  # noqa: F401  if it exists, so do the others
        import hashlib  # noqa: F401  to have it in sys.modules without OpenSSL
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
