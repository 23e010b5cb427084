"""A process that gets a signal from outside at a certain moment, which is seen and not guessed.

What happens while a program of the rcfile runs needs none of this: that program sends the signal.
"""

from __future__ import annotations

import array
import fcntl
import os
import signal
import subprocess
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

READING, LOCKED = "reading", "locked"
"""The moments: a part of the mail is read, or a lockfile is waited for."""

_STEP_S = 0.0005
_SECONDS = 60.0
_REST = 10
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Signal:
    """`number` is sent at `moment`; a process that waits for a lockfile names it in its log, as `shown`."""

    moment: str
    number: signal.Signals
    shown: bytes = b""


def send(process: subprocess.Popen[bytes], mail: bytes, told: Signal) -> bytes:
    """Feed the process, which has pipes, send the signal, and return all that it writes."""
    assert process.stdin
    assert process.stdout
    output = b""
    if told.moment == READING:
        process.stdin.write(mail[:-_REST])
        process.stdin.flush()
        _until(lambda: not _unread(process) and _is_asleep(process))
        rest = mail[-_REST:]
    else:
        process.stdin.write(mail)
        process.stdin.close()
        process.stdin = None
        rest = b""
        while told.shown not in output and (chunk := os.read(process.stdout.fileno(), _CHUNK)):
            output += chunk
        _until(lambda: process.poll() is not None or _is_asleep(process))
    process.send_signal(told.number)
    return output + process.communicate(rest or None, timeout=_SECONDS)[0]


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("the process never comes to the moment of the signal")
        time.sleep(_STEP_S)


def _unread(process: subprocess.Popen[bytes]) -> int:
    """How much of its input the process has not read yet."""
    assert process.stdin
    count = array.array("i", [0])
    fcntl.ioctl(process.stdin.fileno(), termios.FIONREAD, count)
    return count[0]


def _is_asleep(process: subprocess.Popen[bytes]) -> bool:
    """Whether it waits for something other than the disk; one that has ended sleeps for good."""
    state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state in ("S", "Z")
