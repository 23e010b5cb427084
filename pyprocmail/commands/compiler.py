"""Compiles rcfiles and filter files to programs: here, or in a separate process for a process that was root.

A process that was root may not import any more, so it cannot load a parser.  The other process runs as the recipient
from its first instruction on: so its answer is the recipient's statement about the recipient's rcfile.  The answer is
read as carefully as a cache file, which the recipient writes as well.
"""

from __future__ import annotations

import os
import sys

from pyprocmail.engine.cache import pack, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.maildrop.instructions import Program as FilterProgram
    from pyprocmail.maildrop.session import Session as FilterSession
    from pyprocmail.procmail.compiled.instructions import Program
    from pyprocmail.procmail.session import Session

    Filter = tuple[FilterProgram | None, tuple[tuple[bool, bytes], ...]]

_MODULE = "pyprocmail.commands.compiler"
_RCFILE, _FILTER_FILE = b"rcfile", b"filter file"
_YES = b"yes"


def compile_here(_session: Session, data: bytes, *, strict: bool, passing: int | None) -> Program | None:
    """The program of the rcfile `data`; None if the parser cannot be loaded.

    `strict` and `passing` as for compile_rcfile().
    """
    try:
        from pyprocmail.procmail.syntax.lower import compile_rcfile
    except (ImportError, OSError):
        # An upgrade in progress, or no free descriptor.
        return None
    return compile_rcfile(data, strict=strict, passing=passing)


def compile_apart(session: Session, data: bytes, *, strict: bool, passing: int | None) -> Program | None:
    """The program of the rcfile `data`; None if the other process fails, or takes longer than TIMEOUT.

    `strict` and `passing` as for compile_rcfile().
    """
    words = [_RCFILE, _word(strict), b"" if passing is None else b"%d" % passing]
    from pyprocmail.engine import apart

    answer = apart.ask(session.host, _MODULE, words, data, session.log.fd, session.deadline())
    program: Program | None = unpack(answer, plain=True) if answer else None  # type: ignore[assignment]  # our own
    return program


def compile_filter_here(
    session: FilterSession, data: bytes, name: bytes, *, traced: bool, caret: bool
) -> Filter | None:
    """The result of compile_filter() for the filter file `data`; None if the parser cannot be loaded.

    Raises:
        UnusableError: it is nested too deeply.
    """
    from pyprocmail.maildrop.session import UnusableError

    try:
        from pyprocmail.maildrop.syntax import compiled

        made = compiled.compile_filter(data, name, embedded=session.embedded, traced=traced, caret=caret)
    except RecursionError as error:
        raise UnusableError("nested-too-deeply") from error
    except (ImportError, OSError):
        # An upgrade in progress, or no free descriptor.
        return None
    return made.program, made.lines


def compile_filter_apart(
    session: FilterSession, data: bytes, name: bytes, *, traced: bool, caret: bool
) -> Filter | None:
    """As compile_filter_here; None if the other process fails, or takes longer than the watchdog allows."""
    words = [_FILTER_FILE, name, _word(session.embedded), _word(traced), _word(caret)]
    from pyprocmail.engine import apart

    answer = apart.ask(session.host, _MODULE, words, data, 2, session.deadline())
    found = unpack(answer, plain=True) if answer else None
    if found is None or len(found) != 2:
        return None
    programs, lines = found
    return (programs[0] if programs else None), lines  # type: ignore[return-value]  # as `main` has put them


def _word(yes: bool) -> bytes:
    return _YES if yes else b""


def main() -> None:
    """The other process: it reads the text from standard input and writes the program to standard output."""
    kind, *words = [os.fsencode(word) for word in sys.argv[1:]]
    data = sys.stdin.buffer.read()
    if kind == _RCFILE:
        from pyprocmail.procmail.syntax.lower import compile_rcfile

        strict, passing = words
        answer = pack(compile_rcfile(data, strict=strict == _YES, passing=int(passing) if passing else None))
    else:
        from pyprocmail.maildrop.syntax.compiled import compile_filter

        name, embedded, traced, caret = words
        made = compile_filter(data, name, embedded=embedded == _YES, traced=traced == _YES, caret=caret == _YES)
        answer = pack((() if made.program is None else (made.program,), made.lines))
    sys.stdout.buffer.write(answer)
