"""The mail that answers another."""

from __future__ import annotations

from pyprocmail.message import header, mime
from pyprocmail.tools.mailbot import reports
from pyprocmail.tools.mailbot.options import DRAFT, DSN, FEEDBACK, REPLY_FEEDBACK
from pyprocmail.tools.mailbot.salutation import salutation
from pyprocmail.tools.mailbot.sender import first_value, sender_field
from pyprocmail.tools.mailbot.subject import core_subject
from pyprocmail.tools.reformail import Mail, name_of, unfolded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host
    from pyprocmail.tools.mailbot.options import Options

_MARKER = b"--- Forwarded message ---"
_WIDTH = 70
_SPACE = b" \t\n\r\v\f"
_AS_LINES = bytes.maketrans(_SPACE, b"\n" * len(_SPACE))


class Answer:
    """The mail to send."""

    __slots__ = ("host", "options", "mail", "data", "text", "charset")

    def __init__(self, host: Host, options: Options, mail: Mail, data: bytes, text: bytes, charset: bytes) -> None:
        self.host = host
        self.options = options
        self.mail = mail
        self.data = data
        self.text = text
        self.charset = charset

    def build(self) -> bytes:
        """The whole mail."""
        fields = [*self.options.headers, b"Precedence: junk", b"Auto-Submitted: auto-replied"]
        forward = self.options.kind in (b"forward", b"forwardatt")
        if not forward:
            fields += self._recipients() + self._thread()
        fields += [b"Subject: " + self._subject(forward), b"Mime-Version: 1.0"]
        typed, text = self._content()
        if self.options.kind == b"forwardatt":
            return self._with_attachment(fields, typed, text)
        if self.options.kind == DRAFT:
            return self._with_header(fields, typed, text)
        if forward:
            return _lines(*fields, *typed, b"", text) + b"\n" + self._marker() + b"\n" + self._forwarded()
        if self.options.quoting:
            text = self._quoted() + text
        if self.options.kind in (DSN, FEEDBACK, REPLY_FEEDBACK):
            return self._report(fields, _lines(*typed, b"", text) + b"\n")
        return _lines(*fields, *typed, b"", text) + b"\n"

    def _content(self) -> tuple[list[bytes], bytes]:
        """The fields that describe the text, and the text."""
        if self.options.kind == DRAFT:
            if b"t" in self.options.values:
                return [], self.text
            part = Mail(self.text)
            return [one for one in part.fields if name_of(one).startswith(b"content-")], part.body
        if b"m" in self.options.values:
            part = Mail(self.text)
            fields = [one for one in part.fields if name_of(one) != b"content-transfer-encoding:"]
            text = part.body
        else:
            charset = self.options.values.get(b"c", self.charset)
            fields = [b'Content-Type: text/plain; format=flowed; delsp=yes; charset="%b"' % charset]
            text = self.text
        return [*fields, b"Content-Transfer-Encoding: 8bit"], text

    def _recipients(self) -> list[bytes]:
        mail = self.mail
        if self.options.kind == FEEDBACK:
            return []
        fields = [b"To: " + sender_field(mail, self.options)]
        if self.options.kind == b"replyall":
            others = [value for name in (b"to:", b"cc:") for value in mail.values(name) if value.strip()]
            if others:
                fields.append(b"Cc: " + b", ".join(others))
        return fields

    def _thread(self) -> list[bytes]:
        identity = first_value(self.mail, b"message-id:")
        if not identity:
            return []
        references = bytearray(b"References: ")
        for reference in header.lines(first_value(self.mail, b"references:").translate(_AS_LINES)):
            if reference:
                references += reference
                references += b"\n            "
        return [bytes(references) + identity, b"In-Reply-To: " + identity]

    def _subject(self, forward: bool) -> bytes:
        given = self.options.values.get(b"s")
        if given is not None:
            return given
        subject = first_value(self.mail, b"subject:")
        if self.options.kind in (FEEDBACK, REPLY_FEEDBACK):
            return subject
        if forward:
            return core_subject(subject) + b" (fwd)"
        return b"Re: " + core_subject(subject) if subject else b""

    def _marker(self) -> bytes:
        return self.options.values.get(b"F", _MARKER)

    def _forwarded(self) -> bytes:
        """The original as text: the fields that people read, and the text."""
        shown = (b"from:", b"to:", b"cc:", b"subject:", b"message-id:", b"date:")
        fields = [unfolded(field) for field in self.mail.fields if name_of(field) in shown]
        return b"".join(field + b"\n" for field in fields) + b"\n" + self._original_text()

    def _with_attachment(self, fields: list[bytes], typed: list[bytes], text: bytes) -> bytes:
        boundary = self._boundary(text)
        original = b"Content-Type: message/rfc822\nContent-Description: Forwarded message\n\n" + self._original()
        head = _lines(*fields, b'Content-Type: multipart/mixed; boundary="%b"' % boundary, b"")
        parts = [_lines(*typed, b"", text) + b"\n" + self._marker() + b"\n", original]
        return head + reports.multipart(boundary, parts)

    def _with_header(self, fields: list[bytes], typed: list[bytes], text: bytes) -> bytes:
        """A draft with the header of the mail that it answers."""
        boundary = self._boundary(text)
        kind = b'Content-Type: multipart/mixed; boundary="%b"' % boundary
        parts = [_lines(*typed, b"") + text, reports.original(self.mail, b"", whole=False)]
        return _lines(*fields, kind, b"") + reports.multipart(boundary, parts)

    def _template(self) -> list[bytes]:
        """The value of -S if it is given."""
        return [self.options.values[b"S"]] if b"S" in self.options.values else []

    def _report(self, fields: list[bytes], text: bytes) -> bytes:
        """A report: the text for people, the same for programs, and the original mail."""
        options, host = self.options, self.host
        boundary = self._boundary(text)
        if options.kind == DSN:
            kind = b"delivery-status"
            machine = reports.delivery_status(host, options.values[b"M"])
        else:
            kind = b"feedback-report"
            known = [pair for pair in options.feedback if pair[0] in reports.FEEDBACK]
            machine = reports.feedback(host, options.values.get(b"R", b"other"), known)
        typed = b'Content-Type: multipart/report; report-type=%b;\n    boundary="%b"' % (kind, boundary)
        original = reports.original(self.mail, self._original(), whole=options.whole)
        return _lines(*fields, typed, b"") + reports.multipart(boundary, [text, machine, original])

    def _boundary(self, text: bytes) -> bytes:
        """A boundary that does not occur in the answer."""
        host = self.host
        number = 0
        while True:
            number += 1
            boundary = b"=_%b-%d-%d-%04d" % (host.hostname(), host.getpid(), int(host.time()), number)
            if boundary not in self.data and boundary not in text:
                return boundary

    def _original(self) -> bytes:
        return self.data.replace(b"\r\n", b"\n").lstrip(b"\n")

    def _original_text(self) -> bytes:
        """The first part that is plain text."""
        data = self.data.replace(b"\r\n", b"\n")
        part: mime.Part | None = mime.parse(data)
        while part is not None and part.children:
            part = next((one for one in part.children if one.children or _is_plain(one)), None)
        if part is None or not _is_plain(part):
            return b""
        return mime.decoded(mime.body(data, part), part.charset)

    def _quoted(self) -> bytes:
        """The salutation, and the original with `>` before each line."""
        quoted = bytearray()
        text = self._original_text().rstrip(b"\n")
        for line in header.lines(text) if text else ():
            for piece in _wrapped(line.rstrip()):
                quoted += b">" if piece.startswith(b">") or not piece else b"> "
                quoted += piece
                quoted += b"\n"
        return (
            salutation(self.host, self.mail, *self._template()) + b"\n\n" + bytes(quoted) + (b"\n" if quoted else b"")
        )


def _lines(*lines: bytes) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _is_plain(part: mime.Part) -> bool:
    return not part.typed or mime.content_type(part) in (b"", b"text/plain")


def _wrapped(line: bytes) -> list[bytes]:
    """A long line split into format=flowed lines: RFC 3676 with DelSp."""
    pieces = []
    at = 0
    while len(line) - at > _WIDTH:
        cut = line.rfind(b" ", at, at + _WIDTH)
        if cut < 0:
            break
        pieces.append(line[at:cut] + b"  ")
        at = cut + 1
    return [*pieces, line[at:]]
