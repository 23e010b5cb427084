"""Checks for mail that comes back: forwards and automatic answers without a guard."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyprocmail.diagnostics import Severity
from pyprocmail.lint.finding import Check, Finding
from pyprocmail.lint.view import Rule, View
from pyprocmail.procmail.compiled.start_line import ALSO, ALSO_SUCCEEDED, ELSE, ELSE_FAILED
from pyprocmail.procmail.syntax.nodes import Forward, Recipe

_LOOP = re.compile(rb"x-?loop|loop|delivered-to|x-forward|resent|from_daemon|from_mailer", re.IGNORECASE)
_ROBOT = re.compile(rb"from_daemon|from_mailer|auto-submitted|precedence|mailer-daemon", re.IGNORECASE)
_OWN = re.compile(rb"loop|auto-submitted", re.IGNORECASE)


def _conditions(view: View, rule: Rule) -> bytes:
    """The conditions on the way to `rule`: its own, and those of its blocks and of the recipes it depends on."""
    by_recipe = {id(other.recipe): other for other in view.rules}
    texts: list[bytes] = []
    for one in (*rule.parents, rule):
        current: Rule | None = one
        while current is not None:
            texts += [test.node.raw for test in current.tests]
            if not current.has(ALSO, ALSO_SUCCEEDED, ELSE, ELSE_FAILED):
                break
            before = (item for item in reversed(current.siblings[: current.index]) if isinstance(item, Recipe))
            previous = next(before, None)
            current = by_recipe.get(id(previous)) if previous is not None else None
    # Mail that an earlier recipe delivers does not get here.
    for other in view.rules:
        if other.recipe.span.start < rule.recipe.span.start and other.delivers:
            texts += [test.node.raw for test in other.tests]
    return b"\n".join(texts)


def forward_without_guard(view: View) -> Iterator[Finding]:
    """A forward without protection from loops: two addresses that forward to each other never stop.

    Test for a field of your own, and add it before you forward.

    Example:
        :0 c
        * ^Subject:.*pager
        ! me@pager.example

    Instead:
        :0 c
        * ^Subject:.*pager
        * ! ^X-Loop: me@home\\.example
        {
            :0 fhw
            | formail -A "X-Loop: me@home.example"
            :0
            ! me@pager.example
        }
    """
    if view.is_policy:
        return  # the milter changes the recipients, and sends nothing
    for rule in view.rules:
        if isinstance(rule.recipe.action, Forward) and not _LOOP.search(_conditions(view, rule)):
            yield Finding(rule.recipe.action.span, "nothing prevents a mail loop here", "test for an X-Loop field")


def answer_without_guard(view: View) -> Iterator[Finding]:
    """An automatic answer that lists, robots or another automatic answer can get.

    RFC 3834: no answer to mail that is automatic itself.  Two autoresponders answer each other for ever; a mailing
    list gets your vacation notice.  `^FROM_DAEMON` matches most robots, an X-Loop field your own mail.

    Example:
        :0 c
        | formail -r | $SENDMAIL -t

    Instead:
        :0 c
        * ! ^FROM_DAEMON
        * ! ^X-Loop: me@home\\.example
        | formail -r -A "X-Loop: me@home.example" | $SENDMAIL -t
    """
    for rule, pipe in view.commands():
        if not re.search(rb"(?i:formail)\S*\s+[^|;]*-[a-zA-Z]*r", pipe.text):
            continue
        if not re.search(rb"sendmail", pipe.text, re.IGNORECASE):
            continue
        conditions = _conditions(view, rule)
        missing = [
            what
            for known, what in ((_ROBOT, "robots and lists (^FROM_DAEMON)"), (_OWN, "its own kind (^X-Loop:)"))
            if not known.search(conditions)
        ]
        if missing:
            sentence = f"this automatic answer also goes to {' and to '.join(missing)}"
            yield Finding(pipe.span, sentence, "test before you answer")


CHECKS = (
    Check("P701", Severity.WARNING, forward_without_guard),
    Check("P702", Severity.WARNING, answer_without_guard),
)
