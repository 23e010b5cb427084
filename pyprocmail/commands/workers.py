"""-j: processes that read the mailbox ahead, and answer what the rules will ask of each mail.

A worker runs the rules on its share of the mails without doing what they say, and sends the answers
of the conditions.  Who delivers goes through the mails in their order, one at a time, and asks the
worker before it asks the mail: so what is delivered, and in what order, is as with one process.
"""

from __future__ import annotations

import marshal
import os

from pyprocmail.delivery.results import Delivered
from pyprocmail.engine.ahead import Recalling, Recording
from pyprocmail.engine.log import Log
from pyprocmail.host import Host
from pyprocmail.message import mailbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyprocmail.commands.procmail import Run
    from pyprocmail.engine.ahead import Answers
    from pyprocmail.message.model import Message

_LENGTH_BYTES = 4


class Workers:
    """The workers of one run, each of which takes every `count`th mail of the file on standard input."""

    def __init__(self, run: Run, count: int) -> None:
        self._host = run.host
        self._answers: list[int] = []
        self._pids: list[int] = []
        self._next = 0
        start = self._host.lseek(0, 0, os.SEEK_CUR)
        for number in range(count):
            answers, output = self._host.pipe()
            pid = self._host.fork()
            if not pid:
                for fd in (answers, *self._answers):
                    os.close(fd)
                _work(run, output, start, number, count)
            os.close(output)
            self._answers.append(answers)
            self._pids.append(pid)

    def next(self) -> Recalling:
        """The answers about the next mail; none when its worker is no more, or could not tell."""
        at = self._next % len(self._answers)
        self._next += 1
        length = int.from_bytes(_read(self._answers[at], _LENGTH_BYTES), "little")
        answers: Answers = marshal.loads(_read(self._answers[at], length)) if length else {}  # noqa: S302  our own fork
        return Recalling(answers)

    def close(self) -> None:
        """End the workers, who may have read further than the mailbox was delivered."""
        for fd in self._answers:
            os.close(fd)
        for pid in self._pids:
            self._host.wait(pid, None)


def _read(fd: int, length: int) -> bytes:
    """So many bytes, or none when there are not so many."""
    chunks = []
    while length:
        chunk = os.read(fd, length)
        if not chunk:
            return b""
        chunks.append(chunk)
        length -= len(chunk)
    return b"".join(chunks)


def _work(run: Run, output: int, at: int, number: int, count: int) -> None:
    """In the worker: answer for each of its mails, until there are no more or nobody listens."""

    def read(size: int) -> bytes:
        nonlocal at
        data = os.pread(0, size, at)
        at += len(data)
        return data

    run.host = _Bystander()
    try:
        folder = os.getcwdb()
        for index, data in enumerate(mailbox.split(read)):
            if index % count == number:
                os.chdir(folder)
                answers = marshal.dumps(_answers(run, data))
                _write(output, len(answers).to_bytes(_LENGTH_BYTES, "little") + answers)
    finally:
        # Whatever is wrong here, who delivers finds out for itself.
        os._exit(0)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _answers(run: Run, data: bytes) -> Answers:
    """What the rules ask of a mail, up to where they would start a process."""
    recording = Recording()
    session = run.session(run.invoker, data, _Silence(run.host))
    session.questions = recording
    session.deliverer = _Nowhere()  # type: ignore[assignment]  # as much of a Deliverer as the engine asks for
    session.toolbox = None
    session.take_lock = _no_lock  # type: ignore[method-assign,assignment]
    try:
        named = run.operands(session)
        if named is not None:
            run.run_rcfiles(session, named, privileged=False)
    except _StartedError:
        pass
    return recording.answers


class _StartedError(BaseException):
    """The rules want a process started.  No Exception: nobody may take it for a program that is missing."""


class _Bystander(Host):
    """A machine on which no process is started and no time passes."""

    def fork(self) -> int:
        """Refuse."""
        raise _StartedError

    def pipe(self) -> tuple[int, int]:
        """Refuse: it is for a program."""
        raise _StartedError

    def sleep(self, seconds: float) -> None:
        """Do not."""


class _Silence(Log):
    """A log that is not written."""

    __slots__ = ()

    def write(self, text: bytes) -> None:
        """Do not."""

    def open(self, path: bytes) -> bool:
        """Do not, as if it were done."""
        self.opened = True
        return True


class _Nowhere:
    """A Deliverer that stores nothing and succeeds."""

    def deliver(self, names: Sequence[bytes], message: Message, **_: object) -> Delivered:
        """As if the mail were in the folder names[0]."""
        return Delivered(names[0], len(message))


def _no_lock(_path: bytes) -> None:
    """Lockfiles are for who delivers."""
