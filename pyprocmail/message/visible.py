"""Text of a mail in a log or on a terminal: what a stranger wrote steers neither."""

from __future__ import annotations

_CONTROLS = bytes(code for code in range(0x20) if code not in b"\t\n") + b"\x7f"
_BLANKED = bytes.maketrans(_CONTROLS, b" " * len(_CONTROLS))


def blanked(text: bytes) -> bytes:
    """The text with blanks for control characters, those of C1 in UTF-8 among them; its length stays.

    Tabs and newlines stay, and all other bytes, whatever the character set.
    """
    text = text.translate(_BLANKED)
    if b"\xc2" not in text:
        return text
    pieces = text.split(b"\xc2")
    return pieces[0] + b"".join(
        b"  " + piece[1:] if 0x80 <= (piece[:1] or b"\0")[0] <= 0x9F else b"\xc2" + piece for piece in pieces[1:]
    )
