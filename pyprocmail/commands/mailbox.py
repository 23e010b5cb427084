"""`pyprocmail -m rules.rc < mailbox`: every message of a mailbox in one process."""

from __future__ import annotations

from pyprocmail.batch import MESSAGES, BatchHost
from pyprocmail.engine.plan import Plans
from pyprocmail.exits import EX_OK, EX_TEMPFAIL
from pyprocmail.message import mailbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.commands.procmail import Run

_PROGRESS = 16


def filter_mailbox(run: Run, *, sync_each: bool) -> int:
    """Run every message of the mailbox on standard input; the first exit status that is not 0.

    What was stored is on disk when this returns, and after each batch; with `sync_each` after each
    message.
    """
    batch = None if sync_each else BatchHost()
    host = run.host = batch or run.host
    if run.caller.get(b"PYPROCMAIL_PREFILTER") != b"no":
        run.plans = Plans(run.patterns)
    terminal = host.isatty(2)
    folder = host.getcwd()
    first, count, failed = EX_OK, 0, 0
    for data in mailbox.split(lambda size: host.read(0, size)):
        host.chdir(folder)
        status = run.deliver(run.invoker, data, wait=True)
        if run.unreadable:
            _tell(run, b"pyprocmail: the rcfile cannot be read, so no mail was touched\n")
            return status
        count += 1
        if batch is not None and not count % MESSAGES:
            status = _settle(batch) or status
        if status:
            failed += 1
            first = first or status
        if terminal and not count % _PROGRESS:
            _tell(run, b"\r%d messages" % count)
    unwritten = _settle(batch) if batch is not None else EX_OK
    summary = b"%d messages" % count if count != 1 else b"1 message"
    if failed:
        summary += b", %d of them with an exit status, the first %d" % (failed, first)
    _tell(run, (b"\r" if terminal else b"") + b"pyprocmail: " + summary + b"\n")
    if unwritten:
        _tell(run, b"pyprocmail: not everything could be written to disk: keep the mailbox\n")
    return first or unwritten


def _settle(batch: BatchHost) -> int:
    try:
        batch.settle()
    except OSError:
        return EX_TEMPFAIL
    return EX_OK


def _tell(run: Run, text: bytes) -> None:
    try:
        run.host.write(2, text)
    except OSError:
        pass
