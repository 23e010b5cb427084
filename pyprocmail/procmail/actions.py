"""The actions of recipes: folders, forwarding, pipes, filters, captures.  procmailrc(5), Recipe action line."""

from __future__ import annotations

from pyprocmail.delivery.folder import Storing
from pyprocmail.delivery.format import for_program
from pyprocmail.delivery.results import Delivered
from pyprocmail.message.model import Message
from pyprocmail.message.postmark import envelope_end
from pyprocmail.procmail import command_lines
from pyprocmail.procmail.compiled import instructions as op
from pyprocmail.procmail.compiled.pieces import literal
from pyprocmail.procmail.compiled.start_line import (
    CARBON_COPY,
    FEED_BODY,
    FEED_HEAD,
    FILTER,
    IGNORE_WRITE_ERRORS,
    RAW,
    WAIT,
    WAIT_QUIET,
)
from pyprocmail.procmail.compiled.words import scan_value
from pyprocmail.procmail.expansion import LineTooLongError, expand_list, expand_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.delivery.format import Text
    from pyprocmail.engine.programs import Command, Ended
    from pyprocmail.procmail.compiled.instructions import Lock, Notes
    from pyprocmail.procmail.compiled.pieces import Pieces
    from pyprocmail.procmail.session import Session

_LOCK_ENDS = frozenset(b" \t\n#`'\");")
_WRITE_ERRORS = frozenset(("error-writing", "no-space", "quota-exceeded", "truncated"))
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


class Outcome:
    """The outcome of an action: whether it `succeeded`, and whether that ends the rcfile (`delivered`).

    `control` says how to continue after the assignment of a special variable.
    """

    __slots__ = ("succeeded", "delivered", "control")

    def __init__(self, succeeded: bool, delivered: bool = False, control: int = 0) -> None:
        self.succeeded = succeeded
        self.delivered = delivered
        self.control = control


FAILED = Outcome(False)


def perform(session: Session, flags: int, lock: Lock, action: op.Action, notes: Notes) -> Outcome:
    """Perform the action line under its lock, which is still held on return.

    `notes` are logged after the line is expanded.

    Raises:
        LockHeldError: the lockfile exists and cannot be removed.
    """
    if action[0] == op.FOLDER:
        _, _, pieces, _ = action
        return _folder(session, flags, lock, pieces, notes)
    if action[0] == op.FORWARD:
        _, offset, text = action
        return _forward(session, flags, lock, text, offset + 1)
    if action[0] == op.CAPTURE:
        _, _, variable, text = action
        return _pipe(session, flags, lock, text, variable)
    assert action[0] == op.PIPE
    _, _, text = action
    return _pipe(session, flags, lock, text, None)


def deliver(session: Session, names: list[bytes], flags: int = 0) -> bool:
    """Store the mail (or the part that the flags select) in a folder; True if it is stored."""
    environment = session.environment
    identity = session.identity
    forgiven = identity.strict and bool(flags & IGNORE_WRITE_ERRORS)
    note = _without_write_errors(session.note) if forgiven else session.note
    how = Storing(
        header=_with_header(flags),
        body=_with_body(flags),
        raw=bool(flags & RAW),
        content_length=identity.content_length,
        prefix=session.variables.setting(b"MSGPREFIX"),
        lock_timeout_s=session.variables.numbers[b"TIMEOUT"],
        strict=identity.strict,
    )
    folder = session.world.prepare(names[0], alone=len(names) == 1)
    result = session.world.store(
        folder,
        names[1:],
        session.message,
        how,
        note=note,
        last_folder=session.last_folder,
        done=_nothing if flags & CARBON_COPY else session.decide,
    )
    session.fate.size = result.size if isinstance(result, Delivered) else result.size or session.fate.size
    session.fate.folder = result.folder
    if isinstance(result, Delivered):
        environment[b"LASTFOLDER"] = result.folder
        session.fate.stored = result
        session.verdict.stored.append((result.folder, result.size))
        for hear in session.trace.stored:
            hear(session.trace.place, session.message, result, bool(flags & CARBON_COPY))
        return True
    if forgiven and environment.get(b"LASTFOLDER") == result.folder:
        # Flag i does not forgive a failure before the first write, such as a directory that is not a maildir.
        if flags & CARBON_COPY:
            # To procmail the copy is stored: it writes the abstract of one with LOGABSTRACT=all.
            for hear in session.trace.stored:
                hear(session.trace.place, session.message, Delivered(result.folder, session.fate.size), True)
        return True
    session.refuse(result)
    session.fate.temporary = session.fate.temporary or result.temporary
    return False


def _nothing() -> None:
    """A copy decides nothing."""


