"""A mail as its reader sees it: the areas MIME_HEADER, MIME_TEXT, ATTACHMENTS and so on, all in UTF-8.

Each is made when it is first used, takes time in proportion to the mail, and has a greatest length.  pyprocmailrc(5),
Decoded areas.
"""

from __future__ import annotations

from pyprocmail.message import address, authentication, charsets, header, parameters, structure, transfer, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyprocmail.message.structure import Part

HEADER_BYTES = 4 << 20
TEXT_BYTES = 16 << 20
LIST_BYTES = 1 << 20
"""The greatest length of an area; the rest is not searched."""
MOST_ADDRESSES = 10_000

_RECIPIENTS = frozenset(
    b"%b%b" % (resent, name)
    for name in (b"to", b"cc", b"bcc")
    for resent in (b"", b"resent-", b"original-", b"original-resent-")
) | {b"x-envelope-to", b"apparently-to", b"apparently-resent-to"}
_WITH_PARAMETERS = frozenset((b"content-type", b"content-disposition"))
_TEXT_BREAKS = dict.fromkeys((*range(9), *range(10, 0x20), 0x7F, 0x85, 0x2028, 0x2029), " ")
"""Characters that would end a line or the text: a stranger must not write a second field into the first."""


class Decoded:
    """The decoded areas of one mail, whose body begins at `split`.

    `trusted` are the names of the servers whose Authentication-Results count.  `note` is called with what
    was left out because of a limit.
    """

    __slots__ = ("_data", "_split", "_trusted", "_note", "_structure")

    def __init__(
        self, data: bytes, split: int, trusted: Sequence[bytes] = (), note: Callable[[str], object] = str
    ) -> None:
        self._note = note
        self._data = data
        self._split = split
        self._trusted = frozenset(name.lower() for name in trusted)
        self._structure: structure.Structure | None = None

    def text(self, name: bytes) -> bytes:
        """The area of that name, in UTF-8."""
        return AREAS[name](self)

    @property
    def parts(self) -> structure.Structure:
        """The parts of the mail."""
        if self._structure is None:
            self._structure = structure.parse(self._data, self._split)
            for what in self._structure.cut:
                self._note(what)
        return self._structure

    # -- the header ------------------------------------------------------------------------

    def header(self) -> bytes:
        """The fields, each on one line, decoded."""
        head = self._data[: self._split]
        if head.isascii() and b"=?" not in head and b"*=" not in head and b"*0" not in head:
            return self._bounded(_unfolded(head).rstrip(b"\n") + b"\n", HEADER_BYTES)
        fallback = b"" if head.isascii() else self.parts.root.charset
        return self._lines(_field_lines(head, fallback), HEADER_BYTES)

    def _fields(self, names: frozenset[bytes]) -> Iterator[bytes]:
        """The values of the fields of these lower-case names, unfolded."""
        for _, _, value in header.named(self._data[: self._split], names):
            yield _unfolded(value).strip()

    def senders(self) -> bytes:
        """The addresses of From."""
        return self._addresses(frozenset((b"from",)))

    def recipients(self) -> bytes:
        """The addresses of To, Cc and the other fields of `^TO_`."""
        return self._addresses(_RECIPIENTS)

    def _addresses(self, names: frozenset[bytes]) -> bytes:
        found = (one.text for value in self._fields(names) for one in address.parse(value))
        texts = (charsets.guess(text.strip()).translate(_TEXT_BREAKS) for text in found if text)
        return self._lines(_first(texts, MOST_ADDRESSES, self._note), LIST_BYTES)

    def list_ids(self) -> bytes:
        """The text in the angle brackets of List-Id, or all of it without brackets.  RFC 2919."""
        values = self._fields(frozenset((b"list-id",)))
        return self._lines((words.decode(_bracketed(value)).translate(_TEXT_BREAKS) for value in values), LIST_BYTES)

    def authentication(self) -> bytes:
        """The results of the trusted servers, one a line.  RFC 8601."""
        values = self._fields(frozenset((b"authentication-results",)))
        results = (charsets.guess(line) for value in values for line in authentication.results(value, self._trusted))
        return self._lines((line.translate(_TEXT_BREAKS) for line in results), LIST_BYTES)

    # -- the parts -------------------------------------------------------------------------

    def body(self) -> bytes:
        """The text parts in order, decoded; each ends with a newline."""
        out: list[bytes] = []
        room = TEXT_BYTES
        for part in self.parts.root.walk():
            if not is_text(part):
                continue
            # With every encoding at least a quarter of the bytes become text.
            text = readable(part.first(room * 4), part)
            if len(text) > room:
                self._note(f"text after {TEXT_BYTES} bytes")
                text = text[: _boundary(text, room)]
            room -= len(text)
            out.append(text if text.endswith(b"\n") or not text else text + b"\n")
            if room <= 0:
                break
        return b"".join(out)

    def attachments(self) -> bytes:
        """A line for each part that a reader shows as an attachment: its type, name and size."""
        return self._lines(
            (
                f'{part.kind.decode("ascii", "replace").translate(_TEXT_BREAKS)}; name="{file_name(part)}"; size={size}'
                for part, size in self._attached()
            ),
            LIST_BYTES,
        )

    def _attached(self) -> Iterator[tuple[Part, int]]:
        for part in self.parts.root.walk():
            if is_attachment(part):
                yield part, transfer.size(self._data, part.start, part.end, part.encoding)

    # -- bounds ----------------------------------------------------------------------------

    def _lines(self, lines: Iterator[str], limit: int) -> bytes:
        """The lines in UTF-8, as many as fit."""
        out: list[bytes] = []
        room = limit
        for line in lines:
            text = line.encode("utf-8", "replace") + b"\n"
            room -= len(text)
            if room < 0:
                self._note(f"lines after {limit} bytes")
                out.append(text[:room].decode("utf-8", "ignore").encode())
                break
            out.append(text)
        return b"".join(out)

    def _bounded(self, text: bytes, limit: int) -> bytes:
        if len(text) > limit:
            self._note(f"lines after {limit} bytes")
        return text[:limit]


