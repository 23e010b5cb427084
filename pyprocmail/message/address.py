"""Addresses in header fields, read as loosely as maildrop reads them.

For what the program prints and compares: nothing here says whether an address is right.  RFC 5322, section 3.4.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ATOM, QUOTED, COMMENT = b"aqc"
"""What a word is; a sign is itself."""

_ENCLOSED = frozenset((QUOTED, COMMENT))
_NOT_IN_NAMES = b"c<>@,;:.[]"

_SPACE = frozenset(b" \t\r\n\v\f")
_SPECIALS = frozenset(b"<>@,;:.[]")
_BETWEEN = _SPACE | frozenset(b")\\")
_ENDS_ATOM = _BETWEEN | _SPECIALS | frozenset(b'("')
_END_MARKS = bytes(0x0A if byte in _ENDS_ATOM else 0x20 for byte in range(256))
_ENDS_WORD = _SPACE | frozenset(b',<>()"@:;')
_WORD_MARKS = bytes(0x0A if byte in _ENDS_WORD else 0x20 for byte in range(256))
_ASKS_FOR_QUOTES = b'()<>[]:;@\\,."'


class Address:
    """An address, or what else stands in a list.

    `text` is None where there is none: then `name` is a comment that stands alone, a group with its colon, or a `;`.
    A `name` of an address is None when there is none; encoded words in it are as they stand.
    """

    __slots__ = ("name", "text")

    def __init__(self, text: bytes | None, name: bytes | None = None) -> None:
        self.text = text
        self.name = name


class Tokens:
    """The words and signs of a field's value, in a few bytes each, since a stranger may write millions.

    `kinds` has a byte for each: a sign itself, or what an ATOM, a QUOTED or a COMMENT is.  Its text is in `text` from
    `begins` to `ends`, with the quotes and parentheses.
    """

    __slots__ = ("text", "kinds", "begins", "ends", "_unended", "_next")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.kinds = bytearray()
        self._unended: bytes | None = None
        self._next: dict[bytes, tuple[bytearray, int, int]] = {}
        width = 4 if len(text) < 1 << 32 else 8
        self.begins, self.ends = (memoryview(one).cast("I" if width == 4 else "Q") for one in self._read(width))

    def _read(self, width: int) -> tuple[bytearray, bytearray]:
        """Find the words: where each begins and ends, in numbers of so many bytes."""
        text = self.text
        begins, ends = bytearray(), bytearray()
        at, end = 0, len(text)
        marked = text.translate(_END_MARKS) + b"\n"
        words = _EncodedWords(text)
        while at < end:
            start, byte = at, text[at]
            if byte in _BETWEEN:
                at += 1
                continue
            if byte == 0x22:
                kind, at = QUOTED, self._quoted(at + 1)
            elif byte == 0x28:
                kind, at = self._comment(at + 1)
            elif byte in _SPECIALS:
                kind, at = byte, at + 1
            else:
                kind = ATOM
                at = words.end_of(at) or _atom(words, at, marked.find(b"\n", at))
            self.kinds.append(kind)
            begins += start.to_bytes(width, sys.byteorder)
            ends += at.to_bytes(width, sys.byteorder)
        return begins, ends

    def _quoted(self, at: int) -> int:
        """Where a quoted string ends that begins before `at`: with the text when nothing ends it."""
        text, start = self.text, at
        while at < len(text) and text[at] != 0x22:
            at += 2 if text[at] == 0x5C else 1
        if at >= len(text):
            self._unended = _to_the_end(text, start, at)
        return min(at + 1, len(text))

    def _comment(self, at: int) -> tuple[int, int]:
        """The same for a comment; one that nothing ends is a QUOTED with its parenthesis."""
        text, start = self.text, at
        depth = 1
        while at < len(text):
            byte = text[at]
            if byte == 0x5C:
                at += 1
            elif byte == 0x28:
                depth += 1
            elif byte == 0x29:
                depth -= 1
                if not depth:
                    return COMMENT, at + 1
            at += 1
        self._unended = _to_the_end(text, start - 1, at)
        return QUOTED, len(text)

    def __len__(self) -> int:
        return len(self.kinds)

    def value(self, at: int) -> bytes:
        """The text of a word: of a QUOTED and a COMMENT what is inside, backslashes too."""
        if self.kinds[at] not in _ENCLOSED:
            return self.text[self.begins[at] : self.ends[at]]
        if self._unended is not None and at == len(self.kinds) - 1:
            return self._unended
        return self.text[self.begins[at] + 1 : self.ends[at] - 1]

    def next_of(self, wanted: bytes, start: int) -> int:
        """Where the next word stands, from `start` on, that is one of the kinds; after the last word if nowhere.

        To be asked with rising `start`: so the words are searched once.
        """
        marks, since, found = self._next.get(wanted) or (self._marks(wanted), 1, 0)
        if not since <= start <= found:
            found = marks.find(b"\n", start)
            found = len(marks) if found < 0 else found
            self._next[wanted] = (marks, start, found)
        return found

    def _marks(self, wanted: bytes) -> bytearray:
        return self.kinds.translate(bytes(0x0A if kind in wanted else 0x20 for kind in range(256)))


def _atom(words: _EncodedWords, at: int, end: int) -> int:
    """Where the atom at `at` ends: at `end`, or where an encoded word begins."""
    mark = words.text.find(b"=?", at + 1, end)
    while mark >= 0:
        if words.end_of(mark):
            return mark
        mark = words.text.find(b"=?", mark + 1, end)
    return end


class _EncodedWords:
    """The encoded words of a text.  Asked from left to right, so that it is searched once, whatever is in it."""

    __slots__ = ("text", "_ends", "_next")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._ends = text.translate(_WORD_MARKS)
        self._next: dict[bytes, tuple[int, int]] = {}

    def end_of(self, at: int) -> int:
        """Where the `=?charset?Q?...?=` at `at` ends; 0 when there is none."""
        if not self.text.startswith(b"=?", at):
            return 0
        stop = at + 2
        for _ in range(2):
            stop = self._find(b"?", self.text, stop) + 1
        mark = self._find(b"?=", self.text, stop)
        return mark + 2 if mark < self._find(b"\n", self._ends, at) and stop <= len(self.text) else 0

    def _find(self, mark: bytes, text: bytes, start: int) -> int:
        """Where the mark stands from `start` on; behind the end if nowhere."""
        since, found = self._next.get(mark, (1, 0))
        if not since <= start <= found:
            found = text.find(mark, start)
            found = len(text) + 1 if found < 0 else found
            self._next[mark] = (start, found)
        return found


def _to_the_end(text: bytes, start: int, at: int) -> bytes:
    """What nothing ends; a backslash that stands before nothing stands for itself."""
    return text[start:] + (b"\\" if at > len(text) else b"")


def parse(text: bytes) -> Iterator[Address]:
    """What stands in a field's value, in order."""
    words = Tokens(text)
    at = 0
    while at < len(words):
        kind = words.kinds[at]
        if kind in b",>":
            at += 1
        elif kind == 0x3B:
            yield Address(None, b";")
            at += 1
        elif (colon := words.next_of(_NOT_IN_NAMES, at)) < len(words) and words.kinds[colon] == 0x3A:
            yield Address(None, _group(words, at, colon))
            at = colon + 1
        else:
            bracket = words.next_of(b",;<", at)
            if bracket < len(words) and words.kinds[bracket] == 0x3C:
                end = words.kinds.find(b">", bracket + 1)
                end = len(words) if end < 0 else end
                yield _bracketed(words, at, bracket, end)
                at = end + 1
            else:
                found, at = _bare(words, at, bracket)
                yield found