def _without_write_errors(note: Callable[..., None]) -> Callable[..., None]:
    """`note` without the messages that flag i suppresses."""

    def tell(kind: str, *texts: bytes) -> None:
        if kind not in _WRITE_ERRORS:
            note(kind, *texts)

    return tell


# -- folders ---------------------------------------------------------------------------------


def _folder(session: Session, flags: int, lock: Lock, pieces: Pieces, notes: Notes) -> Outcome:
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
        # procmail ignores the flag f here, and with it h and b.
        flags &= ~(FEED_HEAD | FEED_BODY)
    for note in notes:
        session.note_pair(note)
    implied = b"" if names[0] in (b"/dev/null", b"|") else _with_extension(session, names[0])
    take_local_lock(session, lock, implied)
    stored = deliver(session, names, flags)
    return _delivering(flags, stored)


def _delivering(flags: int, succeeded: bool) -> Outcome:
    """The outcome of an action that is a delivery unless it is a carbon copy."""
    if not succeeded:
        return FAILED
    return Outcome(True, delivered=not flags & CARBON_COPY)


# -- locks -----------------------------------------------------------------------------------


def take_local_lock(session: Session, lock: Lock, implied: bytes) -> None:
    """Take the lockfile that the start line asks for, by its own name or else by `implied`."""
    if lock is None:
        return
    name = lock[0] if isinstance(lock, tuple) else implied
    if not name:
        return
    if session.locks.global_ is not None and session.locks.global_.path == name:
        session.note("deadlock-attempted", name)
        return
    session.locks.local = session.take_lock(name)


def lock_extension(session: Session) -> bytes:
    """LOCKEXT.  An empty one would make the folder itself the lockfile, which is removed after the delivery."""
    return session.variables.setting(b"LOCKEXT") or (b"" if session.identity.strict else b".lock")


def _with_extension(session: Session, name: bytes) -> bytes:
    return name + lock_extension(session)


def _implied_by_command(session: Session, text: bytes) -> bytes:
    """The lockfile of a program: for the file after its first `>>`.  procmailrc(5), Local lockfile."""
    name = text.partition(b">>")[2].lstrip(b" \t")
    end = 0
    while end < len(name) and name[end] not in _LOCK_ENDS:
        end += 1
    pieces = scan_value(name[:end], 0).pieces
    whole = literal(pieces)
    path = expand_value(session, pieces) if whole is None else whole
    if not path:
        session.note("couldnt-determine-lockfile", text)
    return b"" if path == b"/dev/null" else _with_extension(session, path)


# -- programs --------------------------------------------------------------------------------


def _with_header(flags: int) -> bool:
    return bool(flags & FEED_HEAD) or not flags & FEED_BODY


def _with_body(flags: int) -> bool:
    return bool(flags & FEED_BODY) or not flags & FEED_HEAD


def _fed(session: Session, flags: int, *, postmark: bool = True) -> Text:
    """The text that the flags h, b and r let a program read."""
    header, body = _with_header(flags), _with_body(flags)
    return for_program(session.message, header=header, body=body, raw=bool(flags & RAW), postmark=postmark)


def _forward(session: Session, flags: int, lock: Lock, text: bytes, offset: int) -> Outcome:
    """`! address`; `offset` is that of the `text` in the rcfile."""
    try:
        command = command_lines.prepare(session, text, session.sender())
    except LineTooLongError:
        return FAILED
    if command.comment_end is not None:
        session.comment_end = offset + command.comment_end
    _lock_command(session, lock, command)
    if flags & FILTER:
        _complain_of_copy(session, flags)
        return _filter(session, flags, command, waited=_waited(flags, lock), postmark=False)
    return _send(session, flags, command, waited=_waited(flags, lock), postmark=False)


def _pipe(session: Session, flags: int, lock: Lock, text: bytes, variable: bytes | None) -> Outcome:
    """`| program`, or with the name of a variable `NAME=| program`."""
    if len(text) > session.variables.linebuf - 1:
        session.exceeded_linebuf()
        return FAILED
    command = command_lines.prepare(session, text)
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
    return _delivering(flags, deliver(session, [b"|"], flags))


def _lock_command(session: Session, lock: Lock, command: Command) -> None:
    if lock is not None:
        take_local_lock(session, lock, b"" if isinstance(lock, tuple) else _implied_by_command(session, command.name))


def _waited(flags: int, lock: Lock) -> bool:
    return bool(flags & (WAIT | WAIT_QUIET)) or lock is not None


