"""Running the programs that rcfiles and filter files name: their input, their output, their end.

procmailrc(5), TIMEOUT.  Each language decides which program a text names.
"""

from __future__ import annotations

import errno
import select
from io import BytesIO

from pyprocmail.engine import tools
from pyprocmail.exits import EX_UNAVAILABLE
from pyprocmail.signals import SIGKILL, SIGTERM, Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Protocol, TypeVar

    from pyprocmail.host import Host

    Chunk = bytes | memoryview

    class ErrorOutput(Protocol):
        """Where programs write their errors."""

        @property
        def fd(self) -> int:
            """The descriptor."""

        def write(self, text: bytes) -> None:
            """Append a text."""

    class Runner(Protocol):
        """What running a program needs from a session of either language."""

        host: Host
        status: int
        unwaited: list[int]
        toolbox: tools.Toolbox | None

        @property
        def environment(self) -> Mapping[bytes, bytes]:
            """The program's environment."""

        @property
        def log(self) -> ErrorOutput:
            """Its standard error."""

        @property
        def note(self) -> Callable[..., None]:
            """Called with each event."""

        def deadline(self) -> float | None:
            """When the program must have ended, on the monotonic clock."""

        def retry_after(self, tries: int) -> int | None:
            """How many seconds to wait if the system has no process left; None to give up."""

    Result = TypeVar("Result")


_READ = 1 << 16
_NO_RESOURCES = (errno.EAGAIN, errno.ENOMEM, errno.ENFILE, errno.EMFILE)
_GRACE_S = 5.0


class Command:
    """A program to start.

    `shown` is for the "executing" message, `name` for messages of its failure, `line` for LASTFOLDER and the
    log of a condition.  `or_script`: a file that cannot be executed is tried as a shell script.  `path`, if not
    empty, is the file to execute instead of argv[0].  `comment_end`: see Words.  `purpose` is
    "filter", "condition", "capture", "backquotes", "trap", or else a delivery.  `head` is put before its output.
    """

    __slots__ = ("argv", "shown", "name", "line", "by_shell", "or_script", "path", "comment_end", "purpose", "head")

    def __init__(
        self,
        argv: list[bytes],
        shown: bytes,
        name: bytes,
        line: bytes,
        *,
        by_shell: bool = False,
        or_script: bool = True,
        path: bytes = b"",
    ) -> None:
        self.argv = argv
        self.shown = shown
        self.name = name
        self.line = line
        self.by_shell = by_shell
        self.or_script = or_script
        self.path = path
        self.comment_end: int | None = None
        self.purpose = ""
        self.head = b""


class Ended:
    """What became of a program.

    `status` is its exit code or minus a signal, None if it was not waited for.  `missing`: it could not be
    executed, and a shell was tried instead.  `started` is False if the shell failed, too.
    `unread`: it closed its input early.  `timed_out`: TIMEOUT ended it.  `overflow`:
    `output` was cut.  `text` is Command.head, `head_bytes` of it, and the output.
    """

    __slots__ = ("status", "text", "head_bytes", "missing", "started", "unread", "timed_out", "overflow")

    def __init__(self) -> None:
        self.status: int | None = None
        self.text = b""
        self.head_bytes = 0
        self.missing = False
        self.started = True
        self.unread = False
        self.timed_out = False
        self.overflow = False

    @property
    def output(self) -> bytes:
        """What the program wrote; with a head each call makes a copy."""
        return self.text[self.head_bytes :]

    @output.setter
    def output(self, output: bytes) -> None:
        self.text, self.head_bytes = output, 0


