"""Addresses in header fields, read as loosely as maildrop reads them.

For what the program prints and compares: nothing here says whether an address is right.  RFC 5322, section 3.4.
"""

from __future__ import annotations

ATOM, QUOTED, COMMENT, SPECIAL = 1, 2, 3, 4

_SPACE = frozenset(b" \t\r\n\v\f")
_SPECIALS = frozenset(b"<>@,;:.[]")
_BETWEEN = _SPACE | frozenset(b")\\")
_ENDS_ATOM = _BETWEEN | _SPECIALS | frozenset(b'("')
_END_MARKS = bytes(0x0A if byte in _ENDS_ATOM else 0x20 for byte in range(256))
_ENDS_WORD = _SPACE | frozenset(b',<>()"@:;')
_ASKS_FOR_QUOTES = b'()<>[]:;@\\,."'


class Token:
    """One word or sign, from `begin` to `end`.  `text` of a QUOTED and a COMMENT is what is inside, backslashes too."""

    __slots__ = ("kind", "text", "begin", "end")

    def __init__(self, kind: int, text: bytes, begin: int, end: int) -> None:
        self.kind = kind
        self.text = text
        self.begin = begin
        self.end = end


class Address:
    """An address, or what else stands in a list.

    `text` is None where there is none: then `name` is a comment that stands alone, a group with its colon, or a `;`.
    A `name` of an address is None when there is none; encoded words in it are as they stand.
    """

    __slots__ = ("name", "text")

    def __init__(self, text: bytes | None, name: bytes | None = None) -> None:
        self.text = text
        self.name = name


def tokens(text: bytes) -> list[Token]:
    """The words and signs of a field's value."""
    found: list[Token] = []
    at, end = 0, len(text)
    marked = text.translate(_END_MARKS) + b"\n"
    while at < end:
        start, byte = at, text[at]
        if byte in _BETWEEN:
            at += 1
            continue
        if byte == 0x22:
            kind = QUOTED
            value, at = _quoted(text, at + 1)
        elif byte == 0x28:
            comment, at = _comment(text, at + 1)
            kind = QUOTED if comment is None else COMMENT
            value = _to_the_end(text, start, at) if comment is None else comment
        elif byte in _SPECIALS:
            kind, at = SPECIAL, at + 1
            value = text[start:at]
        else:
            kind = ATOM
            at = _encoded_word(text, at) or _atom(text, at, marked.find(b"\n", at))
            value = text[start:at]
        found.append(Token(kind, value, start, at))
    return found


def _atom(text: bytes, at: int, end: int) -> int:
    """Where the atom at `at` ends: at `end`, or where an encoded word begins."""
    mark = text.find(b"=?", at + 1, end)
    while mark >= 0:
        if _encoded_word(text, mark):
            return mark
        mark = text.find(b"=?", mark + 1, end)
    return end


def _encoded_word(text: bytes, at: int) -> int:
    """Where the `=?charset?Q?...?=` at `at` ends; 0 when there is none."""
    if not text.startswith(b"=?", at):
        return 0
    stop = at + 2
    for _ in range(2):
        mark = text.find(b"?", stop)
        if mark < 0:
            return 0
        stop = mark + 1
    mark = text.find(b"?=", stop)
    if mark < 0 or any(byte in _ENDS_WORD for byte in text[at:mark]):
        return 0
    return mark + 2


def _quoted(text: bytes, at: int) -> tuple[bytes, int]:
    """What is inside a quoted string, to the end of the text when nothing ends it, and where it goes on."""
    start = at
    while at < len(text) and text[at] != 0x22:
        at += 2 if text[at] == 0x5C else 1
    return _to_the_end(text, start, at) if at >= len(text) else text[start:at], at + 1


def _to_the_end(text: bytes, start: int, at: int) -> bytes:
    """What nothing ends; a backslash that stands before nothing stands for itself."""
    return text[start:] + (b"\\" if at > len(text) else b"")


