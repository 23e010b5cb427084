"""The mail that a command works on: its parts, and changes by offsets, so that all other bytes stay the same."""

from __future__ import annotations

from pyprocmail.exits import EX_TEMPFAIL, PyprocmailError
from pyprocmail.message import decoded, header, structure, transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pyprocmail.message.model import Message
    from pyprocmail.message.structure import Part
    from pyprocmail.tools.mime.options import Options

    Edit = tuple[int, int, bytes]

_PROTECTED = (
    b"multipart/signed",
    b"multipart/encrypted",
    b"application/pkcs7-mime",
    b"application/x-pkcs7-mime",
    b"application/pgp",
    b"application/pgp-encrypted",
)
_ENTITY = (b"content-", b"mime-version")
"""The beginnings of the names of fields about the body."""


class TroubleError(PyprocmailError):
    """The command cannot do its work; `text` is the reason, `status` the exit status."""

    def __init__(self, text: bytes, status: int = EX_TEMPFAIL) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class Mail:
    """A mail, and the output of the command: `write` writes the new mail, `note` a line for people."""

    __slots__ = ("message", "environment", "write", "note", "_structure")

    def __init__(
        self,
        message: Message,
        environment: Mapping[bytes, bytes],
        write: Callable[[bytes], None],
        note: Callable[[bytes], None],
    ) -> None:
        self.message = message
        self.environment = environment
        self.write = write
        self.note = note
        self._structure: structure.Structure | None = None

    @property
    def root(self) -> Part:
        """The mail as a part."""
        if self._structure is None:
            self._structure = structure.parse(self.message.data, self.message.split)
            for what in self._structure.cut:
                self.note(b"not looked at: " + what.encode())
        return self._structure.root

    @property
    def newline(self) -> bytes:
        """The line end of the mail."""
        at = self.message.data.find(b"\n")
        return b"\r\n" if at > 0 and self.message.data[at - 1] == 0x0D else b"\n"

    def attachments(self, given: Options, *, signed: bool = True) -> Iterator[Part]:
        """The selected attachments; without `signed` none within a signed or encrypted part."""
        data = self.message.data
        inside = self.root
        for part in self.root.walk():
            if part.start < inside.end and inside is not self.root and part.begin >= inside.begin:
                continue  # within an attached message, which counts as one attachment
            if not decoded.is_attachment(part):
                continue
            if part.children:
                inside = part
            size = transfer.size(data, part.start, part.end, part.encoding)
            if (signed or not is_protected(part)) and given.chooses(part.kind, decoded.file_name(part), size):
                yield part

    def change(self, edits: list[Edit]) -> None:
        """Write the mail with the bytes between the offsets replaced."""
        data = memoryview(self.message.data)
        at = 0
        for start, end, text in sorted(edits):
            self.write(bytes(data[at:start]))
            self.write(text)
            at = end
        self.write(bytes(data[at:]))


def is_protected(part: Part) -> bool:
    """Whether the part is signed or encrypted, or within a part that is."""
    around: Part | None = part
    while around is not None:
        if around.kind in _PROTECTED:
            return True
        around = around.parent
    return False


def entity_fields(head: bytes) -> tuple[bytes, bytes, bytes]:
    """The header in three: the fields before the first field about the body, all fields about the body, and the rest.

    The empty line belongs to the rest.
    """
    before, entity, after = bytearray(), bytearray(), bytearray()
    stop = head.rstrip(b"\r\n")
    for field in header.fields(head[: len(stop)]) if stop else ():
        text = field + b"\n"
        if field[:12].lower().startswith(_ENTITY):
            entity += text
        elif entity:
            after += text
        else:
            before += text
    rest = head[len(stop) :]
    # The newline of the last field is in `rest` already.
    newline = rest[: rest.find(b"\n") + 1]
    last = after or entity or before
    if last:
        del last[-1:]
        last += newline
        rest = rest[len(newline) :]
    return bytes(before), bytes(entity), bytes(after) + rest


def replaced(part: Part, fields: bytes, body: bytes, newline: bytes) -> Edit:
    """The change that gives a part new fields about its body, and a new body."""
    before, _, after = entity_fields(part.head)
    if not after.strip(b"\r\n") and not after.endswith((b"\n", b"\r\n")):
        after += newline
    return part.begin, part.end, before + fields + after + body


def parameter(name: bytes, value: str) -> bytes:
    """A parameter of a field: `; name="value"`, or in the form of RFC 2231."""
    if value.isascii() and value.isprintable():
        return b'; %b="%b"' % (name, value.replace("\\", "\\\\").replace('"', '\\"').encode())
    safe = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
    text = b"".join(b"%c" % byte if byte in safe else b"%%%02X" % byte for byte in value.encode("utf-8", "replace"))
    return b"; %b*=utf-8''%b" % (name, text)
