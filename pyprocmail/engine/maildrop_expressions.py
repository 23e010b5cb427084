"""Expressions of filter files.  Every value is text.  maildropfilter(7), "Expressions"."""

from __future__ import annotations

from pyprocmail.engine import maildrop_commands as commands
from pyprocmail.engine import maildrop_functions as functions
from pyprocmail.engine import maildrop_patterns as patterns
from pyprocmail.engine.maildrop_log import OPERATIONS
from pyprocmail.program import filter_instructions as op
from pyprocmail.program.numerals import bits, divide, integer_at, is_true, number_at, written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyprocmail.engine.maildrop_session import Session

    # A tuple of the shape that program.filter_instructions describes for its kind.
    Node = tuple[Any, ...]

_TEXT_COMPARISONS = (b"lt", b"le", b"gt", b"ge", b"eq", b"ne")


def evaluate(session: Session, node: Node) -> bytes:
    """The value of an expression, with all that evaluating it does.

    Raises:
        FilterError: a function failed.
    """
    kind = node[0]
    if kind == op.LITERAL:
        return bytes(node[2])
    if kind == op.TEXT:
        return commands.expand(session, node[2])
    if kind == op.SEARCH:
        return patterns.search_message(session, node[1], node[2])
    if kind == op.MATCH:
        return patterns.search_text(session, node[1], evaluate(session, node[2]), node[3])
    if kind == op.ASSIGN:
        return _assign(session, node[1], node[2], evaluate(session, node[3]))
    if kind == op.BINARY:
        return _binary(session, node)
    if kind in (op.AND, op.OR):
        return _logical(session, node)
    if kind in (op.NOT, op.COMPLEMENT):
        return _unary(session, node)
    return functions.call(session, node[1], node[2], [_lazy(session, argument) for argument in node[3]])


def holds(session: Session, node: Node) -> tuple[bool, bytes]:
    """Whether the value of an expression counts as true, and the value."""
    value = evaluate(session, node)
    return is_true(value), value


def _lazy(session: Session, node: Node) -> functions.Argument:
    return lambda: evaluate(session, node)


def _assign(session: Session, line: int, name: bytes, value: bytes) -> bytes:
    if session.verbose > 3:
        session.log.say(b'%b(%d): %b="%b"' % (session.file, line, name, value))
    session.set(name, value)
    return value


def _binary(session: Session, node: Node) -> bytes:
    line, operator = node[1], node[2]
    left, right = evaluate(session, node[3]), evaluate(session, node[4])
    value = _compared(operator, left, right) if operator in _TEXT_COMPARISONS else _computed(operator, left, right)
    if session.verbose > 5:
        session.log.say(
            b"%b(%d): Operation on: %b and %b - %b, result is %b"
            % (session.file, line, left, right, OPERATIONS[operator], value)
        )
    return value


def _compared(operator: bytes, left: bytes, right: bytes) -> bytes:
    left, right = left.partition(b"\0")[0], right.partition(b"\0")[0]
    if operator == b"eq":
        holds = left == right
    elif operator == b"ne":
        holds = left != right
    elif operator == b"lt":
        holds = left < right
    elif operator == b"le":
        holds = left <= right
    elif operator == b"gt":
        holds = left > right
    else:
        holds = left >= right
    return b"1" if holds else b"0"


def _computed(operator: bytes, left_text: bytes, right_text: bytes) -> bytes:
    left, right = number_at(left_text), number_at(right_text)
    if operator == b"+":
        return written(left + right)
    if operator == b"-":
        return written(left - right)
    if operator == b"*":
        return written(left * right)
    if operator == b"/":
        return written(divide(left, right))
    if operator == b"|":
        return written(float(bits(left) | bits(right)))
    if operator == b"&":
        return written(float(bits(left) & bits(right)))
    if operator == b"==":
        holds = left == right
    elif operator == b"!=":
        holds = left != right
    elif operator == b"<":
        holds = left < right
    elif operator == b"<=":
        holds = left <= right
    elif operator == b">":
        holds = left > right
    else:
        holds = left >= right
    return b"1" if holds else b"0"


def _logical(session: Session, node: Node) -> bytes:
    kind, line = node[0], node[1]
    name = b"logical and" if kind == op.AND else b"logical or"
    value = evaluate(session, node[2])
    _trace(session, line, b"%b, left hand side=%b" % (name, value))
    if is_true(value) == (kind == op.AND):
        _trace(session, line, b"%b, evaluating right hand size." % name)
        value = evaluate(session, node[3])
    _trace(session, line, b"%b, result=%b" % (name, value))
    return value


def _unary(session: Session, node: Node) -> bytes:
    kind, line = node[0], node[1]
    operand = evaluate(session, node[2])
    if kind == op.NOT:
        name, value = b"logical not", b"0" if is_true(operand) else b"1"
    else:
        name, value = b"bitwise not", b"%d" % ~integer_at(operand)
    if session.verbose > 5:
        session.log.say(b"%b(%d): Operation on: %b - %b." % (session.file, line, operand, name))
    _trace(session, line, b"%b=%b" % (name, value))
    return value


def _trace(session: Session, line: int, text: bytes) -> None:
    if session.verbose > 5:
        session.log.say(b"%b(%d): Operation: %b" % (session.file, line, text))
