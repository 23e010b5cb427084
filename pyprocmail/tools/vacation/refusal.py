"""Why a mail gets no answer.  RFC 3834, section 2; RFC 5230, sections 4.5 and 4.6"""

from __future__ import annotations

from pyprocmail.message import address
from pyprocmail.tools.reformail import name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyprocmail.tools.reformail import Mail
    from pyprocmail.tools.vacation.options import Options

_TO_ME = (b"to:", b"cc:", b"bcc:", b"resent-to:", b"resent-cc:", b"resent-bcc:")
_OF_LISTS = (b"mailing-list:", b"x-mailing-list:", b"x-beenthere:", b"x-list-id:", b"x-mailman-version:")
_BULK = (b"bulk", b"junk", b"list")
_SUPPRESSED = (b"oof", b"all", b"autoreply")
_ROBOTS = (
    b"mailer-daemon", b"daemon", b"listserv", b"majordomo", b"mailer", b"postmaster", b"uucp", b"noreply", b"no-reply",
    b"no_reply", b"donotreply", b"do-not-reply", b"do_not_reply", b"bounce", b"bounces",
)  # fmt: skip
_ROBOTS_BEGIN = (b"owner-", b"bounce-", b"bounces-", b"bounce+", b"bounces+", b"noreply-", b"noreply+", b"prvs=")
_ROBOTS_END = (b"-request", b"-owner", b"-bounces", b"-bounce", b"-daemon", b"-relay")
_LONGEST = 320
_UNSAFE = frozenset(b' \t\r\n\0"<>(),;:\\|`$&*?[]{}')


def sender_of(mail: Mail, options: Options, environ: Mapping[bytes, bytes]) -> bytes:
    """The envelope sender without angle brackets; empty if it is null or unknown.

    It comes from the command line, the From_ line, Return-Path, SENDER, or maildrop's FROM.
    """
    if options.sender is not None:
        found = options.sender
    elif mail.postmark:
        found = (mail.postmark.split() + [b"", b""])[1]
    else:
        paths = list(mail.values(b"return-path:"))
        found = paths[0] if paths else environ.get(b"SENDER", environ.get(b"FROM", b""))
    found = found.strip()
    return found[1:-1].strip() if found.startswith(b"<") and found.endswith(b">") else found


def refusal(mail: Mail, options: Options, environ: Mapping[bytes, bytes], sender: bytes) -> str:
    """Why the mail gets no answer; empty if it may get one."""
    return _of_sender(sender) or _of_header(mail) or _of_people(mail, options, environ, sender)


def _of_sender(sender: bytes) -> str:
    if not sender:
        return "the envelope sender is null, or not known"
    local, at, domain = sender.rpartition(b"@")
    local = (local if at else sender).lower()
    if local in _ROBOTS or local.startswith(_ROBOTS_BEGIN) or local.endswith(_ROBOTS_END):
        return "the sender is a robot"
    if len(sender) > _LONGEST or not local or (at and not domain) or sender.startswith(b"-"):
        return "the sender is not an address"
    if any(byte in _UNSAFE or byte < 0x21 or byte > 0x7E for byte in sender):
        return "the sender is not an address"
    return ""


def _of_header(mail: Mail) -> str:
    for field in mail.fields:
        name, _, value = field.partition(b":")
        name, value = name_of(name + b":"), value.strip().lower()
        if name == b"auto-submitted:" and _keyword(value) not in (b"", b"no"):
            return "a program has sent it: Auto-Submitted"
        if name.startswith(b"list-") or name in _OF_LISTS:
            return "a mailing list has sent it: " + name[:-1].decode("latin-1")
        if name in (b"precedence:", b"x-precedence:") and value in _BULK:
            return "it is bulk: Precedence"
        if name == b"x-auto-response-suppress:" and any(word.strip() in _SUPPRESSED for word in value.split(b",")):
            return "its sender wants no answer: X-Auto-Response-Suppress"
        if name == b"content-type:" and value.startswith(b"multipart/report"):
            return "it is a report"
        if (name == b"x-spam-flag:" and value.startswith(b"yes")) or (
            name == b"x-spam-status:" and value[:3] == b"yes"
        ):
            return "it is spam"
    return ""


def _keyword(value: bytes) -> bytes:
    """The keyword of Auto-Submitted, without parameters and comments."""
    return value.partition(b";")[0].partition(b"(")[0].strip()


def _of_people(mail: Mail, options: Options, environ: Mapping[bytes, bytes], sender: bytes) -> str:
    mine = options.addresses
    login = environ.get(b"LOGNAME", b"").lower()

    def is_mine(text: bytes) -> bool:
        text = text.lower()
        return text in mine if mine else bool(login) and text.partition(b"@")[0] == login

    if is_mine(sender) or any(is_mine(text) for text in _addresses(mail, b"from:")):
        return "it is from me"
    if any(is_mine(value.strip()) for value in mail.values(b"x-loop:")):
        return "I have answered it: X-Loop"
    if not any(is_mine(text) for name in _TO_ME for text in _addresses(mail, name)):
        return "it is not addressed to me"
    return ""


def _addresses(mail: Mail, name: bytes) -> list[bytes]:
    return [one.text for value in mail.values(name) for one in address.parse(value) if one.text]
