"""maillog: a line for each mail in mailspy's format; from a milter, or from saved mail.

The fields are date (GMT), time, from, a `to` for each recipient, size of the body in bytes, subject, a `file` for each
attachment, with tabs between them.  Nothing is truncated, and no text of a mail can imitate a field.
"""

from __future__ import annotations

import json
import time

from pyprocmail.exits import EX_OK, EX_USAGE
from pyprocmail.message import address, attachments, header, mailbox, mime
from pyprocmail.message.model import Message
from pyprocmail.message.postmark import envelope_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyprocmail.host import Host

    Write = Callable[[bytes], None]

USAGE = b"Usage: pyprocmail maillog [--json] [--decode] < mailbox\n"
_CONTROLS = bytes(range(0x20)) + b"\x7f"
_BLANKED = bytes.maketrans(_CONTROLS, b" " * len(_CONTROLS))


class Entry:
    """The logged data of a mail: `when` in seconds since 1970, envelope, body `size` in bytes, subject, file names.

    Addresses are as the mail server wrote them; the null sender is `<>`.  The subject is that of the mail, undecoded.
    """

    __slots__ = ("when", "sender", "recipients", "size", "subject", "files")

    def __init__(
        self,
        when: float,
        sender: bytes,
        recipients: Sequence[bytes],
        size: int,
        subject: bytes,
        files: Sequence[bytes],
    ) -> None:
        self.when = when
        self.sender = sender
        self.recipients = recipients
        self.size = size
        self.subject = subject
        self.files = files

    def line(self, *, decode: bool = False) -> bytes:
        """The line; with `decode` the subject is in UTF-8."""
        when = time.gmtime(self.when)
        subject = mime.words(mime.unfolded(self.subject)) if decode else self.subject
        fields = [
            time.strftime("%y-%m-%d %H:%M", when).encode(),
            b"time=%d" % self.when,
            b"from=" + _field(self.sender),
            *(b"to=" + _field(recipient) for recipient in dict.fromkeys(self.recipients)),
            b"size=%d" % self.size,
            b"subject=" + _field(subject),
            *(b"file=" + _field(name) for name in self.files),
        ]
        return b"\t".join(fields) + b"\n"

    def json(self) -> bytes:
        """The same as a JSON object on one line; texts are decoded, and bytes that are not UTF-8 are replaced."""
        found = {
            "time": int(self.when),
            "from": _text(self.sender),
            "to": [_text(recipient) for recipient in dict.fromkeys(self.recipients)],
            "size": self.size,
            "subject": _text(mime.words(mime.unfolded(self.subject))),
            "files": [_text(name) for name in self.files],
        }
        return json.dumps(found, ensure_ascii=False).encode() + b"\n"


def _field(text: bytes) -> bytes:
    """The text with control characters as blanks, so that it cannot end a field or a line."""
    return text.translate(_BLANKED)


def _text(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def subject_of(head: bytes) -> bytes:
    """The value of the first Subject: field; each newline of a fold becomes a blank."""
    for _, _, value in header.named(head, (b"subject",)):
        return value.strip(b" \t\r\n").replace(b"\r\n", b" ").replace(b"\n", b" ")
    return b""


def entry_of(mail: bytes, now: float) -> Entry:
    """The log entry of a saved mail: its From_ line names the sender, To: and Cc: the recipients."""
    message = Message(mail)
    head = message.head
    start = envelope_end(head)
    words = head[:start].split(b" ", 2)
    sender = words[1] if len(words) > 1 else b""
    recipients = [
        b"<%b>" % found.text
        for _, _, value in header.named(head[start:], (b"to", b"cc"))
        for found in address.parse(mime.unfolded(value))
        if found.text
    ]
    body = message.body.removesuffix(b"\n") if mail.endswith(b"\n\n") else message.body
    files = list(attachments.file_names(head[start:] + message.body))
    return Entry(now, b"<%b>" % sender, recipients, len(body), subject_of(head[start:]), files)


def run(
    host: Host,
    argv: Sequence[bytes],
    _environ: Mapping[bytes, bytes],
    read: Callable[[int], bytes],
    write: Write,
    note: Write,
) -> int:
    """Write a line for each mail of the mailbox that `read` returns; returns the exit status."""
    options = set(argv[1:])
    if options - {b"--json", b"--decode"}:
        note(USAGE)
        return EX_USAGE
    for mail in mailbox.split(read, host.largest_mail()):
        entry = entry_of(mail, host.time())
        write(entry.json() if b"--json" in options else entry.line(decode=b"--decode" in options))
    return EX_OK
