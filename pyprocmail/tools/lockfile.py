"""lockfile(1): make lockfiles, for scripts."""

from __future__ import annotations

import errno

from pyprocmail.exits import EX_CANTCREAT, EX_OK, EX_TEMPFAIL, EX_UNAVAILABLE, EX_USAGE, PyprocmailError
from pyprocmail.numerals import LONGEST_S, clipped, integer_at
from pyprocmail.signals import Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    from pyprocmail.host import Host

    class Lock(Protocol):
        """A lockfile that this program created."""

        def release(self) -> bool: ...

    Take = Callable[[bytes], Lock | float]

_USAGE = b"Usage: lockfile -v | -nnn | -r nnn | -l nnn | -s nnn | -! | -ml | -mu | file ...\n"
_HELP = (
    _USAGE
    + b"""\
\t-v\tdisplay the version number and exit
\t-nnn\twait nnn seconds between locking attempts
\t-r nnn\tmake at most nnn retries before giving up on a lock
\t-l nnn\tset locktimeout to nnn seconds
\t-s nnn\tsuspend nnn seconds after a locktimeout occurred
\t-!\tinvert the exitcode of lockfile
\t-ml\tlock your system mail-spool file
\t-mu\tunlock your system mail-spool file
"""
)
_SPOOL = b"/var/mail/"
_SUSPEND = b"s"


class _Stop(PyprocmailError):
    """Stop: the program prints `text` and exits with `status`."""

    def __init__(self, status: int, text: bytes) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


def run(
    host: Host, argv: Sequence[bytes], environ: Mapping[bytes, bytes], note: Callable[[bytes], None], take: Take
) -> int:
    """Run `lockfile` with `argv` (its own name first); returns the exit status.

    `take(path)` tries once to create a lockfile: it returns the lock, or the age in seconds of the existing
    file, or raises OSError.  If the run fails, the locks that it has created are removed.
    """
    call = _Call(host, environ, note, take)
    try:
        call.read(argv[1:])
        status = EX_OK
    except _Stop as stop:
        note(stop.text)
        status = stop.status
    except Interrupted:
        note(b'lockfile: Signal received, giving up on "%b"\n' % call.path)
        status = EX_TEMPFAIL
    if status != EX_OK:
        for lock in call.locks:
            lock.release()
    if call.inverted and status in (EX_OK, EX_CANTCREAT):
        return EX_CANTCREAT - status
    return status