def _send(session: Session, flags: int, command: Command, *, waited: bool, postmark: bool = True) -> Outcome:
    """Give the mail to a program that keeps it."""
    text = _fed(session, flags, postmark=postmark)
    # A delivering recipe must not lose the mail if its program is missing.
    ours = not session.identity.strict and not flags & CARBON_COPY
    session.fate.size = text.size
    if postmark:
        ended = session.run(command, text.batches(), wait=waited, wait_if_missing=ours)
    else:
        ended = session.world.forward(session, command, text.batches(), wait=waited, wait_if_missing=ours)
    succeeded = _succeeded(session, flags, command, ended, waited=waited)
    if succeeded and not flags & CARBON_COPY:
        session.decide()
    session.last_folder(command.line)
    if not succeeded:
        session.fate.temporary = True
        session.verdict.refuse(command.line.strip(), _why(ended))
        return FAILED
    session.verdict.forwarded.append(command.line.strip())
    for hear in session.trace.forwarded:
        hear(session.trace.place, session.message, command.line, session.fate.size, bool(flags & CARBON_COPY))
    return _delivering(flags, succeeded)


def _why(ended: Ended) -> bytes:
    """Why a program did not take the mail."""
    if ended.timed_out:
        return b"it took longer than TIMEOUT"
    if not ended.started or ended.missing:
        return b"it could not be started"
    if ended.status:
        return b"signal %d" % -ended.status if ended.status < 0 else b"exit status %d" % ended.status
    return b"it did not read the mail"


def _succeeded(session: Session, flags: int, command: Command, ended: Ended, *, waited: bool) -> bool:
    """Whether a program succeeded; a failure is logged."""
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
    # The recipe does not wait for the status, but a missing program is a failure all the same.
    return not ended.missing and (not command.by_shell or status not in (_NOT_FOUND, _NOT_EXECUTABLE))


def _filter(session: Session, flags: int, command: Command, *, waited: bool, postmark: bool = True) -> Outcome:
    """Replace the mail, or a part of it, by the program's output."""
    message = session.message
    header, body = _with_header(flags), _with_body(flags)
    strict = session.identity.strict
    text = _fed(session, flags, postmark=postmark)
    command.purpose = "filter"
    command.head = b"" if header else message.head
    ended = _ask(session, command, text, waited=waited)
    if strict and not postmark and header and not body and envelope_end(message.head):
        # The reference loses the body of a mail with a From_ line if `!` as a filter gets only its header.
        session.mail.replace(Message(message.head, message.split))
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
        if not (header and message.head) and not (body and message.split < len(message)):
            # There is nothing to rescue, so the program's output is kept.
            kept = message.head, message.body
            session.replace_message((b"" if header else kept[0]) + ended.output + (b"" if body else kept[1]))
        return FAILED
    session.replace_message(*_filtered(message, ended, header=header, body=body, postmark=postmark))
    return Outcome(not session.fate.filter_failed)


def _filtered(message: Message, ended: Ended, *, header: bool, body: bool, postmark: bool) -> tuple[bytes, int | None]:
    """The mail with the program's output in it, and where its body begins, if that is known."""
    if ended.head_bytes and body:
        return ended.text, message.split
    before = message.head
    if header:
        # The program did not get the From_ line, so it stays.
        before = b"" if postmark else before[: envelope_end(before)]
    # A view, and only what is not empty: memory has no third copy of a large mail.
    rest = b"" if body else memoryview(message.data)[message.split :]
    split = message.split if not header and before else None
    return b"".join([piece for piece in (before, ended.output, rest) if len(piece)]), split


def _ask(session: Session, command: Command, text: Text, *, waited: bool) -> Ended:
    """Run a program for its output; `$?` changes only if it is waited for, and is never negative."""
    before = session.status
    ended = session.run(command, text.batches(), capture=True)
    session.status = session.status & 0xFF if waited else before
    return ended


def is_told(flags: int) -> bool:
    """Whether the failure of a program that is waited for is always logged: with w and without W."""
    return bool(flags & WAIT) and not flags & WAIT_QUIET


def _rescued(session: Session, flags: int, ended: Ended, *, waited: bool) -> None:
    """Log that the mail or value is unchanged; with W, or a lockfile without w, only after TIMEOUT or with VERBOSE."""
    if is_told(flags) or not waited or ended.timed_out or session.trace.verbose:
        session.note("rescue-succeeded")


def _useless(ended: Ended) -> bool:
    """Whether a filter never ran, was killed, or failed without output: its output is not the mail."""
    status = ended.status or 0
    return not ended.started or status < 0 or (status > 0 and not ended.output)


def _capture(session: Session, flags: int, command: Command, name: bytes, *, waited: bool) -> Outcome:
    """`NAME=| program`: the output becomes the value."""
    session.note("assigning", name + b"=")
    command.purpose = "capture"
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
    session.variables.foreign.add(name)
    # Only procmail 3.22, which loses the last byte of a name, can leave an empty one.
    control = session.assign_quietly(name, value.removesuffix(b"\n")) if name else 0
    return Outcome(not session.fate.filter_failed, control=control)
