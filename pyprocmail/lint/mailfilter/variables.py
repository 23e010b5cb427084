"""Checks for variables and comparisons of filter files."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from pyprocmail.diagnostics import Severity
from pyprocmail.lint.finding import Check, Edit, Finding
from pyprocmail.lint.mailfilter.view import NAME, FilterView, expressions
from pyprocmail.maildrop.syntax.nodes import Assign, Binary, If, Text, TextKind, While
from pyprocmail.message.decoded import AREAS
from pyprocmail.source import Span

SPECIAL = frozenset(
    b"HOME LOGNAME SHELL DEFAULT PATH SENDMAIL LOCKEXT LOCKSLEEP LOCKTIMEOUT LOCKREFRESH UMASK MAILDIRQUOTA FROM "
    b"HOSTNAME MAILFILTER SIZE LINES EXITCODE RETURNCODE MATCH VERBOSE FLAGS KEYWORDS LANG LANGUAGE LC_ALL LC_CTYPE "
    b"AUTHSERV_ID USER EXTENSION RECIPIENT SENDER LOCAL DOMAIN HOST TMPDIR TZ".split()
)
"""Variables that maildrop, a mail server or the system sets or reads."""

_NUMERIC = ("==", "!=", "<", ">", "<=", ">=")
_INSTEAD = {"==": "eq", "!=": "ne", "<": "lt", ">": "gt", "<=": "le", ">=": "ge"}
_NUMBER = re.compile(rb"\s*[-+]?(?:0[xX][0-9A-Fa-f]+|[0-9.]+)")


def tilde_is_not_home_in_filter(view: FilterView) -> Iterator[Finding]:
    """`~` at the beginning of a path: maildrop does not expand it, and cannot deliver (exit 75).

    Example:
        to "~/Maildir"

    Instead:
        to "$HOME/Maildir"
    """
    for _, one in view.parts:
        for piece in one.pieces[:1] if isinstance(one, Text) else ():
            if re.match(rb"~(/|$)", piece.value) and piece.kind is not TextKind.BACKTICK:
                yield Finding(view.at(piece, b"~"), "'~' is not expanded here", "$HOME")


def texts_as_numbers(view: FilterView) -> Iterator[Finding]:
    """`==`, `<` and so on compare numbers. Text that is not a number counts as 0, so `"a" == "b"` is true.

    Texts are compared with `eq ne lt gt le ge`.

    Example:
        if ("$LOGNAME" == "anna")
            to "anna"

    Instead:
        if ("$LOGNAME" eq "anna")
            to "anna"
    """
    for _, one in view.parts:
        if not (isinstance(one, Binary) and one.operator in _NUMERIC):
            continue
        for side in (one.left, one.right):
            text = view.resolve(side)
            if text is not None and not _NUMBER.match(text) and isinstance(side, Text):
                between = view.data[one.left.span.end : one.right.span.start]
                at = one.left.span.end + max(between.find(one.operator.encode()), 0)
                place = Span(at, at + len(one.operator))
                instead = _INSTEAD[one.operator]
                edits = (Edit(place, f" {instead} ".encode()),)
                yield Finding(place, f"'{one.operator}' compares numbers, and this text counts as 0", instead, edits)
                break


def never_set_in_filter(view: FilterView) -> Iterator[Finding]:
    """A variable that nothing sets; its name is similar to that of one that is set.

    Example:
        FRIENDS="friends"
        if (/^From:.*anna@/)
            to "$FRIEND"

    Instead:
        FRIENDS="friends"
        if (/^From:.*anna@/)
            to "$FRIENDS"
    """
    known = view.values.keys() | view.others | SPECIAL | AREAS.keys()
    names = [name.decode(errors="replace") for name in known if len(name) > 3]
    seen: set[bytes] = set()
    for _, one in view.parts:
        for piece in one.pieces if isinstance(one, Text) else ():
            for found in NAME.finditer(piece.value) if piece.kind is TextKind.DOUBLE else ():
                name = found[1] or found[2]
                if name in known or name in seen or len(name) < 4 or re.match(rb"MATCH[0-9]+$|[0-9]", name):
                    continue
                seen.add(name)
                near = difflib.get_close_matches(name.decode(errors="replace"), names, 1, 0.83)
                if near:
                    sentence = f"nothing sets {name.decode(errors='replace')}"
                    yield Finding(view.at(piece, found[0]), sentence, f"do you mean {near[0]}?")


def assignment_in_condition(view: FilterView) -> Iterator[Finding]:
    """`=` in a condition sets the variable and does not compare.

    Example:
        if (SENDER="anna")
            to "anna"

    Instead:
        if ("$SENDER" eq "anna")
            to "anna"
    """
    for place in view.places:
        if isinstance(place.statement, If | While):
            for condition in expressions(place.statement):
                if isinstance(condition, Assign) and isinstance(condition.value, Text):
                    sentence = f"this sets {condition.name.decode(errors='replace')}, and does not compare"
                    yield Finding(condition.span, sentence, "eq, or == for numbers")


def dollar_on_the_left(view: FilterView) -> Iterator[Finding]:
    """`$NAME=value` sets a variable whose name begins with a `$`, which nothing can read.

    Example:
        $FOLDER="inbox"

    Instead:
        FOLDER="inbox"
    """
    for _, assign in view.assigns():
        if assign.name.startswith(b"$"):
            at = assign.span.start
            edits = (Edit(Span(at, at + 1), b""),) if view.data[at : at + 1] == b"$" else ()
            yield Finding(Span(at, at + 1), "the '$' belongs to the name here", "leave it out", edits)


def sum_that_is_text(view: FilterView) -> Iterator[Finding]:
    """`$N-1` and `$N -1` are texts: there is a minus only with blanks on both sides.

    Example:
        COUNT=5
        LEFT=$COUNT-1

    Instead:
        COUNT=5
        LEFT=$COUNT - 1
    """
    for _, assign in view.assigns():
        text = assign.value
        if not isinstance(text, Text) or any(view.is_quoted(piece) for piece in text.pieces):
            continue
        raw = view.data[text.span.start : text.span.end]
        if re.fullmatch(rb"\$\{?\w+\}?[ \t]*[-/][0-9]+", raw):
            yield Finding(text.span, "this is a text, not a difference", "blanks on both sides")


CHECKS = (
    Check("M601", Severity.ERROR, tilde_is_not_home_in_filter),
    Check("M602", Severity.ERROR, texts_as_numbers),
    Check("M603", Severity.WARNING, never_set_in_filter),
    Check("M604", Severity.WARNING, assignment_in_condition),
    Check("M605", Severity.ERROR, dollar_on_the_left),
    Check("M606", Severity.WARNING, sum_that_is_text),
)
