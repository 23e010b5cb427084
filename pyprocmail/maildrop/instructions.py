"""The program of a filter file: plain nested tuples, which `marshal` stores and maildrop/interpreter runs.

A program is a tuple of statements.  Only int, float, bytes, bool, None and tuples are in it.

    The statements, each (kind, offset, line, ...): the byte offset of its text, and the line for messages:
    (EVALUATE, offset, line, expression)
    (ECHO, offset, line, expression), and the same for LOG, TO, CC, XFILTER, SYSTEM, LOGFILE, INCLUDE,
        IMPORT, UNSET
    (EXIT, offset, line)
    (IF, offset, line, ((line, condition, statement), ...), statement or None)
    (WHILE, offset, line, condition, statement)
    (FOREACH, offset, line, subject or None, pattern, statement)
        Without subject the message is searched.
    (BLOCK, offset, line, statements)
    (TRAP, offset, line, statements)
    (DOTLOCK, offset, line, expression, statements), and the same for FLOCK

    The expressions, each (kind, line, ...):
    (LITERAL, line, value)
    (TEXT, line, pieces)
    (SEARCH, line, pattern)
    (MATCH, line, subject, pattern)
    (ASSIGN, line, name, value)
    (NOT, line, operand), (COMPLEMENT, line, operand)
    (AND, line, left, right), (OR, line, left, right)
    (BINARY, line, operator, left, right)     operator as bytes, such as `+` and `lt`
    (CALL, line, name, arguments)             name as bytes
    (TELL, line, kind, offset, operand)
        The operand, whose value is reported to readers of the stream: `kind` (a kind of Finding as bytes) and the byte
        offset identify it.  Programs for explain and coverage have these, others do not.

    A pattern is (pieces, area, fold, weights): area HEADER, BODY or WHOLE; fold False for option D; weights None or
    (first, factor).

    A piece is literal bytes, or
    (VARIABLE, name)         its value
    (COMMAND, text)          the output of the command
    (UNTERMINATED, text, line)    `${` without its brace: text, and an error message each time
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Literal, TypeAlias

    VariablePiece: TypeAlias = tuple[Literal[1], bytes]
    CommandPiece: TypeAlias = tuple[Literal[2], bytes]
    UnterminatedPiece: TypeAlias = tuple[Literal[3], bytes, int]
    Piece: TypeAlias = bytes | VariablePiece | CommandPiece | UnterminatedPiece
    Pieces: TypeAlias = tuple[Piece, ...]
    Weights: TypeAlias = tuple[float, float]
    Pattern: TypeAlias = tuple[Pieces, int, bool, Weights | None]

    LiteralText: TypeAlias = tuple[Literal[1], int, bytes]
    Text: TypeAlias = tuple[Literal[2], int, Pieces]
    Search: TypeAlias = tuple[Literal[3], int, Pattern]
    Match: TypeAlias = tuple[Literal[4], int, "Expression", Pattern]
    Assign: TypeAlias = tuple[Literal[5], int, bytes, "Expression"]
    Unary: TypeAlias = tuple[Literal[6, 7], int, "Expression"]
    Logical: TypeAlias = tuple[Literal[8, 9], int, "Expression", "Expression"]
    Binary: TypeAlias = tuple[Literal[10], int, bytes, "Expression", "Expression"]
    Call: TypeAlias = tuple[Literal[11], int, bytes, tuple["Expression", ...]]
    Tell: TypeAlias = tuple[Literal[12], int, bytes, int, "Expression"]
    Expression: TypeAlias = LiteralText | Text | Search | Match | Assign | Unary | Logical | Binary | Call | Tell

    Branch: TypeAlias = tuple[int, Expression, "Statement"]
    Evaluate: TypeAlias = tuple[Literal[1], int, int, Expression]
    Exit: TypeAlias = tuple[Literal[2], int, int]
    If: TypeAlias = tuple[Literal[3], int, int, tuple[Branch, ...], "Statement | None"]
    While: TypeAlias = tuple[Literal[4], int, int, Expression, "Statement"]
    ForEach: TypeAlias = tuple[Literal[5], int, int, Expression | None, Pattern, "Statement"]
    Block: TypeAlias = tuple[Literal[6], int, int, tuple["Statement", ...]]
    Trap: TypeAlias = tuple[Literal[7], int, int, tuple["Statement", ...]]
    DotLock: TypeAlias = tuple[Literal[8], int, int, Expression, tuple["Statement", ...]]
    FLock: TypeAlias = tuple[Literal[9], int, int, Expression, tuple["Statement", ...]]
    CommandKind: TypeAlias = Literal[10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    Command: TypeAlias = tuple[CommandKind, int, int, Expression]
    Statement: TypeAlias = Evaluate | Exit | If | While | ForEach | Block | Trap | DotLock | FLock | Command
    Program: TypeAlias = tuple[Statement, ...]

EVALUATE: Final = 1
EXIT: Final = 2
IF: Final = 3
WHILE: Final = 4
FOREACH: Final = 5
BLOCK: Final = 6
TRAP: Final = 7
DOTLOCK: Final = 8
FLOCK: Final = 9
ECHO: Final = 10
LOG: Final = 11
TO: Final = 12
CC: Final = 13
XFILTER: Final = 14
SYSTEM: Final = 15
LOGFILE: Final = 16
INCLUDE: Final = 17
IMPORT: Final = 18
UNSET: Final = 19
"""The kinds of statement."""

LITERAL: Final = 1
TEXT: Final = 2
SEARCH: Final = 3
MATCH: Final = 4
ASSIGN: Final = 5
NOT: Final = 6
COMPLEMENT: Final = 7
AND: Final = 8
OR: Final = 9
BINARY: Final = 10
CALL: Final = 11
TELL: Final = 12
"""The kinds of expression."""

VARIABLE: Final = 1
COMMAND: Final = 2
UNTERMINATED: Final = 3
"""The kinds of piece."""

HEADER, BODY, WHOLE = 1, 2, 3
"""The part of the message that a pattern searches."""
