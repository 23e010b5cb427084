"""A worker process: it receives jobs over a channel, one at a time, and sends answers back."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable

from pyprocmail.exits import traced
from pyprocmail.servers.lmtp.ledger import Ledger

Serve = Callable[[bytes, int, Ledger], bytes]
"""A worker's function: from a job, a descriptor (-1 if the job has none) and the ledger to the answer."""

LARGEST_MESSAGE = 1 << 16
GIVE_UP = signal.SIGQUIT
"""The supervisor's signal when a delivery takes too long."""
GROWN, FIT = b"!", b"."
"""The first byte of an answer: whether the worker has grown too large."""
_GROWN_KB = 256 << 10
# A service manager may send these to all processes of the server at once; workers still finish their job.
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_USUAL = (signal.SIGQUIT, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE)


def be_worker(channel: int, ledger: int, serve: Serve) -> None:
    """Do jobs until there are no more; never returns."""
    status = 1
    try:
        # A separate process group shows whether programs of a killed worker still run.
        os.setpgid(0, 0)
        for signum in _IGNORED:
            signal.signal(signum, signal.SIG_IGN)
        for signum in _USUAL:
            signal.signal(signum, signal.SIG_DFL)
        low, high = sorted((channel, ledger))
        os.closerange(3, low)
        os.closerange(low + 1, high)
        os.closerange(high + 1, os.sysconf("SC_OPEN_MAX"))
        os.umask(0o077)
        _work(socket.socket(fileno=channel), Ledger(ledger), serve)
        status = 0
    except BaseException as error:  # noqa: BLE001  the edge of the process: the supervisor must not fail with it
        os.write(2, traced(error).encode(errors="backslashreplace"))
    finally:
        os._exit(status)


def receive(channel: socket.socket, most: int) -> tuple[bytes, list[int]]:
    """The next message and its descriptors, made non-inheritable; an empty message if the other side is gone."""
    try:
        text, fds, _, _ = socket.recv_fds(channel, LARGEST_MESSAGE, most)
    except ConnectionResetError:
        return b"", []  # the other side exited without reading all that we sent
    for fd in fds:
        os.set_inheritable(fd, False)
    return text, fds


def _work(channel: socket.socket, ledger: Ledger, serve: Serve) -> None:
    began_kb = _size_kb()
    while True:
        payload, fds = receive(channel, 1)
        if not payload:
            return
        ledger.begin()
        try:
            answer = serve(payload, fds[0] if fds else -1, ledger)
        finally:
            for fd in fds:
                os.close(fd)
        try:
            channel.send((GROWN if _size_kb() - began_kb > _GROWN_KB else FIT) + answer)
        except (BrokenPipeError, ConnectionResetError):
            return  # the supervisor is gone, and nobody waits for the answer


def _size_kb() -> int:
    """The memory of this process, in kilobytes."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
