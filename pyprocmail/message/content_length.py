"""The Content-Length field: procmail keeps it right, in the width it has."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.message.model import Message


def refit(message: Message) -> Message:
    """The message with a Content-Length that fits its body (when read, and after each filter, without -Y).

    The same message when there is no such field.
    """
    raise NotImplementedError
