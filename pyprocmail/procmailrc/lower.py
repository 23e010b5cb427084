"""Tree to program (program.instructions).  Nothing is lost but the layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from pyprocmail.procmailrc.nodes import (
    Action,
    Assignment,
    Blank,
    Block,
    Capture,
    Comment,
    Condition,
    Folder,
    Forward,
    Item,
    Missing,
    Pipe,
    Rcfile,
    Recipe,
    Skipped,
    StrayBrace,
    Unset,
    Word,
)
from pyprocmail.procmailrc.parse import parse
from pyprocmail.program import instructions as op
from pyprocmail.program import start_line
from pyprocmail.program.words import BAD, literal

if TYPE_CHECKING:
    from pyprocmail.program.instructions import Instruction, Program, Value
    from pyprocmail.program.start_line import StartLine

_EOL: tuple[bytes, bytes] = (b"unexpected-eol", b"")

_LINEBUF = 128
"""What is shorter fits into the smallest LINEBUF."""

Notes = tuple[tuple[bytes, bytes], ...]


def compile_rcfile(data: bytes, *, strict: bool = False) -> Program:
    """The program of the rcfile `data`; never raises.  `strict` as for parse()."""
    tree, _ = parse(data, strict=strict)
    return lower(tree, strict=strict)


def lower(tree: Rcfile, *, strict: bool = False) -> Program:
    """The program of `tree`.

    With `strict`, blanks before the `=` of a capture cost its name the last byte, as in procmail 3.22.
    """
    lowering = _Lowering(strict=strict)
    lowering.run(tree)
    return tuple(lowering.program)


@dataclass(slots=True)
class _Open:
    """A block whose instructions are being written: where its recipe stands, and what is in it."""

    items: Iterator[Item]
    block: Block | None
    at: int
    recipes: bool = False
    quiet: bool = True


class _Lowering:
    """The program so far, and the blocks that are open, the file itself the outermost."""

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.program: list[Instruction] = []
        self.open: list[_Open] = []

    def run(self, tree: Rcfile) -> None:
        self.open.append(_Open(iter(tree.items), None, 0))
        unclosed: list[int] = []
        while self.open:
            item = next(self.open[-1].items, None)
            if item is not None:
                self.item(item)
                continue
            done = self.open.pop()
            if done.block is None:
                break
            if done.block.close:
                self.program.append((op.CLOSE, done.block.span.end - 1))
            else:
                unclosed.append(done.at)
            self.patch(done.at, len(self.program), (op.BLOCK, done.block.span.start, done.recipes, done.quiet))
            self.open[-1].quiet &= done.quiet
        self.program.append((op.END_OF_FILE, tree.span.end, len(unclosed), _ends_with_action(tree)))
        for at in unclosed:
            # Behind END_OF_FILE: whoever skips a block that is not closed is not told.
            self.patch(at, len(self.program))

    def item(self, item: Item) -> None:
        offset = item.span.start
        match item:
            case Blank() | Comment():
                pass
            case Skipped():
                text = item.text.partition(b"\0")[0]
                if text:
                    self.note(offset, b"skipped", text)
            case StrayBrace():
                self.note(offset, b"closing-brace-unexpected", b"")
            case Unset():
                self.program.append((op.UNSET, offset, item.name))
            case Assignment():
                self.assignment(item)
            case Recipe():
                self.recipe(item)
            case _:
                assert_never(item)

    def note(self, offset: int, kind: bytes, text: bytes) -> None:
        self.program.append((op.NOTE, offset, kind, text))
        self.open[-1].quiet = False

    def assignment(self, item: Assignment) -> None:
        whole = literal(item.value.pieces)
        word: Value = item.value.pieces if whole is None else whole.partition(b"\0")[0]
        skipping = _complaints(item.value)
        self.program.append((op.ASSIGN, item.span.start, item.name, word, _eol(item.value), skipping))
        if isinstance(word, bytes) and len(item.name) + len(word) >= _LINEBUF:
            self.open[-1].quiet = False
        self.open[-1].quiet &= not skipping

    def recipe(self, item: Recipe) -> None:
        around = self.open[-1]
        start, read = _start(item.start)
        conditions = tuple(_condition(part) for part in item.conditions if isinstance(part, Condition))
        notes, unmatched = _action_notes(item.action)
        action = _action(item.action)
        if self.strict and isinstance(item.action, Capture) and not item.action.equals.startswith(b"="):
            action = (*action[:2], item.action.name[:-1], *action[3:])
        skipping = _skipping(item, read, action[0], unmatched)
        around.recipes = True
        around.quiet &= not skipping
        at = len(self.program)
        self.program.append((op.RECIPE, item.span.start, start, conditions, action, at + 1, notes, unmatched, skipping))
        if isinstance(item.action, Block):
            self.open.append(_Open(iter(item.action.items), item.action, at))

    def patch(self, at: int, end: int, action: Value = None) -> None:
        recipe = self.program[at]
        self.program[at] = (*recipe[:4], recipe[4] if action is None else action, end, *recipe[6:])


def _ends_with_action(tree: Rcfile) -> bool:
    """Whether nothing stands behind the last action, but for the newline of its line."""
    items = tree.items
    if items and isinstance(items[-1], Blank) and items[-1].raw in (b"\n", b"\r\n"):
        items = items[:-1]
    if len(items) > 1 and isinstance(items[-1], Comment) and isinstance(items[-2], Recipe):
        # A comment on the line of the action.
        items = items[:-1]
    while items and isinstance(items[-1], Recipe):
        action = items[-1].action
        if not isinstance(action, Block):
            return not isinstance(action, Missing)
        if action.close:
            return False
        items = action.items
    return False


def _start(word: Word) -> tuple[Value, StartLine]:
    """The start line, and as what it is read where it is skipped over."""
    words = start_line.split_words(word.pieces)
    if words is not None and not word.unterminated and len(word.raw) < _LINEBUF:
        read = start_line.read(words)
        return (read.flags, read.lock, read.skipped), read
    read = start_line.read(start_line.static_words(word.pieces))
    return (op.DYNAMIC, word.pieces, word.unterminated), read


def _skipping(item: Recipe, read: StartLine, kind: Value, unmatched: Notes) -> Notes:
    """What is logged of a recipe in a block that is not executed."""
    notes = list(_complaints(item.start))
    if read.skipped:
        notes.append((b"skipped", read.skipped))
    notes += [(b"conflicting", name) for name in start_line.conflicting(read.flags)]
    if isinstance(kind, int):
        names = start_line.extraneous(read.flags, kind, locked=read.lock is not None)
        notes += [(b"extraneous", name) for name in names]
    return (*notes, *unmatched)


def _condition(node: Condition) -> Value:
    return (node.span.start, len(node.raw), node.parts, node.text)


def _action(node: Action) -> Instruction:
    offset = node.span.start
    match node:
        case Folder():
            return (op.FOLDER, offset, node.words.pieces, len(node.words.raw))
        case Forward():
            return (op.FORWARD, offset, node.text)
        case Pipe():
            return (op.PIPE, offset, node.text)
        case Capture():
            return (op.CAPTURE, offset, node.name, node.pipe.text)
        case Block():
            return (op.BLOCK, offset, False, True)
        case Missing():
            return (op.MISSING, offset)
        case _:
            assert_never(node)


def _action_notes(node: Action) -> tuple[Notes, Notes]:
    """The notes of an action that is executed, and of one that is not."""
    match node:
        case Folder():
            return _eol(node.words), _complaints(node.words)
        case Forward():
            return (), _complaints(node.words)
        case Missing():
            return (), ((b"incomplete-recipe" if node.at_end else b"missing-action", b""),)
        case Pipe() | Capture() | Block():
            return (), ()
        case _:
            assert_never(node)


def _complaints(word: Word) -> Notes:
    return _bad(word) + _eol(word)


def _eol(word: Word) -> Notes:
    return (_EOL,) if word.unterminated else ()


def _bad(word: Word) -> Notes:
    notes: list[tuple[bytes, bytes]] = []
    for piece in word.pieces:
        if isinstance(piece, tuple) and piece[0] == BAD and isinstance(piece[1], bytes):
            notes.append((b"bad-substitution", piece[1]))
    return tuple(notes)