AREAS: dict[bytes, Callable[[Decoded], bytes]] = {
    b"MIME_HEADER": Decoded.header,
    b"MIME_TEXT": Decoded.body,
    b"ATTACHMENTS": Decoded.attachments,
    b"FROM_ADDRESS": Decoded.senders,
    b"TO_ADDRESSES": Decoded.recipients,
    b"LIST_ID": Decoded.list_ids,
    b"AUTH_RESULTS": Decoded.authentication,
}
"""The function that makes the area of each name."""


def is_text(part: Part) -> bool:
    """Whether a reader sees the part as text, as it does a multipart in which no parts were found."""
    if part.children:
        return False
    return part.kind.startswith((b"text/", b"multipart/", b"message/delivery-status"))


def is_attachment(part: Part) -> bool:
    """Whether a reader offers the part as a file: it has a name, is marked as an attachment, or is not text."""
    if part.kind.startswith(b"multipart/") or (part.message and is_text(part)):
        return False
    return not is_text(part) or part.disposition == b"attachment" or bool(file_name(part))


def _boundary(text: bytes, end: int) -> int:
    """The offset of the character, in UTF-8, that contains the offset `end`."""
    while text[end] & 0xC0 == 0x80:
        end -= 1
    return end


def readable(raw: bytes, part: Part) -> bytes:
    """The text of a part with the body `raw`, in UTF-8 with LF line ends; of HTML only the text that people read."""
    raw = transfer.decode(raw, part.encoding)
    charset = part.charset
    is_html = part.kind in (b"text/html", b"application/xhtml+xml")
    if raw.isascii() and not is_html and charset.lower() in (b"", b"us-ascii", b"utf-8", b"iso-8859-1"):
        return raw.replace(b"\r\n", b"\n") if b"\r" in raw else raw
    text = charsets.decode(raw, charset)
    if is_html:
        from pyprocmail.message import html_text

        text = html_text.text_of(text)
    return text.replace("\r\n", "\n").encode("utf-8", "replace")


def file_name(part: Part) -> str:
    """The part's file name from Content-Disposition, or else from Content-Type; empty without."""
    for field, name in ((b"content-disposition", b"filename"), (b"content-type", b"name")):
        value = part.field(field)
        if name in value.lower():
            found = parameters.readable(parameters.parameters(value), name)
            if found:
                return found.translate(_TEXT_BREAKS).replace('"', "'").strip()
    return ""


def _field_lines(head: bytes, fallback: bytes) -> Iterator[str]:
    for field in header.fields(head):
        if not field.strip():
            continue
        text = _unfolded(field).rstrip()
        name, colon, value = text.partition(b":")
        if colon and name.strip().lower() in _WITH_PARAMETERS and b"*" in value:
            yield _with_parameters(name, value, fallback)
        else:
            yield words.decode(text, fallback).translate(_TEXT_BREAKS)


def _with_parameters(name: bytes, value: bytes, fallback: bytes) -> str:
    """A field with each parameter joined and decoded."""
    found = parameters.parameters(value)
    listed = "".join(
        f'; {charsets.guess(one)}="{parameters.readable(found, one, fallback)}"' for one in parameters.names(found)
    )
    first = words.decode(value.partition(b";")[0].rstrip(), fallback)
    return f"{charsets.guess(name)}:{first}{listed}".translate(_TEXT_BREAKS)


def _unfolded(text: bytes) -> bytes:
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    return text.replace(b"\n ", b" ").replace(b"\n\t", b"\t")


def _bracketed(value: bytes) -> bytes:
    begin = value.rfind(b"<")
    end = value.find(b">", begin)
    return value[begin + 1 : end].strip() if 0 <= begin < end else value


def _first(texts: Iterator[str], most: int, note: Callable[[str], object]) -> Iterator[str]:
    for number, text in enumerate(texts):
        if number >= most:
            note(f"addresses after {most}")
            return
        yield text
