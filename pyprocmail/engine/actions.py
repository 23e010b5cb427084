"""The actions of recipes: folders, forwarding, pipes, filters, captures.  procmailrc(5), Recipe action line."""

from __future__ import annotations

from pyprocmail.delivery.format import for_program
from pyprocmail.delivery.results import Delivered
from pyprocmail.engine import programs
from pyprocmail.engine.expansion import LineTooLongError, expand_list, expand_value
from pyprocmail.message.model import Message
from pyprocmail.message.postmark import envelope_end
from pyprocmail.program import instructions as op
from pyprocmail.program.pieces import literal
from pyprocmail.program.start_line import (
    CARBON_COPY,
    FEED_BODY,
    FEED_HEAD,
    FILTER,
    IGNORE_WRITE_ERRORS,
    RAW,
    WAIT,
    WAIT_QUIET,
)
from pyprocmail.program.words import scan_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyprocmail.delivery.format import Text
    from pyprocmail.engine.programs import Command, Ended
    from pyprocmail.engine.session import Session
    from pyprocmail.program.pieces import Pieces

    Notes = tuple[tuple[bytes, bytes], ...]
    LockName = bytes | tuple[bytes] | None

_LOCK_ENDS = frozenset(b" \t\n#`'\");")
_WRITE_ERRORS = frozenset(("error-writing", "no-space", "quota-exceeded", "truncated"))
_NOTHING: frozenset[str] = frozenset()
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


class Outcome:
    """What an action came to: `succeeded`, and whether that ends the rcfile (`delivered`).

    `control` says how to go on after the assignment of a special variable.
    """

    __slots__ = ("succeeded", "delivered", "control")

    def __init__(self, succeeded: bool, delivered: bool = False, control: int = 0) -> None:
        self.succeeded = succeeded
        self.delivered = delivered
        self.control = control


FAILED = Outcome(False)


def perform(session: Session, flags: int, lock: LockName, action: tuple[Any, ...], notes: Notes) -> Outcome:
    """Do what the action line says, under its lock, which is still held on return.

    `notes` are logged when the line has been read.

    Raises:
        LockHeldError: the lock belongs to somebody else, for good.
    """
    kind = action[0]
    if kind == op.FOLDER:
        return _folder(session, flags, lock, action[2], notes)
    text = action[-1]
    if kind == op.FORWARD:
        return _forward(session, flags, lock, text, action[1] + 1)
    if len(text) > session.linebuf - 1:
        session.exceeded_linebuf()
        return FAILED
    return _pipe(session, flags, lock, text, action[2] if kind == op.CAPTURE else None)


def deliver(session: Session, names: list[bytes], flags: int = 0) -> bool:
    """Store the mail (or the part that the flags say) in a folder; True when it is there."""
    environment = session.environment
    identity = session.identity
    forgiven = identity.strict and bool(flags & IGNORE_WRITE_ERRORS)
    session.trace.muted = _WRITE_ERRORS if forgiven else _NOTHING
    result = session.deliverer.deliver(
        names,
        session.message,
        header=_with_header(flags),
        body=_with_body(flags),
        raw=bool(flags & RAW),
        content_length=identity.content_length,
        prefix=session.setting(b"MSGPREFIX"),
        lock_timeout_s=session.numbers[b"TIMEOUT"],
        strict=identity.strict,
    )
    session.trace.muted = _NOTHING
    session.size = result.size if isinstance(result, Delivered) else result.size or session.size
    session.folder = result.folder
    if isinstance(result, Delivered):
        environment[b"LASTFOLDER"] = result.folder
        session.stored = result
        return True
    if forgiven and environment.get(b"LASTFOLDER") == result.folder:
        # What could not even be begun to write is not forgiven: a directory that is no maildir.
        return True
    session.temporary = session.temporary or result.temporary
    return False


# -- folders ---------------------------------------------------------------------------------


def _folder(session: Session, flags: int, lock: LockName, pieces: Pieces, notes: Notes) -> Outcome:
    try:
        words = expand_list(session, pieces)
    except LineTooLongError:
        for note in notes:
            session.note_pair(note)
        session.exceeded_linebuf()
        return FAILED
    names = words.words or [b""]
    if words.comment_end is not None:
        session.comment_end = words.comment_end
        if session.identity.strict:
            notes = ()  # they are about quotes in the comment
    if flags & FILTER:
        # It is ignored, but h and b are ignored with it.
        flags &= ~(FEED_HEAD | FEED_BODY)
    for note in notes:
        session.note_pair(note)
    implied = b"" if names[0] in (b"/dev/null", b"|") else _with_extension(session, names[0])
    take_local_lock(session, lock, implied)
    stored = deliver(session, names, flags)
    return _delivering(session, flags, stored)


