"""The log: every text that users grep for is built here.

A note is a kind and the texts that belong in it.  The table gives the reference's own words and
whether they are written only when VERBOSE is on.  procmail(1), DIAGNOSTICS.
"""

from __future__ import annotations

import time

from pyprocmail.engine.logfile import Limits, LogFile, open_log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host
    from pyprocmail.message.model import Message

ALWAYS, VERBOSE = False, True
_MODE = 0o667

NOTES: dict[str, tuple[bytes, bool]] = {
    # reading the rcfile
    "skipped": (b'Skipped "%b"', ALWAYS),
    "missing-action": (b"Missing action", ALWAYS),
    "incomplete-recipe": (b"Incomplete recipe", ALWAYS),
    "missing-closing-brace": (b"Missing closing brace", ALWAYS),
    "closing-brace-unexpected": (b"Closing brace unexpected", ALWAYS),
    "unexpected-eol": (b"Unexpected EOL", ALWAYS),
    "bad-substitution": (b'Bad substitution of "%b"', ALWAYS),
    "exceeded-linebuf": (b"Exceeded LINEBUF", ALWAYS),
    "output-quenched": (b'Excessive output quenched from "%b"', ALWAYS),
    "suspicious-rcfile": (b'Suspicious rcfile "%b"', ALWAYS),
    "couldnt-read": (b'Couldn\'t read "%b"', ALWAYS),
    "invalid-regexp": (b'Invalid regexp "%b"', ALWAYS),
    "extraneous": (b"Extraneous %b ignored", ALWAYS),
    "conflicting": (b"Conflicting %b suppressed", ALWAYS),
    "lost": (b'Lost "%b"', ALWAYS),
    "rcfile": (b'Rcfile: "%b"', VERBOSE),
    # running it
    "assigning": (b'Assigning "%b"', VERBOSE),
    "executing": (b'Executing "%b"', VERBOSE),
    "match": (b'Match on%b "%b"', VERBOSE),
    "no-match": (b'No match on%b "%b"', VERBOSE),
    "matched": (b'Matched "%b"', VERBOSE),
    "score": (b'Score: %7d %b%b "%b"', VERBOSE),
    "couldnt-chdir": (b'Couldn\'t chdir to "%b"', ALWAYS),
    "host-mismatched": (b'HOST mismatched "%b"', VERBOSE),
    "assuming-identity": (b"Assuming identity of the recipient, VERBOSE=off", VERBOSE),
    "notified-comsat": (b'Notified comsat: "%b"', VERBOSE),
    # programs
    "program-failure": (b'Program failure (%d) of "%b"', ALWAYS),
    "non-zero-exitcode": (b'Non-zero exitcode (%d) from "%b"', VERBOSE),
    "rescue-succeeded": (b"Rescue of unfiltered data succeeded", ALWAYS),
    "rescue-failed": (b"Rescue of unfiltered data failed", ALWAYS),
    "failed-forking": (b'Failed forking "%b"', ALWAYS),
    "failed-to-execute": (b'Failed to execute "%b"', ALWAYS),
    "forking": (b'Forking "%b"', VERBOSE),
    "timeout-terminating": (b'Timeout, terminating "%b"', ALWAYS),
    "timeout-waiting": (b'Timeout, was waiting for "%b"', ALWAYS),
    "terminating-prematurely": (b"Terminating prematurely", ALWAYS),
    "terminating-whilst-waiting": (b"Terminating prematurely whilst waiting for %b", ALWAYS),
    # locks
    "locking": (b'Locking "%b"', VERBOSE),
    "unlocking": (b'Unlocking "%b"', VERBOSE),
    "couldnt-unlock": (b'Couldn\'t unlock "%b"', ALWAYS),
    "lock-failure": (b'Lock failure on "%b"', ALWAYS),
    "forcing-lock": (b'Forcing lock on "%b"', ALWAYS),
    "forced-unlock-denied": (b'Forced unlock denied on "%b"', ALWAYS),
    "deadlock-attempted": (b'Deadlock attempted on "%b"', ALWAYS),
    "truncating-lock-name": (b'Truncating "%b"\n and retrying lock', ALWAYS),
    "couldnt-determine-lockfile": (b'Couldn\'t determine implicit lockfile from "%b"', ALWAYS),
    # folders
    "opening": (b'Opening "%b"', VERBOSE),
    "kernel-lock-failed": (b"Kernel-lock failed", ALWAYS),
    "kernel-unlock-failed": (b"Kernel-unlock failed", ALWAYS),
    "acquiring-kernel-lock": (b"Acquiring kernel-lock", VERBOSE),
    "linking": (b'Linking to "%b"', VERBOSE),
    "error-writing": (b'Error while writing to "%b"', ALWAYS),
    "error-writing-temporary": (b'Error while writing to "%b"', VERBOSE),
    "no-space": (b'No space left to finish writing "%b"', ALWAYS),
    "quota-exceeded": (b'Quota exceeded while writing "%b"', ALWAYS),
    "truncated": (b"Truncated file to former size", ALWAYS),
    "unable-as-directory": (b'Unable to treat as directory "%b"', ALWAYS),
    "couldnt-make-temp": (b'Couldn\'t create or rename temp file "%b"', ALWAYS),
    "couldnt-make-link": (b'Couldn\'t make link to "%b"', ALWAYS),
    "couldnt-create": (b'Couldn\'t create "%b"', ALWAYS),
    "renaming-bogus": (b'Renaming bogus mailbox "%b" info "%b"', ALWAYS),
    "enforcing-permissions": (b'Enforcing stricter permissions on "%b"', ALWAYS),
    "autoforwarding": (b"Autoforwarding mailbox found", ALWAYS),
    "couldnt-compile": (b'Couldn\'t compile "%b"', ALWAYS),
    "late-import": (b'No longer root, refusing to import "%b"', ALWAYS),
}


