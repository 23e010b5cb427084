"""How far a maildrop pattern got in the lines of a text that it does not match; `near` does it for procmail's."""

from __future__ import annotations

from pyprocmail.matching.near import ANCHOR, BLANKS, CASE, Reach, alternatives
from pyprocmail.matching.pcre import LimitError, PatternError, Regex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_QUANTIFIERS = b"*+?"
_MOST_ALTERNATIVES = 50


def place(pattern: bytes, text: bytes, *, fold: bool) -> tuple[int, int]:
    """Where the pattern first matches in a line of the text; (0, 0) if it does not match or is invalid."""
    try:
        regex = Regex(pattern, fold=fold)
        start = regex.first_line(text)
        start = -1 if start < 0 else text.rfind(b"\n", 0, start) + 1
        while 0 <= start < len(text):
            end = text.find(b"\n", start)
            end = len(text) if end < 0 else end
            spans = regex.search(text[start:end])
            if spans is not None:
                return start + spans[0][0], start + spans[0][1]
            start = end + 1
    except (LimitError, PatternError):
        pass
    return 0, 0


def how_far(pattern: bytes, text: bytes, *, fold: bool) -> list[Reach]:
    """How far each alternative of the pattern got, the furthest first."""
    found = [_reach(pieces, text, fold) for pieces in alternatives(atoms(pattern))[:_MOST_ALTERNATIVES]]
    return sorted(found, key=lambda reach: -len(reach.found))


def _reach(parts: Sequence[bytes], text: bytes, fold: bool) -> Reach:
    low, high = 0, len(parts)
    start = end = 0
    while low < high:
        middle = (low + high + 1) // 2
        found = place(b"".join(parts[:middle]), text, fold=fold)
        if found[1]:
            low, (start, end) = middle, found
        else:
            high = middle - 1
    return Reach(b"".join(parts[:low]), b"".join(parts[low:]), start, end)


def misses(pattern: bytes, text: bytes, *, fold: bool) -> list[tuple[str, bytes]]:
    """The near misses of a pattern that does not match, each with the line where it nearly does."""
    found = []
    free = pattern.lstrip(b"^")
    single = b" ".join(piece for piece in text.replace(b"\t", b" ").split(b" ") if piece)
    tries = [(CASE, pattern, text, True)] if not fold else []
    if free not in (pattern, b""):
        tries.append((ANCHOR, free, text, fold))
    if b" " in pattern and single != text:
        tries.append((BLANKS, pattern, single, fold))
    for kind, tried, searched, folded in tries:
        end = place(tried, searched, fold=folded)[1]
        if end:
            start = searched.rfind(b"\n", 0, end) + 1
            found.append((kind, searched[start:].partition(b"\n")[0]))
    return found


def atoms(pattern: bytes) -> list[bytes]:
    """The pieces of a pattern, each with its quantifier: characters, escapes, classes, groups, and `|` by itself."""
    found: list[bytes] = []
    at = 0
    while at < len(pattern):
        end = _end_of_atom(pattern, at)
        if pattern[at] != 0x7C:
            end = _end_of_quantifier(pattern, end)
        found.append(pattern[at:end])
        at = end
    return found


def _end_of_atom(pattern: bytes, at: int) -> int:
    byte = pattern[at]
    if byte == 0x5C:
        return min(at + 2, len(pattern))
    if byte == 0x5B:
        return _end_of_class(pattern, at)
    if byte >= 0xC0:
        end = at + 1
        while end < len(pattern) and pattern[end] & 0xC0 == 0x80:
            end += 1
        return end
    if byte != 0x28:
        return at + 1
    at += 1
    while at < len(pattern) and pattern[at] != 0x29:
        at = _end_of_atom(pattern, at)
    return min(at + 1, len(pattern))


def _end_of_quantifier(pattern: bytes, at: int) -> int:
    """The offset after `*`, `+`, `?` or `{n,m}`, and after a `?` or `+` that follows it."""
    if at < len(pattern) and pattern[at] in _QUANTIFIERS:
        at += 1
    elif pattern.startswith(b"{", at):
        end = pattern.find(b"}", at)
        if end < 0 or pattern[at + 1 : end].strip(b"0123456789,"):
            return at
        at = end + 1
    else:
        return at
    return at + 1 if at < len(pattern) and pattern[at] in b"?+" else at


def _end_of_class(pattern: bytes, at: int) -> int:
    """The offset after the `]`; the first byte of a class is always a member, even `]`."""
    at += 1
    at += pattern.startswith(b"^", at)
    first = True
    while at < len(pattern):
        if pattern[at] == 0x5D and not first:
            return at + 1
        first = False
        if pattern.startswith(b"[:", at) and pattern.find(b":]", at) > 0:
            at = pattern.find(b":]", at) + 2
        else:
            at += 2 if pattern[at] == 0x5C else 1
    return len(pattern)