def _delivering(session: Session, flags: int, succeeded: bool) -> Outcome:
    """The outcome of an action that is a delivery unless it is a carbon copy."""
    if not succeeded:
        return FAILED
    if flags & CARBON_COPY:
        if session.log.abstract == 2:
            session.log.write_abstract(session.message, session.folder, session.size)
        return Outcome(True)
    return Outcome(True, delivered=True)


# -- locks -----------------------------------------------------------------------------------


def take_local_lock(session: Session, lock: LockName, implied: bytes) -> None:
    """Take the lockfile that the start line asks for, under the name it gives or else `implied`."""
    if lock is None:
        return
    name = lock[0] if isinstance(lock, tuple) else implied
    if not name:
        return
    if session.global_lock is not None and session.global_lock.path == name:
        session.note("deadlock-attempted", name)
        return
    session.local_lock = session.take_lock(name)


def _with_extension(session: Session, name: bytes) -> bytes:
    return name + session.setting(b"LOCKEXT")


def _implied_by_command(session: Session, text: bytes) -> bytes:
    """The lockfile of a program: for the file behind its first `>>`.  procmailrc(5), Local lockfile."""
    name = text.partition(b">>")[2].lstrip(b" \t")
    end = 0
    while end < len(name) and name[end] not in _LOCK_ENDS:
        end += 1
    if not end:
        session.note("couldnt-determine-lockfile", text)
        return _with_extension(session, b"")
    name = name[:end]
    pieces = scan_value(name, 0).pieces
    whole = literal(pieces)
    path = expand_value(session, pieces) if whole is None else whole
    return b"" if path == b"/dev/null" else _with_extension(session, path)


# -- programs --------------------------------------------------------------------------------


def _with_header(flags: int) -> bool:
    return bool(flags & FEED_HEAD) or not flags & FEED_BODY


def _with_body(flags: int) -> bool:
    return bool(flags & FEED_BODY) or not flags & FEED_HEAD


def _fed(session: Session, flags: int, *, postmark: bool = True) -> Text:
    """What the flags h, b and r let a program read."""
    header, body = _with_header(flags), _with_body(flags)
    return for_program(session.message, header=header, body=body, raw=bool(flags & RAW), postmark=postmark)


def _forward(session: Session, flags: int, lock: LockName, text: bytes, offset: int) -> Outcome:
    """`! address`; `offset` is that of the `text` in the rcfile."""
    try:
        command = programs.prepare(session, text, session.sender())
    except LineTooLongError:
        return FAILED
    if command.comment_end is not None:
        session.comment_end = offset + command.comment_end
    _lock_command(session, lock, command)
    if flags & FILTER:
        _complain_of_copy(session, flags)
        return _filter(session, flags, command, waited=_waited(flags, lock), postmark=False)
    return _send(session, flags, command, waited=_waited(flags, lock), postmark=False)


def _pipe(session: Session, flags: int, lock: LockName, text: bytes, variable: bytes | None) -> Outcome:
    """`| program`, or with the name of a variable `NAME=| program`."""
    command = programs.prepare(session, text)
    if not command.line:
        take_local_lock(session, lock, b"")
        return _to_stdout(session, flags)
    _lock_command(session, lock, command)
    if variable is not None:
        _complain_of_copy(session, flags)
        return _capture(session, flags, command, variable, waited=_waited(flags, lock))
    if flags & FILTER:
        _complain_of_copy(session, flags)
        return _filter(session, flags, command, waited=_waited(flags, lock))
    return _send(session, flags, command, waited=_waited(flags, lock))


def _complain_of_copy(session: Session, flags: int) -> None:
    if flags & CARBON_COPY:
        session.note("extraneous", b"copy-flag")


def _to_stdout(session: Session, flags: int) -> Outcome:
    return _delivering(session, flags, deliver(session, [b"|"], flags))


def _lock_command(session: Session, lock: LockName, command: Command) -> None:
    if lock is not None:
        take_local_lock(session, lock, b"" if isinstance(lock, tuple) else _implied_by_command(session, command.name))


def _waited(flags: int, lock: LockName) -> bool:
    return bool(flags & (WAIT | WAIT_QUIET)) or lock is not None


