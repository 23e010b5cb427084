r"""How far a pattern of procmail's dialect got in a text that it does not match.

Each alternative of a pattern is a concatenation x1...xn.  If x1...xk matches somewhere, so does each shorter beginning.
So bisection finds the largest such k with a few searches by RE2, whatever the pattern.
"""

from __future__ import annotations

from pyprocmail.matching.regex import Area, Regex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_QUANTIFIERS = b"*+?"
_SPLIT = b"\\/"
_MOST_ALTERNATIVES = 50


class Reach:
    """How far one alternative got: `found` is the part that matches somewhere, `missing` the rest.

    `start` and `end` are the first place where `found` matches in the text; both are 0 if no part of it matches.
    """

    __slots__ = ("found", "missing", "start", "end")

    def __init__(self, found: bytes, missing: bytes, start: int, end: int) -> None:
        self.found = found
        self.missing = missing
        self.start = start
        self.end = end


def how_far(pattern: bytes, area: Area, *, fold: bool) -> list[Reach]:
    """How far each alternative of the pattern got, the furthest first; the pattern's macros are already replaced."""
    found = [_reach(pieces, area, fold) for pieces in alternatives(atoms(pattern))[:_MOST_ALTERNATIVES]]
    return sorted(found, key=lambda reach: -len(reach.found))


def _reach(parts: Sequence[bytes], area: Area, fold: bool) -> Reach:
    low, high = 0, len(parts)
    while low < high:
        middle = (low + high + 1) // 2
        if Regex(b"".join(parts[:middle]), fold, unicode=area.unicode).search(area):
            low = middle
        else:
            high = middle - 1
    beginning = b"".join(parts[:low])
    start, end = place(beginning, area, fold=fold) if low else (0, 0)
    return Reach(beginning, b"".join(parts[low:]), start, end)


def place(pattern: bytes, area: Area, *, fold: bool) -> tuple[int, int]:
    r"""Where the pattern first matches in the text, without the newlines around it; (0, 0) if it does not match.

    This is the value that MATCH would get from `\/` before the pattern.
    """
    match = Regex(_SPLIT + pattern.replace(_SPLIT, b""), fold, unicode=area.unicode).match(area)
    if match is None or match.none:
        return 0, 0
    start, end = match.start, match.end
    while start < end and area.part(start, start + 1) == b"\n":
        start += 1
    while end > start and area.part(end - 1, end) == b"\n":
        end -= 1
    return start, end


def alternatives(pieces: Iterable[bytes]) -> list[list[bytes]]:
    """The pieces of each alternative, that is, of the parts between those `|` that are outside all parentheses."""
    found: list[list[bytes]] = [[]]
    for piece in pieces:
        if piece == b"|":
            found.append([])
        else:
            found[-1].append(piece)
    return found


def atoms(pattern: bytes) -> list[bytes]:
    """The pieces of a pattern, each with its quantifier: characters, classes, groups, and `|` by itself."""
    found: list[bytes] = []
    at = 0
    while at < len(pattern):
        end = _end_of_atom(pattern, at)
        if end < len(pattern) and pattern[end] in _QUANTIFIERS and pattern[at] not in b"|":
            end += 1
        found.append(pattern[at:end])
        at = end
    return found


def _end_of_atom(pattern: bytes, at: int) -> int:
    byte = pattern[at]
    if byte == 0x5C:
        return min(at + 2, len(pattern))
    if byte == 0x5B:
        return _end_of_class(pattern, at)
    if byte == 0x5E and pattern.startswith(b"^^", at):
        return at + 2
    if byte != 0x28:
        return at + 1
    depth = 0
    while at < len(pattern):
        if pattern[at] == 0x28:
            depth += 1
            at += 1
        elif pattern[at] == 0x29:
            depth -= 1
            at += 1
            if not depth:
                return at
        else:
            at = _end_of_atom(pattern, at)
    return len(pattern)


def _end_of_class(pattern: bytes, at: int) -> int:
    """The offset after the `]`; the first byte of a class is always a member, even `]`."""
    at += 1
    at += pattern.startswith(b"^", at)
    end = pattern.find(b"]", at + 1)
    return len(pattern) if end < 0 else end + 1


# -- near misses -----------------------------------------------------------------------------


CASE, ANCHOR, BLANKS, DECODED = "case", "anchor", "blanks", "decoded"
"""The one thing that keeps a pattern from matching: upper or lower case; its `^`; several blanks, or a folded field; an
encoding of the mail."""


def misses(pattern: bytes, area: Area, decoded: bytes | None, *, fold: bool) -> list[tuple[str, bytes]]:
    """The near misses of a pattern that does not match, each with the line where it nearly does.

    `decoded` is the text with encoded words and transfer encodings decoded; None if the text is not part of the mail.
    """
    found = []
    if not fold and Regex(pattern, True, unicode=area.unicode).search(area):
        found.append((CASE, line_at(pattern, area, fold=True)))
    free = pattern.lstrip(b"^")
    if free != pattern and free and Regex(free, fold, unicode=area.unicode).search(area):
        found.append((ANCHOR, line_at(free, area, fold=fold)))
    text = area.text
    single = Area(b" ".join(piece for piece in text.replace(b"\t", b" ").split(b" ") if piece))
    if b" " in pattern and len(single) != len(area) and Regex(pattern, fold, unicode=area.unicode).search(single):
        found.append((BLANKS, line_at(pattern, single, fold=fold)))
    if decoded is not None and decoded != text:
        clear = Area(decoded)
        if Regex(pattern, fold).search(clear):
            found.append((DECODED, line_at(pattern, clear, fold=fold)))
    return found


def line_at(pattern: bytes, area: Area, *, fold: bool) -> bytes:
    """The line of the text in which the match ends."""
    return line_of(area.text, place(pattern, area, fold=fold)[1])


def line_of(text: bytes, at: int) -> bytes:
    """The line that contains the offset."""
    start = text.rfind(b"\n", 0, at) + 1
    end = text.find(b"\n", at)
    return text[start : len(text) if end < 0 else end]
