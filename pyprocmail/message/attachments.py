"""The names that a mail gives to its parts."""

from __future__ import annotations

from pyprocmail.message import decoded, structure
from pyprocmail.message.model import end_of_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def file_names(mail: bytes) -> Iterator[bytes]:
    """The names of the parts of a mail, in UTF-8 and in order, even without a MIME-Version field.

    Parts of attached messages are included.
    """
    for part in structure.parse(mail, end_of_header(mail)).root.walk():
        name = decoded.file_name(part)
        if name:
            yield name.encode("utf-8", "replace")
