"""The decision of rules about a mail that passes through a mail server: one table for policy milter and gateway.

PASSED: the rules reach their end, or deliver to DEFAULT or to the folder `accept`; the mail, with the changes of
    filters, is passed on.  `! addresses`: to these instead of the envelope's recipients.  `:0 c` with `! addresses`
    (maildrop: `cc`): to these as well.
DISCARDED: /dev/null, `HOST` of another machine, a program (`| program`) that takes the mail, `exit` of maildrop.  This
    is a success, and logged.
QUARANTINED: the folder `quarantine:REASON`.  A mail server holds the mail; the gateway cannot, and refuses it.
REFUSED: EXITCODE is not 0, wherever the mail was delivered.  The reply is REPLY, or the one in `lmtp/replies`.
FAILED: the rules crash, time out, cannot be read or are abandoned.  `--on-error` decides about the mail.

Any other folder is a fault: it is logged, and the mail is passed on.  A copy into a folder is only logged.

`SENDER` begins as the envelope sender; its last value is the sender of the mail that is passed on.  `! -f sender
addresses` sets the sender for these addresses alone.  REPLY is a whole reply (`550 5.7.1 text`) or a text; without
EXITCODE it has no effect.  A refusal cancels everything before it: nothing is passed on, not even copies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from pyprocmail.exits import EX_OK
from pyprocmail.servers.lmtp.replies import LATER, OTHER, REPLIES

ACCEPT = b"accept"
"""The initial value of DEFAULT; the folder that accepts the mail."""
QUARANTINE = b"quarantine:"

_HIGHEST_STATUS = 127
_LONGEST_TEXT = 400
_REPLY = re.compile(rb"([45])[0-5][0-9](?:[ -]+(\1\.\d{1,3}\.\d{1,3}))?(?:[ -]+(.*))?", re.DOTALL)


class Kind(Enum):
    """See the table."""

    PASSED = "passed"
    DISCARDED = "discarded"
    QUARANTINED = "quarantined"
    REFUSED = "refused"
    FAILED = "failed"


class OnError(Enum):
    """What becomes of a mail whose rules fail."""

    ACCEPT = "accept"
    TEMPFAIL = "tempfail"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Sending:
    """The mail `text`, without a From_ line, for `recipients`; None: for those of the envelope.

    `copy`: the rules continued after it, and may have done something else with the mail.
    """

    sender: bytes
    recipients: tuple[bytes, ...] | None
    text: bytes
    copy: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to do with the mail.

    `sendings` belong to PASSED and QUARANTINED.  `reply` belongs to REFUSED, a whole line without its line end.
    `reason` is why the rules failed, or the reason of a quarantine.  `faults` are lines for the log.
    """

    kind: Kind
    sendings: tuple[Sending, ...] = ()
    reply: bytes = b""
    reason: bytes = b""
    faults: tuple[bytes, ...] = ()


def after_error(outcome: Outcome, choice: OnError, unchanged: Sending) -> Outcome:
    """The outcome that `choice` gives for FAILED; any other outcome stays.  `unchanged` is the mail as received."""
    if outcome.kind is not Kind.FAILED:
        return outcome
    faults = (*outcome.faults, b"the rules failed: " + (outcome.reason or b"nobody knows why"))
    if choice is OnError.ACCEPT:
        return Outcome(Kind.PASSED, (unchanged,), reason=outcome.reason, faults=faults)
    code = LATER if choice is OnError.TEMPFAIL else b"554 5.3.0"
    return Outcome(Kind.REFUSED, reply=code + b" The rules failed", reason=outcome.reason, faults=faults)


def reply_for(status: int, text: bytes) -> bytes:
    """The reply for an EXITCODE that is not 0, and a REPLY that may be empty."""
    assert status != EX_OK
    code = REPLIES.get(status, OTHER) if 0 < status <= _HIGHEST_STATUS else LATER
    given = _REPLY.fullmatch(text.strip())
    if given is not None:
        enhanced = given[2] or given[1] + b".7.1"
        code, text = b"%b %b" % (text.strip()[:3], enhanced), given[3] or b""
    return b"%b %b" % (code, printable(text) or b"Exit status %d" % status)


def printable(text: bytes) -> bytes:
    """The text on one line of ASCII, short enough for every server."""
    blanked = text.replace(b"\r\n", b" ").translate(bytes.maketrans(b"\r\n\t", b"   ")).strip()
    return bytes(byte if 0x20 <= byte < 0x7F else 0x3F for byte in blanked[:_LONGEST_TEXT])
