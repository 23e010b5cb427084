"""Checks for decoded areas: misspelt, or used as variables."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from pyprocmail.diagnostics import Severity
from pyprocmail.lint.finding import Check, Edit, Finding
from pyprocmail.lint.variables import SPECIAL
from pyprocmail.lint.view import View
from pyprocmail.message.decoded import AREAS
from pyprocmail.source import Span


def misspelt_area(view: View) -> Iterator[Finding]:
    """The name before `??` is not a variable, but one letter away from a decoded area.

    Nothing sets the variable, so the condition searches an empty text.

    Example:
        :0
        * MIME_HEADERS ?? ^Subject:.*offer
        offers/

    Instead:
        :0
        * MIME_HEADER ?? ^Subject:.*offer
        offers/
    """
    for _, test in view.tests():
        name = test.area
        if not name or name in AREAS or name in SPECIAL or name in view.values or name in view.others or len(name) < 5:
            continue
        near = difflib.get_close_matches(name.decode(), [area.decode() for area in AREAS], 1, 0.8)
        at = test.node.span.end - len(test.node.raw) + test.node.raw.find(name)
        if near:
            span = Span(at, at + len(name))
            edits = (Edit(span, near[0].encode()),)
            yield Finding(span, f"nothing sets {name.decode()}", f"do you mean {near[0]}?", edits)


def area_is_no_variable(view: View) -> Iterator[Finding]:
    """A decoded area is expanded like a variable: it expands to nothing.

    An area works only before `??`, so that a stranger's text gets into no command. A condition with `\\/` puts the part
    that you need into MATCH.

    Example:
        :0
        from-$FROM_ADDRESS/

    Instead:
        :0
        * FROM_ADDRESS ?? ^\\/[a-z0-9.@-]+
        from-$MATCH/
    """
    for use in view.uses():
        if use.name in AREAS and use.name not in view.values and use.name not in view.others and not use.excused:
            name = use.name.decode()
            yield Finding(use.span, f"{name} is an area, not a variable", f"* {name} ?? \\/... and $MATCH")


CHECKS = (
    Check("P421", Severity.WARNING, misspelt_area),
    Check("P422", Severity.WARNING, area_is_no_variable),
)
