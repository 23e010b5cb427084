"""The addresses of MAIL and RCPT.  RFC 5321, 4.1.2."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_BYTES = 1024
"""Of a path with its brackets; RFC 5321, 4.5.3.1.3 asks for 256."""
_CONTROLS = bytes(range(0x20)) + b"\x7f"


@dataclass(frozen=True, slots=True)
class Address:
    """`text` is the text between the brackets, without a source route; `local` is unquoted.

    The null sender has empty parts.  `domain` is empty where none was given.
    """

    text: bytes
    local: bytes
    domain: bytes


def read_path(text: bytes) -> tuple[Address, bytes] | None:
    """The address of `<address> parameters`, and the parameters; None if it is not one.

    Control characters are never part of an address.
    """
    text = text.strip(b" ")
    end = _closing_bracket(text)
    if end < 0 or text[end + 1 : end + 2] not in (b"", b" "):
        return None
    address = _address(text[1:end])
    return None if address is None else (address, text[end + 1 :].strip(b" "))


def _closing_bracket(text: bytes) -> int:
    """The position of the closing bracket; -1 if there is none, or the text is not a path."""
    if not text.startswith(b"<"):
        return -1
    quoted = False
    place = 1
    while place < min(len(text), LONGEST_BYTES):
        letter = text[place : place + 1]
        if quoted and letter == b"\\":
            place += 1
        elif letter == b'"':
            quoted = not quoted
        elif letter == b">" and not quoted:
            return place
        place += 1
    return -1


def _address(text: bytes) -> Address | None:
    if text.translate(None, _CONTROLS) != text:
        return None
    if text.startswith(b"@"):
        # A source route is accepted and ignored.
        text = text.partition(b":")[2]
        if not text:
            return None
    if not text.startswith(b'"'):
        local, at, domain = text.rpartition(b"@")
        return Address(text, local if at else domain, domain if at else b"")
    return _quoted(text)


def _quoted(text: bytes) -> Address | None:
    local = bytearray()
    place = 1
    while place < len(text) and text[place] != 0x22:
        place += text[place] == 0x5C
        local += text[place : place + 1]
        place += 1
    rest = text[place + 1 :]
    if place >= len(text) or (rest and not rest.startswith(b"@")):
        return None
    return Address(text, bytes(local), rest[1:])