def run(
    session: Runner,
    command: Command,
    chunks: Iterable[Chunk],
    *,
    capture: bool = False,
    stdout: int | None = None,
    limit: int | None = None,
    wait: bool = True,
    wait_if_missing: bool = False,
) -> Ended:
    """Start `command`, feed it `chunks`, read its output if `capture`, and wait for it if `wait`.

    At most `limit` bytes of output are kept.  The session remembers a program that is not waited
    for.  `wait_if_missing`: wait even without `wait` if a shell runs the command, or is tried instead of it:
    its status shows whether the program is missing.
    """
    host = session.host
    session.note("executing", command.shown)
    ended = Ended()
    tool = tools.find(session, command, session.toolbox)
    if tool is not None:
        chunks = list(chunks)
        if sum(map(len, chunks)) <= tools.LIMIT_BYTES:
            return _run_here(session, command, tool, chunks, ended, capture, stdout, limit, wait)
    feed_in, feed_out = patiently(session, host.pipe)
    host.set_blocking(feed_out, False)
    talk = _Talk(session, command, ended, feed_out, chunks, limit)
    # What fits into the pipe is written before the program starts: a program that does not read
    # a small mail never makes the write fail.
    talk.write()
    answer_in, answer_out = patiently(session, host.pipe) if capture else (-1, -1)
    null = host.null_output() if not capture and stdout is None else -1
    if stdout is None:
        stdout = answer_out if capture else null
    try:
        pid, ended.missing = _start(session, command, feed_in, stdout)
    finally:
        for fd in (feed_in, answer_out, null):
            if fd >= 0:
                host.close(fd)
    if pid is None:
        ended.started = False
        ended.status = EX_UNAVAILABLE
        session.status = EX_UNAVAILABLE
        talk.close()
        if answer_in >= 0:
            host.close(answer_in)
        return ended
    deadline = session.deadline()
    try:
        talk.run(pid, answer_in, deadline)
        if wait or (wait_if_missing and (ended.missing or command.by_shell)):
            ended.status = _wait(session, command, pid, deadline, ended)
            session.status = ended.status
        else:
            session.unwaited.append(pid)
    except Interrupted:
        # A program does not outlive the session that it works for.
        host.kill(pid, SIGTERM)
        raise
    return ended


def _run_here(
    session: Runner,
    command: Command,
    tool: tools.Tool,
    chunks: list[Chunk],
    ended: Ended,
    capture: bool,
    stdout: int | None,
    limit: int | None,
    wait: bool,
) -> Ended:
    """As `run`, without a process."""
    status = tools.run(session, command, tool, chunks, ended, stdout=stdout, capture=capture)
    if limit is not None and len(ended.output) > limit:
        ended.output = ended.output[:limit]
        ended.overflow = True
    if wait:
        ended.status = session.status = status
    return ended


def patiently(session: Runner, step: Callable[[], Result]) -> Result:
    """Do a step that needs a process or a descriptor; try again as often as NORESRETRY says while the system has none.

    Raises:
        OSError: of the last try.
    """
    tries = 0
    while True:
        try:
            return step()
        except OSError as error:
            seconds = session.retry_after(tries) if error.errno in _NO_RESOURCES else None
            if seconds is None:
                raise
        tries += 1
        session.host.sleep(seconds)


def _start(session: Runner, command: Command, stdin: int, stdout: int) -> tuple[int | None, bool]:
    """The process id, and whether the program is missing.

    A file that cannot be executed is tried as a shell script, as procmail does.

    Raises:
        OSError: the system has no process left.
    """
    host, environment, stderr = session.host, session.environment, session.log.fd
    argv = command.argv

    def spawn(words: list[bytes], path: bytes = b"") -> int:
        def start() -> int:
            return host.spawn(words, environment, stdin=stdin, stdout=stdout, stderr=stderr, program=path)

        return patiently(session, start)

    try:
        return spawn(argv, command.path), False
    except OSError as error:
        if error.errno in _NO_RESOURCES:
            session.note("failed-forking", command.name)
            raise
        if not command.or_script:
            session.note("failed-to-execute", command.name)
            return None, True
        try:
            return spawn([b"/bin/sh", *argv]), True
        except OSError:
            session.note("failed-to-execute", command.name)
            return None, True


