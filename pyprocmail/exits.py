"""Exit statuses, as numbered in sysexits.h, and the package's own exceptions.

After 75 Postfix and qmail keep the mail and try again; after most others they bounce it.
"""

import os

EX_OK = 0
EX_USAGE = 64
EX_NOINPUT = 66
EX_NOUSER = 67
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_OSERR = 71
EX_OSFILE = 72
EX_CANTCREAT = 73
EX_IOERR = 74
EX_TEMPFAIL = 75
EX_NOPERM = 77


class PyprocmailError(Exception):
    """Base of the exceptions that a caller of this package may see."""


class LateImportError(PyprocmailError):
    """A process that is no longer root tried to import the module `name`.

    It is not an ImportError, so that no caller treats the module as not installed.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class NotCompiledError(PyprocmailError):
    """The rcfile `path` has no compiled program now; it may have one later."""

    def __init__(self, path: bytes) -> None:
        super().__init__(path)
        self.path = path


class MailTooLargeError(PyprocmailError):
    """Standard input has more than `limit` bytes, and perhaps no end."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


def in_one_line(error: BaseException, place: str = "") -> str:
    """The error as messages show it: `FILE: reason`, without the number and the quotes of Python's own text.

    `place` is the file or the address, for an error of the system that names none.
    """
    if not isinstance(error, OSError):
        return " ".join(str(error).split()) or type(error).__name__
    name = error.filename if isinstance(error.filename, str | bytes) else place
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return f"{os.fsdecode(name)}: {reason}" if name else reason


def traced(error: BaseException) -> str:
    """The traceback and the exception, as Python shows them.

    Python's `traceback` imports more than a delivery does, and a process that was root may not import any more.
    """
    lines = ["Traceback (most recent call last):"]
    place = error.__traceback__
    while place is not None:
        code = place.tb_frame.f_code
        lines.append(f'  File "{code.co_filename}", line {place.tb_lineno}, in {code.co_name}')
        place = place.tb_next
    return "\n".join([*lines, f"{type(error).__name__}: {error}", ""])
