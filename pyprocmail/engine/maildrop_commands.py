"""Programs that filter files start, and texts with variables and commands in them.

maildropfilter(7), "Variable substitution", "Command substitution", system, xfilter.
"""

from __future__ import annotations

from pyprocmail.engine import programs
from pyprocmail.engine.maildrop_session import FilterError
from pyprocmail.message.model import Message
from pyprocmail.program import filter_instructions as op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from pyprocmail.engine.maildrop_session import Session
    from pyprocmail.engine.programs import Chunk, Ended

    Pieces = tuple[Any, ...]

MISSING = 100
"""The status of a program when there is no shell to start it."""

_SPACE = b" \t\n\v\f\r"
_NEWLINES = bytes.maketrans(b"\r\n", b"  ")


def expand(session: Session, pieces: Pieces) -> bytes:
    """The text that the pieces make."""
    out: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            out.append(piece)
        elif piece[0] == op.VARIABLE:
            out.append(session.value(piece[1]))
        elif piece[0] == op.COMMAND:
            out.append(substitute(session, piece[1]))
        else:
            session.log.say(b"%b(%d): Terminating } is missing.\n" % (session.file, piece[2]))
            out.append(piece[1])
    return b"".join(out)


def substitute(session: Session, command: bytes) -> bytes:
    """What the command in backticks says, on one line; nothing when it fails."""
    if session.verbose:
        session.log.complain(b"Filtering through `%b`" % command)
    ended = run(session, command, [session.message.data], capture=True)
    session.set_status(b"RETURNCODE", ended.status or 0)
    if ended.status:
        return b""
    return ended.output.lstrip(_SPACE).translate(_NEWLINES).rstrip(_SPACE)


def system(session: Session, command: bytes) -> None:
    """Run the command, on nothing."""
    if session.verbose:
        session.log.complain(b"Executing system command %b" % command)
    ended = run(session, command, ())
    session.set_status(b"RETURNCODE", ended.status or 0)


def filter_message(session: Session, command: bytes) -> None:
    """xfilter: what the command makes of the message takes its place.

    Raises:
        FilterError: it failed, or did not read the message.
    """
    if session.verbose:
        session.log.complain(b"Filtering through xfilter %b" % command)
    ended = run(session, command, [session.message.data], capture=True)
    session.set_status(b"RETURNCODE", ended.status or 0)
    if ended.unread:
        session.log.complain(b"error writing to filter.")
    if ended.unread or ended.status:
        raise FilterError(b"Unable to filter message.")
    session.message = Message(ended.output)


def run(session: Session, command: bytes, chunks: Iterable[Chunk], *, capture: bool = False) -> Ended:
    """Start the command with SHELL, feed it, and wait for it.

    Raises:
        FilterError: the watchdog ended it.
    """
    shell = session.value(b"SHELL")
    argv = [shell.rpartition(b"/")[2], b"-c", command.partition(b"\0")[0]]
    prepared = programs.Command(argv, command, shell, command, by_shell=True, or_script=False, path=shell)
    ended = programs.run(session, prepared, chunks, capture=capture, stdout=None if capture else session.stdout)
    if ended.timed_out:
        raise FilterError(b"Timeout quota exceeded.")
    if not ended.started:
        ended.status = MISSING
    return ended
