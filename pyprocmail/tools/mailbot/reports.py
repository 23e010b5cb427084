"""The machine-readable part of mailbot's reports: delivery status or abuse feedback.  RFC 3464, RFC 5965."""

from __future__ import annotations

import time

from pyprocmail import __version__
from pyprocmail.message.transfer_encoding import NOT_MIME
from pyprocmail.tools.reformail import unfolded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyprocmail.host import Host
    from pyprocmail.tools.reformail import Mail

FEEDBACK = (
    b"original-envelope-id", b"original-mail-from", b"reporting-mta", b"source-ip", b"incidents",
    b"authentication-results", b"original-rcpt-to", b"reported-domain",
)  # fmt: skip
"""The names of the --feedback-NAME options."""


def delivery_status(host: Host, recipient: bytes) -> bytes:
    """The part that reports the delivery to the recipient."""
    return (
        b"Content-Type: message/delivery-status\nContent-Transfer-Encoding: 7bit\n\n"
        b"Arrival-Date: %b\n\nFinal-Recipient: rfc822; %b\nAction: delivered\nStatus: 2.0.0\n"
    ) % (_now(host), recipient)


def feedback(host: Host, kind: bytes, values: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The part that reports what is wrong with the mail: `kind`, and names of FEEDBACK with their values."""
    # maildrop 2.9.3 omits Feedback-Type, which a report must have.  RFC 5965, section 3.1.
    lines = [
        b"Feedback-Type: " + kind,
        b"Arrival-Date: " + _now(host),
        b"User-Agent: pyprocmail/" + __version__.encode(),
        b"Version: 1",
        *(name.title() + b": " + value for name, value in values),
    ]
    head = b"Content-Type: message/feedback-report\nContent-Transfer-Encoding: 7bit\n\n"
    return head + b"".join(line + b"\n" for line in lines)


def original(mail: Mail, data: bytes, *, whole: bool) -> bytes:
    """The part with the original mail, or with its header only."""
    if whole:
        return b"Content-Type: message/rfc822\nContent-Disposition: attachment\n\n" + data
    fields = bytearray()
    for field in mail.fields:
        fields += unfolded(field)
        fields += b"\n"
    return (
        b'Content-Type: text/rfc822-headers; charset="utf-8"\nContent-Disposition: attachment\n'
        b"Content-Transfer-Encoding: 8bit\n\n"
    ) + bytes(fields)


def multipart(boundary: bytes, parts: Sequence[bytes]) -> bytes:
    """The body of a multipart, from parts with their headers, each ending in a newline."""
    middle = b"".join(b"--%b\n%b\n" % (boundary, part) for part in parts)
    return b"%b\n%b--%b--\n" % (NOT_MIME, middle, boundary)


def _now(host: Host) -> bytes:
    return time.strftime("%a, %d %b %Y %H:%M:%S %z", host.localtime()).encode()
