"""Before the first rcfile: the environment, the From_ line, the system mailbox.

procmailrc(5), Environment variable defaults; procmail(1), OPTIONS.
"""

from __future__ import annotations

from pyprocmail.delivery.system_mailbox import mailbox_of
from pyprocmail.message import content_length, postmark
from pyprocmail.message.model import Message, end_of_header
from pyprocmail.procmail.compiled.variables import ENVIRONMENT, STRICT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from time import struct_time

    from pyprocmail.host import Host, User


_PATH = b"/usr/local/bin:/usr/bin:/bin"
_NEVER_KEPT = (b"LD_", b"_RLD", b"LIBPATH", b"ELF_LD_", b"AOUT_LD_", b"DYLD_")
_OURS = (b"PYTHON", b"PYPROCMAIL_")
"""Variables that decide how we run; root does not take them from the caller."""

_ZONE_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-_<>,.:/"
_ZONE_FILES = (b"/etc/localtime", b":/etc/localtime", b"/usr/share/zoneinfo/", b":/usr/share/zoneinfo/")

_LONGEST_POSTMARK = 2046
_NEWLINE = 0x0A

_REMOVED = (b"IFS", b"ENV", b"PWD", b"EXITCODE", b"LASTFOLDER", b"MATCH")

_TRUSTED = frozenset((b"root", b"daemon", b"uucp", b"mail", b"x400", b"network", b"list", b"slist", b"lists", b"news"))


def environment(
    caller: Mapping[bytes, bytes], host: Host, user: User, *, preserve: bool, mail_filter: bool, rcfile_given: bool
) -> dict[bytes, bytes]:
    """The variables that the first rcfile sees.

    `preserve` (-p) keeps the caller's environment, `mail_filter` is -m; with either only the variables that
    identify the user are set.
    """
    kept = {}
    root = host.geteuid() == 0
    for name, value in caller.items():
        if name == STRICT:
            continue
        if name == b"TZ":
            if not root or is_zone(value):
                kept[name] = value
        elif preserve and not name.startswith(_NEVER_KEPT) and not (root and name.startswith(_OURS)):
            kept[name] = value
    if preserve and mail_filter:
        kept.update({b"LOGNAME": user.name, b"HOME": user.home, b"SHELL": user.shell, b"LINEBUF": b"2048"})
        kept.pop(b"ORGMAIL", None)
        return kept
    for name in _REMOVED:
        kept.pop(name, None)
    original = mailbox_of(user)
    presets = {name: default for name, default, _ in ENVIRONMENT if default is not None}
    presets.update(
        {
            b"SHELL": user.shell or b"/bin/sh",
            b"LOGNAME": user.name,
            b"HOME": user.home,
            b"HOST": host.hostname(),
            b"ORGMAIL": original,
            b"DEFAULT": original,
            b"PATH": user.home + b"/bin:" + _PATH,
        }
    )
    if rcfile_given:
        presets[b"COMSAT"] = b"no"
    kept.update(presets)
    return kept


def is_zone(value: bytes) -> bool:
    """Whether root may trust a TZ: it is a zone, a rule, or a file in the folder of zones."""
    if value.translate(None, _ZONE_BYTES) or b".." in value:
        return False
    return not value.startswith((b"/", b":/")) or value.startswith(_ZONE_FILES)


class Origin:
    """The caller, and the options about the sender of the mail: both decide the From_ line.

    `sender` is the value of -f.  `deliver` is -d, `override` -o.  `trusted`: the caller may name another sender.
    """

    __slots__ = ("invoker", "sender", "deliver", "override", "trusted")

    def __init__(self, host: Host, invoker: User, *, sender: bytes | None, deliver: bool, override: bool) -> None:
        self.invoker = invoker.name
        self.sender = sender
        self.deliver = deliver
        self.override = override
        self.trusted = self.matters and _is_trusted(host, invoker)

    @property
    def matters(self) -> bool:
        """Whether it may change the mail."""
        return self.deliver or self.sender is not None


def _is_trusted(host: Host, user: User) -> bool:
    """Whether the caller may name another sender: by the name of its user or group."""
    return user.name in _TRUSTED or (host.group_name(host.getgid()) or b"") in _TRUSTED


def read_message(host: Host, data: bytes, origin: Origin, *, use_content_length: bool, strict: bool) -> Message:
    """The mail as the rcfiles see it: with the From_ line that -f, -d and -o require."""
    if origin.matters:
        data = _postmarked(host, data, origin)
    message = Message(data, end_of_header(data, strict=strict))
    return content_length.refit(message) if use_content_length else message


def _postmarked(host: Host, data: bytes, origin: Origin) -> bytes:
    when = host.localtime()
    data = _without_broken_postmark(data)
    sender, invoker = origin.sender, origin.invoker
    claimed = sender is not None and (origin.trusted or not origin.deliver or sender == invoker)
    if claimed and sender == b"-":
        return postmark.refresh(data, invoker, when)
    if claimed and sender is not None:
        return postmark.replace(data, sender, when)
    return _with_postmark(data, sender, invoker, when, trusted=origin.trusted, override=origin.override)


def _without_broken_postmark(data: bytes) -> bytes:
    """The mail without leading newlines, and without a From_ line that is too long or incomplete."""
    data = data.lstrip(b"\n") if data.startswith(b"\n") else data
    end = postmark.line_end(data)
    broken = end > _LONGEST_POSTMARK or (end and data[end - 1] != _NEWLINE)
    return data[end:] if broken else data


def _with_postmark(
    data: bytes, sender: bytes | None, invoker: bytes, when: struct_time, *, trusted: bool, override: bool
) -> bytes:
    forged = sender is not None or postmark.envelope_end(data) > 0
    if not forged:
        return postmark.replace(data, invoker, when)
    if trusted:
        return data
    if override:
        data = postmark.replace(data, invoker, when)
        # -f - requests only a new date, so the mail is marked as untrusted even then.
        return postmark.mark_untrusted(data, invoker, when) if sender == b"-" else data
    if sender == b"-":
        data = postmark.refresh(data, invoker, when)
    elif sender is not None:
        data = postmark.replace(data, sender, when)
    return postmark.mark_untrusted(data, invoker, when)
