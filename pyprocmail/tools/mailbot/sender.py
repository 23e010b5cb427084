"""The address to answer, and whether to answer at all."""

from __future__ import annotations

from pyprocmail.message import address
from pyprocmail.tools.reformail import Mail, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyprocmail.tools.mailbot.options import Options

_BULK = (b"junk", b"bulk", b"list")


def first_value(mail: Mail, name: bytes) -> bytes:
    """The value of the first field of that name; empty if there is none."""
    return next(mail.values(name), b"").strip()


def _first_address(text: bytes) -> bytes:
    return next((one.text for one in address.parse(text) if one.text), b"")


def sender_field(mail: Mail, options: Options) -> bytes:
    """The unchanged value of the field that names the address to answer."""
    names = [b"reply-to:", b"from:"]
    if options.errors_to:
        names = [b"errors-to:", b"return-path:", *names]
    return next((value for name in names if _first_address(value := first_value(mail, name))), b"")


def answerable(mail: Mail, options: Options) -> bytes | None:
    """The address that gets the answer; None if the mail must not be answered."""
    if first_value(mail, b"precedence:").lower() in _BULK:
        return None
    submitted = first_value(mail, b"auto-submitted:").lower()
    if (submitted and submitted != b"no") or any(name_of(field) == b"list-id:" for field in mail.fields):
        return None
    if first_value(mail, b"content-type:").lower().partition(b";")[0].strip() == b"multipart/report":
        return None
    wanted = options.values.get(b"r")
    if wanted is not None:
        asked = {one.text.lower() for one in address.parse(wanted) if one.text}
        if not any(text.lower() in asked for name in (b"to:", b"cc:") for text, _ in addresses(mail, name)):
            return None
    return _first_address(sender_field(mail, options)) or None


def addresses(mail: Mail, name: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """The addresses in all fields of that name, each with its display name."""
    return ((one.text, one.name) for value in mail.values(name) for one in address.parse(value) if one.text)
