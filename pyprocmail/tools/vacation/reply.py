"""The answer.  RFC 3834, section 3; RFC 5230, section 5"""

from __future__ import annotations

import os

from pyprocmail.message import charsets, mime, postmark, word_encoding
from pyprocmail.message import transfer_encoding as transfer
from pyprocmail.tools.mailbot.subject import core_subject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host
    from pyprocmail.tools.reformail import Mail
    from pyprocmail.tools.vacation.options import Options

_UTF8 = word_encoding.Charset(b"utf-8", "utf_8")
_LONGEST_SUBJECT = 400
_MOST_REFERENCES = 20
_LONGEST_ID = 500


def template(data: bytes) -> tuple[dict[bytes, bytes], bytes]:
    """The fields at the beginning of the text, if there are any as in .vacation.msg, and the rest of it in UTF-8."""
    text = data.replace(b"\r\n", b"\n")
    if charsets.to_utf8(text, "utf-8") != text:
        text = charsets.to_utf8(text, "windows-1252") or b""
    head, empty, body = text.partition(b"\n\n")
    fields = [line.partition(b":") for line in head.split(b"\n")]
    if not empty or not all(
        colon and name.lower() in (b"subject", b"from", b"precedence") for name, colon, _ in fields
    ):
        return {}, text
    return {name.lower(): value.strip() for name, _, value in fields}, body


def reply(host: Host, options: Options, mail: Mail, sender: bytes, data: bytes) -> bytes:
    """The mail that answers `mail`, with the text in `data`."""
    fields, text = template(data)
    theirs = mime.words(next(mail.values(b"subject:"), b"")).replace(b"\n", b" ").strip()[:_LONGEST_SUBJECT]
    theirs = theirs.decode("utf-8", "ignore").encode()
    subject = (
        options.subject or fields.get(b"subject", b"").replace(b"$SUBJECT", theirs) or b"Auto: " + core_subject(theirs)
    )
    text = text.replace(b"$SUBJECT", theirs)
    origin = options.origin or fields.get(b"from", b"")
    lines = [b"From: " + word_encoding.encode_addresses(origin, _UTF8)] if origin else []
    lines += [
        b"To: " + sender,
        b"Subject: " + _encoded(subject),
        b"Date: " + postmark.rfc_date(host.localtime()),
        b"Message-ID: <%d.%d.%b.vacation@%b>"
        % (int(host.time()), host.getpid(), os.urandom(6).hex().encode(), host.hostname()),
        *_thread(mail),
        b"Auto-Submitted: auto-replied (vacation)",
        b"Precedence: bulk",
        b"X-Auto-Response-Suppress: All",
    ]
    if options.addresses:
        lines.append(b"X-Loop: " + options.addresses[0])
    encoding = b"quoted-printable" if not text.isascii() else transfer.best_encoding(text)
    lines += [
        b"MIME-Version: 1.0",
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Transfer-Encoding: " + encoding,
    ]
    body = transfer.encoded(text, encoding)
    return b"\n".join((*lines, b"", body)) + (b"" if body.endswith(b"\n") else b"\n")


def _encoded(subject: bytes) -> bytes:
    """The encoded subject, folded if it is long."""
    text = word_encoding.encode(subject.decode("utf-8", "replace"), _UTF8)
    return text.replace(b"?= =?", b"?=\n =?")


def _thread(mail: Mail) -> list[bytes]:
    """In-Reply-To and References.  RFC 3834, section 3.1.7"""
    identity = next(mail.values(b"message-id:"), b"").strip()
    if not identity or len(identity) > _LONGEST_ID or not identity.isascii():
        return []
    references = [
        one for one in next(mail.values(b"references:"), b"").split() if one.isascii() and len(one) <= _LONGEST_ID
    ]
    return [
        b"In-Reply-To: " + identity,
        b"References: " + b"\n ".join((*references[-_MOST_REFERENCES:], identity)),
    ]
