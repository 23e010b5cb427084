"""From a verdict to the reply for one recipient.  The table is also in pyprocmail-lmtp(8).  RFC 3463."""

from __future__ import annotations

from pyprocmail.exits import EX_CANTCREAT, EX_IOERR, EX_NOPERM, EX_NOUSER, EX_OK, EX_OSERR, EX_TEMPFAIL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.engine.verdict import Verdict

DELIVERED = b"250 2.0.0"
LATER = b"451 4.3.0"
_EX_DATAERR = 65
REPLIES = {
    EX_OK: DELIVERED,
    _EX_DATAERR: b"550 5.6.0",
    EX_NOUSER: b"550 5.1.1",
    EX_OSERR: LATER,
    EX_CANTCREAT: b"550 5.2.0",
    EX_IOERR: LATER,
    EX_TEMPFAIL: LATER,
    EX_NOPERM: b"550 5.7.1",
}
OTHER = b"554 5.3.0"
"""Any other exit status that an rcfile chose."""
_HIGHEST_STATUS = 127
_LONGEST_TEXT = 400


def reply_of(verdict: Verdict, address: bytes) -> bytes:
    """The reply about the recipient `address`, without its line end."""
    status = verdict.status
    code = REPLIES.get(status, OTHER) if 0 <= status <= _HIGHEST_STATUS else LATER
    text = b"Delivered" if status == EX_OK else verdict.reply or verdict.reason() or b"Exit status %d" % status
    return line(code, address, text)


def line(code: bytes, address: bytes, text: bytes) -> bytes:
    """A reply of one line of printable ASCII."""
    whole = b"<%b> %b" % (address, text)
    shown = bytes(byte if 0x20 <= byte < 0x7F else 0x3F for byte in whole[:_LONGEST_TEXT])
    return b"%b %b" % (code, shown)
