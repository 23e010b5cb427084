"""Workers: processes that take mails from the spool, after the mail server has got its answer."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING

from pyprocmail.engine.world import World
from pyprocmail.exits import EX_OK, in_one_line, traced
from pyprocmail.host import Host, User
from pyprocmail.procmail import run, start
from pyprocmail.servers.milter.journal import COMPLAINT_S
from pyprocmail.servers.spool import Envelope, Spool, Taken

if TYPE_CHECKING:
    from pyprocmail.procmail.rcfiles import Compiler

COMMAND_S = 960.0
"""How long a command may take, as with TIMEOUT in an rcfile."""
MAILS_OF_A_WORKER = 1000
"""After so many mails a worker is replaced, so that its memory cannot grow for ever."""
_LOOK_S = 5.0
_CRASH_PAUSE_S = 1.0
"""A worker that crashed is replaced no sooner: one that crashes at once must not keep the machine busy."""
_OPEN_FILES = 65536

Rule = Callable[[Envelope, bytes], str]
"""Processes a mail; returns why it failed, empty on success."""


def piped_to(command: str) -> Rule:
    """-P: the mail goes to a command of the shell, with the From_ line that mailspy writes."""

    def pipe(envelope: Envelope, mail: bytes) -> str:
        try:
            done = subprocess.run(  # noqa: S602  the administrator's command
                command, shell=True, input=postmark(envelope) + mail, timeout=COMMAND_S, check=False
            )
        except subprocess.TimeoutExpired:
            return f"{command}: it took longer than {COMMAND_S:.0f} s"
        except OSError as error:
            return f"{command}: {error.strerror}"
        return f"{command}: status {done.returncode}" if done.returncode else ""

    return pipe


def ruled_by(rcfile: str, host: Host, compile: Compiler, caller: Mapping[bytes, bytes]) -> Rule:
    """--rules: the mail goes through an rcfile, as with `procmail -m`; $1 and so on are the recipients."""
    found = host.user_by_id(os.geteuid())
    assert found is not None, "a worker has a user"
    # A system user's login shell may run nothing, such as nologin.
    user = User(found.name, found.uid, found.gid, found.home, b"/bin/sh")
    setup = run.Setup(b"pyprocmail", caller, compile, lambda *_: None)
    origin = start.Origin(host, user, sender=None, deliver=False, override=False)
    here = os.getcwd()

    def rule(envelope: Envelope, mail: bytes) -> str:
        os.chdir(here)
        words = [recipient.strip(b"<>") for recipient in envelope.recipients]
        recipient = run.Recipient(user, origin, operands=[os.fsencode(rcfile), *words], mail_filter=True)
        verdict = run.deliver(World(host), recipient, lambda: postmark(envelope) + mail, setup, wait=True)
        if verdict.status == EX_OK:
            return ""
        return verdict.reason().decode(errors="replace") or f"{rcfile}: status {verdict.status}"

    return rule


def postmark(envelope: Envelope) -> bytes:
    """The From_ line: the sender without its brackets, the date in GMT."""
    sender = envelope.sender.removeprefix(b"<").removesuffix(b">").translate(None, b"\r\n\0")
    return b"From %b %b\n" % (sender, time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime()).encode())


class Crew:
    """The workers of a milter: `count` processes, each replaced when it exits.

    `complain` reports to the administrator.  `host` is that of the rules.
    """

    def __init__(self, spool: Spool, rule: Rule, count: int, complain: Callable[[str], None], *, host: Host) -> None:
        self._spool = spool
        self._rule = rule
        self._host = host
        self._parent = os.getpid()
        self._count = count
        self._complain = complain
        self._pids: set[int] = set()
        self._listening, self._waking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._ending = False
        self._complained = -COMPLAINT_S

    def begin(self) -> None:
        """Start workers until there are `count`, or the system refuses a process."""
        while len(self._pids) < self._count and not self._ending:
            # A SIGTERM before the worker has installed its handler would be lost.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            try:
                pid = os.fork()
                if not pid:
                    self._work(mask)
            except OSError as error:
                self._say_now_and_then(f"a worker cannot be started now: {error.strerror}")
                return
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._pids.add(pid)

    def wake(self) -> None:
        """Wake a worker for a new mail."""
        try:
            os.write(self._waking, b"x")
        except BlockingIOError:
            pass  # the pipe is full: enough wake-ups are pending

    def replace(self) -> None:
        """Start workers in place of those that have exited or could not be started."""
        for pid in list(self._pids):
            ended, _ = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._pids.discard(pid)
        self.begin()

    def end(self) -> None:
        """Have each worker finish its present mail and exit; other mails stay in the spool."""
        self._ending = True
        for pid in self._pids:
            os.kill(pid, signal.SIGTERM)
        for pid in self._pids:
            os.waitpid(pid, 0)
        self._pids.clear()

    # -- in the worker -------------------------------------------------------------------------

    def _work(self, mask: set[signal.Signals | int]) -> None:
        """Process mails until the worker is replaced or stopped; never returns.

        `mask` is the signal mask to set once the handlers are installed.
        """
        status = 1
        try:
            self._become_worker()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for _ in range(MAILS_OF_A_WORKER):
                taken = self._next()
                if taken is None:
                    break
                self._try(taken)
            status = 0
        except BaseException as error:  # noqa: BLE001  the edge of a process: its mail stays in the spool
            os.write(2, traced(error).encode(errors="backslashreplace"))
            time.sleep(_CRASH_PAUSE_S)
        finally:
            os._exit(status)

    def _become_worker(self) -> None:
        """Close the server's descriptors and remove its signal handlers."""
        signal.set_wakeup_fd(-1)
        for signum in (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT, signal.SIGCHLD):
            signal.signal(signum, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, self._note_end)
        os.closerange(3, self._listening)
        os.closerange(self._listening + 1, _OPEN_FILES)

    def _note_end(self, _signum: int, _frame: FrameType | None) -> None:
        self._ending = True

    def _next(self) -> Taken | None:
        """Wait for the next mail; None when this worker must exit."""
        while not self._over():
            try:
                taken = self._spool.take(time.time())
                if taken is not None:
                    return taken
                due_s = self._spool.due_in(time.time())
            except OSError as error:
                self._complain_of_disk(error)
                due_s = None
            pause_s = _LOOK_S if due_s is None else min(max(due_s, 0.2), _LOOK_S)
            ready, _, _ = select.select([self._listening], [], [], pause_s)
            if ready:
                try:
                    os.read(self._listening, 1)
                except BlockingIOError:
                    pass  # another worker was quicker
        return None

    def _try(self, taken: Taken) -> None:
        try:
            envelope, mail = taken.read()
            why = self._rule(envelope, mail)
        except Exception as error:  # noqa: BLE001  one mail must not end all others
            why = in_one_line(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        # The rule may have installed its own signal handlers.
        signal.signal(signal.SIGTERM, self._note_end)
        self._ending = self._ending or self._host.was_interrupted()
        if not why:
            self._insist(taken, taken.done)
        elif self._host.was_interrupted():
            # The rules were interrupted: this does not count as a try.
            taken.close()
        else:
            self._insist(taken, lambda: self._put_off(taken, why))

    def _put_off(self, taken: Taken, why: str) -> None:
        if not taken.failed(time.time()):
            self._complain(f"mail {taken.waiting.name} was tried for the last time, and is kept as failed: {why}")
        else:
            os.write(2, f"pyprocmail milter: mail {taken.waiting.name} is tried again: {why}\n".encode())

    def _insist(self, taken: Taken, act: Callable[[], None]) -> None:
        """Record in the spool what became of a mail, and retry until that succeeds.

        The worker keeps its lock on the mail until then, or another worker would run the rules a second time.
        """
        while True:
            try:
                act()
                return
            except OSError as error:
                if isinstance(error, FileNotFoundError) and taken.is_removed():
                    taken.close()
                    return
                self._complain_of_disk(error)
            if self._over():
                return
            time.sleep(_LOOK_S)

    def _over(self) -> bool:
        return self._ending or os.getppid() != self._parent

    def _complain_of_disk(self, error: OSError) -> None:
        self._say_now_and_then(f"the spool cannot be used: {in_one_line(error, os.fsdecode(self._spool.folder))}")

    def _say_now_and_then(self, text: str) -> None:
        """Complain at most once a minute."""
        now = time.monotonic()
        if now - self._complained >= COMPLAINT_S:
            self._complained = now
            self._complain(text)
