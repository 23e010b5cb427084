"""Addresses in header fields, read as loosely as maildrop reads them.

The results are for printing and comparing: an address is not checked for validity.  RFC 5322, section 3.4.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ATOM, QUOTED, COMMENT = b"aqc"
"""The kinds of words; the kind of a sign is the sign itself."""

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
    """An address, or another item of a list of addresses.

    If `text` is None it is not an address: `name` is then a comment without an address, a group with its colon, or a
    `;`.  `name` is None for an address without a name; encoded words in it are not decoded.
    """

    __slots__ = ("name", "text")

    def __init__(self, text: bytes | None, name: bytes | None = None) -> None:
        self.text = text
        self.name = name


class Tokens:
    """The words and signs of a field's value, in a few bytes each, since a stranger may write millions.

    `kinds` has a byte for each: the sign itself, or ATOM, QUOTED or COMMENT.  The word is in `text` from `begins` to
    `ends`, with its quotes or parentheses.
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
        """Find the words: the offsets of their beginnings and ends, as integers of `width` bytes."""
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
        """The end of the quoted string that begins before `at`: the end of the text if it is unterminated."""
        text, start = self.text, at
        while at < len(text) and text[at] != 0x22:
            at += 2 if text[at] == 0x5C else 1
        if at >= len(text):
            self._unended = _to_the_end(text, start, at)
        return min(at + 1, len(text))

    def _comment(self, at: int) -> tuple[int, int]:
        """The same for a comment; an unterminated one is a QUOTED that includes its parenthesis."""
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
        """The text of a word; of a QUOTED or a COMMENT the text inside, with its backslashes."""
        if self.kinds[at] not in _ENCLOSED:
            return self.text[self.begins[at] : self.ends[at]]
        if self._unended is not None and at == len(self.kinds) - 1:
            return self._unended
        return self.text[self.begins[at] + 1 : self.ends[at] - 1]

    def next_of(self, wanted: bytes, start: int) -> int:
        """The index of the next word, from `start` on, of one of the `wanted` kinds; after the last word if none.

        Call it with rising `start`, so that the words are searched once.
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
    """The end of the atom at `at`: `end`, or the beginning of an encoded word."""
    mark = words.text.find(b"=?", at + 1, end)
    while mark >= 0:
        if words.end_of(mark):
            return mark
        mark = words.text.find(b"=?", mark + 1, end)
    return end


class _EncodedWords:
    """The encoded words of a text.  Call `end_of` with rising `at`, so that any text is searched only once."""

    __slots__ = ("text", "_ends", "_next")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._ends = text.translate(_WORD_MARKS)
        self._next: dict[bytes, tuple[int, int]] = {}

    def end_of(self, at: int) -> int:
        """Where the `=?charset?Q?...?=` at `at` ends; 0 if there is none."""
        if not self.text.startswith(b"=?", at):
            return 0
        stop = at + 2
        for _ in range(2):
            stop = self._find(b"?", self.text, stop) + 1
        mark = self._find(b"?=", self.text, stop)
        return mark + 2 if mark < self._find(b"\n", self._ends, at) and stop <= len(self.text) else 0

    def _find(self, mark: bytes, text: bytes, start: int) -> int:
        """The next offset of the mark from `start` on; after the end of the text if there is none."""
        since, found = self._next.get(mark, (1, 0))
        if not since <= start <= found:
            found = text.find(mark, start)
            found = len(text) + 1 if found < 0 else found
            self._next[mark] = (start, found)
        return found


def _to_the_end(text: bytes, start: int, at: int) -> bytes:
    """The text of an unterminated string or comment; a backslash at its end is kept as a plain character."""
    return text[start:] + (b"\\" if at > len(text) else b"")


def parse(text: bytes) -> Iterator[Address]:
    """The addresses and other items of a field's value, in order."""
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
    """`name <address>` with its `>` at `end`; if the `<` is the very last word, the name has no address."""
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
    """The address in `<>`, with blanks only between words."""
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
    """The name before a `<`; it is copied as written if it has more than atoms and comments.

    A quote at the beginning and one at the end are treated as quotes around all of it.  A `>` is ignored.
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
    """The text without the backslashes that escape the next byte."""
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
    """The name, in quotes if a character in it needs them."""
    if name == name.translate(None, _ASKS_FOR_QUOTES):
        return name
    return b'"%b"' % name.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
