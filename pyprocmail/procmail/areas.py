"""The areas of a mail that conditions search: what part of the mail each name means.

The sender of the mail wrote this text, so it never becomes a variable.  If somebody has assigned a variable of the name
of a decoded area, the name means the variable.  procmail reads the same rcfiles: to it the names are variables
that are not set.
"""

from __future__ import annotations

from pyprocmail.engine.cache import unpack
from pyprocmail.exits import LateImportError
from pyprocmail.matching.regex import Area

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.message.decoded import Decoded
    from pyprocmail.message.model import Message

    Ask = Callable[[list[bytes], bytes], bytes]

RAW = (b"H", b"B", b"HB", b"BH")
DECODED = (
    b"MIME_HEADER", b"MIME_TEXT", b"ATTACHMENTS", b"FROM_ADDRESS", b"TO_ADDRESSES", b"LIST_ID", b"AUTH_RESULTS",
)  # fmt: skip
"""Areas that message/decoded makes; it is loaded when one is first searched."""
OF_VARIABLES = DECODED[-1]
"""The decoded area that depends on a variable."""
MODULE = "pyprocmail.engine.decoding"
"""The module that makes decoded areas in another process."""
SERVERS = b"AUTHSERV_ID"
"""The variable that names the servers whose Authentication-Results count."""


class Areas:
    """The areas of one mail, each made when it is first searched.

    `note` is called with each part of the mail that is not searched.
    """

    __slots__ = ("message", "_note", "_made", "_decoded", "_header")

    def __init__(self, message: Message, note: Callable[..., None]) -> None:
        self.message = message
        self._note = note
        self._made: dict[bytes, Area] = {}
        self._decoded: tuple[bytes, Decoded] | None = None
        self._header: bytes | None = None

    def copy(self, note: Callable[..., None]) -> Areas:
        """A copy for a clone."""
        other = Areas(self.message, note)
        other._made = self._made.copy()
        other._decoded = self._decoded
        return other

    def raw(self, name: bytes) -> Area:
        """An area in RAW."""
        if name == b"BH":
            name = b"HB"
        area = self._made.get(name)
        if area is None:
            area = self._made[name] = self._raw(name)
        return area

    def _raw(self, name: bytes) -> Area:
        message = self.message
        if name == b"B":
            if not message.head.endswith(b"\n"):
                return Area(message.body, name)
            # Both areas share one copy of a large mail.
            return Area.at_end(self.raw(b"HB"), len(message) - message.split, name)
        head = self._header
        if head is None:
            # A folded line is searched as one line: its newline counts as a blank, so that offsets
            # and sizes do not change.
            head = self._header = message.head.replace(b"\n ", b"  ").replace(b"\n\t", b" \t")
        if name == b"H":
            return Area(head, name)
        return Area.joined((head, memoryview(message.data)[message.split :]), name)

    def decoded(self, name: bytes, servers: bytes, ask: Ask) -> Area:
        """An area in DECODED; `servers` are the names of the trusted servers.

        `ask` lets another process make the area if this one may import nothing any more.
        """
        # A set of patterns stores its results by the name of the area.
        key = name + b" " + servers if name == b"AUTH_RESULTS" else name
        area = self._made.get(key)
        if area is None:
            try:
                text = self._reader(servers).text(name)
            except LateImportError:
                answer = unpack(ask([name, b"%d" % self.message.split, servers], self.message.data), plain=True)
                if answer is None:
                    raise  # without an answer the content of the mail is unknown
                text, *cut = answer[0]  # type: ignore[assignment]  # as engine/decoding packs it
                for what in cut:
                    self._note("not-searched", what)
            area = self._made[key] = Area(text, key, unicode=not text.isascii())
        return area

    def _reader(self, servers: bytes) -> Decoded:
        if self._decoded is None or self._decoded[0] != servers:
            from pyprocmail.message.decoded import Decoded

            message = self.message
            decoded = Decoded(message.data, message.split, servers.split(), self._cut)
            self._decoded = (servers, decoded)
        return self._decoded[1]

    def _cut(self, what: str) -> None:
        self._note("not-searched", what.encode())