def _group(words: Tokens, at: int, colon: int) -> bytes:
    """The name of a group: words up to a colon."""
    name = bytearray()
    for place in range(at, colon):
        name += (b" " if name or place > at else b"") + _unescaped(words.value(place))
    return bytes(name) + b":"


def _bracketed(words: Tokens, at: int, bracket: int, end: int) -> Address:
    """`name <address>`, the `>` at `end`; a `<` that is the last word of all makes no address of the name."""
    name = _phrase(words, at, bracket)
    inside = words.kinds[bracket + 1 : end].count(b"<") < end - bracket - 1
    nothing = end == len(words) and not inside
    return Address(None, name) if nothing and name else Address(_written(words, bracket + 1, end), name)


def _bare(words: Tokens, at: int, end: int) -> tuple[Address, int]:
    """An address without `<>`: it ends where two words have no dot or @ between them.  Its last comment is its name."""
    text = bytearray()
    name: int | None = None
    begun = glued = False
    while at < end:
        kind = words.kinds[at]
        if kind == COMMENT:
            name = at
        elif kind != 0x3E:
            sign = kind not in b"aq"
            if begun and not (sign or glued):
                break
            text += b'"%b"' % words.value(at) if kind == QUOTED else words.value(at)
            begun, glued = True, sign
        at += 1
    comment = None if name is None else _unescaped(words.value(name))
    return Address(bytes(text) if begun else None, comment), at


def _written(words: Tokens, at: int, end: int) -> bytes:
    """What stands in `<>`, blanks only between words."""
    text = bytearray()
    sign = True
    for place in range(at, end):
        kind, value = words.kinds[place], words.value(place)
        if kind == 0x3C:
            continue
        if kind not in b"aqc":
            text += value
            sign = True
            continue
        if kind == QUOTED:
            value = b'"%b"' % value
        elif kind == COMMENT:
            value = b"(%b)" % value
        text += value if sign else b" " + value
        sign = False
    return bytes(text)


def _phrase(words: Tokens, at: int, bracket: int) -> bytes | None:
    """The name before a `<`: as it stands when there is more in it than atoms and comments.

    A first and a last quote are taken for one around all of it.  A `>` does not count.
    """
    kinds = bytes(words.kinds[at:bracket])
    first, last = len(kinds) - len(kinds.lstrip(b">")), len(kinds.rstrip(b">"))
    if first >= last:
        return None
    if kinds.translate(None, b"ac>"):
        whole = words.text[words.begins[at + first] : words.ends[at + last - 1]]
        return _unescaped(whole.removeprefix(b'"').removesuffix(b'"'))
    name = bytearray()
    for place in range(at + first, at + last):
        kind, value = words.kinds[place], words.value(place)
        if kind != 0x3E:
            name += b" " * (place > at + first)
            name += b"(%b)" % value if kind == COMMENT else value
    return _unescaped(bytes(name))


def _unescaped(text: bytes) -> bytes:
    """The text without the backslashes that say that the next byte stands for itself."""
    if b"\\" not in text:
        return text
    out = bytearray()
    at = 0
    while at < len(text):
        if text[at] == 0x5C and at + 1 < len(text):
            at += 1
        out.append(text[at])
        at += 1
    return bytes(out)


def display(name: bytes) -> bytes:
    """The name, in quotes when something in it asks for them."""
    if name == name.translate(None, _ASKS_FOR_QUOTES):
        return name
    return b'"%b"' % name.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
