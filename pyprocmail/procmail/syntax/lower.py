"""Tree to program (compiled/instructions).  Only the layout is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from pyprocmail.procmail.compiled import instructions as op
from pyprocmail.procmail.compiled import start_line
from pyprocmail.procmail.compiled.pieces import BAD, HASH, literal
from pyprocmail.procmail.compiled.start_line import StartLine
from pyprocmail.procmail.syntax import nodes
from pyprocmail.procmail.syntax.nodes import (
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
from pyprocmail.procmail.syntax.parse import parse

if TYPE_CHECKING:
    from pyprocmail.procmail.compiled.instructions import BlockAction, Entry, Instruction, Notes, Program, Start
    from pyprocmail.procmail.compiled.pieces import Pieces

_LINEBUF = 128
"""A shorter text fits into the smallest LINEBUF."""


def compile_rcfile(data: bytes, *, strict: bool = False, passing: int | None = None) -> Program:
    """The program of the rcfile `data`; never raises.  `strict` and `passing` as in parse()."""
    tree, _ = parse(data, strict=strict, passing=passing)
    return lower(tree, data if strict else None)


def lower(tree: Rcfile, source: bytes | None = None) -> Program:
    """The program of `tree`.

    With `source`, the text of the file, it behaves as in procmail 3.22: blanks before the `=` of a capture remove the
    last byte of its name, and any part of the file can be read again.
    """
    lowering = _Lowering(source)
    lowering.run(tree)
    return tuple(lowering.program)


@dataclass(slots=True)
class _Open:
    """A block whose instructions are being written: the place of its recipe, and its content.

    `ends_elsewhere`: a statement in it ends elsewhere if it is passed over than if it is executed.
    """

    items: Iterator[Item]
    block: Block | None
    at: int
    recipes: bool = False
    quiet: bool = True
    longest: int = 0
    ends_elsewhere: bool = False

    def noted(self, notes: Notes) -> None:
        """Add notes that the block logs if it is passed over."""
        for note in notes:
            length = op.length(note)
            self.longest = max(self.longest, length)
            self.quiet &= bool(length)


class _Lowering:
    """The program so far, and the open blocks, the file itself as the outermost.

    `depends`: where a statement ends depends on values.
    """

    def __init__(self, source: bytes | None) -> None:
        self.source = source
        self.depends = False
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
            self.close(done, done.block.span.start)
        source = self.source if self.depends else None
        self.program.append((op.END_OF_FILE, tree.span.end, len(unclosed), _ends_with_action(tree), source or b""))
        for at in unclosed:
            # After END_OF_FILE: a run that skips an unclosed block does not log it.
            self.patch(at, len(self.program))

    def close(self, done: _Open, offset: int) -> None:
        around = self.open[-1]
        around.quiet &= done.quiet
        around.longest = max(around.longest, done.longest)
        around.ends_elsewhere |= done.ends_elsewhere
        self.patch(done.at, len(self.program), (op.BLOCK, offset, done.recipes, done.quiet, done.longest))
        if done.ends_elsewhere:
            kind, at, start, entries, action, end, notes, unmatched, _, skipping = self.recipe_at(done.at)
            self.program[done.at] = (kind, at, start, entries, action, end, notes, unmatched, offset + 1, skipping)

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
        word = item.value.pieces if whole is None else whole.partition(b"\0")[0]
        complaints, _, length = self.passed(item.value)
        skipping = complaints + _length(len(item.name) + 1 + length)
        self.program.append((op.ASSIGN, item.span.start, item.name, word, _eol(item.value.unterminated), skipping))
        self.open[-1].noted(skipping)

    def recipe(self, item: Recipe) -> None:
        around = self.open[-1]
        start, read = _start(item.start)
        conditions = tuple(_condition(part) for part in item.conditions if isinstance(part, Condition))
        notes, unmatched, elsewhere = self.action_notes(item.action)
        action = _action(item.action)
        if self.source is not None and action[0] == op.CAPTURE:
            assert isinstance(item.action, Capture)
            if not item.action.equals.startswith(b"="):
                action = (op.CAPTURE, action[1], item.action.name[:-1], action[3])
        if len(start) == 5:
            self.depends = True
            around.ends_elsewhere |= read.count != start[3]
        skipping = self.passed(item.start)[0] + _skipping(read, conditions, action[0], unmatched)
        around.recipes = True
        around.noted(skipping)
        at = len(self.program)
        self.program.append(
            (op.RECIPE, item.span.start, start, conditions, action, at + 1, notes, unmatched, elsewhere, skipping)
        )
        if isinstance(item.action, Block):
            self.open.append(_Open(iter(item.action.items), item.action, at))

    def passed(self, word: Word) -> tuple[Notes, int, int]:
        """The notes of a word that is passed over.

        Also the offset where reading continues then, 0 if it is the usual one, and the length without expansions.
        """
        passed = word.passed
        if passed is None or (passed.end != word.span.end and self.source is None):
            return _complaints(word.pieces, word.unterminated), 0, _static_length(word.pieces)
        elsewhere = passed.end if passed.end != word.span.end else 0
        self.open[-1].ends_elsewhere |= bool(elsewhere)
        self.depends |= bool(elsewhere)
        return _complaints(passed.pieces, passed.unterminated), elsewhere, _static_length(passed.pieces)

    def action_notes(self, node: Action) -> tuple[Notes, Notes, int]:
        """The notes of an executed action, those of one that is not, and where the latter ends, as in `passed`."""
        match node:
            case Folder():
                self.depends |= _has_hash(node.words.pieces)
                complaints, elsewhere, length = self.passed(node.words)
                return _eol(node.words.unterminated), complaints + _length(length), elsewhere
            case Forward():
                self.depends |= _has_hash(node.words.pieces)
                complaints, elsewhere, length = self.passed(node.words)
                return (), complaints + _length(length, op.FORWARD_LENGTH), elsewhere
            case Missing():
                return (), ((b"incomplete-recipe" if node.at_end else b"missing-action", b""),), 0
            case Pipe() | Capture():
                pipe = node.pipe if isinstance(node, Capture) else node
                return (), _length(len(pipe.text) + 1), 0
            case Block():
                return (), (), 0
            case _:
                assert_never(node)

    def patch(self, at: int, end: int, block: BlockAction | None = None) -> None:
        kind, offset, start, entries, action, _, notes, unmatched, elsewhere, skipping = self.recipe_at(at)
        self.program[at] = (
            kind, offset, start, entries, block or action, end, notes, unmatched, elsewhere, skipping,
        )  # fmt: skip

    def recipe_at(self, at: int) -> op.Recipe:
        recipe = self.program[at]
        assert recipe[0] == op.RECIPE
        return recipe


def _ends_with_action(tree: Rcfile) -> bool:
    """Whether nothing follows the last action but the newline of its line."""
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


def _start(node: nodes.Start) -> tuple[Start, StartLine]:
    """The start line, and how it is read if it is skipped over."""
    if not node.expanded and not node.unterminated and len(node.raw) < _LINEBUF:
        skipped = b"" if node.unread is None else node.unread.text
        return (node.bits, node.lock, skipped), StartLine(node.count, node.bits, node.lock, skipped)
    passed = node.pieces if node.passed is None else node.passed.pieces
    read = start_line.read(start_line.static_words(passed))
    count = start_line.static_count(node.pieces)
    return (op.DYNAMIC, node.pieces, node.unterminated, count, node.span.end), read


def _skipping(read: StartLine, conditions: tuple[Entry, ...], kind: int, unmatched: Notes) -> Notes:
    """The notes of a recipe in a block that is not executed."""
    notes: list[tuple[bytes, bytes]] = []
    for condition in conditions:
        notes += _length(condition[1] + 1)
    if read.skipped:
        notes.append((b"skipped", read.skipped))
    notes += [(b"conflicting", name) for name in start_line.conflicting(read.flags)]
    names = start_line.extraneous(read.flags, kind, locked=read.lock is not None)
    notes += [(b"extraneous", name) for name in names]
    return (*notes, *unmatched)


def _condition(node: Condition) -> Entry:
    return (node.span.start, len(node.raw), node.parts, node.text)


def _action(node: Action) -> op.Action:
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
            return (op.BLOCK, offset, False, True, 0)
        case Missing():
            return (op.MISSING, offset)
        case _:
            assert_never(node)


def _complaints(pieces: Pieces, unterminated: bool) -> Notes:
    notes = [
        (b"bad-substitution", piece[1])
        for piece in pieces
        if isinstance(piece, tuple) and piece[0] == BAD and isinstance(piece[1], bytes)
    ]
    return (*notes, *_eol(unterminated))


def _length(length: int, kind: bytes = op.LENGTH) -> Notes:
    """The note on a length; none if it fits into every LINEBUF."""
    return ((kind, b"%d" % length),) if length > (_LINEBUF if kind == op.LENGTH else _LINEBUF // 2) else ()


def _static_length(pieces: Pieces) -> int:
    return len(b" ".join(start_line.static_words(pieces)))


def _eol(unterminated: bool) -> Notes:
    return ((b"unexpected-eol", b""),) if unterminated else ()


def _has_hash(pieces: Pieces) -> bool:
    return any(isinstance(piece, tuple) and piece[0] == HASH for piece in pieces)
