"""The supervisor: it accepts connections and gives each to a process, which serves one client at a time.

It reads no mail.  A process that has served its client waits for the next one, with its rules loaded.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from pyprocmail.exits import traced
from pyprocmail.servers import notify
from pyprocmail.servers.gateway.conversation import BEGUN, LATER, PASSED, REFUSED
from pyprocmail.servers.metrics import Metrics

Serve = Callable[[socket.socket, int, Callable[[bytes], None]], None]
"""Serves one connection to its end.  Arguments: the connection, the descriptor of the listening socket, and the
function that sends a report to the supervisor."""
_SERVED = 200
"""After so many connections a process is replaced, so that its memory cannot grow for ever."""
_MOST_IDLE = 8
_IDLE = b"i"
"""The report of a process that waits for a client."""
_LARGEST = 64
_BUSY = b"421 4.3.2 Too many connections\r\n"
_GRACE_S = 5.0
_TICK_S = 1.0
_METRICS_S = 10.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_COUNTERS = {PASSED: "passed_total", LATER: "deferred_total", REFUSED: "refused_total"}


@dataclass(slots=True)
class _Child:
    """A process that gets its clients over `control`; when that is closed, it exits after its present client.

    `began` is when its present mail began, 0 if there is none; `told` is when it was sent SIGTERM, 0 if it was not.
    """

    reports: int
    control: socket.socket | None
    served: int = 0
    idle: bool = False
    began: float = 0.0
    told: float = 0.0

    def retire(self) -> None:
        """Have the process exit when it is idle."""
        self.idle = False
        if self.control is not None:
            self.control.close()
            self.control = None


@dataclass(slots=True)
class Settings:
    """What an administrator decides.  Times are in seconds."""

    connections: int = 100
    mail_s: float = 600.0
    stop_s: float = 60.0
    metrics: Path | None = None
    reload: Callable[[], None] = field(default=lambda: None)


class Server:
    """The supervisor of all connections."""

    def __init__(self, settings: Settings, serve: Serve, listeners: Sequence[socket.socket]) -> None:
        self._settings = settings
        self._serve = serve
        self._listeners = list(listeners)
        self._children: dict[int, _Child] = {}
        self._caught: set[int] = set()
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self.metrics = Metrics("pyprocmail_gateway")
        self.metrics.counter("connections_total", "Connections taken.")
        self.metrics.counter("passed_total", "Mails answered 2xx.")
        self.metrics.counter("deferred_total", "Mails with a 4xx among their replies.")
        self.metrics.counter("refused_total", "Mails with a 5xx and no 4xx among their replies.")

    def run(self) -> None:
        """Serve until SIGTERM, then finish the mails that have begun."""
        waking, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self._catch_signals()
        for each in self._listeners:
            self._selector.register(each, selectors.EVENT_READ)
        self._selector.register(waking, selectors.EVENT_READ)
        notify.notify(notify.READY)
        every = notify.watchdog_s()
        told = written = time.monotonic()
        end = 0.0
        while not end or (self._children and time.monotonic() < end):
            for key, _ in self._selector.select(min(every or _TICK_S, _TICK_S)):
                self._ready(key.fileobj, waking)
            if every and time.monotonic() - told >= every / 2:
                told = time.monotonic()
                notify.notify(notify.WATCHDOG)
            self._look_at_clock()
            if time.monotonic() - written >= _METRICS_S:
                written = time.monotonic()
                self._write_metrics()
            if not end and self._caught & {signal.SIGTERM, signal.SIGINT}:
                end = time.monotonic() + self._settings.stop_s
                self._stop_listening()
            if end:
                self._end_idle()
        for pid in self._children:
            _kill(pid, signal.SIGKILL)
        self._write_metrics()

    def _catch_signals(self) -> None:
        for signum in _SIGNALS:
            signal.signal(signum, self._note)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        self._caught.add(signum)

    def _ready(self, what: object, waking: int) -> None:
        if what == waking:
            try:
                os.read(waking, 4096)
            except BlockingIOError:
                pass  # it was read already
            self._signalled()
        elif isinstance(what, socket.socket):
            self._accept(what)
        else:
            assert isinstance(what, int)
            self._hear(what)

    def _signalled(self) -> None:
        if signal.SIGHUP in self._caught:
            self._caught.discard(signal.SIGHUP)
            notify.notify(notify.RELOADING)
            # Loading rules installs other signal handlers; signals wait until ours are back.
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            self._settings.reload()
            self._catch_signals()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            for child in self._children.values():
                child.retire()
            notify.notify(notify.READY)
        if signal.SIGCHLD in self._caught:
            self._caught.discard(signal.SIGCHLD)
            for pid in list(self._children):
                try:
                    ended, _ = os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    ended = pid
                if ended:
                    self._gone(pid)

    # -- connections -----------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        try:
            line, _ = listener.accept()
        except OSError:
            return  # the client has given up, or no descriptor is free
        with line:
            self.metrics.add("connections_total")
            for child in [each for each in self._children.values() if each.idle]:
                if self._hand_over(child, line, listener):
                    return
            if len(self._children) >= self._settings.connections:
                _say(line, _BUSY)
                return
            try:
                child = self._start(line)
            except OSError as error:
                log(f"no process for a client: {error.strerror}")
                _say(line, _BUSY)
                return
            if not self._hand_over(child, line, listener):
                _say(line, _BUSY)

    def _hand_over(self, child: _Child, line: socket.socket, listener: socket.socket) -> bool:
        """Give the connection to the process; false if the process is gone."""
        assert child.control is not None
        try:
            socket.send_fds(child.control, [b"%d" % listener.fileno()], [line.fileno()])
        except OSError:
            child.retire()
            return False
        child.idle = False
        child.served += 1
        return True

    def _start(self, line: socket.socket) -> _Child:
        """Fork a new process, which must not keep `line` open."""
        reports, telling = os.pipe2(os.O_CLOEXEC)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                pid = os.fork()
            except OSError:
                for fd in (reports, telling):
                    os.close(fd)
                ours.close()
                raise
            if not pid:
                ours.close()
                line.close()
                self._be_child(theirs, telling)
        os.close(telling)
        os.set_blocking(reports, False)
        child = self._children[pid] = _Child(reports, ours)
        self._selector.register(reports, selectors.EVENT_READ)
        return child

    def _be_child(self, control: socket.socket, telling: int) -> None:
        """Serve clients; never returns."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for signum in (signal.SIGHUP, signal.SIGCHLD):
                signal.signal(signum, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal; the supervisor sends SIGTERM
            self._selector.close()
            for each in self._listeners:
                each.close()
            for child in self._children.values():
                os.close(child.reports)
                child.retire()
            self._serve_all(control, lambda what: _report(telling, what))
            status = 0
        except BaseException as error:  # noqa: BLE001  the edge of the process: the client still has its mail
            os.write(2, traced(error).encode(errors="backslashreplace"))
        finally:
            os._exit(status)

    def _serve_all(self, control: socket.socket, report: Callable[[bytes], None]) -> None:
        """Serve one client after another until the supervisor closes `control`."""
        while True:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            said, fds, _, _ = socket.recv_fds(control, _LARGEST, 1)
            if not said:
                return
            with socket.socket(fileno=fds[0]) as line:
                self._serve(line, int(said), report)
            report(_IDLE)

    def _hear(self, reports: int) -> None:
        """Read the reports of a child; at the end of its pipe stop watching it."""
        child = next((each for each in self._children.values() if each.reports == reports), None)
        if child is None:
            return  # it exited a moment ago
        try:
            said = os.read(reports, 4096)
        except BlockingIOError:
            return
        if not said:
            self._forget(reports)
            return
        for at in range(len(said)):
            what = said[at : at + 1]
            if what == _IDLE:
                self._became_idle(child)
            child.began = time.monotonic() if what == BEGUN else 0.0
            child.told = 0.0
            if what in _COUNTERS:
                self.metrics.add(_COUNTERS[what])

    def _became_idle(self, child: _Child) -> None:
        enough = sum(each.idle for each in self._children.values()) >= _MOST_IDLE
        if child.control is None or child.served >= _SERVED or enough or self._stopping:
            child.retire()
        else:
            child.idle = True

    def _gone(self, pid: int) -> None:
        child = self._children[pid]
        self._hear(child.reports)
        child.retire()
        del self._children[pid]
        self._forget(child.reports)
        os.close(child.reports)

    def _forget(self, reports: int) -> None:
        if reports in self._selector.get_map():
            self._selector.unregister(reports)

    # -- time ------------------------------------------------------------------------------

    def _look_at_clock(self) -> None:
        """Stop processes that take too long for a mail: SIGTERM interrupts the rules, SIGKILL follows."""
        now = time.monotonic()
        for pid, child in self._children.items():
            if child.began and now - child.began > self._settings.mail_s and not child.told:
                log(f"process {pid} took too long for a mail, and was stopped")
                child.told = now
                _kill(pid, signal.SIGTERM)
            elif child.began and child.told and now - child.told > _GRACE_S:
                _kill(pid, signal.SIGKILL)

    def _stop_listening(self) -> None:
        self._stopping = True
        notify.notify(notify.STOPPING)
        for each in self._listeners:
            self._selector.unregister(each)
            each.close()

    def _end_idle(self) -> None:
        for pid, child in self._children.items():
            child.retire()
            if not child.began and not child.told:
                child.told = time.monotonic()
                _kill(pid, signal.SIGTERM)

    def _write_metrics(self) -> None:
        if self._settings.metrics is not None:
            try:
                self.metrics.write(self._settings.metrics)
            except OSError as error:
                log(f"{self._settings.metrics}: {error.strerror}")


def _say(line: socket.socket, text: bytes) -> None:
    try:
        line.setblocking(False)
        line.send(text)
    except OSError:
        pass  # the client sees that the connection is closed


def _report(telling: int, what: bytes) -> None:
    try:
        os.write(telling, what)
    except OSError:
        pass  # the supervisor has died; the client is still served


def _kill(pid: int, signum: int) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        pass


def log(text: str) -> None:
    """Write a line to standard error, which the service manager logs."""
    sys.stderr.write(f"pyprocmail gateway: {text}\n")
    sys.stderr.flush()
