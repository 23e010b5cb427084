"""Delivers a mailbox from standard input, all messages in one process: `pyprocmail -m rules.rc < mailbox`."""

from __future__ import annotations

import stat

from pyprocmail.engine.batch import MESSAGES, BatchHost
from pyprocmail.engine.world import World
from pyprocmail.exits import EX_OK, EX_TEMPFAIL, MailTooLargeError
from pyprocmail.message import mailbox
from pyprocmail.procmail.run import open_session
from pyprocmail.signals import Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyprocmail.commands.options import Input
    from pyprocmail.commands.procmail import Run
    from pyprocmail.commands.workers import Workers
    from pyprocmail.host import Host
    from pyprocmail.procmail.compiled.instructions import Program

_PROGRESS = 16


class UntouchedError(Exception):
    """The rules cannot be read: the run exits with `status`, and no mail was touched."""

    def __init__(self, status: int, text: bytes) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


def filter_mailbox(run: Run, given: Input) -> int:
    """For procmail: run every message through the rcfile; returns the first exit status that is not 0."""
    from pyprocmail.procmail.plan import Plans

    host = run.host = run.host if given.sync_each else BatchHost()
    setup = run.setup
    if setup.caller.get(b"PYPROCMAIL_PREFILTER") != b"no":
        setup.plans = Plans(setup.patterns)

    ahead = _workers(run, given.workers) if given.workers > 1 else None

    def deliver(read: Callable[[], bytes]) -> int:
        verdict = run.deliver(run.invoker, read, wait=True, answers=ahead.next() if ahead else None)
        if verdict.untouched:
            raise UntouchedError(verdict.status, b"the rcfile cannot be read")
        return verdict.status

    try:
        return each_message(host, deliver)
    finally:
        if ahead:
            ahead.close()


def _workers(run: Run, count: int) -> Workers | None:
    """The workers of -j; None, with a message, if the mails must be examined one after the other."""
    from pyprocmail.commands.workers import Workers
    from pyprocmail.procmail.ahead import starts_processes

    why = b""
    program = _program(run)
    if not stat.S_ISREG(run.host.fstat(0).st_mode):
        why = b"standard input is not a file"
    elif run.origin.matters:
        why = b"-f changes the mails"
    elif program is not None and starts_processes(program):
        why = b"the rcfile starts programs or clones"
    if why:
        _tell(run.host, b"pyprocmail: -j is ignored, because %b\n" % why)
        return None
    return Workers(run, count)


def _program(run: Run) -> Program | None:
    """The program of the rcfile, if it can be read."""
    recipient = run.recipient(run.invoker)
    session = open_session(World(run.host), recipient, b"", run.setup)
    named = next(operand for operand in recipient.operands if b"=" not in operand)
    return run.setup.loader.load(session, named)


def each_message(host: Host, deliver: Callable[[Callable[[], bytes]], int]) -> int:
    """Deliver every message of the mailbox on standard input; returns the first exit status that is not 0.

    Each delivery begins in the present working directory.  Stored mail is on disk when this returns, and also after
    each batch if `host` delays syncing.  A signal ends the run after the message during which it came.
    """
    batch = host if isinstance(host, BatchHost) else None
    terminal = host.isatty(2)
    folder = host.getcwd()
    first, count, failed, signalled = EX_OK, 0, 0, False
    unread: list[bytes] = []
    held: list[bytes] = []
    for data in _mails(host, unread):
        held[:] = (data,)
        del data  # the session alone has the mail, so a filter can free a large one
        host.chdir(folder)
        try:
            host.check_signals()
            status = deliver(held.pop)
        except Interrupted:
            signalled = True
            break
        except UntouchedError as error:
            if not count:
                _tell(host, b"pyprocmail: %b, so no mail was touched\n" % error.text)
                return error.status
            status = error.status
        count += 1
        if batch is not None and not count % MESSAGES:
            status = _write_out(batch) or status
        if status:
            failed += 1
            first = first or status
        if terminal and not count % _PROGRESS:
            _tell(host, b"\r%d messages" % count)
    unwritten = _write_out(batch) if batch is not None else EX_OK
    summary = b"%d messages" % count if count != 1 else b"1 message"
    if failed:
        summary += b", %d of them with an exit status, the first %d" % (failed, first)
    if signalled:
        summary += b", then a signal: the rest of the mailbox is not delivered"
        first = first or EX_TEMPFAIL
    if unread:
        summary += b", then %b: the rest of the mailbox is not delivered" % unread[0]
        first = first or EX_TEMPFAIL
    _tell(host, (b"\r" if terminal else b"") + b"pyprocmail: " + summary + b"\n")
    if unwritten:
        _tell(host, b"pyprocmail: not everything could be written to disk: keep the mailbox\n")
    return first or unwritten


def _mails(host: Host, unread: list[bytes]) -> Iterator[bytes]:
    """The messages on standard input; if the rest cannot be read, the reason is added to `unread`."""
    try:
        yield from mailbox.split(lambda size: host.read(0, size), host.largest_mail())
    except MailTooLargeError as error:
        unread.append(b"one of more than %d bytes, which is too much for the memory here" % error.limit)
    except OSError as error:
        unread.append(b"an error (%b)" % (error.strerror or "it cannot be read").encode())


def _write_out(batch: BatchHost) -> int:
    try:
        batch.write_out()
    except OSError:
        return EX_TEMPFAIL
    return EX_OK


def _tell(host: Host, text: bytes) -> None:
    try:
        host.write(2, text)
    except OSError:
        pass
