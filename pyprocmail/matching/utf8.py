r"""Patterns for UTF-8 text, made of the tokens of egrep.py: a letter is one letter, however many bytes it has.

A letter outside ASCII becomes the bytes of its forms; `.` and a class become the bytes of all their letters. So RE2,
the automaton and the sets of patterns treat these patterns like any other. The text must be valid UTF-8.

Case folds by Unicode's rules for single letters, but the long s and the Kelvin sign do not match their ASCII letters.
"""

from __future__ import annotations

from pyprocmail.matching import egrep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyprocmail.matching.egrep import Token

    Ranges = list[tuple[int, int]]

_SHIFT = 0x1000
"""Added to a letter outside ASCII, so that it is not mistaken for a token."""
_LAST = 0x10FFFF
_RAW_BYTES = (0xDC80, 0xDCFF)
"""The code points to which Python's surrogateescape decodes bytes that are not UTF-8."""

_FORMS = (
    "\u00c5\u00e5\u212b", "\u00b5\u039c\u03bc", "\u0345\u0399\u03b9\u1fbe", "Ββϐ", "Εεϵ", "Θθϑϴ", "Κκϰ",
    "Ππϖ", "Ρρϱ", "Σςσ", "Φφϕ", "\u03a9\u03c9\u2126", "Ввᲀ", "Ддᲁ",
    "Ооᲂ", "Ссᲃ", "Ттᲄᲅ", "Ъъᲆ", "Ѣѣᲇ", "ᲈꙊꙋ", "Ṡṡẛ",
)  # fmt: skip
"""Letters with more than two forms."""
_CASED = (
    (0xB5, 0x29E), (0x345, 0x586), (0x10A0, 0x10FF), (0x13A0, 0x13FD), (0x1C80, 0x1CBF), (0x1D79, 0x1D8E),
    (0x1E00, 0x1FFF), (0x2126, 0x2184), (0x24B6, 0x24E9), (0x2C00, 0x2D2D), (0xA640, 0xA69B), (0xA722, 0xA7F6),
    (0xAB53, 0xABBF), (0xFF21, 0xFF5A), (0x10400, 0x1044F), (0x104B0, 0x104FB), (0x10570, 0x105BC),
    (0x10C80, 0x10CF2), (0x118A0, 0x118DF), (0x16E40, 0x16E7F), (0x1E900, 0x1E943),
)  # fmt: skip
"""Ranges that contain the letters with several forms."""
_NO_WORD = (
    (0x0, 0x2F), (0x3A, 0x40), (0x5B, 0x5E), (0x60, 0x60), (0x7B, 0xA9), (0xAB, 0xB1), (0xB4, 0xB4), (0xB6, 0xB8),
    (0xBB, 0xBB), (0xBF, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7), (0x2000, 0x203E), (0x2041, 0x2053), (0x2055, 0x206F),
    (0x20A0, 0x20C0), (0x2190, 0x2426), (0x2500, 0x2775), (0x2794, 0x2BFF), (0x3000, 0x3004), (0x3008, 0x3020),
    (0xFF01, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF3E), (0xFF40, 0xFF40), (0xFF5B, 0xFF65), (0xFFF9, 0xFFFD),
    (0x1F000, 0x1F0FF), (0x1F10D, 0x1FBCA),
)  # fmt: skip
"""Signs, blanks and pictures: the characters that `\\<` and `\\>` match."""


def parse(text: bytes, *, fold: bool) -> egrep.Pattern:
    """As egrep.parse, for UTF-8 text. The pattern is UTF-8 too; its bytes that are not UTF-8 are read as Latin-1."""
    letters = [_letter(ord(letter)) for letter in text.decode("utf-8", "surrogateescape")]
    pattern = egrep.read(letters, bytes(letter if letter < 0x80 else 0x61 for letter in letters))
    out: list[Token] = []
    tokens = pattern.tokens
    for at, token in enumerate(tokens):
        following = tokens[at + 1] if at + 1 < len(tokens) else egrep.OPEN
        out += _bytes(token, following, fold)
    return egrep.Pattern(tuple(out), valid=pattern.valid, alternates=pattern.alternates)


def _letter(code: int) -> int:
    if code < 0x80:
        return code
    return _SHIFT + (code & 0xFF if _RAW_BYTES[0] <= code <= _RAW_BYTES[1] else code)


def _bytes(token: Token, following: Token, fold: bool) -> list[Token]:
    """The tokens of bytes for one token of letters; `following` is the token after it."""
    if isinstance(token, tuple):
        negated, members = token[0], token[1:]
        if max(members, default=0) < 0x80 and (not negated or following == egrep.STAR):
            return [token]
        code = [member if member < 0x80 else member - _SHIFT for member in members]
        ranges = _sorted(zip(code[::2], code[1::2], strict=True))
        if fold:
            ranges = _sorted([*ranges, *_other_forms(ranges)])
        return _any_of(_others([*ranges, (0x0A, 0x0A)]) if negated else ranges, following)
    if token >= _SHIFT:
        code_point = token - _SHIFT
        forms = _forms(code_point) if fold else {code_point}
        return _any_of([(form, form) for form in sorted(forms)], following)
    if token == egrep.ANY and following != egrep.STAR:
        return _any_of(_others([(0x0A, 0x0A)]), following)
    # Any number of bytes serves for any number of letters: the tokens around them begin and end at whole letters.
    return _any_of(list(_NO_WORD), following) if token == egrep.WORD_EDGE else [token]


