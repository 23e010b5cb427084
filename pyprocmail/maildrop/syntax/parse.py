"""Filter file to tree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from pyprocmail.diagnostics import Diagnostic
from pyprocmail.grammars import UnexpectedToken, VisitError
from pyprocmail.maildrop.syntax import faults, recovery
from pyprocmail.maildrop.syntax.build import MisplacedError, index, parser
from pyprocmail.maildrop.syntax.lexer import Lexeme, lex
from pyprocmail.maildrop.syntax.nodes import FilterFile


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that prevents a file from running.

    `text` and `line` are what maildrop prints: it names the line where its lexer is.  `complaint` is printed
    before that.  `read` is the number of lexemes that maildrop has read.
    """

    text: str
    line: int
    complaint: bytes
    read: int
    diagnostic: Diagnostic


@dataclass(frozen=True, slots=True)
class Parsed:
    """The tree, or the fault, and the lexemes."""

    tree: FilterFile | None
    fault: Fault | None
    lexemes: list[Lexeme]


def parse(data: bytes, *, embedded: bool = False) -> tuple[FilterFile, list[Diagnostic]]:
    """The tree of the filter file `data`, and its faults.

    After a fault it continues, with a Faulty in place of what it leaves out.  maildrop stops at the first one.
    """
    parsed = read(data, embedded=embedded)
    if parsed.tree is not None:
        return parsed.tree, []
    tree, diagnostics = recovery.recovered(lex(data, embedded=embedded, whole=True))
    assert parsed.fault is not None
    return tree, [parsed.fault.diagnostic, *diagnostics[1:]]


def read(data: bytes, *, embedded: bool = False) -> Parsed:
    """As `parse`, with all that maildrop reports of a fault."""
    lexemes = lex(data, embedded=embedded)
    try:
        # Lark passes its input on to the lexer; its signature mentions only text.
        tree = cast("FilterFile", parser().parse(cast("str", lexemes)))
    except UnexpectedToken as error:
        at = len(lexemes) - 1 if error.token.type == "$END" else index(lexemes, cast("Lexeme", error.token))
        return _failed(lexemes, at)
    except MisplacedError as error:
        return _failed(lexemes, error.place(lexemes), error.text)
    except VisitError as error:
        if isinstance(error.orig_exc, MisplacedError):
            return _failed(lexemes, error.orig_exc.place(lexemes), error.orig_exc.text)
        raise
    return Parsed(replace(tree, own=(lexemes[-1],)), None, lexemes)


def _failed(lexemes: list[Lexeme], at: int, text: str = "") -> Parsed:
    at, said = (at, text) if text else faults.explain(lexemes, at)
    lexeme = lexemes[at]
    diagnostic = faults.describe(lexemes, at, said)
    return Parsed(None, Fault(said, lexeme.line, lexeme.complaint, at + 1, diagnostic), lexemes)
