"""A tree back to the bytes it was read from."""

from __future__ import annotations

from typing import assert_never

from pyprocmail.procmail.syntax.nodes import (
    Assignment,
    Blank,
    Block,
    Capture,
    Comment,
    Condition,
    Folder,
    Forward,
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
)


def unparse(node: Node) -> bytes:
    """The text of `node`: for a tree that was parsed, the bytes of the file."""
    written: list[bytes] = []
    todo: list[Node | bytes] = [node]
    while todo:
        part = todo.pop()
        if isinstance(part, bytes):
            written.append(part)
        else:
            todo += reversed(_parts(part))
    return b"".join(written)


def _parts(node: Node) -> tuple[Node | bytes, ...]:
    if isinstance(node, StartPart | Prefix | Test):
        return (node.raw,)
    match node:
        case Blank() | Comment() | Skipped() | StrayBrace() | Word():
            return (node.raw,)
        case Unset():
            return (node.name,)
        case Assignment():
            return (node.name, node.equals, node.value.raw)
        case Condition():
            return (node.mark, node.raw)
        case Folder():
            return (node.words.raw,)
        case Forward():
            return (b"!", node.words.raw)
        case Pipe():
            return (b"|", node.raw)
        case Capture():
            return (node.name, node.equals, node.pipe)
        case Missing():
            return ()
        case Block():
            return (b"{", *node.items, node.close)
        case Recipe():
            return (b":", node.start.raw, *node.conditions, node.action)
        case Rcfile():
            return node.items
        case _:
            assert_never(node)