_WHERE_READ = -1
"""LOGABSTRACT before it is assigned: an abstract is written where somebody reads it, in a LOGFILE or with VERBOSE."""

_SUBJECT_WIDTH = 78
_FOLDER_WIDTH = 60
_SIZE_COLUMN = 72
_TAB = 8
_BLANKS = bytes.maketrans(b"\t\v\f\r", b"    ")
_TABS = bytes.maketrans(b"\t\n\v\f\r", b"     ")


class Log:
    """Where the log goes, and how much of it: a listener of the trace.

    A failing log never fails a delivery.
    """

    __slots__ = ("_host", "_stderr", "_stdout", "_file", "_second", "verbose", "abstract", "opened", "limits")

    def __init__(self, host: Host, *, stdout: int = 1) -> None:
        self._host = host
        self._stdout = stdout
        self._stderr = LogFile(host, 2)
        self._file = self._stderr
        self.limits = Limits()
        self._second = 0
        self.verbose = False
        self.abstract = _WHERE_READ
        self.opened = False

    @property
    def fd(self) -> int:
        """The descriptor that is standard error for the programs a recipe starts."""
        return self._file.fd

    def set_verbose(self, on: bool) -> None:
        """What SIGUSR1 and SIGUSR2 do.  procmail(1), SIGNALS."""
        self.verbose = on

    def hear(self, kind: str, texts: tuple[bytes | int, ...]) -> None:
        """Write the line for an event, if it has one."""
        template, only_verbose = NOTES[kind]
        if only_verbose and not self.verbose:
            return
        self.write(self._stamp() + b"procmail: " + (template % texts) + b"\n")

    def write(self, text: bytes) -> None:
        """Append `text` as it is."""
        self._file.write(text)

    def open(self, path: bytes) -> bool:
        """Log to `path` from now on; False, and no change, when that cannot be opened."""
        try:
            opened = open_log(self._host, path, _MODE, self.limits, stdout=self._stdout)
        except OSError:
            return False
        self.close()
        self._file = opened
        self.opened = True
        return True

    def close(self) -> None:
        """Log to standard error again."""
        if self._file is not self._stderr:
            self._file.close()
            self._file = self._stderr

    def write_abstract(self, message: Message, folder: bytes, size: int, *, subject: bool = True) -> None:
        """The few lines that say where a mail went.  procmailrc(5), LOGABSTRACT."""
        wanted = self.opened or self.verbose if self.abstract == _WHERE_READ else self.abstract
        if wanted:
            self.write(abstract(message.head, folder, size, subject=subject))

    def _stamp(self) -> bytes:
        if not self.verbose:
            return b""
        now = int(self._host.time())
        if now == self._second:
            return b""
        self._second = now
        when = time.asctime(time.localtime(now)).encode()
        return b"procmail: [%d] %b\n" % (self._host.getpid(), when)


def abstract(head: bytes, folder: bytes, size: int, *, subject: bool = True) -> bytes:
    """From_ line, subject, folder and size, in the columns of the reference."""
    lines = []
    if head.startswith(b"From "):
        lines.append(head.partition(b"\n")[0] + b"\n")
    line = _subject(head) if subject else b""
    if line:
        lines.append(b" " + line[:_SUBJECT_WIDTH].translate(_BLANKS) + b"\n")
    name = b"  Folder: " + folder[:_FOLDER_WIDTH].translate(_TABS)
    tabs = max(1, -(-(_SIZE_COLUMN - len(name)) // _TAB))
    lines.append(name + b"\t" * tabs + b"%7d\n" % size)
    return b"".join(lines)


def _subject(head: bytes) -> bytes:
    """The first Subject line, as spelled, without its continuation."""
    lower = head.lower()
    at = 0 if lower.startswith(b"subject:") else lower.find(b"\nsubject:") + 1
    if at == 0 and not lower.startswith(b"subject:"):
        return b""
    end = head.find(b"\n", at)
    return head[at:] if end < 0 else head[at:end]
