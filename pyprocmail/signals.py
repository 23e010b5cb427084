"""Signals: noted when they come, raised between steps or where the process waits.

This module is on the start-up path: it does not import `signal`, which costs more than a delivery.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the core of `signal`, which has no stub of its own
import time

from pyprocmail.numerals import LONGEST_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

SIGALRM = int(_signal.SIGALRM)
SIGCHLD = int(_signal.SIGCHLD)
SIGHUP = int(_signal.SIGHUP)
SIGINT = int(_signal.SIGINT)
SIGKILL = int(_signal.SIGKILL)
SIGPIPE = int(_signal.SIGPIPE)
SIGQUIT = int(_signal.SIGQUIT)
SIGTERM = int(_signal.SIGTERM)
SIGUSR1 = int(_signal.SIGUSR1)
SIGUSR2 = int(_signal.SIGUSR2)

_AT_ONCE_S = 0.001
"""The value for a timer whose time is over: 0 would stop the timer."""

CHILD_DEFAULTS = (SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGALRM, SIGUSR1, SIGUSR2)
"""The signals whose default action a program that we start gets back."""


class Interrupted(BaseException):
    """The signal `signum` arrived and ends the session.

    It is not an Exception: only the edge of a session may catch it.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class AlarmError(Exception):
    """The time limit of `Host.alarm` has passed."""


class Signals:
    """The part of a Host that handles signals.

    A handler only notes the signal, and `check_signals`, called between steps, raises Interrupted: no signal is
    handled in the middle of a write.  While the process waits (for a lock, a child, a time) the handler raises at once.
    """

    def __init__(self) -> None:
        self._pending = 0
        self._waiting = False
        self._alarmed = False
        self._limited = False
        self._toggle: Callable[[bool], None] | None = None
        self._catches = False
        self._settled = False

    def alarm(self, seconds: float) -> _Alarm:
        """A context that raises AlarmError from a wait longer than `seconds`; 0 or less means no limit."""
        return _Alarm(self, seconds)

    def catch_signals(self, toggle_verbose: Callable[[bool], None]) -> None:
        """Handle the signals that procmail(1) handles; an ignored signal stays ignored.

        SIGHUP, SIGINT, SIGQUIT and SIGTERM end the session through Interrupted.  SIGUSR1 and
        SIGUSR2 switch VERBOSE off and on.  SIGALRM ends the current wait.
        """
        self._toggle = toggle_verbose
        self._settled = False
        if self._catches:
            return
        self._catches = True
        for signum in (SIGHUP, SIGINT, SIGQUIT, SIGTERM):
            if _signal.getsignal(signum) != _signal.SIG_IGN:
                _signal.signal(signum, self._on_end)
        _signal.signal(SIGUSR1, self._on_verbose)
        _signal.signal(SIGUSR2, self._on_verbose)
        _signal.signal(SIGALRM, self._on_alarm)
        _signal.signal(SIGPIPE, _signal.SIG_IGN)

    def check_signals(self) -> None:
        """Raise Interrupted for a signal that came while the process was not waiting."""
        if self._pending and not self._settled:
            raise Interrupted(self._pending)

    def was_interrupted(self) -> bool:
        """Whether a signal has come that ends a session, even if it came too late."""
        return bool(self._pending)

    def settle(self) -> None:
        """Note that the mail's fate is decided: until the next `catch_signals` no signal ends the session."""
        self._settled = True

    def _on_end(self, signum: int, frame: FrameType | None) -> None:
        self._pending = signum
        if self._waiting and not self._settled:
            raise Interrupted(signum)

    def _on_verbose(self, signum: int, frame: FrameType | None) -> None:
        if self._toggle is not None:
            self._toggle(signum == SIGUSR2)

    def _on_alarm(self, signum: int, frame: FrameType | None) -> None:
        self._alarmed = True
        if self._waiting:
            raise AlarmError

    def _wait(self) -> _Waiting:
        return _Waiting(self)


class _Waiting:
    """While this is open, a signal is raised where it arrives."""

    __slots__ = ("_host",)

    def __init__(self, host: Signals) -> None:
        self._host = host

    def __enter__(self) -> None:
        host = self._host
        host._waiting = True
        if host._pending and not host._settled:
            host._waiting = False
            raise Interrupted(host._pending)
        if host._alarmed and host._limited:
            host._waiting = False
            raise AlarmError
        host._alarmed = False

    def __exit__(self, *_: object) -> None:
        self._host._waiting = False


class _Alarm:
    """See Signals.alarm.  Inside another one the earlier end counts, and the outer limit continues afterwards."""

    __slots__ = ("_host", "_seconds", "_outer_end", "_outer_limited")

    def __init__(self, host: Signals, seconds: float) -> None:
        self._host = host
        self._seconds = min(max(seconds, 0), LONGEST_S)
        self._outer_end = 0.0
        self._outer_limited = False

    def __enter__(self) -> None:
        host = self._host
        self._outer_limited = host._limited
        if not host._limited:
            host._alarmed = False
        host._limited = True
        if self._seconds:
            _signal.signal(SIGALRM, host._on_alarm)
            left, _ = _signal.setitimer(_signal.ITIMER_REAL, self._seconds)
            if left and self._outer_limited:
                self._outer_end = time.monotonic() + left
                if left < self._seconds:
                    _signal.setitimer(_signal.ITIMER_REAL, left)

    def __exit__(self, *_: object) -> None:
        host = self._host
        left = 0.0
        if self._outer_end:
            left = max(self._outer_end - time.monotonic(), _AT_ONCE_S)
        if self._seconds:
            _signal.setitimer(_signal.ITIMER_REAL, left)
        host._alarmed = False
        host._limited = self._outer_limited
