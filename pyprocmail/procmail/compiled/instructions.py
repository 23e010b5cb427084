"""The program of a rcfile: plain nested tuples, which `marshal` stores and the engine runs.

A program is a tuple of instructions in the order of the file.  Only int, float, bytes, bool, None
and tuples stand in it.  Every instruction begins with its kind and the byte offset of its text.

    (ASSIGN, offset, name, word, notes, skipping)
        `NAME=value`.  word is bytes when nothing is to be expanded, else pieces (compiled/words).
        notes are logged behind the expansion and before "assigning".
    (UNSET, offset, name)
        `NAME` alone.
    (NOTE, offset, kind, text)
        A line for the log; logged when it is reached, and in a block that is skipped as well.
    (RECIPE, offset, start, conditions, action, end, notes, unmatched, elsewhere, skipping)
        start: (flags, lock, skipped), or (DYNAMIC, pieces, unterminated, count, end) when it is to be
            expanded to words, unexpected-eol logged if unterminated, and the words given to
            start_line.read(); DYNAMIC is negative, flags are not.  lock and skipped as in
            start_line.StartLine: skipped, if not empty, is logged before the conditions.  count is how many lines
            were taken for conditions without a `*`, end the offset behind the line.
        conditions: (offset, raw_length, condition, text) each, condition as conditions.read()
            makes it; raw_length is what counts against LINEBUF, text what stands behind the `*`.
        end: index of the first instruction behind the action: for a block that of the instruction
            behind its CLOSE.
        notes: logged when the action has been expanded.
        unmatched: logged when the recipe is read but its action not executed.
        elsewhere: the offset from which procmail reads on when it does not execute the action, 0 if it is the
            end of the action; for a block the offset in which something ends elsewhere when it is not executed.
        What start_line.conflicting() and extraneous() say of the flags is in `skipping` only:
        the engine, which knows the flags of a DYNAMIC start, logs the former before the conditions
        and the latter after them, before `notes` or `unmatched`.
    (CLOSE, offset)
        `}` of a block.
    (END_OF_FILE, offset, open, holds, source)
        The last instruction, and how many blocks are still open: "missing-closing-brace" is
        logged once when it is reached with open > 0.  The `end` of such a block is behind this
        instruction, so that who skips the block does not come here: procmail logs nothing then.
        holds: nothing stands behind the last action, whose lockfile is then still held.
        source: the text of the file, to be read on from elsewhere; empty when there is no need for it.

Notes are pairs (kind, text), the kind one of procmail/log as bytes; or LENGTH, and a number: "exceeded-linebuf" is
logged if that is more than LINEBUF.  To a FORWARD_LENGTH those of SENDMAIL and SENDMAILFLAGS are added.
What procmail skips it still
parses, and complains of: `skipping` are the notes of an instruction that stands in a block which
is not executed (only its own, not those of the instructions in its block).  Words keep their BAD
pieces: in a word that is expanded they are logged by whoever expands it, in the order of its
pieces, and are not in `notes`; they are in `unmatched` and `skipping`.

    The actions:
    (FOLDER, offset, pieces, raw_length)
    (FORWARD, offset, text)         all behind the `!`: to be read with words.scan_list(text, 0)
    (PIPE, offset, text)            all behind the `|`, with its backslash-newlines
    (CAPTURE, offset, name, text)   `NAME=| text`
    (BLOCK, offset, recipes, quiet, longest)
                                    recipes: whether there is a recipe in the block: skipping it
                                    then sets `$=` to 0.  quiet: whether skipping it logs nothing
                                    if LINEBUF is at least `longest`, so that it is one jump to `end`
    (MISSING, offset)               there is none.  The conditions are evaluated and logged; then
                                    the recipe counts as one whose conditions do not hold, and
                                    `unmatched` says what is missing
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Literal, TypeAlias

    from pyprocmail.procmail.compiled.conditions import Condition
    from pyprocmail.procmail.compiled.pieces import Pieces

    Note: TypeAlias = tuple[bytes, bytes]
    Notes: TypeAlias = tuple[Note, ...]
    Lock: TypeAlias = bytes | tuple[bytes] | None
    StaticStart: TypeAlias = tuple[int, Lock, bytes]
    DynamicStart: TypeAlias = tuple[Literal[-1], Pieces, bool, int, int]
    Start: TypeAlias = StaticStart | DynamicStart
    Entry: TypeAlias = tuple[int, int, Condition, bytes]

    FolderAction: TypeAlias = tuple[Literal[1], int, Pieces, int]
    ForwardAction: TypeAlias = tuple[Literal[2], int, bytes]
    PipeAction: TypeAlias = tuple[Literal[3], int, bytes]
    CaptureAction: TypeAlias = tuple[Literal[4], int, bytes, bytes]
    BlockAction: TypeAlias = tuple[Literal[5], int, bool, bool, int]
    MissingAction: TypeAlias = tuple[Literal[6], int]
    Action: TypeAlias = FolderAction | ForwardAction | PipeAction | CaptureAction | BlockAction | MissingAction

    Assign: TypeAlias = tuple[Literal[1], int, bytes, bytes | Pieces, Notes, Notes]
    Unset: TypeAlias = tuple[Literal[2], int, bytes]
    Noted: TypeAlias = tuple[Literal[3], int, bytes, bytes]
    Recipe: TypeAlias = tuple[Literal[4], int, Start, tuple[Entry, ...], Action, int, Notes, Notes, int, Notes]
    Close: TypeAlias = tuple[Literal[5], int]
    EndOfFile: TypeAlias = tuple[Literal[6], int, int, bool, bytes]
    Instruction: TypeAlias = Assign | Unset | Noted | Recipe | Close | EndOfFile
    Program: TypeAlias = tuple[Instruction, ...]

ASSIGN: Final = 1
UNSET: Final = 2
NOTE: Final = 3
RECIPE: Final = 4
CLOSE: Final = 5
END_OF_FILE: Final = 6
"""The kinds of instruction."""

FOLDER: Final = 1
FORWARD: Final = 2
PIPE: Final = 3
CAPTURE: Final = 4
BLOCK: Final = 5
MISSING: Final = 6
"""The kinds of action."""

LENGTH, FORWARD_LENGTH = b"length", b"forward-length"
"""The notes that say how long something is."""

_SENDER = 1024
"""More than SENDMAIL and SENDMAILFLAGS come to."""

DYNAMIC: Final = -1
"""The first member of a start line that holds expansions."""


def length(note: Note) -> int:
    """The LINEBUF with which the note says nothing; 0 if it always says something."""
    kind, text = note
    if kind == LENGTH:
        return int(text)
    return int(text) + _SENDER if kind == FORWARD_LENGTH else 0
