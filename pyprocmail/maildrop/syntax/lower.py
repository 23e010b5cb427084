"""Tree to program (maildrop/instructions).  Only the layout is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from pyprocmail.maildrop import instructions as op
from pyprocmail.maildrop.syntax.nodes import (
    Assign,
    Binary,
    Block,
    Branch,
    Call,
    Command,
    Empty,
    Evaluate,
    Expression,
    Faulty,
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
from pyprocmail.numerals import real_at

if TYPE_CHECKING:
    from pyprocmail.maildrop.instructions import Branch as BranchOf
    from pyprocmail.maildrop.instructions import CommandKind, Piece, Pieces, Program, Weights
    from pyprocmail.maildrop.instructions import Expression as Evaluated
    from pyprocmail.maildrop.instructions import Pattern as Searched
    from pyprocmail.maildrop.instructions import Statement as Instruction

_COMMANDS: dict[str, CommandKind] = {
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
_WHOLE, _EXPRESSION, _VALUE = b"whole", b"expression", b"value"
"""Kinds of Finding, by their names in the engine."""
_NAME = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_ENDS_BRACED = frozenset(b" \t\n\v\f\r}")
_WEIGHTS = frozenset(b"0123456789+-.")


def lower(tree: FilterFile, *, told: bool = False) -> Program:
    """The program of `tree`; with `told` it reports the values of conditions and of their parts (TELL)."""
    return _statements(tree.statements, told)


def _statements(statements: tuple[Statement, ...], told: bool) -> Program:
    return tuple(_statement(statement, told) for statement in statements if not isinstance(statement, Empty))


def _statement(node: Statement, told: bool) -> Instruction:
    place = (node.span.start, node.line)
    match node:
        case Empty():
            return (op.BLOCK, *place, ())
        case Evaluate():
            return (op.EVALUATE, *place, (_told if told else _expression)(node.expression))
        case Command():
            if node.operand is None:
                return (op.EXIT, *place)
            return (_COMMANDS[node.keyword], *place, _expression(node.operand))
        case If():
            otherwise = None if node.otherwise is None else _statement(node.otherwise, told)
            return (op.IF, *place, tuple(_branch(branch, told) for branch in node.branches), otherwise)
        case While():
            return (op.WHILE, *place, _condition(node, told), _statement(node.body, told))
        case ForEach():
            matches = node.matches
            subject = _expression(matches.subject) if isinstance(matches, Match) else None
            pattern = matches.pattern if isinstance(matches, Match) else matches
            return (op.FOREACH, *place, subject, _pattern(pattern), _statement(node.body, told))
        case Block():
            return (op.BLOCK, *place, _statements(node.statements, told))
        case Trap():
            return (op.TRAP, *place, _statements(node.block.statements, told))
        case Faulty():
            raise ValueError("a file with a fault has no program")
        case Locked():
            name, statements = _expression(node.name), _statements(node.block.statements, told)
            return (
                (op.DOTLOCK, *place, name, statements)
                if node.kind == "dotlock"
                else (op.FLOCK, *place, name, statements)
            )
        case _:
            assert_never(node)


def _branch(branch: Branch, told: bool) -> BranchOf:
    return (branch.line, _condition(branch, told), _statement(branch.body, told))


def _condition(node: Branch | While, told: bool) -> Evaluated:
    if not told:
        return _expression(node.condition)
    return (op.TELL, node.line, _WHOLE, node.span.start, _told(node.condition))


def _told(node: Expression) -> Evaluated:
    """The expression; each part between &&, || and ! reports its value."""
    match node:
        case Unary(operator="!"):
            return (op.NOT, node.line, _told(node.operand))
        case Binary(operator="&&"):
            return (op.AND, node.line, _told(node.left), _told(node.right))
        case Binary(operator="||"):
            return (op.OR, node.line, _told(node.left), _told(node.right))
        case Binary():
            value: Evaluated = (
                op.BINARY,
                node.line,
                node.operator.encode(),
                _compared(node.left),
                _compared(node.right),
            )
        case Call():
            value = (op.CALL, node.line, node.name.encode(), tuple(map(_compared, node.arguments)))
        case _:
            value = _expression(node)
    return (op.TELL, node.line, _EXPRESSION, node.span.start, value)


def _compared(node: Expression) -> Evaluated:
    """An operand of a comparison or an argument; it reports its value unless it is a literal."""
    value = _expression(node)
    return value if value[0] == op.LITERAL else (op.TELL, node.line, _VALUE, node.span.start, value)


def _expression(node: Expression) -> Evaluated:
    line = node.line
    match node:
        case Text():
            pieces = _text(node)
            first = pieces[0] if pieces else b""
            if isinstance(first, bytes) and len(pieces) < 2:
                return (op.LITERAL, line, first)
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


def _text(node: Text) -> Pieces:
    """The pieces of all strings of the node, literal ones joined."""
    pieces: list[Piece] = []
    for piece in node.pieces:
        if piece.kind is TextKind.BACKTICK:
            pieces.append((op.COMMAND, piece.value))
        elif piece.kind is TextKind.SINGLE:
            pieces.append(piece.value)
        else:
            pieces += _substitutions(piece.value, piece.line)
    return _joined(pieces)


def _joined(pieces: list[Piece]) -> Pieces:
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if isinstance(piece, bytes) and isinstance(last, bytes):
            joined[-1] = last + piece
        elif piece != b"":
            joined.append(piece)
    return tuple(joined)


def _substitutions(text: bytes, line: int) -> list[Piece]:
    """The text with its `$name` and `${name}`.  A backslash protects the next byte, and stays."""
    pieces: list[Piece] = []
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


def _pattern(node: Pattern) -> Searched:
    options = node.options
    first = next((at for at, byte in enumerate(options) if byte in _WEIGHTS), None)
    letters = options if first is None else options[:first]
    area = (op.HEADER if b"h" in letters else 0) | (op.BODY if b"b" in letters else 0)
    if not area:
        area = op.WHOLE if b"w" in letters else op.HEADER
    weights = None if first is None else _weights(options[first:])
    return (_joined(_substitutions(node.text, node.line)), area, b"D" not in letters, weights)


def _weights(text: bytes) -> Weights:
    first, comma, factor = text.partition(b",")
    return real_at(first)[0], real_at(factor)[0] if comma else 1.0
