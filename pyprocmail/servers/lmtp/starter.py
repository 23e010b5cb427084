"""The process from which workers are forked.

It is started before the first client connects, and sees neither jobs nor mails.  So a new worker's memory contains
nothing that a client sent, and a worker that has become one user can read nothing of other users.
"""

from __future__ import annotations

import errno
import gc
import marshal
import os
import select
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from pyprocmail.exits import traced
from pyprocmail.servers.lmtp.worker import Serve, be_worker, receive

_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Started:
    """A worker: its process id, and its pidfd, to watch and to signal it."""

    pid: int
    watch: int


class Starter:
    """The supervisor's side.  `control` becomes readable when the process has exited, and only then."""

    def __init__(self, serves: Sequence[Serve]) -> None:
        """Fork the process; `serves` are the kinds of workers.

        Raises:
            OSError: no process can be started.
        """
        gc.collect()
        gc.freeze()
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.pid = os.fork()
            if not self.pid:
                _be_starter(theirs, serves)
        self.control.settimeout(_PATIENCE_S)

    def start(self, kind: int, channel: socket.socket, ledger: int) -> Started:
        """Start a worker that serves `channel` with the function number `kind`.

        Raises:
            OSError: no process can be started.
        """
        try:
            socket.send_fds(self.control, [bytes([kind])], [channel.fileno(), ledger])
            answer, fds = receive(self.control, 1)
        except TimeoutError:
            # A late answer would be read as the answer to the next request.
            self.control.close()
            raise
        if not answer:
            raise ChildProcessError(errno.ECHILD, "the process that starts workers has ended")
        pid, refusal = marshal.loads(answer)  # noqa: S302  from a process of ours
        if not fds:
            raise OSError(refusal, os.strerror(refusal))
        return Started(pid, fds[0])


def _be_starter(control: socket.socket, serves: Sequence[Serve]) -> None:
    """Fork workers until the supervisor is gone; never returns."""
    status = 1
    try:
        os.setpgid(0, 0)
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1):
            os.dup2(null, fd)
        os.closerange(3, control.fileno())
        os.closerange(control.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        _start_workers(control, serves)
        status = 0
    except BaseException as error:  # noqa: BLE001  the edge of the process
        os.write(2, traced(error).encode(errors="backslashreplace"))
    finally:
        os._exit(status)


def _start_workers(control: socket.socket, serves: Sequence[Serve]) -> None:
    children: dict[int, int] = {}
    poller = select.poll()
    poller.register(control, select.POLLIN)
    while True:
        for fd, _ in poller.poll():
            if fd in children:
                poller.unregister(fd)
                os.close(fd)
                os.waitpid(children.pop(fd), 0)
                continue
            asked, fds = receive(control, 2)
            if not asked:
                return
            try:
                watch = _fork(serves[asked[0]], fds, children)
            finally:
                for each in fds:
                    os.close(each)
            if watch is None:
                control.send(marshal.dumps((0, errno.EAGAIN)))
                continue
            poller.register(watch, select.POLLIN)
            socket.send_fds(control, [marshal.dumps((children[watch], 0))], [watch])


def _fork(serve: Serve, fds: Sequence[int], children: dict[int, int]) -> int | None:
    """Fork a worker and add it to `children`; returns its pidfd, None if no process can be started."""
    channel, ledger = fds
    try:
        pid = os.fork()
    except OSError:
        return None
    if not pid:
        be_worker(channel, ledger, serve)
    watch = os.pidfd_open(pid)
    children[watch] = pid
    return watch
