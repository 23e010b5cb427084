"""Checks for the way through a filter file: statements that no mail reaches, empty bodies, missing files."""

from __future__ import annotations

from collections.abc import Iterator

from pyprocmail.diagnostics import Severity
from pyprocmail.lint.finding import Check, Finding
from pyprocmail.lint.mailfilter.view import FilterView, ends, is_empty
from pyprocmail.maildrop.syntax.nodes import Command, ForEach, If, Statement, Trap, While


def never_reached_in_filter(view: FilterView) -> Iterator[Finding]:
    """A statement after `to` or `exit`: no mail gets there.

    `to` delivers the mail and ends the filter; if it cannot deliver, the filter ends with an error.

    Example:
        to "inbox"
        cc "copies"

    Instead:
        cc "copies"
        to "inbox"
    """
    ended: dict[int, Statement] = {}
    told: set[int] = set()
    for place in view.places:
        here = id(place.siblings)
        if here in ended and here not in told and not is_empty(place.statement):
            told.add(here)
            before = ended[here]
            word = before.keyword if isinstance(before, Command) else "statement"
            sentence = f"no mail gets here: the '{word}' of line {view.line(before.span.start)} ends it"
            yield Finding(place.statement.span, sentence)
        if ends(place.statement):
            ended.setdefault(here, place.statement)


def shadowed_in_filter(view: FilterView) -> Iterator[Finding]:
    """An `if` with the condition of one before it, which ends the filter: no mail gets this far.

    Example:
        if (/^Subject:.*spam/)
            to "spam"
        if (/^Subject:.*spam/)
            to "junk"

    Instead:
        if (/^Subject:.*spam/)
            to "spam"
        if (/^Subject:.*junk/)
            to "junk"
    """
    seen: dict[tuple[int, bytes], int] = {}
    for place in view.places:
        if isinstance(place.statement, Command) and place.statement.keyword in ("xfilter", "include"):
            seen.clear()  # this may change the mail
        if not isinstance(place.statement, If):
            continue
        for branch in place.statement.branches:
            span = branch.condition.span
            text = view.data[span.start : span.end]
            key = (id(place.siblings), text)
            if key in seen and b"$" not in text and b"`" not in text:
                sentence = f"no mail gets here: line {view.line(seen[key])} has the same condition"
                yield Finding(span, sentence)
            elif ends(branch.body):
                seen[key] = span.start


def empty_body(view: FilterView) -> Iterator[Finding]:
    """An empty line or a comment between a condition and its block: the block runs always.

    The empty line is the body then, and the block is independent of the condition.  The same applies to `else`,
    `while` and `foreach`.

    Example:
        if (/^Subject:.*spam/)
        # it is not mine
        {
            to "spam"
        }

    Instead:
        if (/^Subject:.*spam/)
        {
            to "spam"
        }
    """
    for place in view.places:
        match place.statement:
            case If(branches=branches, otherwise=otherwise, own=own):
                bodies = [("condition", branch.condition.span, branch.body) for branch in branches]
                bodies += [("'else'", own[0].span, otherwise)] if otherwise is not None else []
            case While(condition=condition, body=body):
                bodies = [("condition", condition.span, body)]
            case ForEach(matches=matches, body=body):
                bodies = [("condition", matches.span, body)]
            case _:
                continue
        for asked, span, body in bodies:
            if is_empty(body):
                sentence = f"nothing belongs to this {asked}: what follows runs for every mail"
                yield Finding(span, sentence, "no empty line and no comment before the '{'")


def missing_include_in_filter(view: FilterView) -> Iterator[Finding]:
    """An `include` of a file that cannot be read: the mail stays in the queue (exit 75).

    Example:
        include "/no/such/file"

    Instead:
        exception {
            include "/no/such/file"
        }
    """
    for place, command in view.commands("include"):
        name = view.resolve(command.operand)
        caught = any(isinstance(one, Trap) for one in place.inside)
        if name and not caught and view.machine.read(view.full(name)) is None:
            shown = view.full(name).decode(errors="replace")
            yield Finding(command.span, f"'{shown}' cannot be read: no mail is delivered", "in 'exception { }'")


def forward_to_nobody_in_filter(view: FilterView) -> Iterator[Finding]:
    """A `!` without an address.

    Example:
        cc "!"

    Instead:
        if (!/^X-Loop: me@home\\.example/)
            cc "! anna@home.example"
    """
    for _, command, text in view.deliveries():
        if view.resolve(text) is not None and (view.resolve(text) or b"").strip() == b"!":
            yield Finding(command.span, "this forward has no address")


CHECKS = (
    Check("M901", Severity.WARNING, never_reached_in_filter),
    Check("M902", Severity.WARNING, shadowed_in_filter),
    Check("M903", Severity.ERROR, missing_include_in_filter),
    Check("M904", Severity.ERROR, empty_body),
    Check("M905", Severity.ERROR, forward_to_nobody_in_filter),
)
