"""Checks for patterns of filter files: of another dialect, invalid, or with another meaning than intended."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyprocmail.diagnostics import Severity
from pyprocmail.lint.finding import Check, Edit, Finding
from pyprocmail.lint.mailfilter.view import NAME, FilterView
from pyprocmail.lint.patterns import DOMAIN, FIELDS
from pyprocmail.maildrop.syntax.nodes import If, Match, Pattern, Text, TextKind, Unary, While
from pyprocmail.matching.pcre import PatternError
from pyprocmail.source import Span

_FIELD = re.compile(rb"\(?(" + FIELDS + rb"):", re.IGNORECASE)
_DIALECT = re.compile(rb"\^(?:TO_?(?![A-Za-z]*:)|FROM_(?:DAEMON|MAILER))|(?<!\\)\\[<>](?!.*>)|(?<!\\)\\<.*\\>")
_NESTED = re.compile(rb"\((?:\?:)?(?:[^()\\]|\\.)*(?:[*+]|\{[0-9]+,\})\)(?:[*+]|\{[0-9]+,\})")
_OPTIONS = b"hbDwH"


def _place(pattern: Pattern, start: int = 0, length: int | None = None) -> Span:
    """The span of a part of the text of a pattern."""
    at = pattern.span.start + 1
    return Span(at + start, at + (len(pattern.text) if length is None else start + length))


def dialect_of_procmail(view: FilterView) -> Iterator[Finding]:
    """procmail's pattern syntax: `^TO_`, `^FROM_DAEMON`, `\\<`, `\\>`.  maildrop has Perl's.

    To Perl `\\<` is the character `<`, and `^TO_` the letters T and O.  The beginning or end of a word is `\\b`.

    Example:
        if (/^TO_pat@home\\.example/)
            to "mine"

    Instead:
        if (/^(To|Cc):.*\\bpat@home\\.example/)
            to "mine"
    """
    for _, pattern, _ in view.patterns():
        found = _DIALECT.search(pattern.text)
        if found:
            shown = found[0][:14].decode(errors="replace") if found[0].startswith(b"^") else found[0][:2].decode()
            hint = "\\b" if shown.startswith("\\") else "the fields, as (To|Cc)"
            yield Finding(_place(pattern, found.start(), len(shown)), f"maildrop's patterns have no '{shown}'", hint)


def broken_pattern_in_filter(view: FilterView) -> Iterator[Finding]:
    """A pattern that cannot be compiled: maildrop reports it for every mail, and the pattern never matches.

    Example:
        if (/^Subject:.*(spam|junk/)
            to "spam"

    Instead:
        if (/^Subject:.*(spam|junk)/)
            to "spam"
    """
    for _, pattern, _ in view.patterns():
        text = NAME.sub(lambda found: b"x" * len(found[0]), pattern.text)
        error = view.regex(text, fold=b"D" not in pattern.options)
        if isinstance(error, PatternError):
            at = min(error.offset, max(len(pattern.text) - 1, 0))
            yield Finding(_place(pattern, at, 1), f"this pattern cannot be read: {error.reason}")


def nested_repeat(view: FilterView) -> Iterator[Finding]:
    """A repeat in a repeat, as `(a+)+`: a stranger can write a mail that keeps maildrop busy for ever.

    pyprocmail has a limit, or matches it in linear time; maildrop 2 and 3 do not.

    Example:
        if (/^Subject: ([a-z]+)+!/)
            to "loud"

    Instead:
        if (/^Subject: [a-z]+!/)
            to "loud"
    """
    for _, pattern, _ in view.patterns():
        found = _NESTED.search(re.sub(rb"\[\^?\]?[^]]*\]", lambda one: b"x" * len(one[0]), pattern.text))
        if found:
            place = _place(pattern, found.start(), len(found[0]))
            yield Finding(place, "a repeat within a repeat: some mails take forever", "one of them is enough")


def field_without_caret_in_filter(view: FilterView) -> Iterator[Finding]:
    """A field's name without `^`: it is found in the middle of lines, too.

    Example:
        if (/From:.*anna@/)
            to "anna"

    Instead:
        if (/^From:.*anna@/)
            to "anna"
    """
    for _, pattern, searched in view.patterns():
        found = _FIELD.match(pattern.text)
        body = b"b" in pattern.options or b"w" in pattern.options
        if found and searched and not body:
            at = pattern.span.start + 1
            edits = (Edit(Span(at, at), b"^"),)
            sentence = f"'{found[1].decode()}:' without '^' is found anywhere"
            yield Finding(_place(pattern, 0, found.end()), sentence, "add '^'", edits)


def unknown_option(view: FilterView) -> Iterator[Finding]:
    """A letter after a pattern that is not an option: the options are `h b D w` and weights.

    Case is ignored without an option; `D` distinguishes it.

    Example:
        if (/^Subject:.*spam/:i)
            to "spam"

    Instead:
        if (/^Subject:.*spam/)
            to "spam"
    """
    for _, pattern, _ in view.patterns():
        letters = re.match(rb"[A-Za-z]*", pattern.options)
        odd = [chr(byte) for byte in (letters[0] if letters else b"") if byte not in _OPTIONS]
        if odd:
            sentence = f"'{odd[0]}' has no meaning after a pattern"
            yield Finding(pattern.span, sentence, "case is ignored anyway" if odd[0] == "i" else "h b D w")


def unescaped_dot_in_filter(view: FilterView) -> Iterator[Finding]:
    """A dot in a domain without a backslash: it stands for any character.

    Example:
        if (/^From:.*@example.com/)
            to "friends"

    Instead:
        if (/^From:.*@example\\.com/)
            to "friends"
    """
    for _, pattern, _ in view.patterns():
        hidden = re.sub(rb"\[\^?\]?[^]]*\]", lambda one: b"\0" * len(one[0]), pattern.text)
        dots = [found.start(1) for found in DOMAIN.finditer(hidden)]
        if dots:
            edits = tuple(Edit(_place(pattern, at, 0), b"\\") for at in dots)
            yield Finding(_place(pattern, dots[0], 1), "this '.' stands for any character", "\\.", edits)


def pattern_matches_always_in_filter(view: FilterView) -> Iterator[Finding]:
    """A condition whose pattern can match the empty text, so it matches any mail: `x*`, `(a|)`, an empty branch.

    Example:
        if (/^Subject:.*spam|/)
            to "spam"

    Instead:
        if (/^Subject:.*spam/)
            to "spam"
    """
    for place, pattern, _ in view.patterns():
        if NAME.search(pattern.text) or not isinstance(place.statement, If | While) or b"(?" in pattern.text:
            continue
        regex = view.regex(pattern.text, fold=b"D" not in pattern.options)
        if isinstance(regex, PatternError) or regex.search(b"") is None:
            continue
        if not re.fullmatch(rb"\^?(\.\*)?\$", pattern.text):
            yield Finding(_place(pattern), "this pattern is found in any text")


def negated_subject(view: FilterView) -> Iterator[Finding]:
    """`! $VARIABLE =~ /pattern/`: the `!` belongs to the variable, and not to the comparison.

    Example:
        if (! $FROM =~ /anna@/)
            to "others"

    Instead:
        if (!($FROM =~ /anna@/))
            to "others"
    """
    for _, one in view.parts:
        if isinstance(one, Match) and isinstance(one.subject, Unary) and one.subject.operator == "!":
            text = view.data[one.span.start : one.span.end]
            if text.startswith(b"!"):
                yield Finding(one.span, "'!' applies to the left side of '=~'", "parentheses around the comparison")


def group_that_is_not_there(view: FilterView) -> Iterator[Finding]:
    """`$MATCH2` where no pattern has a second pair of parentheses: it is empty.

    Example:
        if (/^Subject:.*\\[([a-z]+)\\]/)
            to "lists-$MATCH2"

    Instead:
        if (/^Subject:.*\\[([a-z]+)\\]/)
            to "lists-$MATCH1"
    """
    if not view.is_main:
        return
    most = 0
    for _, pattern, _ in view.patterns():
        hidden = re.sub(rb"\\.|\[\^?\]?[^]]*\]", b"", pattern.text)
        most = max(most, len(re.findall(rb"\((?!\?)|\(\?P?<[A-Za-z]", hidden)))
        if NAME.search(pattern.text):
            return
    for _, one in view.parts:
        for piece in one.pieces if isinstance(one, Text) else ():
            for found in NAME.finditer(piece.value) if piece.kind is not TextKind.SINGLE else ():
                name = found[1] or found[2]
                number = name.removeprefix(b"MATCH")
                if name.startswith(b"MATCH") and number.isdigit() and int(number[:4]) > most:
                    sentence = f"no pattern here has {int(number[:4])} pairs of parentheses: {name.decode()} is empty"
                    yield Finding(view.at(piece, found[0]), sentence)


CHECKS = (
    Check("M401", Severity.ERROR, dialect_of_procmail),
    Check("M402", Severity.ERROR, broken_pattern_in_filter),
    Check("M403", Severity.WARNING, nested_repeat),
    Check("M404", Severity.WARNING, field_without_caret_in_filter),
    Check("M405", Severity.INFO, unknown_option),
    Check("M406", Severity.INFO, unescaped_dot_in_filter),
    Check("M407", Severity.WARNING, pattern_matches_always_in_filter),
    Check("M408", Severity.ERROR, negated_subject),
    Check("M409", Severity.ERROR, group_that_is_not_there),
)