class _Call:
    """The state of one call: an option applies to all names after it."""

    __slots__ = (
        "inverted", "locks", "path", "_environ", "_host", "_note", "_retries", "_sleep_s", "_stale_s", "_suspend_s",
        "_take",
    )  # fmt: skip

    def __init__(self, host: Host, environ: Mapping[bytes, bytes], note: Callable[[bytes], None], take: Take) -> None:
        self.inverted = False
        self.locks: list[Lock] = []
        # The lockfile that is being taken.
        self.path = b""
        self._environ = environ
        self._host = host
        self._note = note
        self._take = take
        # Less than 0: any number of retries.
        self._retries = -1
        self._sleep_s = 8
        # 0: never.
        self._stale_s = 0
        self._suspend_s = 16

    def read(self, arguments: Sequence[bytes]) -> None:
        """Carry out the words of the command line, one after another.

        Raises:
            _Stop: one of them is invalid or fails.
        """
        words = list(arguments)
        asked = False
        while words:
            word = words.pop(0)
            if not word.startswith(b"-"):
                self._lock(word)
                asked = True
            elif word != b"-":
                asked |= self._read_option(word[1:], words)
        if not asked:
            raise _Stop(EX_USAGE, _USAGE)

    def _read_option(self, letters: bytes, words: list[bytes]) -> bool:
        """Read the options of one word; returns whether it locked or unlocked the system mailbox."""
        while letters.startswith(b"!"):
            self.inverted = not self.inverted
            letters = letters[1:]
        letter, rest = letters[:1], letters[1:]
        if letters in (b"ml", b"mu"):
            self._system_mailbox(lock=letters == b"ml")
            return True
        if letter in (b"r", b"l", b"s"):
            self._set(letter, _number(rest, letter) if rest else _number_word(words, letter))
        elif letter == b"v":
            raise _Stop(EX_USAGE, self._version())
        elif letter in (b"h", b"?"):
            raise _Stop(EX_USAGE, _HELP)
        elif letter.isdigit() or letter == b"+":
            self._sleep_s = _number(letters, _SUSPEND)
        elif letters:
            raise _Stop(EX_USAGE, _USAGE)
        return False

    def _set(self, letter: bytes, value: int) -> None:
        if letter == b"r":
            self._retries = value
        elif letter == b"l":
            self._stale_s = value
        else:
            self._suspend_s = value

    def _version(self) -> bytes:
        from pyprocmail import __version__

        return b"lockfile (pyprocmail %b)\n\nYour system mailbox's lockfile:\t%b\n" % (
            __version__.encode(),
            self._system_lock(),
        )

    def _system_lock(self) -> bytes:
        """The lockfile of the caller's system mailbox; LOGNAME chooses between several names of the uid."""
        uid = self._host.getuid()
        hinted = self._host.user_by_name(self._environ.get(b"LOGNAME", b""))
        user = hinted if hinted is not None and hinted.uid == uid else self._host.user_by_id(uid)
        return _SPOOL + (user.name if user is not None else b"%d" % uid) + b".lock"

    def _system_mailbox(self, *, lock: bool) -> None:
        path = self._system_lock()
        if lock:
            self._lock(path)
            return
        try:
            self._host.unlink(path)
        except OSError:
            raise _Stop(EX_USAGE, b'lockfile: Can\'t unlock "%b"\n%b' % (path, _USAGE)) from None

    def _lock(self, path: bytes) -> None:
        """Take one lock; waits until it is free."""
        self.path = path
        while True:
            try:
                taken = self._take(self.path)
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG and len(self.path) > self.path.rfind(b"/") + 2:
                    self._note(b'lockfile: Truncating "%b" and retrying lock\n' % self.path)
                    self.path = self.path[:-1]
                    continue
                text = b'lockfile: Try praying, giving up on "%b"\n' % self.path
                raise _Stop(EX_UNAVAILABLE, text) from error
            if not isinstance(taken, float):
                self.locks.append(taken)
                return
            if self._stale_s and taken > self._stale_s and self._force():
                self._host.sleep(self._suspend_s)
                continue
            if not self._retries:
                raise _Stop(EX_CANTCREAT, b'lockfile: Sorry, giving up on "%b"\n' % self.path)
            self._retries -= self._retries > 0
            self._host.sleep(self._sleep_s)

    def _force(self) -> bool:
        """Remove a stale lockfile; a folder in its place stays, and counts as a held lock."""
        try:
            self._host.unlink(self.path)
        except FileNotFoundError:
            pass
        except OSError:
            self._note(b'lockfile: Forced unlock denied on "%b"\n' % self.path)
            return False
        self._note(b'lockfile: Forcing lock on "%b"\n' % self.path)
        return True


def _number(text: bytes, letter: bytes) -> int:
    """The whole text as the number of an option; no text is 0.  A time to sleep must not be negative or too long."""
    number, end = integer_at(text)
    if end != len(text) or (letter == _SUSPEND and not 0 <= number <= LONGEST_S):
        raise _Stop(EX_USAGE, _USAGE)
    return clipped(number, -LONGEST_S, LONGEST_S)


def _number_word(words: list[bytes], letter: bytes) -> int:
    """The number in the next word, for the option `letter`."""
    if not words:
        raise _Stop(EX_USAGE, _USAGE)
    try:
        return _number(words.pop(0), letter)
    except _Stop:
        # The reference prints the usage twice.
        raise _Stop(EX_USAGE, _USAGE + _USAGE) from None
