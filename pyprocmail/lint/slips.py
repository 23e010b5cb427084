"""Checks for slips around conditions: a `$` or a backslash that does not do what it seems to, a needless condition."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyprocmail.diagnostics import Severity
from pyprocmail.lint.finding import Check, Edit, Finding
from pyprocmail.lint.patterns import may_be_empty
from pyprocmail.lint.variables import SPECIAL
from pyprocmail.lint.view import Test, View
from pyprocmail.matching import egrep, macros
from pyprocmail.procmail.compiled.conditions import EXPAND, REGEX
from pyprocmail.source import Span

_CLASS = re.compile(rb"\[\^?\]?[^]]*\]")
_LETTERS = {b"t": "a tab", b"n": "a newline", b"s": "a blank and a tab", b"d": "0-9", b"w": "a-z0-9_"}


def dollar_that_is_eaten(view: View) -> Iterator[Finding]:
    """`* $NAME`: the `$` means that the condition is expanded; `NAME` is left as plain text.

    A condition that is only a variable needs two: `* $ $NAME`.  So does one after `??`.

    Example:
        FRIENDS="^From:.*(anna|bert)@"
        :0
        * $FRIENDS
        friends/

    Instead:
        FRIENDS="^From:.*(anna|bert)@"
        :0
        * $ $FRIENDS
        friends/
    """
    for _, test in view.tests(EXPAND):
        whole = test.node.parts[4]
        found = re.match(rb"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", whole)
        name = (found[1] or found[2]) if found else b""
        if found and whole.find(b"??") < 0 and (name in view.values or name in view.others or name in SPECIAL):
            at = test.node.span.end - len(test.node.raw) + max(test.node.raw.find(whole), 0)
            sentence = f"procmail reads '$' and '{found[0][1:].decode()}' here: the variable is not expanded"
            yield Finding(Span(at, at + found.end()), sentence, "'$ ' before it", (Edit(Span(at, at), b"$ "),))


def match_that_may_be_empty(view: View) -> Iterator[Finding]:
    """The pattern after `\\/` can match nothing: MATCH is often empty.

    procmail ends the left side as early as it can.  The right side begins there, even if it finds nothing at that
    place: after `Subject:` comes a blank, not a digit.

    Example:
        :0
        * ^Subject:.*\\/[0-9]*
        numbers/

    Instead:
        :0
        * ^Subject:.*\\/[0-9]+
        numbers/
    """
    for _, test in view.tests(REGEX):
        left, found, right = test.text.rpartition(b"\\/")
        if not found or test.negated or right.startswith((b".*", b"(.*")) or not left.endswith((b"*", b"+", b"?")):
            continue
        if may_be_empty(egrep.parse(macros.expand(right)[0])):
            at = len(left) + 2
            yield Finding(test.place(at, len(right)), "this can match nothing, and MATCH is empty then", "+, not *")


def condition_that_another_implies(view: View) -> Iterator[Finding]:
    """A pattern that is the beginning of another one of the recipe: it matches whenever the other one does.

    Example:
        :0
        * ^Subject:
        * ^Subject:.*spam
        spam/

    Instead:
        :0
        * ^Subject:.*spam
        spam/
    """
    for rule in view.rules:
        plain = [test for test in rule.tests if _is_plain(test)]
        for test in plain:
            longer = next((other for other in plain if other is not test and _implies(other, test)), None)
            if longer is not None:
                sentence = f"'{longer.text.decode(errors='replace')}' is only true where this is true as well"
                yield Finding(test.node.span, sentence, "leave this one out")


def _is_plain(test: Test) -> bool:
    odd = test.negated or test.weighted or b"|" in test.text or b"\\/" in test.text
    return test.kind == REGEX and not odd and len(test.text) > 2


def _implies(longer: Test, test: Test) -> bool:
    """Whether the pattern `longer` is the text of `test` and more."""
    rest = longer.text[len(test.text) :]
    return (
        longer.area == test.area
        and longer.text.startswith(test.text)
        and not test.text.endswith(b"\\")
        and rest[:1] not in (b"", b"*", b"+", b"?")
        and egrep.parse(test.text).valid
        and test.text.count(b"[") == test.text.count(b"]")
    )


def escape_in_class(view: View) -> Iterator[Finding]:
    """`[ \\t]`: in a class, backslash and letter are two plain characters.

    This class contains a blank, a backslash and the letter t, but no tab.

    Example:
        :0
        * ^Subject:[ \\t]*urgent
        urgent/

    Instead:
        :0
        * ^Subject:[ 	]*urgent
        urgent/
    """
    for _, test in view.patterns():
        for found in _CLASS.finditer(test.text) if b"[" in test.text else ():
            inside = re.search(rb"\\([tnsdw])", found[0])
            if inside and test.text[found.start() - 1 : found.start()] != b"\\":
                letter = inside[1].decode()
                place = test.place(found.start() + inside.start(), 2)
                sentence = f"a backslash and the letter {letter}, both for themselves"
                yield Finding(place, sentence, f"{_LETTERS[inside[1]]}, as it is")
                break


def backslash_that_is_dropped(view: View) -> Iterator[Finding]:
    """A backslash at the beginning of a pattern only says that a pattern begins: it is dropped, and escapes nothing.

    It is there for patterns that begin with `!` or `?`.  So `* \\.zip` finds any character before `zip`, and with
    `* \\<a` the text begins with `<`, not with a word.  The same applies after `??` and after a weight.

    Example:
        :0 B
        * \\<free\\>
        offers/

    Instead:
        :0 B
        * ()\\<free\\>
        offers/
    """
    for _, test in view.patterns():
        if test.plain and view.data[test.at - 1 : test.at] == b"\\" and test.text[:1] in _ESCAPED:
            first = test.text[:1].decode()
            sentence = f"this backslash is dropped, and '{first}' begins the pattern"
            edit = Edit(Span(test.at - 1, test.at - 1), b"()")
            yield Finding(Span(test.at - 1, test.at + 1), sentence, f"'()\\{first}' is meant?", (edit,))


_ESCAPED = tuple(b"%c" % character for character in b".<>$^*+([)|")
"""The characters that mean something else with a backslash before them."""

CHECKS = (
    Check("P417", Severity.ERROR, dollar_that_is_eaten),
    Check("P418", Severity.WARNING, match_that_may_be_empty),
    Check("P419", Severity.INFO, condition_that_another_implies),
    Check("P420", Severity.WARNING, escape_in_class),
    Check("P423", Severity.WARNING, backslash_that_is_dropped),
)
