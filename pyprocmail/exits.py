"""Exit statuses, as sysexits.h numbers them, and what an MTA does with them.

Postfix and qmail keep the mail for another try on 75; on most others they bounce it.
"""

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
    """The module `name` was to be imported by a process that is no longer root.

    Not an ImportError: nobody may take it for a module that is not installed.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name
