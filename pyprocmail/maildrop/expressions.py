"""Expressions of filter files.  Every value is text.  maildropfilter(7), "Expressions"."""

from __future__ import annotations

from pyprocmail.engine.trace import Finding
from pyprocmail.maildrop import areas, commands, functions, patterns
from pyprocmail.maildrop import instructions as op
from pyprocmail.maildrop.arithmetic import bits, divide, integer, is_true, real, written
from pyprocmail.maildrop.log import OPERATIONS
from pyprocmail.matching.regex import Area

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.maildrop.instructions import Binary, Expression, Logical, Tell, Unary
    from pyprocmail.maildrop.session import Session

_TEXT_COMPARISONS = (b"lt", b"le", b"gt", b"ge", b"eq", b"ne")


def evaluate(session: Session, node: Expression) -> bytes:
    """The value of an expression, with all effects of its evaluation.

    Raises:
        FilterError: a function failed.
    """
    if node[0] == op.LITERAL:
        _, _, value = node
        return value
    if node[0] == op.TEXT:
        _, _, pieces = node
        return commands.expand(session, pieces)
    if node[0] == op.SEARCH:
        _, line, pattern = node
        return patterns.search_message(session, line, pattern)
    if node[0] == op.MATCH:
        _, line, subject, pattern = node
        area = areas.named(session, subject)
        if area:
            return patterns.search_area(session, line, area, pattern)
        return patterns.search_text(session, line, evaluate(session, subject), pattern)
    if node[0] == op.ASSIGN:
        _, line, name, expression = node
        return _assign(session, line, name, evaluate(session, expression))
    if node[0] == op.BINARY:
        return _binary(session, node)
    if node[0] == op.AND or node[0] == op.OR:
        return _logical(session, node)
    if node[0] == op.NOT or node[0] == op.COMPLEMENT:
        return _unary(session, node)
    if node[0] == op.TELL:
        return _told(session, node)
    _, line, name, arguments = node
    return functions.call(session, line, name, [_lazy(session, argument) for argument in arguments])


def holds(session: Session, node: Expression) -> tuple[bool, bytes]:
    """Whether the value of an expression counts as true, and the value."""
    value = evaluate(session, node)
    return is_true(value), value


def _told(session: Session, node: Tell) -> bytes:
    """The value of the operand, which is reported to the readers of the trace."""
    _, _, kind, offset, operand = node
    value = evaluate(session, operand)
    finding = Finding(kind.decode(), b"", b"", negated=False, held=is_true(value))
    finding.searched = Area(value)
    for hear in session.trace.tested:
        hear((session.trace.rcfile, offset), finding)
    return value


def _lazy(session: Session, node: Expression) -> functions.Argument:
    return lambda: evaluate(session, node)


def _assign(session: Session, line: int, name: bytes, value: bytes) -> bytes:
    if session.verbose > 3:
        session.note("assigning", session.file, line, name, value)
    session.set(name, value)
    return value


def _binary(session: Session, node: Binary) -> bytes:
    _, line, operator, first, second = node
    left, right = evaluate(session, first), evaluate(session, second)
    value = _compared(operator, left, right) if operator in _TEXT_COMPARISONS else _computed(operator, left, right)
    if session.verbose > 5:
        session.note("operation-on-two", session.file, line, left, right, OPERATIONS[operator], value)
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
    left, right = real(left_text), real(right_text)
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


def _logical(session: Session, node: Logical) -> bytes:
    kind, line, first, second = node
    name = b"logical and" if kind == op.AND else b"logical or"
    value = evaluate(session, first)
    _trace(session, "logical-left", line, name, value)
    if is_true(value) == (kind == op.AND):
        _trace(session, "logical-right", line, name)
        value = evaluate(session, second)
    _trace(session, "logical-result", line, name, value)
    return value


def _unary(session: Session, node: Unary) -> bytes:
    kind, line, inner = node
    operand = evaluate(session, inner)
    if kind == op.NOT:
        name, value = b"logical not", b"0" if is_true(operand) else b"1"
    else:
        name, value = b"bitwise not", b"%d" % ~integer(operand)
    _trace(session, "operation-on", line, operand, name)
    _trace(session, "operation-result", line, name, value)
    return value


def _trace(session: Session, kind: str, line: int, *texts: bytes) -> None:
    if session.verbose > 5:
        session.note(kind, session.file, line, *texts)
