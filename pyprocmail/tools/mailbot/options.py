"""The command line of mailbot."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

REPLY, DSN, FEEDBACK, REPLY_FEEDBACK, DRAFT = b"reply", b"replydsn", b"feedback", b"replyfeedback", b"replydraft"
_FORMATS = (REPLY, b"replyall", b"forward", b"forwardatt", DSN, FEEDBACK, REPLY_FEEDBACK, DRAFT)
_WITH_VALUE = b"tcmrTFSdDsAMRl"
USAGE = b"""\
Usage: mailbot [ options ] [ $MAILER arg arg... ]

    -t filename        - text autoresponse
    -c charset         - text MIME character set (default US-ASCII)
    -m filename        - text autoresponse with a MIME header
    -r addr1,addr2...  - any 'addr' required in a To/Cc header
    -e                 - Prefer replies to Errors-To: or Return-Path: instead
                         of From:
    -T type            - "type": reply, replyall, replydsn, replyfeedback,
                         replydraft, forward, forwardatt
    -N                 - Omit contents of the original message from replies
    -F "separator"     - Set the forwarding separator
    -S "salutation"    - Set salutation for replies
    -d $pathname       - database to prevent duplicate autoresponses
    -D x               - at least 'x' days before dupes (default: 1)
    -s subject         - Subject: on autoresponses
    -A "Header: stuff" - Additional header on the autoresponse
    -M recipient       - format "replydsn" as a DSN from 'recipient' (required)
    -fuser@domain      - Set responding address for replydsn
    -f                 - Set responding address from $SENDER
    -R type            - Feedback type, for "-T feedback" or "-T replyfeedback":
                         "abuse", "fraud", "other", or "virus"
    -n                 - only show the resulting message, do not send it
    -a                 - Attach entire message for replydsn, feedback, and
                         replyfeedback, instead of only the headers.
    -l                 - maildir to read a draft message with the reply
                         (required by -T replydraft).
    --feedback-original-envelope-id {"<envelopeid>"}
    --feedback-original-mail-from {"<mailfrom>"}
    --feedback-reporting-mta {"dns; hostname"}
    --feedback-source-ip {aaa.bbb.ccc.ddd}
    --feedback-incidents {n}
    --feedback-authentication-results {"results"}
    --feedback-original-rcpt-to {"<rcptto>"]
    --feedback-reported-domain {example.com}
                       - optional parameters for -T "feedback" and \n\
                         -T "replyfeedback"
    $MAILER arg arg... - run $MAILER (sendmail) to mail the autoresponse
"""


class UsageError(Exception):
    """The command line is invalid."""


class Options:
    """The command line."""

    __slots__ = ("values", "headers", "feedback", "kind", "quoting", "errors_to", "show", "whole", "program")

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.headers: list[bytes] = []
        self.feedback: list[tuple[bytes, bytes]] = []
        self.kind = REPLY
        self.quoting = True
        self.errors_to = False
        self.show = False
        self.whole = False
        self.program: list[bytes] = []


def parse_options(words: Sequence[bytes]) -> Options:
    """Read the command line.

    Raises:
        UsageError: it is invalid.
    """
    options = Options()
    rest = list(words)
    while rest and rest[0].startswith(b"-") and len(rest[0]) > 1:
        word = rest.pop(0)
        letter, value = word[1:2], word[2:]
        if word == b"--":
            break
        if word.startswith(b"--feedback-"):
            if not rest:
                raise UsageError
            options.feedback.append((word[len(b"--feedback-") :].lower(), rest.pop(0)))
            continue
        if letter in (b"N", b"e", b"n", b"a", b"f"):
            options.quoting &= letter != b"N"
            options.errors_to |= letter == b"e"
            options.show |= letter == b"n"
            options.whole |= letter == b"a"
            continue
        if letter not in (b"%c" % one for one in _WITH_VALUE):
            raise UsageError
        if not value:
            if not rest:
                raise UsageError
            value = rest.pop(0)
        if letter == b"A":
            options.headers.append(value)
        else:
            options.values[letter] = value
    options.program = rest
    options.kind = options.values.get(b"T", REPLY)
    if options.kind not in _FORMATS or (options.kind == DSN and b"M" not in options.values):
        options.kind = REPLY
    texts = sum(letter in options.values for letter in (b"t", b"m"))
    if texts > 1 or not (texts or (options.kind == DRAFT and b"l" in options.values)):
        raise UsageError
    return options
