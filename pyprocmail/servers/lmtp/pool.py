"""Worker processes, each with one job at a time, over a pipe.

This is the supervisor's side: it hands out jobs and receives answers, and knows nothing of their contents.
"""

from __future__ import annotations

import asyncio
import errno
import marshal
import os
import signal
import socket
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import islice

from pyprocmail.servers.lmtp import ledger
from pyprocmail.servers.lmtp.ledger import Claim
from pyprocmail.servers.lmtp.starter import Started, Starter
from pyprocmail.servers.lmtp.worker import GIVE_UP, GROWN, LARGEST_MESSAGE

LeftBehind = Callable[[bytes, tuple[Claim, ...]], object]
"""Called with the last job of a killed worker, and the lockfiles that it held, once none of its processes runs."""

_ATTEMPTS = 5
"""How many workers may die before they begin a job; then the job fails."""
GRACE_S = 5.0
"""How long a worker has to exit after the signal to give up."""
_FIRST_LOOK_S, _LONGEST_LOOK_S, _LOOKS_S = 0.05, 10.0, 2048.0
"""When to look whether programs of a killed worker still run: first, at the longest, and until when (locks are stale
by then)."""


class WorkerError(Exception):
    """The job was not done, or may not have been; the message is the reason."""


@dataclass(eq=False, slots=True)
class _Job:
    payload: bytes
    fd: int
    key: Hashable
    fresh: bool
    answer: asyncio.Future[bytes]
    attempts: int = 0


@dataclass(eq=False, slots=True)
class _Worker:
    process: Started
    channel: socket.socket
    ledger: int
    key: Hashable
    job: _Job | None = None
    payload: bytes = b""
    served: int = 0
    retired: bool = False
    timer: asyncio.TimerHandle | None = None
    given_up: bool = False
    settled: bool = False


