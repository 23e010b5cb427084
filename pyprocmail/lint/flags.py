"""Checks for the flags of start lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyprocmail.diagnostics import Severity
from pyprocmail.lint.finding import Check, Finding
from pyprocmail.lint.view import View
from pyprocmail.procmail.compiled import start_line as flag
from pyprocmail.procmail.compiled.conditions import EXPAND, PROGRAM, REGEX
from pyprocmail.procmail.syntax.nodes import Block, Capture, Recipe

_PAIRS = (
    (flag.ALSO, flag.ALSO_SUCCEEDED, "'a' says what 'A' says, and more"),
    (flag.ELSE, flag.ELSE_FAILED, "'e' switches 'E' off"),
    (flag.ALSO_SUCCEEDED, flag.ELSE_FAILED, "'e' switches 'a' off"),
    (flag.WAIT, flag.WAIT_QUIET, "'W' is 'w' without the message"),
)


def conflicting_flags(view: View) -> Iterator[Finding]:
    """Two flags that exclude each other, or of which one is enough: `w` and `W`, `a` and `A`, `e` and `E`.

    Example:
        :0 fwW
        | cat

    Instead:
        :0 fw
        | cat
    """
    for rule in view.rules:
        for first, second, why in _PAIRS:
            if rule.has(first) and rule.has(second):
                yield Finding(rule.start, f"these flags exclude each other: {why}", "keep one of them")


def flags_on_block(view: View) -> Iterator[Finding]:
    """Flags that mean nothing on a block: f h b i r, and w or W without `c`.

    procmail ignores them with a message.  Most often they were meant for a recipe inside.

    Example:
        :0 f
        * ^Subject:.*x
        {
            :0 w
            | cat
        }

    Instead:
        :0
        * ^Subject:.*x
        {
            :0 fw
            | cat
        }
    """
    useless = ((flag.FILTER, "f"), (flag.FEED_HEAD, "h"), (flag.FEED_BODY, "b"), (flag.IGNORE_WRITE_ERRORS, "i"))
    waiting = ((flag.WAIT, "w"), (flag.WAIT_QUIET, "W"))
    for rule in view.rules:
        if isinstance(rule.recipe.action, Block):
            tried = (*useless, (flag.RAW, "r"), *(() if rule.has(flag.CARBON_COPY) else waiting))
            found = "".join(letter for bit, letter in tried if rule.has(bit))
            if found:
                yield Finding(rule.start, f"'{found}' has no effect on a block", "put it on the recipe inside")


def areas_without_pattern(view: View) -> Iterator[Finding]:
    """`H`, `B` or `D` on a recipe without a pattern or a program to test: there is nothing to search.

    `h` and `b` choose what the action gets, `H` and `B` where patterns search.

    Example:
        :0 Bc
        copies/

    Instead:
        :0 bc
        copies/
    """
    for rule in view.rules:
        searches = any(test.kind in (REGEX, EXPAND, PROGRAM) for test in rule.tests)
        if rule.known and not searches and rule.has(flag.HEAD, flag.BODY, flag.DISTINGUISH_CASE):
            yield Finding(rule.start, "H, B and D are about patterns, and this recipe has none", "h and b?")


def copy_of_filter(view: View) -> Iterator[Finding]:
    """`c` on a filter or on `VARIABLE=| program`: it is ignored.  Neither ends the mail.

    Example:
        :0 fcw
        | cat

    Instead:
        :0 fw
        | cat
    """
    for rule in view.rules:
        captures = isinstance(rule.recipe.action, Capture)
        if (rule.is_filter or captures) and rule.has(flag.CARBON_COPY):
            what = "where a variable takes the output" if captures else "on a filter"
            yield Finding(rule.start, f"'c' has no effect {what}", "leave it out")


def nothing_to_chain_to(view: View) -> Iterator[Finding]:
    """A, a, E or e on the first recipe of a file: no recipe comes before it.

    Example:
        MAILDIR=$HOME/Mail
        :0 E
        rest/

    Instead:
        MAILDIR=$HOME/Mail
        :0
        * ^From:.*anna
        anna/
        :0 E
        rest/
    """
    first = next((rule for rule in view.rules if not rule.parents), None)
    included = any(a.name in (b"INCLUDERC", b"SWITCHRC") for a, _ in view.assignments)
    if first is not None and first.chained and view.is_main and not included:
        yield Finding(first.start, "there is no recipe before this one that A, a, E or e could refer to")


def repeated_flags(view: View) -> Iterator[Finding]:
    """A flag that is written twice.  The second one has no effect; perhaps another letter was meant.

    Example:
        :0 fww
        | cat

    Instead:
        :0 fw
        | cat
    """
    for rule in view.rules:
        letters = rule.recipe.start.raw.partition(b":")[0]
        twice = [chr(byte) for byte in flag.FLAGS if letters.count(byte) > 1]
        if twice and rule.known:
            yield Finding(rule.start, f"'{twice[0]}' is written twice", "leave one out")


def chained_to_failing_block(view: View) -> Iterator[Finding]:
    """`e` after a block: the block has not failed, so this never runs.

    `e` tests whether the action of the recipe before failed; for a block, its last recipe.  A block with
    only assignments cannot fail, unless it runs in a clone (`c`).  After a block with `E` that was
    skipped, `e` tests the recipe before that.

    Example:
        :0
        * ^Subject:.*x
        { SEEN=yes }
        :0 e
        failed/

    Instead:
        :0
        * ^Subject:.*x
        { SEEN=yes }
        :0 E
        failed/
    """
    by_recipe = {id(rule.recipe): rule for rule in view.rules}
    for rule in view.rules:
        before = next((item for item in reversed(rule.siblings[: rule.index]) if isinstance(item, Recipe)), None)
        previous = by_recipe[id(before)] if before is not None and rule.has(flag.ELSE_FAILED) else None
        if (
            previous is not None
            and isinstance(previous.recipe.action, Block)
            and not previous.has(flag.CARBON_COPY, flag.ELSE)
            and not any(isinstance(item, Recipe) for item in previous.recipe.action.items)
        ):
            yield Finding(rule.start, "the block before this cannot fail: this never runs", "E, not e?")


def old_start_line(view: View) -> Iterator[Finding]:
    """A start line that does not begin with `:0`: the number is how many conditions follow, and they need no `*`.

    `:` alone is followed by one condition, `:2` by two.  These lines are conditions, whatever they look like.

    Example:
        :1
        ^Subject:.*spam
        spam/

    Instead:
        :0
        * ^Subject:.*spam
        spam/
    """
    for rule in view.rules:
        text = rule.recipe.start.raw
        if not text.lstrip().startswith(b"0"):
            number = re.match(rb"\s*([0-9]+)", text)
            count = number[1].decode() if number else "1"
            lines = "line" if count == "1" else "lines"
            sentence = f"procmail takes {count} {lines} after this as conditions, with or without a '*'"
            yield Finding(rule.start, sentence, ":0 and a '*' before each")


CHECKS = (
    Check("P501", Severity.WARNING, conflicting_flags),
    Check("P502", Severity.WARNING, flags_on_block),
    Check("P503", Severity.INFO, areas_without_pattern),
    Check("P504", Severity.INFO, copy_of_filter),
    Check("P505", Severity.WARNING, nothing_to_chain_to),
    Check("P506", Severity.INFO, repeated_flags),
    Check("P507", Severity.WARNING, chained_to_failing_block),
    Check("P508", Severity.INFO, old_start_line),
)
