"""The summary of a mail that procmail writes to its LOGFILE: -l."""

from __future__ import annotations

from pyprocmail.tools.formail.header import Field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_SUBJECT_COLUMNS = 78
_FOLDER = b"  Folder: "
_FOLDER_COLUMNS = 61
_SIZE_COLUMN = 72
_UNFOLD = bytes.maketrans(b"\t\n\v\f\r", b"     ")


def abstract(fields: Iterable[Field], folder: bytes, size: int) -> bytes:
    """The From_ line, the Subject, the folder and the size of a mail."""
    lines = []
    for field in fields:
        if field.is_postmark():
            lines.append(field.text())
            break
    for field in fields:
        if field.name.lower() == b"subject:":
            lines.append(b" %b\n" % _unfolded(field.name + field.content)[:_SUBJECT_COLUMNS])
            break
    line = _FOLDER + _unfolded(folder)[:_FOLDER_COLUMNS]
    tabs = (_SIZE_COLUMN - len(line) + 7) // 8
    lines.append(b"%b%b%7d\n" % (line, b"\t" * tabs, size))
    return b"".join(lines)


def _unfolded(text: bytes) -> bytes:
    """The text on one line.  After a NUL, which is not text, only newlines are replaced."""
    shown, nul, hidden = text.partition(b"\0")
    return shown.translate(_UNFOLD) + nul + hidden.replace(b"\n", b" ")
