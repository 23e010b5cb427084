"""Stores mails for the rules: the mail server gets its answer once the mail is on disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pyprocmail.exits import in_one_line
from pyprocmail.servers.metrics import Metrics
from pyprocmail.servers.milter import codec
from pyprocmail.servers.milter.conversation import Mail
from pyprocmail.servers.milter.journal import COMPLAINT_S
from pyprocmail.servers.milter.workers import Crew
from pyprocmail.servers.spool import Envelope, Spool

_WRITERS = 4
"""Threads that wait for the disk, so that the event loop does not."""


class Keeping:
    """Puts mails into the spool for the workers.

    A mail that cannot be stored is counted and passes; with `tempfail` it gets a temporary failure instead.
    """

    def __init__(
        self, spool: Spool, crew: Crew, metrics: Metrics, complain: Callable[[str], None], *, tempfail: bool
    ) -> None:
        self._spool = spool
        self.crew = crew
        self._metrics = metrics
        self._complain = complain
        self._refusal = codec.TEMPFAIL if tempfail else codec.CONTINUE
        self._complained = -COMPLAINT_S
        self._writers = ThreadPoolExecutor(_WRITERS, "spool")

    def depth(self) -> int:
        """How many mails wait in the spool."""
        return len(self._spool.waiting())

    def keep(self, mail: Mail) -> asyncio.Future[bytes]:
        """The answer for a mail; it comes once the mail is on disk."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()

        def kept(put: asyncio.Future[None]) -> None:
            error = None if put.cancelled() else put.exception()
            if not answer.done():
                answer.set_result(self._answer(error))

        loop.run_in_executor(self._writers, self._put, mail).add_done_callback(kept)
        return answer

    def _put(self, mail: Mail) -> None:
        """Put the mail into the spool; runs in a thread."""
        if mail.cut:
            raise OSError("it is too large to be kept whole")
        self._spool.put(Envelope(mail.sender, mail.recipients), mail.text())

    def _answer(self, error: BaseException | None) -> bytes:
        if error is None:
            self._metrics.add("kept_total")
            self.crew.wake()
            return codec.CONTINUE
        self._metrics.add("dropped_total")
        now = time.monotonic()
        if now - self._complained >= COMPLAINT_S:
            self._complained = now
            self._complain(f"a mail could not be kept for the rules: {in_one_line(error)}")
        return self._refusal

    def close(self) -> None:
        """Wait for the mails that are being written."""
        self._writers.shutdown()
