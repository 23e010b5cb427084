"""Programs that filter files start, and texts with variables and commands in them.

maildropfilter(7), "Variable substitution", "Command substitution", system, xfilter.
"""

from __future__ import annotations

from pyprocmail.engine import programs
from pyprocmail.maildrop import instructions as op
from pyprocmail.maildrop.session import FilterError
from pyprocmail.message.model import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyprocmail.engine.programs import Chunk, Ended
    from pyprocmail.maildrop.instructions import Pieces
    from pyprocmail.maildrop.session import Session

MISSING = 100
"""The status of a program if there is no shell to start it."""

_SPACE = b" \t\n\v\f\r"
_NEWLINES = bytes.maketrans(b"\r\n", b"  ")


def expand(session: Session, pieces: Pieces) -> bytes:
    """The text that the pieces expand to."""
    out: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            out.append(piece)
        elif piece[0] == op.VARIABLE:
            _, name = piece
            out.append(session.value(name))
        elif piece[0] == op.COMMAND:
            _, command = piece
            out.append(substitute(session, command))
        else:
            _, text, line = piece
            session.note("no-closing-brace", session.file, line)
            out.append(text)
    return b"".join(out)


def substitute(session: Session, command: bytes) -> bytes:
    """The output of the command in backticks, on one line; empty if it fails."""
    if session.verbose:
        session.note("substituting", command)
    ended = run(session, command, [session.message.data], capture=True, purpose="backquotes")
    session.set_status(b"RETURNCODE", ended.status or 0)
    if ended.status:
        return b""
    return ended.output.lstrip(_SPACE).translate(_NEWLINES).rstrip(_SPACE)


def system(session: Session, command: bytes) -> None:
    """Run the command, with empty input."""
    if session.verbose:
        session.note("running", command)
    ended = run(session, command, ())
    session.set_status(b"RETURNCODE", ended.status or 0)


def filter_message(session: Session, command: bytes) -> None:
    """xfilter: the output of the command replaces the message.

    Raises:
        FilterError: it failed, or did not read the message.
    """
    if session.verbose:
        session.note("filtering", command)
    ended = run(session, command, [session.message.data], capture=True, purpose="filter")
    session.set_status(b"RETURNCODE", ended.status or 0)
    if ended.unread:
        session.note("filter-unread")
    if ended.unread or ended.status:
        raise FilterError("unfiltered")
    session.message = Message(ended.output)
    for hear in session.trace.replaced:
        hear(session.trace.place, session.message)


def run(
    session: Session, command: bytes, chunks: Iterable[Chunk], *, capture: bool = False, purpose: str = ""
) -> Ended:
    """Start the command with SHELL, feed it, and wait for it; `purpose` as in programs.Command.

    Raises:
        FilterError: the watchdog ended it.
    """
    shell = session.value(b"SHELL")
    argv = [shell.rpartition(b"/")[2], b"-c", command.partition(b"\0")[0]]
    prepared = programs.Command(argv, command, shell, command, by_shell=True, or_script=False, path=shell)
    prepared.purpose = purpose
    ended = session.world.run(
        session, prepared, chunks, capture=capture, stdout=None if capture else session.world.stdout
    )
    for hear in session.trace.ran:
        hear(session.trace.place, command, ended.status, ended.timed_out)
    if ended.timed_out:
        raise FilterError("timeout")
    if not ended.started:
        ended.status = MISSING
    return ended
