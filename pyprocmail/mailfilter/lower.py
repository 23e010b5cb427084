"""Tree to program (program.filter_instructions).  Nothing is lost but the layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from pyprocmail.mailfilter.nodes import (
    Assign,
    Binary,
    Block,
    Branch,
    Call,
    Command,
    Empty,
    Evaluate,
    Expression,
    FilterFile,
    ForEach,
    If,
    Locked,
    Match,
    Pattern,
    Statement,
    Text,
    TextKind,
    Trap,
    Unary,
    While,
)
from pyprocmail.program import filter_instructions as op
from pyprocmail.program.numerals import number_at

if TYPE_CHECKING:
    from pyprocmail.program.instructions import Instruction, Program, Value

_COMMANDS = {
    "echo": op.ECHO,
    "log": op.LOG,
    "to": op.TO,
    "cc": op.CC,
    "xfilter": op.XFILTER,
    "system": op.SYSTEM,
    "logfile": op.LOGFILE,
    "include": op.INCLUDE,
    "import": op.IMPORT,
    "unset": op.UNSET,
}
_NAME = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_ENDS_BRACED = frozenset(b" \t\n\v\f\r}")
_WEIGHTS = frozenset(b"0123456789+-.")


def lower(tree: FilterFile) -> Program:
    """The program of `tree`."""
    return _statements(tree.statements)


def _statements(statements: tuple[Statement, ...]) -> Program:
    return tuple(_statement(statement) for statement in statements if not isinstance(statement, Empty))


def _statement(node: Statement) -> Instruction:
    place = (node.span.start, node.line)
    match node:
        case Empty():
            return (op.BLOCK, *place, ())
        case Evaluate():
            return (op.EVALUATE, *place, _expression(node.expression))
        case Command():
            if node.operand is None:
                return (op.EXIT, *place)
            return (_COMMANDS[node.keyword], *place, _expression(node.operand))
        case If():
            otherwise = None if node.otherwise is None else _statement(node.otherwise)
            return (op.IF, *place, tuple(_branch(branch) for branch in node.branches), otherwise)
        case While():
            return (op.WHILE, *place, _expression(node.condition), _statement(node.body))
        case ForEach():
            matches = node.matches
            subject = _expression(matches.subject) if isinstance(matches, Match) else None
            pattern = matches.pattern if isinstance(matches, Match) else matches
            return (op.FOREACH, *place, subject, _pattern(pattern), _statement(node.body))
        case Block():
            return (op.BLOCK, *place, _statements(node.statements))
        case Trap():
            return (op.TRAP, *place, _statements(node.block.statements))
        case Locked():
            kind = op.DOTLOCK if node.kind == "dotlock" else op.FLOCK
            return (kind, *place, _expression(node.name), _statements(node.block.statements))
        case _:
            assert_never(node)


def _branch(branch: Branch) -> Value:
    return (branch.line, _expression(branch.condition), _statement(branch.body))


def _expression(node: Expression) -> Instruction:
    line = node.line
    match node:
        case Text():
            pieces = _text(node)
            if not pieces or (len(pieces) == 1 and isinstance(pieces[0], bytes)):
                return (op.LITERAL, line, pieces[0] if pieces else b"")
            return (op.TEXT, line, pieces)
        case Pattern():
            return (op.SEARCH, line, _pattern(node))
        case Match():
            return (op.MATCH, line, _expression(node.subject), _pattern(node.pattern))
        case Assign():
            return (op.ASSIGN, line, node.name, _expression(node.value))
        case Unary():
            return (op.NOT if node.operator == "!" else op.COMPLEMENT, line, _expression(node.operand))
        case Binary(operator="&&"):
            return (op.AND, line, _expression(node.left), _expression(node.right))
        case Binary(operator="||"):
            return (op.OR, line, _expression(node.left), _expression(node.right))
        case Binary():
            return (op.BINARY, line, node.operator.encode(), _expression(node.left), _expression(node.right))
        case Call():
            return (op.CALL, line, node.name.encode(), tuple(_expression(argument) for argument in node.arguments))
        case _:
            assert_never(node)


def _text(node: Text) -> tuple[Value, ...]:
    """The pieces of all strings of the node, literal ones joined."""
    pieces: list[Value] = []
    for piece in node.pieces:
        if piece.kind is TextKind.BACKTICK:
            pieces.append((op.COMMAND, piece.value))
        elif piece.kind is TextKind.SINGLE:
            pieces.append(piece.value)
        else:
            pieces += _substitutions(piece.value, piece.line)
    return _joined(pieces)


def _joined(pieces: list[Value]) -> tuple[Value, ...]:
    joined: list[Value] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if isinstance(piece, bytes) and isinstance(last, bytes):
            joined[-1] = last + piece
        elif piece != b"":
            joined.append(piece)
    return tuple(joined)


def _substitutions(text: bytes, line: int) -> list[Value]:
    """The text with its `$name` and `${name}`.  A backslash protects the next byte, and stays."""
    pieces: list[Value] = []
    start = at = 0
    end = len(text)
    while at < end:
        byte = text[at]
        if byte == 0x5C:
            at += 2
            continue
        if byte != 0x24:
            at += 1
            continue
        if text.startswith(b"{", at + 1):
            stop = at + 2
            while stop < end and text[stop] not in _ENDS_BRACED:
                stop += 1
            if stop < end and text[stop] == 0x7D:
                pieces += (text[start:at], (op.VARIABLE, text[at + 2 : stop]))
                start = at = stop + 1
            else:
                pieces += (text[start:at], (op.UNTERMINATED, b"${", line))
                start = at = at + 2
            continue
        stop = at + 1
        while stop < end and text[stop] in _NAME:
            stop += 1
        if stop > at + 1:
            pieces += (text[start:at], (op.VARIABLE, text[at + 1 : stop]))
            start = stop
        at = stop
    pieces.append(text[start:])
    return pieces


def _pattern(node: Pattern) -> Instruction:
    options = node.options
    first = next((at for at, byte in enumerate(options) if byte in _WEIGHTS), None)
    letters = options if first is None else options[:first]
    area = (op.HEADER if b"h" in letters else 0) | (op.BODY if b"b" in letters else 0)
    if not area:
        area = op.WHOLE if b"w" in letters else op.HEADER
    weights = None if first is None else _weights(options[first:])
    return (_joined(_substitutions(node.text, node.line)), area, b"D" not in letters, weights)


def _weights(text: bytes) -> tuple[float, float]:
    first, comma, factor = text.partition(b",")
    return number_at(first), number_at(factor) if comma else 1.0
