"""Adds a text below a mail: disclaimer.py TEXT < mail

To its plain text and its HTML, in the character set and the encoding that they have; in UTF-8 if the text does not fit
into that set.  A mail with a signature or encryption in it, and one without a text, leaves as it came.
"""

import base64
import email
import email.generator
import html
import io
import quopri
import sys
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

_SEALED = ("multipart/signed", "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime")


def main() -> None:
    """Read a mail, write a mail."""
    data = sys.stdin.buffer.read()
    text = Path(sys.argv[1]).read_text("utf-8")
    sys.stdout.buffer.write(with_text(data, text))


def with_text(data: bytes, text: str) -> bytes:
    """The mail with the text below it."""
    mail = email.message_from_bytes(data)
    parts = list(texts(mail))
    sealed = any(part.get_content_type() in _SEALED for part in mail.walk()) or b"-----BEGIN PGP" in data
    if sealed or not parts:
        return data
    for part in parts:
        append(part, text)
    out = io.BytesIO()
    email.generator.BytesGenerator(out, mangle_from_=False, maxheaderlen=0).flatten(
        mail, unixfrom=bool(mail.get_unixfrom())
    )
    return out.getvalue()


def texts(part: Message) -> Iterator[Message]:
    """What a reader shows first: a text, or the same text in several forms."""
    kind = part.get_content_type()
    if kind in ("text/plain", "text/html") and part.get_content_disposition() != "attachment":
        yield part
    elif part.is_multipart() and part.get_content_maintype() == "multipart":
        children = part.get_payload()
        assert isinstance(children, list)
        for child in children if kind == "multipart/alternative" else children[:1]:
            assert isinstance(child, Message)
            yield from texts(child)


def append(part: Message, text: str) -> None:
    """Have the text below a part."""
    charset = part.get_content_charset("us-ascii")
    raw = part.get_payload(decode=True)
    assert isinstance(raw, bytes)
    try:
        raw = joined(part, raw, text, charset)
    except (UnicodeError, LookupError):
        try:
            raw = joined(part, raw.decode(charset).encode(), text, "utf-8")
        except (UnicodeError, LookupError):
            return  # nobody knows what it is written in
        if "Content-Type" in part:
            part.set_param("charset", "utf-8", replace=True)
        else:
            part["MIME-Version"] = "1.0"
            part["Content-Type"] = 'text/plain; charset="utf-8"'
    encode(part, raw)


def joined(part: Message, raw: bytes, text: str, charset: str) -> bytes:
    """The bytes with the text below, in that character set."""
    if part.get_content_type() == "text/html":
        added = "<p>" + html.escape(text.strip()).replace("\n", "<br>\n") + "</p>\n"
        body, end, rest = raw.rpartition(b"</body>")
        return body + added.encode(charset) + end + rest if end else raw + added.encode(charset)
    return raw.rstrip(b"\r\n") + ("\n\n" + text).encode(charset)


def encode(part: Message, raw: bytes) -> None:
    """Put the bytes into the part, encoded as it was; what was 7bit and no longer is, as quoted-printable."""
    was = str(part.get("Content-Transfer-Encoding", "7bit")).strip().lower()
    now = "quoted-printable" if was in ("7bit", "") and not raw.isascii() else was
    if now == "base64":
        part.set_payload(base64.encodebytes(raw).decode("ascii"))
    elif now == "quoted-printable":
        part.set_payload(quopri.encodestring(raw).decode("ascii"))
    else:
        part.set_payload(raw.decode("ascii", "surrogateescape"))
    if now != was:
        del part["Content-Transfer-Encoding"]
        part["Content-Transfer-Encoding"] = now


if __name__ == "__main__":
    main()
