"""Decoded areas in filter files: `$MIME_TEXT =~ /pattern/` searches the text that the recipient reads, line by line.

Such a name means an area only on the left of `=~` and after foreach.  Elsewhere it is a variable that is not set,
as with maildrop: a stranger's text gets into no command.
"""

from __future__ import annotations

from pyprocmail.engine.cache import unpack
from pyprocmail.exits import LateImportError
from pyprocmail.maildrop import instructions as op
from pyprocmail.maildrop.session import FilterError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyprocmail.maildrop.instructions import Expression
    from pyprocmail.maildrop.session import Session
    from pyprocmail.message.decoded import Decoded

NAMES = (
    b"MIME_HEADER", b"MIME_TEXT", b"ATTACHMENTS", b"FROM_ADDRESS", b"TO_ADDRESSES", b"LIST_ID", b"AUTH_RESULTS",
)  # fmt: skip
"""Areas that message/decoded makes; it is loaded when one is first searched."""
MODULE = "pyprocmail.engine.decoding"
"""The module that makes decoded areas in another process."""
SERVERS = b"AUTHSERV_ID"
"""The variable that names the servers whose Authentication-Results count."""


class Lines:
    """A text that is searched line by line."""

    __slots__ = ("text", "lowered")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.lowered = text.lower() if text.isascii() else None

    def lines(self, offset: int) -> Iterator[bytes]:
        """The lines, beginning with the one that contains the offset."""
        text = self.text
        at = text.rfind(b"\n", 0, offset) + 1
        while at < len(text):
            end = text.find(b"\n", at)
            end = len(text) if end < 0 else end
            yield text[at:end]
            at = end + 1


def named(session: Session, node: Expression) -> bytes:
    """The area that an expression names; empty if it names none."""
    if node[0] != op.TEXT or session.settings.strict:
        return b""
    _, _, pieces = node
    if len(pieces) != 1:
        return b""
    piece = pieces[0]
    if isinstance(piece, bytes) or piece[0] != op.VARIABLE:
        return b""
    _, name = piece
    return name if name in NAMES and name not in session.variables else b""


def of(session: Session, name: bytes) -> Lines:
    """The area of the present mail."""
    servers = session.value(SERVERS) or session.host.hostname()
    key = (name, servers)
    found = session.areas.get(key)
    if found is None:
        try:
            text = _reader(session, servers).text(name)
        except LateImportError:
            text = _apart(session, name, servers)
        found = session.areas[key] = Lines(text)
    return found


def _reader(session: Session, servers: bytes) -> Decoded:
    if session.decoded is None or session.decoded[0] != servers:
        from pyprocmail.message.decoded import Decoded

        message = session.message

        def note(what: str) -> None:
            _tell(session, what.encode())

        session.decoded = (servers, Decoded(message.data, message.split, servers.split(), note))
    return session.decoded[1]


def _apart(session: Session, name: bytes, servers: bytes) -> bytes:
    """The area, made by another process, since this one may import nothing any more."""
    from pyprocmail.engine import apart

    message = session.message
    words = [name, b"%d" % message.split, servers]
    answer = unpack(apart.ask(session.host, MODULE, words, message.data, 2, session.deadline()), plain=True)
    if answer is None:
        raise FilterError("not-decoded")
    found: list[bytes] = list(answer[0])  # type: ignore[arg-type]  # as engine/decoding packs it
    for what in found[1:]:
        _tell(session, what)
    return found[0]


def _tell(session: Session, what: bytes) -> None:
    session.log.say(b"Not searched: %b" % what)
