r"""The names that procmail replaces in a pattern: `^TO_`, `^TO`, `^FROM_DAEMON`, `^FROM_MAILER`.

They are replaced as text wherever they occur, even in a longer word or in a class.
procmailrc(5), Miscellaneous.
"""

from __future__ import annotations

_RECIPIENTS = rb"(^((Original-)?(Resent-)?(To|Cc|Bcc)|(X-Envelope|Apparently(-Resent)?)-To):"
_SENDERS = rb"(((Resent-)?(From|Sender)|X-Envelope-From):|>?From )([^>]*[^(.%@a-z0-9])?"
_AFTER_NAME = b"(([^).!:a-z0-9][-_a-z0-9]*)?[%@>\t ][^<)]*(\\(.*\\).*)?)?$([^>]|$))"

_FROM_DAEMON = b"^FROM_DAEMON"

# They are searched for in this order.
MACROS = (
    (
        _FROM_DAEMON,
        rb"(^(Mailing-List:|Precedence:.*(junk|bulk|list)|To: Multiple recipients of |"
        + _SENDERS
        + rb"(Post(ma?(st(e?r)?|n)|office)|(send)?Mail(er)?|daemon|m(mdf|ajordomo)|n?uucp|LIST(SERV|proc)|NETSERV|"
        rb"o(wner|ps)|r(e(quest|sponse)|oot)|b(ounce|bs\.smtp)|echo|mirror|s(erv(ices?|er)|mtp(error)?|ystem)|"
        rb"A(dmin(istrator)?|MMGR|utoanswer))" + _AFTER_NAME + b")",
    ),
    (b"^TO_", _RECIPIENTS + rb"(.*[^-a-zA-Z0-9_.])?)"),
    (b"^TO", _RECIPIENTS + rb"(.*[^a-zA-Z])?)"),
    (
        b"^FROM_MAILER",
        b"(^" + _SENDERS + rb"(Post(ma(st(er)?|n)|office)|(send)?Mail(er)?|daemon|mmdf|n?uucp|ops|r(esponse|oot)|"
        rb"(bbs\.)?smtp(error)?|s(erv(ices?|er)|ystem)|A(dmin(istrator)?|MMGR))" + _AFTER_NAME,
    ),
)


def expand(text: bytes) -> tuple[bytes, bool]:
    """The pattern with its macros replaced, and whether ^FROM_DAEMON makes it ignore case.

    A backslash before the first occurrence of a name protects all occurrences of that name.
    """
    fold = False
    # Few patterns contain a macro, and no expansion contains another.
    while b"^TO" in text or b"^FROM_" in text:
        for name, expansion in MACROS:
            at = text.find(name)
            if at >= 0 and text[at - 1 : at] != b"\\":
                text = text[:at] + expansion + text[at + len(name) :]
                fold = fold or name == _FROM_DAEMON
                break
        else:
            break
    return text, fold


def contracted(text: bytes) -> bytes:
    """The pattern as its author wrote it: with the names of macros in place of their expansions."""
    for name, expansion in MACROS:
        text = text.replace(expansion, name)
    return text