def _send(session: Session, flags: int, command: Command, *, waited: bool, postmark: bool = True) -> Outcome:
    """Give the mail to a program that keeps it."""
    text = _fed(session, flags, postmark=postmark)
    # Nothing that is delivering may be lost because its program was not there.
    ours = not session.identity.strict and not flags & CARBON_COPY
    session.size = text.size
    ended = programs.run(session, command, text.batches(), wait=waited, wait_if_missing=ours)
    succeeded = _succeeded(session, flags, command, ended, waited=waited)
    session.last_folder(command.line)
    if not succeeded:
        session.temporary = True
    return _delivering(session, flags, succeeded)


def _succeeded(session: Session, flags: int, command: Command, ended: Ended, *, waited: bool) -> bool:
    """Whether a program did its work, with the line in the log when it did not."""
    if ended.unread and not flags & IGNORE_WRITE_ERRORS:
        if not ended.timed_out:
            session.note("error-writing", command.name)
        return False
    status = ended.status
    if not ended.started:
        return False
    if not status:
        return True
    if waited:
        session.note("program-failure" if is_told(flags) else "non-zero-exitcode", status, command.name)
        return False
    # Nobody asked for its status.  That it was there at all is another matter.
    return not ended.missing and (not command.by_shell or status not in (_NOT_FOUND, _NOT_EXECUTABLE))


def _filter(session: Session, flags: int, command: Command, *, waited: bool, postmark: bool = True) -> Outcome:
    """Replace the mail, or a part of it, by what the program makes of it."""
    message = session.message
    header, body = _with_header(flags), _with_body(flags)
    strict = session.identity.strict
    text = _fed(session, flags, postmark=postmark)
    ended = _ask(session, command, text, waited=waited)
    if strict and not postmark and header and not body and envelope_end(message.head):
        # The reference loses the body of a mail with a From_ line whose header it gives to `!` as a filter.
        session.message = Message(message.head, message.split)
        message = session.message
    if strict and not waited and not ended.timed_out:
        ended.status = None
    failed = ended.timed_out or not _succeeded(session, flags, command, ended, waited=waited)
    if not strict and _useless(ended):
        failed = True
    if waited:
        session.fate.filter_failed = failed
    if failed:
        _rescued(session, flags, ended, waited=waited)
        if not (header and message.head) and not (body and message.body):
            # Where there is nothing to rescue, what the program said is kept.
            kept = message.head, message.body
            session.replace_message((b"" if header else kept[0]) + ended.output + (b"" if body else kept[1]))
        return FAILED
    before = message.head
    if header:
        # The From_ line that is not given to the program stays.
        before = b"" if postmark else before[: envelope_end(before)]
    split = message.split if not header and before else None
    session.replace_message(before + ended.output + (b"" if body else message.body), split)
    return Outcome(not session.fate.filter_failed)


def _ask(session: Session, command: Command, text: Text, *, waited: bool) -> Ended:
    """Run a program for what it says; `$?` is changed by one that is waited for, and never negative."""
    before = session.status
    ended = programs.run(session, command, text.batches(), capture=True)
    session.status = session.status & 0xFF if waited else before
    return ended


def is_told(flags: int) -> bool:
    """Whether the failure of a program that is waited for is always logged: with w, unless W is there as well."""
    return bool(flags & WAIT) and not flags & WAIT_QUIET


def _rescued(session: Session, flags: int, ended: Ended, *, waited: bool) -> None:
    """What was there stays; W, and a lockfile without w, say so only when VERBOSE is on or time was up."""
    if is_told(flags) or not waited or ended.timed_out or session.log.verbose:
        session.note("rescue-succeeded")


def _useless(ended: Ended) -> bool:
    """A filter that never ran, was killed, or failed without a word: its output is not the mail."""
    status = ended.status or 0
    return not ended.started or status < 0 or (status > 0 and not ended.output)


def _capture(session: Session, flags: int, command: Command, name: bytes, *, waited: bool) -> Outcome:
    """`NAME=| program`: its output becomes the value."""
    session.note("assigning", name + b"=")
    ended = _ask(session, command, _fed(session, flags), waited=waited)
    if not waited:
        ended.status = None
    ended_in_time = not (waited and ended.timed_out)
    succeeded = ended_in_time and _succeeded(session, flags, command, ended, waited=waited)
    if waited:
        session.fate.filter_failed = not succeeded
    if not succeeded:
        if name in session.environment:
            _rescued(session, flags, ended, waited=waited)
        return FAILED
    value = ended.output.partition(b"\0")[0]
    session.foreign.add(name)
    # Only procmail 3.22's loss of the last byte of a name leaves none.
    control = session.assign_quietly(name, value.removesuffix(b"\n")) if name else 0
    return Outcome(not session.fate.filter_failed, control=control)