class Pool:
    """At most `size` workers of one kind.  A worker serves the jobs of one key only, and at most `mails` of them.

    A job that takes longer than `limit_s` is given up, and its worker is killed with the programs that it has started.
    The programs live on if the answer `settles` the job, because the client will not send the mail again.  Keys take
    turns, and none has more than `share` of the workers at a time.
    """

    def __init__(
        self,
        starter: Starter,
        kind: int,
        *,
        size: int,
        share: int,
        limit_s: float,
        mails: int = 1000,
        left_behind: LeftBehind | None = None,
        settles: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._starter = starter
        self._kind = kind
        self._size = size
        self._share = share
        self._limit_s = limit_s
        self._mails = mails
        self._left_behind = left_behind
        self._settles = settles
        self._workers: list[_Worker] = []
        self._waiting: OrderedDict[Hashable, deque[_Job]] = OrderedDict()

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        return bool(self._waiting) or any(worker.job for worker in self._workers)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers."""
        return [worker.process.pid for worker in self._workers]

    def ask(self, payload: bytes, fd: int = -1, *, key: Hashable = 0, fresh: bool = False) -> asyncio.Future[bytes]:
        """Have a job done; the future has the answer, or WorkerError.

        `fresh`: by a new worker, which does no other job afterwards.
        """
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting.setdefault(key, deque()).append(_Job(payload, fd, key, fresh, answer))
        self._dispatch()
        return answer

    def retire(self) -> None:
        """Have each worker exit as soon as it is idle; later jobs get new workers."""
        for worker in list(self._workers):
            self._retire(worker)

    def give_up(self) -> None:
        """Have each worker abandon its job."""
        for worker in list(self._workers):
            self._give_up(worker)

    # -- giving out ------------------------------------------------------------------------

    def _dispatch(self) -> None:
        progress = True
        while progress and self._has_room():
            # Fewer keys than workers have their full share, so these include every job that can be placed now.
            placed = [self._dispatch_key(key) for key in list(islice(self._waiting, self._size + 1))]
            progress = any(placed)

    def _dispatch_key(self, key: Hashable) -> bool:
        """Place as many jobs of the key as possible; whether there was any."""
        jobs = self._waiting[key]
        before = len(jobs)
        while jobs and (jobs[0].answer.done() or self._place(jobs[0])):
            jobs.popleft()
        if not jobs:
            del self._waiting[key]
        elif len(jobs) < before:
            self._waiting.move_to_end(key)
        return len(jobs) < before

    def _has_room(self) -> bool:
        return len(self._workers) < self._size or any(not each.job and not each.retired for each in self._workers)

    def _place(self, job: _Job) -> bool:
        """Give the job to a worker; false if no worker is free for it."""
        if sum(worker.key == job.key and worker.job is not None for worker in self._workers) >= self._share:
            return False
        idle = [worker for worker in self._workers if worker.job is None and not worker.retired]
        for worker in idle:
            if worker.key == job.key and not job.fresh and self._give(worker, job):
                return True
        if len(self._workers) >= self._size:
            if idle:
                self._retire(idle[0])
            return False
        try:
            worker = self._start(job.key)
        except OSError as error:
            job.answer.set_exception(WorkerError(f"no process can be started: {error.strerror or error}"))
            return True
        return self._give(worker, job)

    def _give(self, worker: _Worker, job: _Job) -> bool:
        try:
            socket.send_fds(worker.channel, [job.payload], [job.fd] if job.fd >= 0 else [])
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.ECONNRESET) and job.attempts < _ATTEMPTS:
                # The idle worker has died: another one gets the job.
                job.attempts += 1
                worker.retired = True
                return False
            job.answer.set_exception(WorkerError(f"a worker cannot be reached: {error.strerror}"))
            return True
        worker.job = job
        worker.payload = job.payload
        worker.served += 1
        worker.timer = self._loop.call_later(self._limit_s, self._give_up, worker)
        return True

    def _give_up(self, worker: _Worker) -> None:
        worker.given_up = True
        worker.settled = worker.job is None
        worker.retired = True
        if worker.timer is not None:
            worker.timer.cancel()
        _signal(worker.process, GIVE_UP)
        worker.timer = self._loop.call_later(GRACE_S, self._kill, worker)

    def _kill(self, worker: _Worker) -> None:
        """Kill the worker and the programs that it has started."""
        try:
            os.killpg(worker.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            _signal(worker.process, signal.SIGKILL)

    def _retire(self, worker: _Worker) -> None:
        worker.retired = True
        if worker.job is None:
            # The worker reads the end of file, and exits.
            worker.channel.shutdown(socket.SHUT_WR)

    # -- processes -------------------------------------------------------------------------

    def _start(self, key: Hashable) -> _Worker:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        notes = -1
        try:
            with theirs:
                notes = ledger.make()
                process = self._starter.start(self._kind, theirs, notes)
        except OSError:
            ours.close()
            if notes >= 0:
                os.close(notes)
            raise
        ours.setblocking(False)
        worker = _Worker(process, ours, notes, key)
        self._workers.append(worker)
        self._loop.add_reader(ours, self._answered, worker)
        self._loop.add_reader(process.watch, self._ended, worker)
        return worker

    def _answered(self, worker: _Worker) -> None:
        try:
            answer = worker.channel.recv(LARGEST_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            answer = b""
        if not answer or worker.job is None:
            # The pidfd reports the worker's exit, not the channel: a clone may keep the channel open for longer.
            self._loop.remove_reader(worker.channel)
            return
        job, worker.job = worker.job, None
        if worker.timer is not None:
            worker.timer.cancel()
        grown, reply = answer[:1] == GROWN, answer[1:]
        worker.settled = self._settles(reply)
        if not job.answer.done():
            job.answer.set_result(reply)
        if worker.retired or grown or job.fresh or worker.served >= self._mails:
            self._retire(worker)
        self._dispatch()

    def _ended(self, worker: _Worker) -> None:
        self._loop.remove_reader(worker.process.watch)
        if worker.job is not None:
            self._answered(worker)  # it may have answered before
        os.close(worker.process.watch)
        self._loop.remove_reader(worker.channel)
        worker.channel.close()
        if worker.timer is not None:
            worker.timer.cancel()
        self._workers.remove(worker)
        begun, claims = ledger.read(worker.ledger)
        os.close(worker.ledger)
        if worker.given_up and not worker.settled:
            _end_programs(worker.process.pid)
        if worker.job is not None and not worker.job.answer.done():
            self._without_answer(worker, worker.job, begun)
        if claims and self._left_behind is not None:
            self._look_for_programs(worker, claims, _FIRST_LOOK_S, self._loop.time() + _LOOKS_S)
        self._dispatch()

    def _without_answer(self, worker: _Worker, job: _Job, begun: int) -> None:
        """The worker is gone: a job that it has not begun goes to another worker."""
        if begun < worker.served and job.attempts < _ATTEMPTS:
            job.attempts += 1
            self._waiting.setdefault(job.key, deque()).appendleft(job)
        else:
            job.answer.set_exception(WorkerError("it took too long" if worker.given_up else "the worker ended"))

    def _look_for_programs(self, worker: _Worker, claims: tuple[Claim, ...], after_s: float, end: float) -> None:
        """Report the lockfiles that are left as soon as no program runs that may still need them."""
        try:
            os.killpg(worker.process.pid, 0)
        except ProcessLookupError:
            if self._left_behind is not None:
                self._left_behind(worker.payload, claims)
            return
        except PermissionError:
            pass  # a program of another user still runs
        if self._loop.time() < end:
            longer_s = min(after_s * 2, _LONGEST_LOOK_S)
            self._loop.call_later(after_s, self._look_for_programs, worker, claims, longer_s, end)


def _end_programs(group: int) -> None:
    """Kill the programs of a delivery that was given up: the client sends the mail again, and they run again."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # nothing is left, or only programs of another user


def _signal(process: Started, signum: int) -> None:
    try:
        signal.pidfd_send_signal(process.watch, signum)
    except ProcessLookupError:
        pass  # it has exited; its pidfd reports that


def pack(*values: bytes | int) -> bytes:
    """Values for the other side of the pipe."""
    return marshal.dumps(values)


def unpack(data: bytes) -> tuple[bytes | int, ...]:
    """Restore the value from the bytes of `pack`."""
    values = marshal.loads(data)  # noqa: S302  from a process of ours
    assert isinstance(values, tuple)
    return values


def log(text: str) -> None:
    """Write a line to standard error, which the service manager logs."""
    sys.stderr.write(f"pyprocmail lmtp: {text}\n")
    sys.stderr.flush()