def _comment(text: bytes, at: int) -> tuple[bytes | None, int]:
    """What is inside a comment, None when nothing ends it, and where it goes on."""
    start = at
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
                return text[start:at], at + 1
        at += 1
    return None, at


def parse(text: bytes) -> list[Address]:
    """What stands in a field's value, in order."""
    found: list[Address] = []
    words = tokens(text)
    at = 0
    while at < len(words):
        word = words[at]
        if _is(word, b",") or _is(word, b">"):
            at += 1
        elif _is(word, b";"):
            found.append(Address(None, b";"))
            at += 1
        elif at < (colon := _group_end(words, at)):
            found.append(_group(words[at : colon - 1]))
            at = colon
        else:
            bracket = _next_sign(words, at, b",;<")
            if bracket < len(words) and _is(words[bracket], b"<"):
                at = _bracketed(text, words, at, bracket, found)
            else:
                at = _bare(words, at, bracket, found)
    return found


def _is(word: Token, sign: bytes) -> bool:
    return word.kind == SPECIAL and word.text == sign


def _next_sign(words: list[Token], at: int, signs: bytes) -> int:
    while at < len(words) and not (words[at].kind == SPECIAL and words[at].text in signs):
        at += 1
    return at


def _group_end(words: list[Token], at: int) -> int:
    """Behind the colon of a group that begins at `at` with words only, or with nothing; 0 when there is none."""
    while at < len(words) and words[at].kind in (ATOM, QUOTED):
        at += 1
    return at + 1 if at < len(words) and _is(words[at], b":") else 0


def _group(words: list[Token]) -> Address:
    name = b" ".join(_unescaped(word.text) for word in words)
    return Address(None, name + b":")


def _bracketed(text: bytes, words: list[Token], at: int, bracket: int, found: list[Address]) -> int:
    """`name <address>`; a `<` that is the last word of all makes no address of the name."""
    end = _next_sign(words, bracket + 1, b">")
    name = _phrase(text, [word for word in words[at:bracket] if not _is(word, b">")])
    inside = [word for word in words[bracket + 1 : end] if not _is(word, b"<")]
    nothing = end == len(words) and not inside
    found.append(Address(None, name) if nothing and name else Address(_written(inside), name))
    return end + 1


def _bare(words: list[Token], at: int, end: int, found: list[Address]) -> int:
    """An address without `<>`: it ends where two words have no dot or @ between them.  Its last comment is its name."""
    text: bytes | None = None
    name: bytes | None = None
    glued = False
    while at < end:
        word = words[at]
        if word.kind == COMMENT:
            name = _unescaped(word.text)
        elif not _is(word, b">"):
            sign = word.kind == SPECIAL
            if text is not None and not (sign or glued):
                break
            text = (text or b"") + (b'"%b"' % word.text if word.kind == QUOTED else word.text)
            glued = sign
        at += 1
    found.append(Address(text, name))
    return at


def _written(words: list[Token]) -> bytes:
    """What stands in `<>`, blanks only between words."""
    text = b""
    sign = True
    for word in words:
        if word.kind == SPECIAL:
            text += word.text
            sign = True
            continue
        value = word.text
        if word.kind == QUOTED:
            value = b'"%b"' % value
        elif word.kind == COMMENT:
            value = b"(%b)" % value
        text += value if sign else b" " + value
        sign = False
    return text


def _phrase(text: bytes, words: list[Token]) -> bytes | None:
    """The name before a `<`: as it stands when there is more in it than atoms and comments.

    A first and a last quote are taken for one around all of it.
    """
    if not words:
        return None
    if all(word.kind in (ATOM, COMMENT) for word in words):
        return _unescaped(b" ".join(b"(%b)" % word.text if word.kind == COMMENT else word.text for word in words))
    return _unescaped(text[words[0].begin : words[-1].end].removeprefix(b'"').removesuffix(b'"'))


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
