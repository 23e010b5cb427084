"""The tokens of a condition's pattern, each with its place in the file, also in joined lines and macros."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyprocmail.matching import egrep, macros
from pyprocmail.procmail.compiled.pieces import BLANKS
from pyprocmail.procmail.syntax import places
from pyprocmail.procmail.syntax.nodes import Condition, ExpandedTest, RegexTest
from pyprocmail.source import Span

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class PatternToken:
    """A token of matching/egrep, its place, and the name of the macro that it comes from, if any.

    A parenthesis that procmail adds at the end has an empty span.
    """

    token: egrep.Token
    span: Span
    macro: bytes | None


def offsets(condition: Condition) -> list[int]:
    """The offset in the file of each byte of the test's text, and of the end of the text."""
    raw = condition.raw
    returns: list[int] = []
    if b"\r\n" in raw and places.logical(raw) != condition.text:
        length = 0
        for line in raw.split(b"\r\n")[:-1]:
            length += len(line)
            returns.append(length)
            length += 1
        raw = raw.replace(b"\r\n", b"\n")
    start = condition.span.start + len(condition.mark)
    logical = [start + offset + bisect_right(returns, offset) for offset in places.of_logical(raw)]
    first = bisect_left(logical, condition.test.span.start)
    text = condition.text[first:].rstrip(BLANKS)
    found = logical[first : first + len(text)]
    if isinstance(condition.test, RegexTest | ExpandedTest):
        found = [found[offset] for offset in places.of_joined(text)]
    found = found[len(found) - len(condition.test.text) :]
    return [*found, condition.test.span.end]


def tokens(condition: Condition) -> tuple[PatternToken, ...]:
    """The tokens of a pattern; empty if the condition is not a pattern, or is expanded first."""
    if not isinstance(condition.test, RegexTest):
        return ()
    at = offsets(condition)
    text, origins = _expanded(condition.test.text)
    pattern = egrep.parse(text)
    end = Span(at[-1], at[-1])
    found: list[PatternToken] = []
    for token, (first, last) in zip(pattern.tokens, _lengths(text, len(pattern.tokens)), strict=True):
        if first == last:
            found.append(PatternToken(token, end, None))
            continue
        start, _, macro = origins[first]
        _, stop, _ = origins[last - 1]
        found.append(PatternToken(token, Span(at[start], min(at[stop - 1] + 1, at[-1])), macro))
    return tuple(found)


def _expanded(text: bytes) -> tuple[bytes, list[tuple[int, int, bytes | None]]]:
    """The pattern with its macros replaced; for each byte the begin and end of its source, and its macro."""
    origins: list[tuple[int, int, bytes | None]] = [(at, at + 1, None) for at in range(len(text))]
    while b"^TO" in text or b"^FROM_" in text:
        for name, expansion in macros.MACROS:
            at = text.find(name)
            if at >= 0 and text[at - 1 : at] != b"\\":
                end = at + len(name)
                origin = (origins[at][0], origins[end - 1][1], name)
                text = text[:at] + expansion + text[end:]
                origins[at:end] = [origin] * len(expansion)
                break
        else:
            break
    return text, origins


def _lengths(text: bytes, count: int) -> Iterator[tuple[int, int]]:
    """The begin and end of each of the first `count` tokens; a token after the end of the text was added."""
    at = 0
    while count:
        end = min(at + 1, len(text))
        if text.startswith(b"[", at):
            end = min(egrep.read_class(text, at + 1)[1], len(text))
        elif text.startswith(b"^^", at) or (text.startswith(b"\\", at) and at + 1 < len(text)):
            end = at + 2
        yield at, end
        at = end
        count -= 1
