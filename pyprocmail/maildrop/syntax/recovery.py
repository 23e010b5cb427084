"""Parsing continues after a fault, for tools that read a filter file instead of running it.

The parser goes back to a place where a statement may begin.  It takes what it has read of the statement, and what
follows up to its end or the next brace, as one Faulty, and continues.  If only a separator or the `}` of the last
blocks is missing, it continues as if that were there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from pyprocmail.diagnostics import Diagnostic
from pyprocmail.grammars import InteractiveParser, Token, UnexpectedToken, VisitError
from pyprocmail.maildrop.syntax import faults
from pyprocmail.maildrop.syntax.build import FaultLexeme, MisplacedError, parser
from pyprocmail.maildrop.syntax.lexer import Lexeme
from pyprocmail.maildrop.syntax.nodes import FilterFile
from pyprocmail.source import Span

_MOST_DIAGNOSTICS = 100


def recovered(lexemes: list[Lexeme]) -> tuple[FilterFile, list[Diagnostic]]:
    """The tree of the lexemes of a filter file with faults, and the faults."""
    recovery = _Recovery(lexemes)
    tree = recovery.run()
    return replace(tree, own=(lexemes[-1],)), recovery.diagnostics


class _Recovery:
    """The parser, and `at`, the next lexeme.

    `ends` has for each depth of the parser's stack the number of lexemes up to there.  `mended` is the last lexeme
    before which something was inserted, `told` the last one that was reported.
    """

    def __init__(self, lexemes: list[Lexeme]) -> None:
        self.parser: InteractiveParser = parser().parse_interactive()
        self.lexemes = lexemes
        self.diagnostics: list[Diagnostic] = []
        self.at = 0
        self.ends = [0]
        self.mended = self.told = -1

    def run(self) -> FilterFile:
        while True:
            lexeme = self.lexemes[self.at]
            try:
                if lexeme.type == "EOF":
                    return cast("FilterFile", self.parser.feed_token(Token("$END", "")))
                self.feed(lexeme, self.at, self.at + 1)
                self.at += 1
            except UnexpectedToken:
                depth = len(self.parser.parser_state.state_stack) - 1
                self.ends[depth:] = [self.at]
                self.complain(*faults.explain(self.lexemes, self.at))
                self.mend(lexeme)
            except MisplacedError as error:
                self.complain(error.place(self.lexemes), error.text)
                self.leave_out()
            except VisitError as error:
                if not isinstance(error.orig_exc, MisplacedError):
                    raise
                self.complain(error.orig_exc.place(self.lexemes), error.orig_exc.text)
                self.leave_out()

    def feed(self, lexeme: Lexeme, start: int, end: int) -> None:
        """Feed the terminal for the lexemes from `start` to `end`."""
        self.parser.feed_token(cast("Token", lexeme))
        # It is on top of the stack; the parser may have joined what was there before it.
        depth = len(self.parser.parser_state.state_stack) - 1
        self.ends[depth - 1 :] = [start, end]

    def accepts(self, kind: str) -> bool:
        return kind in self.parser.choices()  # type: ignore[no-untyped-call]  # Lark gives it none

    def complain(self, at: int, said: str) -> None:
        if self.told != self.at and len(self.diagnostics) < _MOST_DIAGNOSTICS:
            self.diagnostics.append(faults.describe(self.lexemes, at, said))
        self.told = self.at

    def mend(self, lexeme: Lexeme) -> None:
        """Insert what is missing before the lexeme, or leave the statement out."""
        behind_block = self.at > 0 and self.lexemes[self.at - 1].type == "CLOSE"
        if lexeme.type == "EOF" and self.accepts("CLOSE"):
            self.put_in("CLOSE")
            self.put_in("SEPARATOR")
        elif (lexeme.type == "OPEN" or behind_block) and self.accepts("SEPARATOR") and self.mended != self.at:
            self.mended = self.at
            self.put_in("SEPARATOR")
        else:
            self.leave_out()

    def put_in(self, kind: str) -> None:
        lexeme = self.lexemes[self.at]
        start = lexeme.span.start - len(lexeme.before)
        self.feed(Lexeme(kind, b"", Span(start, start), lexeme.line), self.at, self.at)

    def leave_out(self) -> None:
        """Turn the statement into a Faulty."""
        state = self.parser.parser_state
        while not self.accepts("FAULT"):
            state.state_stack.pop()
            state.value_stack.pop()
        start = self.ends[len(state.state_stack) - 1]
        within = any(isinstance(value, Lexeme) and value.type == "OPEN" for value in state.value_stack)
        end = self.end_of_fault(start, within=within)
        covered = self.lexemes[start:end]
        first = self.lexemes[start]
        place = first.span.start if covered else first.span.start - len(first.before)
        span = Span(place, covered[-1].span.end if covered else place)
        self.feed(FaultLexeme(covered, span, first.line), start, end)
        self.mended = self.at
        self.at = end

    def end_of_fault(self, start: int, *, within: bool) -> int:
        """The lexeme at which to continue; `within` a block its `}` is one.

        Where a statement is missing, at most one empty Faulty is made.
        """
        end = self.at
        kind = self.lexemes[end].type
        if end == start and self.mended == self.at and kind != "EOF":
            end += 1
        while (kind := self.lexemes[end].type) != "EOF":
            if (kind == "OPEN" and end > start) or (kind == "CLOSE" and within):
                break
            end += 1
            if kind == "SEPARATOR":
                break
        return end
