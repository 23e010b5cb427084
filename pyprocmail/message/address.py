"""Addresses in header fields, read as loosely as maildrop reads them.

For what the program prints and compares: nothing here says whether an address is right.  RFC 5322, section 3.4.
"""

from __future__ import annotations

ATOM, QUOTED, COMMENT, SPECIAL = 1, 2, 3, 4

_SPACE = frozenset(b" \t\r\n\v\f")
_SPECIALS = frozenset(b"<>@,;:.[]")
_ENDS_ATOM = _SPACE | _SPECIALS | frozenset(b'()"\\')
_END_MARKS = bytes(0x0A if byte in _ENDS_ATOM else 0x20 for byte in range(256))
_ENDS_WORD = _SPACE | frozenset(b',<>()"@:;')
_PLAIN = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 !#$%&'*+-/=?^_`{|}~" + bytes(range(128, 256))
)


class Token:
    """One word or sign.  `text` of a QUOTED and a COMMENT is what is inside, backslashes and all."""

    __slots__ = ("kind", "text", "spaced")

    def __init__(self, kind: int, text: bytes, *, spaced: bool) -> None:
        self.kind = kind
        self.text = text
        self.spaced = spaced


class Address:
    """An address, or a sign of a list: `group` is the name before a colon, `ends` is a `;`.

    `name` is None when there is none.
    """

    __slots__ = ("name", "text", "group", "ends")

    def __init__(
        self, text: bytes, name: bytes | None = None, *, group: bytes | None = None, ends: bool = False
    ) -> None:
        self.text = text
        self.name = name
        self.group = group
        self.ends = ends


def tokens(text: bytes) -> list[Token]:
    """The words and signs of a field's value."""
    found: list[Token] = []
    at, end = 0, len(text)
    spaced = False
    marked = text.translate(_END_MARKS) + b"\n"
    while at < end:
        byte = text[at]
        if byte in _SPACE:
            spaced = True
            at += 1
            continue
        if byte == 0x22:
            value, at = _quoted(text, at + 1)
            found.append(Token(QUOTED, value, spaced=spaced))
        elif byte == 0x28:
            value, at = _comment(text, at + 1)
            found.append(Token(COMMENT, value, spaced=spaced))
        elif byte in _SPECIALS:
            found.append(Token(SPECIAL, text[at : at + 1], spaced=spaced))
            at += 1
        elif byte in b")\\":
            spaced = True
            at += 1
            continue
        else:
            stop = _encoded_word(text, at) or _atom(text, at, marked.find(b"\n", at))
            found.append(Token(ATOM, text[at:stop], spaced=spaced))
            at = stop
        spaced = False
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
    start = at
    while at < len(text) and text[at] != 0x22:
        at += 2 if text[at] == 0x5C else 1
    return text[start:at], at + 1


def _comment(text: bytes, at: int) -> tuple[bytes, int]:
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
                break
        at += 1
    return text[start:at], at + 1


def parse(text: bytes) -> list[Address]:
    """The addresses of a field's value, in order, with the signs of groups among them."""
    found: list[Address] = []
    pending: list[Token] = []
    words = tokens(text)
    at = 0
    while at < len(words):
        word = words[at]
        sign = word.text if word.kind == SPECIAL else b""
        at += 1
        if sign == b"<":
            inside: list[Token] = []
            while at < len(words) and not _is(words[at], b">"):
                inside.append(words[at])
                at += 1
            at += 1
            found.append(Address(_written(inside), _phrase(pending)))
            pending = []
        elif sign == b":" and not (pending and _is(pending[0], b"@")):
            found.append(Address(b"", group=_phrase(pending) or b""))
            pending = []
        elif sign == b"," or sign == b";":
            found += _bare(pending)
            pending = []
            if sign == b";":
                found.append(Address(b"", ends=True))
        else:
            pending.append(word)
    return found + _bare(pending)


def _is(word: Token, sign: bytes) -> bool:
    return word.kind == SPECIAL and word.text == sign


def _bare(words: list[Token]) -> list[Address]:
    """The addresses in words without `<>`: a new one where two words have no dot or @ between them."""
    found: list[Address] = []
    comment: bytes | None = None
    glued = False
    for word in words:
        if word.kind == COMMENT:
            if found:
                found[-1].name = word.text
            else:
                comment = word.text
            continue
        sign = word.kind == SPECIAL
        text = b'"%b"' % word.text if word.kind == QUOTED else word.text
        if found and (sign or glued):
            found[-1].text += text
        else:
            found.append(Address(text, comment))
            comment = None
        glued = sign
    if comment is not None:
        found.append(Address(b"", comment))
    return found


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


def _phrase(words: list[Token]) -> bytes | None:
    """The name before a `<` or a colon; a name that is one quoted string is without its quotes."""
    if not words:
        return None
    if len(words) == 1 and words[0].kind == QUOTED:
        return words[0].text
    text = b""
    sign = True
    for word in words:
        value = word.text
        if word.kind == QUOTED:
            value = b'"%b"' % value
        elif word.kind == COMMENT:
            value = b"(%b)" % value
        special = word.kind == SPECIAL
        blank = b" " if text and (word.spaced or not (special or sign)) else b""
        text += blank + value
        sign = special
    # The first quote is taken for one around the whole name.
    return text.removeprefix(b'"')


def display(name: bytes) -> bytes:
    """The name, in quotes when something in it asks for them."""
    return name if all(byte in _PLAIN for byte in name) else b'"%b"' % name
