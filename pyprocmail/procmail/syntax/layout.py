"""The canonical layout of an rcfile: only indentation, blanks and empty lines change.

`arranged` returns the rcfile unchanged where another layout would change the meaning.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import TYPE_CHECKING

from pyprocmail.procmail.compiled import start_line
from pyprocmail.procmail.compiled.conditions import WEIGHT
from pyprocmail.procmail.compiled.pieces import HASH
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
    Node,
    Pipe,
    Prefix,
    Rcfile,
    Recipe,
    Skipped,
    StartPart,
    StrayBrace,
    Test,
    Unset,
    Word,
    children,
)
from pyprocmail.procmail.syntax.parse import parse
from pyprocmail.procmail.syntax.unparse import unparse

if TYPE_CHECKING:
    from pyprocmail.procmail.compiled.pieces import Pieces

INDENT = b"    "
_MOST_EMPTY_LINES = 2
_PLAIN_START = re.compile(rb"0[ \t]*([HBDAaEehbfcwWir \t]*?)[ \t]*(?:(:)[ \t]*([^\s:$`'\"\\#]*)[ \t]*)?")


def arranged(data: bytes) -> bytes:
    """The rcfile `data` in its canonical layout; unchanged if its meaning would change.

    Blocks are indented by four blanks; a block on one line stays there.  No more than two empty lines in a
    row are kept, and no blanks at the end of a line.
    """
    text = data.replace(b"\r\n", b"\n")
    tree, _ = parse(text)
    written = _Writer().write(tree)
    if _meaning(parse(written)[0]) != _meaning(tree):
        return data
    return written


class _Writer:
    """The text so far.

    `level` is the depth of blocks, `fresh`: a line begins here, `trimmed` the blanks at the end of the line, for
    a comment that may follow.
    """

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.level = 0
        self.fresh = True
        self.trimmed = b""

    def write(self, tree: Rcfile) -> bytes:
        """The whole file."""
        todo: list[tuple[Node | bytes, int, bool]] = []
        _push(todo, tree.items, 0, one_line=False)
        while todo:
            node, level, one_line = todo.pop()
            self.level = level
            if isinstance(node, bytes):
                self.put(node) if node != b"\n" else self.end_line()
            elif isinstance(node, Blank):
                self.blank(node.raw, before=todo[-1][0] if todo else None, one_line=one_line)
            elif isinstance(node, Recipe):
                self.start(node.start)
                _push(todo, (*node.conditions, node.action), level, one_line=one_line)
            elif isinstance(node, Block):
                self.block(node, todo, level)
            else:
                self.leaf(node)
        text = b"".join(self.parts).rstrip(b"\n")
        return text + b"\n" if text else b""

    def put(self, text: bytes) -> None:
        """Write text, after the indentation if a line begins here."""
        if not text:
            return
        if self.fresh:
            self.parts.append(INDENT * self.level)
        self.parts.append(text)
        self.fresh = False
        self.trimmed = b""

    def end_line(self) -> None:
        """End the line, unless it is empty."""
        self.trimmed = b""
        if not self.fresh:
            self.parts.append(b"\n")
            self.fresh = True

    def blank(self, raw: bytes, *, before: Node | bytes | None, one_line: bool) -> None:
        """Write the blank text between two nodes."""
        lines = raw.count(b"\n")
        if lines and not one_line:
            empty = min(lines - (0 if self.fresh else 1), _MOST_EMPTY_LINES)
            self.end_line()
            self.parts.append(b"\n" * (empty if self.parts and not self._opened() else 0))
        elif not self.fresh and before is not None and before != b"\n":
            self.parts.append(raw if isinstance(before, Comment) else b" ")

    def _opened(self) -> bool:
        """Whether a block has just begun: no empty line follows its brace."""
        return self.parts[-2:] == [b"{", b"\n"]

    def block(self, node: Block, todo: list[tuple[Node | bytes, int, bool]], level: int) -> None:
        """`{`, the content of the block, and `}`."""
        items = node.items
        one_line = bool(node.close) and b"\n" not in unparse_short(node)
        if one_line:
            inner = tuple(item for item in items if not isinstance(item, Blank))
            self.put(b"{")
            todo.append((node.close or b"", level, True))
            spaced: list[Item | bytes] = [b" "]
            for item in inner:
                spaced += [item, b" "]
            todo.extend((part, level, True) for part in reversed(spaced))
            return
        self.put(b"{")
        if node.close:
            todo.append((node.close, level, False))
        todo.append((b"\n", level, False))
        _push(todo, items, level + 1, one_line=False)
        todo.append((b"\n", level, False))

    def start(self, word: Word) -> None:
        """A start line."""
        raw = word.raw.rstrip(b" \t")
        found = _PLAIN_START.fullmatch(raw)
        if found:
            flags = re.sub(rb"[ \t]", b"", found[1])
            raw = b"0" + (b" " + flags if flags else b"")
            if found[2]:
                raw += b":" + (b" " + found[3] if found[3] else b"")
        self.put(b":" + raw)
        self.trimmed = word.raw[len(word.raw.rstrip(b" \t")) :]

    def leaf(self, node: Node) -> None:
        """A node that is written in one piece."""
        match node:
            case Assignment():
                self.put(node.name + b"=" + node.value.raw.lstrip(b" \t"))
            case Capture():
                self.put(node.name + b"=|" + node.pipe.raw)
            case Condition():
                # Weights are often aligned.
                mark = node.mark if node.parts[WEIGHT] is not None else b"* " if node.mark else b""
                self.put(mark + node.raw)
            case Comment():
                self.put(self.trimmed + node.raw.rstrip(b" \t"))
            case Folder():
                self.put(node.words.raw.rstrip(b" \t"))
                self.trimmed = node.words.raw[len(node.words.raw.rstrip(b" \t")) :]
            case Missing():
                pass
            case _:
                self.put(unparse(node))


def unparse_short(block: Block) -> bytes:
    """The text of a block; a newline if it holds another block, which is never written on one line."""
    if any(isinstance(item, Comment) or isinstance(getattr(item, "action", None), Block) for item in block.items):
        return b"\n"
    return unparse(block)


def _push(
    todo: list[tuple[Node | bytes, int, bool]],
    nodes: tuple[Item | Condition | Action, ...],
    level: int,
    *,
    one_line: bool,
) -> None:
    todo.extend((node, level, one_line) for node in reversed(nodes))


def _meaning(tree: Rcfile) -> list[Hashable]:
    """Everything that the layout must not change, in the order of the file, comments included."""
    found: list[Hashable] = []
    todo: list[Node | None] = [tree]
    while todo:
        node = todo.pop()
        if node is None:
            found.append("end")
            continue
        found.append(_meaning_of(node))
        todo += [None] if isinstance(node, Block) else []
        if isinstance(node, Recipe):
            found.append(_start_meaning(node.start))
            todo += reversed((*node.conditions, node.action))
        else:
            todo += reversed(children(node))
    return [one for one in found if one is not None]


def _meaning_of(node: Node) -> Hashable:
    if isinstance(node, StartPart | Prefix | Test):
        return None  # the start line and the condition have it
    match node:
        case Blank():
            return None
        case Comment():
            return ("comment", node.raw.rstrip(b" \t"))
        case Skipped():
            return ("skipped", node.text.rstrip(b" \t"))
        case StrayBrace() | Rcfile() | Recipe():
            return type(node).__name__
        case Unset():
            return ("unset", node.name)
        case Assignment():
            return ("assignment", node.name)
        case Condition():
            return ("condition", bool(node.mark), node.text, node.parts)
        case Pipe():
            return ("pipe", node.text)
        case Capture():
            return ("capture", node.name)
        case Forward():
            return ("forward", node.text)
        case Missing():
            return ("missing", node.at_end)
        case Block():
            return ("block", bool(node.close))
        case Folder():
            return "folder"
        case Word():
            passed = _pieces(node.passed.pieces) if node.passed is not None else None
            return ("word", _pieces(node.pieces), passed, node.unterminated)


def _start_meaning(word: Word) -> Hashable:
    words = start_line.split_words(word.pieces)
    if words is None:
        return ("start", _pieces(word.pieces))
    read = start_line.read(words)
    return ("start", read.count, read.flags, read.lock, read.skipped)


def _pieces(pieces: Pieces) -> Pieces:
    """Pieces without their offsets, and without what a blank at the end of a line adds."""
    kept = tuple(piece[:2] if isinstance(piece, tuple) and piece[0] == HASH else piece for piece in pieces)
    while kept and isinstance(kept[-1], tuple) and kept[-1] == (8,):
        kept = kept[:-1]
    return kept