def _any_of(ranges: Ranges, following: Token) -> list[Token]:
    """The tokens for the bytes of one letter in the ranges."""
    plain: list[int] = [0]
    longer: list[list[tuple[int, int]]] = []
    for low, high in ranges:
        for sequence in _sequences(low, high):
            if len(sequence) == 1:
                plain += sequence[0]
            elif longer and longer[-1][:-1] == sequence[:-1] and longer[-1][-1][1] + 1 == sequence[-1][0]:
                longer[-1][-1] = (longer[-1][-1][0], sequence[-1][1])
            else:
                longer.append(sequence)
    alternatives: list[list[Token]] = [[_byte(low, high) for low, high in sequence] for sequence in _joined(longer)]
    if len(plain) > 1:
        alternatives.insert(0, [tuple(plain) if len(plain) > 3 or plain[1] != plain[2] else plain[1]])
    if not alternatives:
        return [(0,)]
    alone = len(alternatives) == 1
    if alone and (len(alternatives[0]) == 1 or following not in (egrep.STAR, egrep.PLUS, egrep.OPTIONAL)):
        return alternatives[0]
    out: list[Token] = [egrep.OPEN]
    for alternative in alternatives:
        out += [*alternative, egrep.OR]
    out[-1] = egrep.CLOSE
    return out


def _joined(sequences: list[list[tuple[int, int]]]) -> Iterator[list[tuple[int, int]]]:
    """The sequences; those with neighbouring first bytes and an equal rest are joined."""
    last: list[tuple[int, int]] | None = None
    for sequence in sequences:
        if last is not None and last[1:] == sequence[1:] and last[0][1] + 1 == sequence[0][0]:
            last[0] = (last[0][0], sequence[0][1])
            continue
        if last is not None:
            yield last
        last = sequence
    if last is not None:
        yield last


def _byte(low: int, high: int) -> Token:
    return low if low == high else (0, low, high)


def _sequences(low: int, high: int) -> Iterator[list[tuple[int, int]]]:
    """The letters from `low` to `high`, as ranges of the first, the second, ... byte."""
    todo = [(low, high)]
    while todo:
        low, high = todo.pop()
        cut = next((last for last in (0x7F, 0x7FF, 0xFFFF) if low <= last < high), None)
        if cut is None and high > 0x7F:
            for shift in (6, 12, 18):
                mask = (1 << shift) - 1
                if low | mask != high | mask:
                    if low & mask:
                        cut = low | mask
                        break
                    if high & mask != mask:
                        cut = (high & ~mask) - 1
                        break
        if cut is not None:
            todo += [(cut + 1, high), (low, cut)]
            continue
        first, last = (chr(code).encode("utf-8", "surrogatepass") for code in (low, high))
        yield list(zip(first, last, strict=True))


# -- sets of letters --------------------------------------------------------------------------


def _sorted(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The ranges in order; those that touch are joined."""
    out: Ranges = []
    for low, high in sorted(ranges):
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(high, out[-1][1]))
        else:
            out.append((low, high))
    return out


def _others(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """All letters that are not in the ranges."""
    out: Ranges = []
    begin = 0
    for low, high in _sorted(ranges):
        if begin < low:
            out.append((begin, low - 1))
        begin = high + 1
    return [*out, (begin, _LAST)] if begin <= _LAST else out


def _forms(code: int) -> set[int]:
    """The letter in upper and lower case and in its other forms."""
    letter = chr(code)
    for forms in _FORMS:
        if letter in forms:
            return {ord(form) for form in forms}
    folded = letter.casefold()
    found = {code}
    for form in (letter.lower(), letter.upper(), letter.title(), folded):
        # A form is one letter, and folds to the same letter.
        if len(form) == 1 and form.casefold() == folded:
            found |= {ord(form), *(ord(one) for one in (form.upper(), form.lower()) if _folds_to(one, folded))}
    return found


def _folds_to(form: str, folded: str) -> bool:
    return len(form) == 1 and form.casefold() == folded


def _other_forms(ranges: Ranges) -> Iterator[tuple[int, int]]:
    """The forms of the letters in the ranges."""
    for low, high in ranges:
        for first, last in ((0x41, 0x5A), (0x61, 0x7A), *_CASED):
            for code in range(max(low, first), min(high, last) + 1):
                if code < 0x80:
                    yield (code ^ 0x20, code ^ 0x20)
                else:
                    yield from ((form, form) for form in _forms(code))
