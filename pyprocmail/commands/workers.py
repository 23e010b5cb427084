"""-j: processes that read the mailbox in advance and evaluate the conditions for each mail.

A worker runs the rules on its share of the mails without their actions, and sends the results of
the conditions.  The delivering process takes the mails in order, one at a time, and uses a worker's
result where there is one: so the deliveries and their order are the same as with one process.
"""

from __future__ import annotations

import marshal
import os

from pyprocmail.engine.rehearsal import Rehearsal
from pyprocmail.message import mailbox
from pyprocmail.procmail.ahead import Recalling, Recording
from pyprocmail.procmail.run import assign_operands, open_session, run_rcfiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.commands.procmail import Run
    from pyprocmail.procmail.ahead import Answers

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
        """The results for the next mail; empty if its worker has gone, or had none."""
        at = self._next % len(self._answers)
        self._next += 1
        length = int.from_bytes(_read(self._answers[at], _LENGTH_BYTES), "little")
        answers: Answers = marshal.loads(_read(self._answers[at], length)) if length else {}  # noqa: S302  our own fork
        return Recalling(answers)

    def close(self) -> None:
        """End the workers, which may have read beyond the last delivered mail."""
        for fd in self._answers:
            os.close(fd)
        for pid in self._pids:
            self._host.wait(pid, None)


def _read(fd: int, length: int) -> bytes:
    """`length` bytes, or none if fewer are left."""
    chunks = []
    while length:
        chunk = os.read(fd, length)
        if not chunk:
            return b""
        chunks.append(chunk)
        length -= len(chunk)
    return b"".join(chunks)


def _work(run: Run, output: int, at: int, number: int, count: int) -> None:
    """In the worker: send the results for each of its mails, until there are no more or the reader has gone."""

    def read(size: int) -> bytes:
        nonlocal at
        data = os.pread(0, size, at)
        at += len(data)
        return data

    try:
        folder = os.getcwdb()
        for index, data in enumerate(mailbox.split(read)):
            if index % count == number:
                os.chdir(folder)
                answers = marshal.dumps(_answers(run, data))
                _write(output, len(answers).to_bytes(_LENGTH_BYTES, "little") + answers)
    finally:
        # The delivering process finds out any error by itself.
        os._exit(0)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _answers(run: Run, data: bytes) -> Answers:
    """The results of the conditions for a mail, as far as the rules get without starting programs."""
    recording = Recording()
    recipient, setup = run.recipient(run.invoker), run.setup
    session = open_session(Rehearsal(run.host), recipient, data, setup)
    session.log.turn(session.world.open_log(b"", 0, session.log.limits))
    session.mail.questions = recording
    named = assign_operands(session, recipient)
    if named is not None:
        run_rcfiles(session, recipient, named, setup.loader, privileged=False)
    return recording.answers
