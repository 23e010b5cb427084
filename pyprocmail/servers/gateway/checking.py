"""Checks of a gateway's rules before any mail comes: they must not deliver to folders.

Only names that are written out are checked.  A name in a variable is checked, and logged, when a mail comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pyprocmail.delivery.folder import NULL_DEVICE
from pyprocmail.maildrop import instructions as statements
from pyprocmail.maildrop.syntax.compiled import compile_filter
from pyprocmail.procmail.compiled import instructions as op
from pyprocmail.procmail.compiled.pieces import literal
from pyprocmail.procmail.syntax.lower import compile_rcfile
from pyprocmail.servers.outcome import ACCEPT, QUARANTINE

if TYPE_CHECKING:
    from pyprocmail.maildrop.instructions import Expression, Statement


def complaints(text: bytes, name: str, *, maildrop: bool) -> list[str]:
    """The mistakes in the rules `text` of the file `name`, one line each."""
    found = _in_filter_file(text, name) if maildrop else _in_rcfile(text)
    return [f"{name}:{line}: {what}" for line, what in found]


def _in_rcfile(text: bytes) -> Iterator[tuple[int, str]]:
    for instruction in compile_rcfile(text):
        if instruction[0] != op.RECIPE or instruction[4][0] != op.FOLDER:
            continue
        _, offset, pieces, _ = instruction[4]
        named = literal(pieces)
        if named is not None and (what := _about(named)):
            yield text.count(b"\n", 0, offset) + 1, what


def _in_filter_file(text: bytes, name: str) -> Iterator[tuple[int, str]]:
    made = compile_filter(text, name.encode(), embedded=False)
    if made.program is None:
        yield 1, "; ".join(line.decode(errors="replace").strip() for _, line in made.lines) or "it has a fault"
        return
    for line, value in _targets(made.program):
        if not value.startswith((b"!", b"|")) and (what := _about(value)):
            yield line, what


def _targets(program: Iterable[Statement]) -> Iterator[tuple[int, bytes]]:
    """The targets of `to` and `cc` that are written out."""
    for statement in program:
        inner: tuple[Statement | None, ...] = ()
        if statement[0] == statements.TO or statement[0] == statements.CC:
            _, _, line, expression = statement
            value = _written(expression)
            if value is not None:
                yield line, value
        elif statement[0] == statements.IF:
            _, _, _, branches, otherwise = statement
            inner = (*(body for _, _, body in branches), otherwise)
        elif statement[0] == statements.BLOCK or statement[0] == statements.TRAP:
            _, _, _, inner = statement
        elif statement[0] == statements.WHILE or statement[0] == statements.FOREACH:
            inner = (statement[-1],)
        elif statement[0] == statements.DOTLOCK or statement[0] == statements.FLOCK:
            inner = statement[-1]
        yield from _targets(each for each in inner if each)


def _written(expression: Expression) -> bytes | None:
    """The text of an expression without variables; None for any other."""
    if expression[0] == statements.LITERAL:
        _, _, text = expression
        return text
    if expression[0] == statements.TEXT:
        _, _, pieces = expression
        written = [piece for piece in pieces if isinstance(piece, bytes)]
        return b"".join(written) if len(written) == len(pieces) else None
    return None


def _about(folder: bytes) -> str:
    """What is wrong with the name of a folder; empty if it is allowed."""
    if folder in (ACCEPT, NULL_DEVICE):
        return ""
    shown = folder.decode(errors="replace")
    if folder.startswith(QUARANTINE):
        return f"'{shown}': a gateway cannot hold a mail back"
    return f"'{shown}' is a folder, but a gateway stores no mail: use accept, /dev/null or ! addresses"
