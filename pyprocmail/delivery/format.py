"""The bytes that a message becomes in a folder, or on its way to a program."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyprocmail.message.model import Message

    Chunk = bytes | memoryview


def for_program(
    message: Message, *, header: bool = True, body: bool = True, raw: bool = False, postmark: bool = True
) -> Iterable[Chunk]:
    """What a program reads on its standard input (actions `|` and, without `postmark`, `!`)."""
    raise NotImplementedError
