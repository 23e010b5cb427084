"""The line above a quotation: who wrote it, and when."""

from __future__ import annotations

import time

from pyprocmail.message import mime
from pyprocmail.tools.mailbot.sender import addresses, first_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host
    from pyprocmail.tools.reformail import Mail

_USUAL = b"%F writes:"
_DATE = b"%a, %d %b %Y %H:%M:%S %z"


def salutation(host: Host, mail: Mail, template: bytes = _USUAL) -> bytes:
    """The template with %F and the other % sequences replaced by values from the mail."""
    out = bytearray()
    at = 0
    while at < len(template):
        if template[at] != 0x25 or at + 1 >= len(template):
            out.append(template[at])
            at += 1
            continue
        letter = template[at + 1 : at + 2]
        at += 2
        if letter == b"{":
            end = template.find(b"}d", at)
            if end < 0:
                out += b"%{"
                continue
            out += _date(host, mail, template[at:end])
            at = end + 2
        else:
            out += _substitution(host, mail, letter)
    return bytes(out)


def _substitution(host: Host, mail: Mail, letter: bytes) -> bytes:
    if letter in (b"F", b"f"):
        text, name = next(addresses(mail, b"from:"), (b"", None))
        return mime.words(name) if name and letter == b"F" else text
    fields = {b"S": b"subject:", b"i": b"message-id:", b"N": b"newsgroups:", b"C": b"x-newsgroup:"}
    if letter in fields:
        return mime.words(first_value(mail, fields[letter]))
    return {b"n": b"\n", b"%": b"%", b"d": _date(host, mail, _DATE)}.get(letter, b"%" + letter)


def _date(host: Host, mail: Mail, template: bytes) -> bytes:
    from email.utils import mktime_tz, parsedate_tz

    parsed = parsedate_tz(first_value(mail, b"date:").decode("latin-1"))
    seconds = host.time() if parsed is None else mktime_tz(parsed)
    return time.strftime(template.decode("latin-1"), time.localtime(seconds)).encode("latin-1", "replace")
