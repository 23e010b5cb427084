"""The special variables of rcfiles: name, default, unit.  procmailrc(5), Environment.

The engine, checks and tests of the manual page read this table; procmail/effects does what an assignment causes.
"""

from __future__ import annotations

TEXT, PATH, COMMAND, SWITCH, SECONDS, BYTES, COUNT, OCTAL = (
    "text", "path", "command", "switch", "seconds", "bytes", "count", "octal",
)  # fmt: skip
"""The unit of a value."""

VERSION_OF_REFERENCE = b"3.23pre"
STRICT = b"PYPROCMAIL_STRICT"
"""`yes`: do as procmail does where we do better by default.  pyprocmail-compat(7)."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    Variable = tuple[bytes, bytes | None, str]

ENVIRONMENT: tuple[Variable, ...] = (
    (b"SHELLMETAS", b"&|<>~;?*[", TEXT),
    (b"LOCKEXT", b".lock", TEXT),
    (b"SENDMAILFLAGS", b"-oi", TEXT),
    (b"PROCMAIL_VERSION", VERSION_OF_REFERENCE, TEXT),
    (b"SHELLFLAGS", b"-c", TEXT),
    (b"SENDMAIL", b"/usr/sbin/sendmail", COMMAND),
    (b"MSGPREFIX", b"msg.", TEXT),
    (b"LINEBUF", b"2048", BYTES),
)
"""The variables, in this order, with which the environment of every run begins."""

NUMBERS: tuple[Variable, ...] = (
    (b"LOCKSLEEP", b"8", SECONDS),
    (b"LOCKTIMEOUT", b"1024", SECONDS),
    (b"TIMEOUT", b"960", SECONDS),
    (b"SUSPEND", b"16", SECONDS),
    (b"NORESRETRY", b"4", COUNT),
)
"""Variables that keep their value when an unreadable one is assigned."""

OTHERS: tuple[Variable, ...] = (
    (b"UMASK", b"077", OCTAL),
    (b"LOGFILE_MAXSIZE", b"0", BYTES),
    (b"LOGFILE_KEEP", b"4", COUNT),
    (b"MAILDIR", None, PATH),
    (b"DEFAULT", None, PATH),
    (b"ORGMAIL", None, PATH),
    (b"LOGFILE", None, PATH),
    (b"LOCKFILE", None, PATH),
    (b"INCLUDERC", None, PATH),
    (b"SWITCHRC", None, PATH),
    (b"LASTFOLDER", None, PATH),
    (b"SHELL", None, COMMAND),
    (b"TRAP", None, COMMAND),
    (b"LOG", None, TEXT),
    (b"MATCH", None, TEXT),
    (b"HOST", None, TEXT),
    (b"COMSAT", None, TEXT),
    (b"AUTHSERV_ID", None, TEXT),
    (b"EXITCODE", None, COUNT),
    (b"SHIFT", None, COUNT),
    (b"LOGABSTRACT", None, SWITCH),
    (b"VERBOSE", None, SWITCH),
    (b"DELIVERED", None, SWITCH),
    (b"DROPPRIVS", None, SWITCH),
    (b"PROCMAIL_OVERFLOW", None, SWITCH),
    (STRICT, None, SWITCH),
)

TABLE = ENVIRONMENT + NUMBERS + OTHERS
"""A default of None: the variable has no default, or it depends on the user or the machine."""