def _wait(session: Runner, command: Command, pid: int, deadline: float | None, ended: Ended) -> int:
    host = session.host
    status = host.wait(pid, deadline)
    if status is None:
        if not ended.timed_out:
            terminate(session, command, pid)
            ended.timed_out = True
        status = host.wait(pid, host.monotonic() + _GRACE_S)
        if status is None:
            host.kill(pid, SIGKILL)
            status = host.wait(pid, None)
            assert status is not None
    return status


def terminate(session: Runner, command: Command, pid: int) -> None:
    """TIMEOUT is over: ask the program to end."""
    session.note("timeout-terminating", command.name)
    session.host.kill(pid, SIGTERM)


class _Talk:
    """Both directions of the pipes to a program, so that neither side waits for the other for ever."""

    __slots__ = ("session", "command", "ended", "out", "chunks", "pending", "limit", "room", "kept")

    def __init__(
        self,
        session: Runner,
        command: Command,
        ended: Ended,
        out: int,
        chunks: Iterable[Chunk],
        limit: int | None,
    ) -> None:
        self.session = session
        self.command = command
        self.ended = ended
        self.out = out
        self.chunks = iter(chunks)
        self.pending = memoryview(b"")
        self.limit = limit
        self.room = session.host.largest_mail()
        self.kept = self._begun()

    def _begun(self) -> BytesIO:
        """A buffer that has the head: so memory gets no further copy of a large mail."""
        kept = BytesIO()
        kept.write(self.command.head)
        return kept

    def write(self) -> None:
        """Write what the pipe takes now; close it when all is written or the program reads no more."""
        host = self.session.host
        try:
            while True:
                if not self.pending:
                    chunk = next(self.chunks, None)
                    if chunk is None:
                        break
                    self.pending = memoryview(chunk)
                    continue
                self.pending = self.pending[host.write(self.out, self.pending) :]
        except BlockingIOError:
            return
        except OSError:
            self.ended.unread = True
        self.close()

    def close(self) -> None:
        """End the program's input."""
        if self.out >= 0:
            self.session.host.close(self.out)
            self.out = -1

    def run(self, pid: int, answer: int, deadline: float | None) -> None:
        host = self.session.host
        try:
            while self.out >= 0 or answer >= 0:
                interest = {}
                if self.out >= 0:
                    interest[self.out] = select.POLLOUT
                if answer >= 0:
                    interest[answer] = select.POLLIN
                left = None if deadline is None else max(deadline - host.monotonic(), 0)
                ready = host.poll(interest, left)
                if not ready:
                    terminate(self.session, self.command, pid)
                    self.ended.timed_out = True
                    self.ended.unread = self.ended.unread or self.out >= 0
                    break
                if self.out in ready:
                    self.write()
                if answer in ready:
                    data = host.read(answer, _READ)
                    self.room -= len(data) if self.limit is None else 0
                    if self.room < 0:
                        self._give_up(pid)
                        break
                    if data:
                        self._keep(data)
                    else:
                        host.close(answer)
                        answer = -1
        finally:
            self.close()
            if answer >= 0:
                host.close(answer)
        self.ended.text, self.ended.head_bytes = self.kept.getvalue(), len(self.command.head)

    def _give_up(self, pid: int) -> None:
        """The output has no end: the program has failed, like one that takes too long."""
        host = self.session.host
        self.session.note("endless-output", host.largest_mail(), self.command.name)
        host.kill(pid, SIGTERM)
        self.ended.timed_out = True
        self.ended.unread = self.ended.unread or self.out >= 0
        self.kept = self._begun()

    def _keep(self, data: bytes) -> None:
        if self.limit is not None:
            if len(data) > self.limit:
                self.ended.overflow = True
                data = data[: self.limit]
            self.limit -= len(data)
        if data:
            self.kept.write(data)
