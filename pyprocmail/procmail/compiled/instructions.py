"""The program of an rcfile: plain nested tuples, which `marshal` stores and the engine runs.

A program is a tuple of instructions in the order of the file.  Only int, float, bytes, bool, None
and tuples are in it.  Every instruction begins with its kind and the byte offset of its text.

    (ASSIGN, offset, name, word, notes, skipping)
        `NAME=value`.  word is bytes if nothing is expanded, else pieces (compiled/words).
        notes are logged after the expansion and before "assigning".
    (UNSET, offset, name)
        `NAME` alone.
    (NOTE, offset, kind, text)
        A line for the log; logged when it is reached, and in a block that is skipped as well.
    (RECIPE, offset, start, conditions, action, end, notes, unmatched, elsewhere, skipping)
        start: (flags, lock, skipped), or (DYNAMIC, pieces, unterminated, count, end) if it has expansions.
            The engine then expands it to words, logs unexpected-eol if unterminated, and gives the words to
            start_line.read(); DYNAMIC is negative, flags are not.  lock and skipped are those of
            start_line.StartLine: skipped, if not empty, is logged before the conditions.  count is how many lines
            were read as conditions without a `*`, end the offset after the line.
        conditions: (offset, raw_length, condition, text) each, condition as conditions.read()
            makes it; raw_length is what counts against LINEBUF, text what follows the `*`.
        end: index of the first instruction after the action; after a block, the one that follows
            its CLOSE.
        notes: logged after the action is expanded.
        unmatched: logged when the recipe is read but its action is not executed.
        elsewhere: the offset where procmail continues to read if it does not execute the action, 0 if that is the
            end of the action; for a block the offset after its `{` if a statement in it ends elsewhere when it is
            not executed.
        The notes of start_line.conflicting() and extraneous() on the flags are in `skipping` only:
        the engine, which knows the flags of a DYNAMIC start, logs the former before the conditions
        and the latter after them, before `notes` or `unmatched`.
    (CLOSE, offset)
        `}` of a block.
    (END_OF_FILE, offset, open, holds, source)
        The last instruction, and how many blocks are still open: "missing-closing-brace" is
        logged once when it is reached with open > 0.  The `end` of such a block is after this
        instruction, so a run that skips the block does not come here: procmail logs nothing then.
        holds: nothing follows the last action, whose lockfile is then still held.
        source: the text of the file, for reading again from an offset; empty if that is never needed.

Notes are pairs (kind, text), the kind one of procmail/log as bytes; or LENGTH and a number: "exceeded-linebuf" is
logged if the number is more than LINEBUF.  FORWARD_LENGTH adds the lengths of SENDMAIL and SENDMAILFLAGS.
procmail still parses what it skips, and logs
its faults: `skipping` are the notes of an instruction in a block that
is not executed (only its own, not those of the instructions in its block).  Words keep their BAD
pieces: the code that expands a word logs them, in the order of its
pieces, so they are not in `notes`; they are in `unmatched` and `skipping`.

    The actions:
    (FOLDER, offset, pieces, raw_length)
    (FORWARD, offset, text)         everything after the `!`, for words.scan_list(text, 0)
    (PIPE, offset, text)            everything after the `|`, with its backslash-newlines
    (CAPTURE, offset, name, text)   `NAME=| text`
    (BLOCK, offset, recipes, quiet, longest)
                                    recipes: whether the block has a recipe: skipping it
                                    then sets `$=` to 0.  quiet: whether skipping it logs nothing
                                    if LINEBUF is at least `longest`, so that it is one jump to `end`
    (MISSING, offset)               there is no action.  The conditions are tested and logged; then
                                    the recipe counts as one that does not match, and
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
"""The notes that contain a length."""

_SENDER = 1024
"""More than SENDMAIL and SENDMAILFLAGS ever take."""

DYNAMIC: Final = -1
"""The first member of a start line with expansions."""


def length(note: Note) -> int:
    """A LINEBUF with which the note is not logged; 0 if it is always logged."""
    kind, text = note
    if kind == LENGTH:
        return int(text)
    return int(text) + _SENDER if kind == FORWARD_LENGTH else 0
