"""What an interpreter says it does: one stream of events, read by logs and tools.

An event is a kind and the texts that belong to it; the kinds that the log shows are listed in
engine/log.  `rcfile` and `offset` name the place in the rcfile where the interpreter is.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Listener(Protocol):
        """A reader of the stream."""

        def hear(self, kind: str, texts: tuple[bytes | int, ...]) -> None:
            """An event, at the moment when it happens."""

        @property
        def verbose(self) -> bool:
            """Whether it wants to hear of what did not happen, too."""


class Trace:
    """The stream of one session."""

    __slots__ = ("listeners", "rcfile", "offset", "muted")

    def __init__(self, listeners: list[Listener]) -> None:
        self.listeners = listeners
        self.rcfile = b""
        self.offset = 0
        self.muted: frozenset[str] = frozenset()

    @property
    def is_heard(self) -> bool:
        """Whether a listener wants every event."""
        return any(listener.verbose for listener in self.listeners)

    def note(self, kind: str, *texts: bytes | int) -> None:
        """Tell every listener, unless the kind is muted for now."""
        if kind in self.muted:
            return
        for listener in self.listeners:
            listener.hear(kind, texts)
