"""Before the first rcfile: the environment, the From_ line, the system mailbox.

procmailrc(5), Environment variable defaults; procmail(1), OPTIONS.
"""

from __future__ import annotations

from pyprocmail.engine.variables import DEFAULTS
from pyprocmail.message import content_length, postmark
from pyprocmail.message.model import Message, end_of_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from time import struct_time

    from pyprocmail.host import Host, User

SPOOL = b"/var/mail/"
DEAD_LETTER = b"/tmp/dead.letter"

_PATH = b"/usr/local/bin:/usr/bin:/bin"
_NEVER_KEPT = (b"LD_", b"_RLD", b"LIBPATH", b"ELF_LD_", b"AOUT_LD_", b"DYLD_")
_REMOVED = (b"IFS", b"ENV", b"PWD", b"EXITCODE", b"LASTFOLDER", b"MATCH")

_TRUSTED = frozenset((b"root", b"daemon", b"uucp", b"mail", b"x400", b"network", b"list", b"slist", b"lists", b"news"))


def environment(
    caller: Mapping[bytes, bytes], host: Host, user: User, *, preserve: bool, mail_filter: bool, rcfile_given: bool
) -> dict[bytes, bytes]:
    """The variables that the first rcfile sees.

    `preserve` (-p) keeps the caller's environment, `mail_filter` is -m; with both only what
    identifies the user is set.
    """
    kept = {}
    for name, value in caller.items():
        if name == b"TZ" or (preserve and not name.startswith(_NEVER_KEPT)):
            kept[name] = value
    if preserve and mail_filter:
        kept.update({b"LOGNAME": user.name, b"HOME": user.home, b"SHELL": user.shell, b"LINEBUF": b"2048"})
        kept.pop(b"ORGMAIL", None)
        return kept
    for name in _REMOVED:
        kept.pop(name, None)
    original = mailbox_of(user)
    presets = dict(DEFAULTS)
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


def mailbox_of(user: User) -> bytes:
    """The system mailbox."""
    return SPOOL + user.name if user.name else DEAD_LETTER


def is_trusted(host: Host, user: User) -> bool:
    """Whether who called us may say who sent the mail: by its name or the name of its group."""
    return user.name in _TRUSTED or (host.group_name(host.getgid()) or b"") in _TRUSTED


def read_message(
    host: Host,
    data: bytes,
    *,
    sender: bytes | None,
    invoker: bytes,
    deliver: bool,
    trusted: bool,
    override: bool,
    use_content_length: bool,
    strict: bool,
) -> Message:
    """The mail as the rcfiles see it: with the From_ line that -f, -d and -o ask for.

    `sender` is the value of -f.  `deliver` is -d, `override` -o, `trusted` about the caller.
    """
    when = host.localtime()
    claimed = sender is not None and (trusted or not deliver or sender in (invoker, b"-"))
    if claimed and sender == b"-":
        data = postmark.refresh(data, invoker, when)
    elif claimed and sender is not None:
        data = postmark.replace(data, sender, when)
    elif deliver or sender is not None:
        data = _with_postmark(data, sender, invoker, when, trusted=trusted, override=override)
    message = Message(data, end_of_header(data, strict=strict))
    return content_length.refit(message) if use_content_length else message


def _with_postmark(
    data: bytes, sender: bytes | None, invoker: bytes, when: struct_time, *, trusted: bool, override: bool
) -> bytes:
    forged = sender is not None or postmark.envelope_end(data) > 0
    if not forged:
        return postmark.replace(data, invoker, when)
    if trusted:
        return data
    if override:
        return postmark.replace(data, invoker, when)
    if sender is not None:
        data = postmark.replace(data, sender, when)
    return postmark.mark_untrusted(data, invoker, when)
