"""Makes text of a mail safe to show in a log or on a terminal: no control character of a stranger reaches them."""

from __future__ import annotations

_CONTROLS = bytes(code for code in range(0x20) if code not in b"\t\n") + b"\x7f"
_BLANKED = bytes.maketrans(_CONTROLS, b" " * len(_CONTROLS))


def blanked(text: bytes) -> bytes:
    """The text with blanks in place of control characters, including those of C1 in UTF-8; its length does not change.

    Tabs, newlines and all other bytes stay, whatever the character set.
    """
    text = text.translate(_BLANKED)
    if b"\xc2" not in text:
        return text
    pieces = text.split(b"\xc2")
    return pieces[0] + b"".join(
        b"  " + piece[1:] if 0x80 <= (piece[:1] or b"\0")[0] <= 0x9F else b"\xc2" + piece for piece in pieces[1:]
    )
