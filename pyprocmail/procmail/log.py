"""The log: every text that users grep for is made here.

A note is a kind and its texts.  The table gives the reference's own words and
whether they are written only when VERBOSE is on.  procmail(1), DIAGNOSTICS.
"""

from __future__ import annotations

import time

from pyprocmail import numerals
from pyprocmail.message.model import field_places
from pyprocmail.message.visible import blanked
from pyprocmail.procmail.scoring import logged, truncated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.delivery.results import Delivered
    from pyprocmail.engine.logfile import Output
    from pyprocmail.engine.trace import Finding, Place, Trace
    from pyprocmail.host import Host
    from pyprocmail.message.model import Message
    from pyprocmail.procmail.session import Identity

ALWAYS, VERBOSE = False, True

MATCH, NO_MATCH = b'procmail: Match on%b "%b"\n', b'procmail: No match on%b "%b"\n'
MATCHED = b'procmail: Matched "%b"\n'
SCORE = b'procmail: Score: %7d %b%b "%b"\n'
"""What VERBOSE logs of a condition."""

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
    "endless-rcfile": (b'More than %d bytes, or no end to them, in "%b"', ALWAYS),
    "couldnt-read": (b'Couldn\'t read "%b"', ALWAYS),
    "invalid-regexp": (b'Invalid regexp "%b"', ALWAYS),
    "extraneous": (b"Extraneous %b ignored", ALWAYS),
    "conflicting": (b"Conflicting %b suppressed", ALWAYS),
    "lost": (b'Lost "%b"', ALWAYS),
    "rcfile": (b'Rcfile: "%b"', VERBOSE),
    "not-searched": (b"Not searched: %b", ALWAYS),
    "out-of-range": (b'"%b" is out of range, taken for %d', ALWAYS),
    # running it
    "assigning": (b'Assigning "%b"', VERBOSE),
    "executing": (b'Executing "%b"', VERBOSE),
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
    "endless-output": (b'More than %d bytes of output, terminating "%b"', ALWAYS),
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
    "make-mailbox": (
        b"No mailbox: as root, install -o %b -g mail -m 660 /dev/null %b; or set DEFAULT to a folder in the home",
        ALWAYS,
    ),
    "renaming-bogus": (b'Renaming bogus mailbox "%b" info "%b"', ALWAYS),
    "enforcing-permissions": (b'Enforcing stricter permissions on "%b"', ALWAYS),
    "autoforwarding": (b"Autoforwarding mailbox found", ALWAYS),
    "couldnt-compile": (b'Couldn\'t compile "%b"', ALWAYS),
    "late-import": (b'No longer root, refusing to import "%b"', ALWAYS),
}


_WHERE_READ = -1
"""LOGABSTRACT before it is assigned: an abstract is written if somebody can read it, in a LOGFILE or with VERBOSE."""
_COPIES_TOO = 2
"""LOGABSTRACT=all."""

_SUBJECT_WIDTH = 78
_FOLDER_WIDTH = 60
_SIZE_COLUMN = 72
_TAB = 8
_BLANKS = bytes.maketrans(b"\t\v\f\r", b"    ")
_TABS = bytes.maketrans(b"\t\n\v\f\r", b"     ")


class Log:
    """The reader of the stream that writes the log.  A log that cannot be written never makes a delivery fail."""

    __slots__ = ("_host", "_identity", "_trace", "_output", "_second", "_abstract")

    def __init__(self, host: Host, identity: Identity, trace: Trace, output: Output) -> None:
        self._host = host
        self._identity = identity
        self._trace = trace
        self._output = output
        self._second = 0
        self._abstract = _WHERE_READ
        trace.log_noted = self._noted
        trace.log_tested = self._tested
        trace.assigned.append(self._assigned)
        trace.stored.append(self._stored)
        trace.forwarded.append(self._forwarded)
        trace.settled.append(self._settled)

    def _noted(self, kind: str, texts: tuple[bytes | int, ...]) -> None:
        """Write the line for an event, if it has one."""
        template, only_verbose = NOTES[kind]
        if not only_verbose or self._trace.verbose:
            self._write(
                self._stamp()
                + b"procmail: "
                + (template % tuple(text if isinstance(text, int) else self._shown(text) for text in texts))
                + b"\n"
            )

    def _tested(self, _: Place, finding: Finding) -> None:
        """Write what VERBOSE logs of a condition: the new MATCH, then whether the condition matched."""
        for number, match in enumerate(finding.matches):
            if finding.area != b"MATCH" or (not number and finding.assigns):
                self._noted("assigning", (b"MATCH=",))
            self._write(self._stamp() + MATCHED % self._shown(finding.matched(match)))
        mark = b" !" if finding.negated else b""
        if finding.weight is None:
            self._write(self._stamp() + (MATCH if finding.held else NO_MATCH) % (mark, self._shown(finding.shown)))
        else:
            change = truncated(finding.after - finding.before)
            self._write(self._stamp() + SCORE % (change, logged(finding.after), mark, self._shown(finding.shown)))

    def _assigned(self, _: Place, name: bytes, value: bytes | None) -> None:
        if name == b"LOGABSTRACT":
            self._abstract = numerals.setting(value or b"", self._abstract)

    def _stored(self, _: Place, message: Message, stored: Delivered, copy: bool) -> None:
        if copy:
            self._copied(message, stored.folder, stored.size)

    def _forwarded(self, _: Place, message: Message, line: bytes, size: int, copy: bool) -> None:
        if copy:
            self._copied(message, line, size)

    def _copied(self, message: Message, folder: bytes, size: int) -> None:
        if self._abstract == _COPIES_TOO:
            self._write(self._shown(abstract(message.head, folder, size)))

    def _settled(self, message: Message, folder: bytes, size: int) -> None:
        """Write the few lines that say where the mail went.  procmailrc(5), LOGABSTRACT."""
        wanted = self._abstract
        if wanted == _WHERE_READ:
            wanted = self._output.turned or self._trace.verbose
        if wanted:
            self._write(self._shown(abstract(message.head, folder, size)))

    def _shown(self, text: bytes) -> bytes:
        """Text that may come from the mail; newlines stay, as in the reference's VERBOSE log."""
        return text if self._identity.strict else blanked(text)

    def _write(self, text: bytes) -> None:
        self._output.write(text)

    def _stamp(self) -> bytes:
        if not self._trace.verbose:
            return b""
        now = int(self._host.time())
        if now == self._second:
            return b""
        self._second = now
        when = time.asctime(time.localtime(now)).encode()
        return b"procmail: [%d] %b\n" % (self._host.getpid(), when)


def abstract(head: bytes, folder: bytes, size: int) -> bytes:
    """From_ line, subject, folder and size, in the columns of the reference."""
    lines = []
    if head.startswith(b"From "):
        lines.append(head.partition(b"\n")[0] + b"\n")
    line = _subject(head)
    if line:
        lines.append(b" " + line[:_SUBJECT_WIDTH].translate(_BLANKS) + b"\n")
    name = b"  Folder: " + folder[:_FOLDER_WIDTH].translate(_TABS)
    tabs = max(1, -(-(_SIZE_COLUMN - len(name)) // _TAB))
    lines.append(name + b"\t" * tabs + b"%7d\n" % size)
    return b"".join(lines)


def _subject(head: bytes) -> bytes:
    """The first Subject line, as it is spelled, without its continuation."""
    for start, _, end in field_places(head, b"subject:"):
        return head[start:end]
    return b""
