"""A tree prepared for checks: the recipes in order with their flags parsed, and the possible values of variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyprocmail.lint.machine import Machine, NoMachine
from pyprocmail.procmail.compiled import conditions as condition_lines
from pyprocmail.procmail.compiled import start_line
from pyprocmail.procmail.compiled.pieces import ALTERNATIVE, BREAK, END, VARIABLE
from pyprocmail.procmail.syntax import parts
from pyprocmail.procmail.syntax.nodes import (
    Assignment,
    Block,
    Capture,
    Condition,
    Folder,
    Forward,
    Item,
    Pipe,
    Rcfile,
    Recipe,
    Unset,
    Word,
)
from pyprocmail.source import Span

if TYPE_CHECKING:
    from pyprocmail.procmail.compiled.pieces import Pieces

POLICY_VARIABLES = frozenset(
    (b"RECIPIENTS", b"MAIL_PARAMETERS", b"CLIENT_NAME", b"CLIENT_PORT", b"HELO", b"LOGIN", b"LOGIN_METHOD")
)
"""Variables that only the rules of a milter have: pyprocmail-milter(8)."""

NAME = re.compile(rb"\$(?:\\)?\{?([A-Za-z_][A-Za-z0-9_]*)")
SINGLE = re.compile(rb"'[^'\n]*'")


@dataclass(frozen=True, slots=True, eq=False)
class Test:
    """A condition, with its parts by name.  `at` is the offset of `text` in the file, or of the condition."""

    node: Condition
    kind: int
    negated: bool
    weighted: bool
    area: bytes | None
    text: bytes
    at: int
    plain: bool

    def place(self, offset: int = 0, length: int | None = None) -> Span:
        """The span of a part of the text; of the whole condition if lines are joined in it."""
        if not self.plain:
            return self.node.span
        return Span(self.at + offset, self.at + (len(self.text) if length is None else offset + length))


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A recipe with its start line parsed.

    `lock` is None without a second colon, b"" for the implied lockfile.  `known` is false if the start line contains
    variables or text that cannot be parsed.  `index` is its place among `siblings`; `parents` are the recipes whose
    blocks contain it, outermost first.
    """

    recipe: Recipe
    flags: int
    lock: bytes | None
    known: bool
    tests: tuple[Test, ...]
    parents: tuple[Rule, ...]
    siblings: tuple[Item, ...]
    index: int

    def has(self, *flags: int) -> bool:
        """Whether it has one of the flags."""
        return any(self.flags & flag for flag in flags)

    @property
    def start(self) -> Span:
        """The start line, without the blanks at its end."""
        return Span(self.recipe.span.start, self.recipe.start.span.start + len(self.recipe.start.raw.rstrip()))

    @property
    def colon(self) -> int:
        """The offset of the second colon in the file, or of the end of the start line."""
        at = self.recipe.start.raw.find(b":")
        return self.recipe.start.span.start + at if at >= 0 else self.start.end

    @property
    def chained(self) -> bool:
        """Whether it depends on the recipe before it."""
        return self.has(start_line.ALSO, start_line.ALSO_SUCCEEDED, start_line.ELSE, start_line.ELSE_FAILED)

    @property
    def command(self) -> Pipe | None:
        """The command of its action, if it has one."""
        action = self.recipe.action
        return action if isinstance(action, Pipe) else action.pipe if isinstance(action, Capture) else None

    @property
    def is_filter(self) -> bool:
        """Whether the output of its program replaces the mail."""
        return self.has(start_line.FILTER) and isinstance(self.recipe.action, Pipe)

    @property
    def delivers(self) -> bool:
        """Whether a mail ends here if the action succeeds."""
        action = self.recipe.action
        return isinstance(action, Folder | Forward | Pipe) and not self.has(start_line.CARBON_COPY, start_line.FILTER)


@dataclass(frozen=True, slots=True)
class Use:
    """A place where a variable is expanded; `excused` if the text provides for an unset variable, as `${x:-y}`."""

    name: bytes
    span: Span
    excused: bool = False


@dataclass(slots=True)
class View:
    """A file for the checks.  `others` are the variables that other files of the same run assign."""

    tree: Rcfile
    data: bytes
    machine: Machine = field(default_factory=NoMachine)
    others: frozenset[bytes] = frozenset()
    is_main: bool = True
    rules: list[Rule] = field(default_factory=list)
    assignments: list[tuple[Assignment, tuple[Rule, ...]]] = field(default_factory=list)
    items: list[tuple[Item, tuple[Item, ...], int, tuple[Rule, ...]]] = field(default_factory=list)
    values: dict[bytes, list[Pieces | None]] = field(default_factory=dict)
    _policy: bool | None = None

    def __post_init__(self) -> None:
        todo: list[tuple[tuple[Item, ...], int, tuple[Rule, ...]]] = [(self.tree.items, 0, ())]
        while todo:
            items, index, parents = todo.pop()
            if index < len(items):
                todo.append((items, index + 1, parents))
                self._item(items, index, parents, todo)

    def _item(
        self,
        items: tuple[Item, ...],
        index: int,
        parents: tuple[Rule, ...],
        todo: list[tuple[tuple[Item, ...], int, tuple[Rule, ...]]],
    ) -> None:
        item = items[index]
        self.items.append((item, items, index, parents))
        match item:
            case Assignment():
                self.assignments.append((item, parents))
                self.values.setdefault(item.name, []).append(item.value.pieces)
            case Unset():
                self.values.setdefault(item.name, []).append(())
            case Recipe(action=action):
                rule = _rule(item, items, index, parents)
                self.rules.append(rule)
                if isinstance(action, Block):
                    todo.append((action.items, 0, (*parents, rule)))
                elif isinstance(action, Capture):
                    self.values.setdefault(action.name, []).append(None)

    @property
    def is_policy(self) -> bool:
        """Whether the file has the rules of a milter: its folders are then answers to a mail server."""
        if self._policy is None:
            asked = {use.name for use in self.uses()} | {test.area for _, test in self.tests()}
            self._policy = {b"REPLY", b"EXITCODE"} <= self.values.keys() or bool(
                (POLICY_VARIABLES & asked) - self.values.keys()
            )
        return self._policy

    def value(self, name: bytes, depth: int = 0) -> bytes | None:
        """The value of a variable that has only one in this file; None if it is not known."""
        if name == b"HOME" and name not in self.values:
            return self.machine.home or None
        given = self.values.get(name, [])
        pieces = given[0] if len(given) == 1 else None
        return None if pieces is None else self.resolve(pieces, depth + 1)

    def resolve(self, pieces: Pieces, depth: int = 0) -> bytes | None:
        """The text of `pieces`, if each variable in them is known."""
        text = b""
        for piece in pieces if depth < 9 else ((BREAK,),):
            if isinstance(piece, bytes):
                text += piece
            elif piece[0] == VARIABLE and isinstance(piece[1], bytes):
                value = self.value(piece[1], depth)
                if value is None:
                    return None
                text += value
            else:
                return None
        return text

    def ending(self, pieces: Pieces) -> bytes | None:
        """The last bytes of the text of `pieces`, if they are known."""
        if pieces and isinstance(pieces[-1], bytes):
            return pieces[-1]
        return self.resolve(pieces)

    def folders(self) -> Iterator[tuple[Rule, Folder]]:
        """The recipes whose action is a folder."""
        for rule in self.rules:
            if isinstance(rule.recipe.action, Folder):
                yield rule, rule.recipe.action

    def commands(self) -> Iterator[tuple[Rule, Pipe]]:
        """The recipes whose action is a command."""
        for rule in self.rules:
            if rule.command is not None:
                yield rule, rule.command

    def tests(self, kind: int | None = None) -> Iterator[tuple[Rule, Test]]:
        """The conditions of all recipes, or those of a kind."""
        for rule in self.rules:
            for test in rule.tests:
                if kind is None or test.kind == kind:
                    yield rule, test

    def patterns(self) -> Iterator[tuple[Rule, Test]]:
        """The conditions that are patterns, including those with a `$`."""
        for rule, test in self.tests():
            if test.kind in (condition_lines.REGEX, condition_lines.EXPAND):
                yield rule, test

    def full(self, name: bytes) -> bytes:
        """The path of a folder: a relative one is in MAILDIR."""
        if name.startswith(b"/"):
            return name
        return (self.value(b"MAILDIR") or self.machine.home + b"/Mail") + b"/" + name

    def is_mailbox(self, words: Word) -> bool:
        """Whether the folder is a mailbox file: not a directory, not /dev/null; false if unknown."""
        end = self.ending(words.pieces)
        if end is None or not end or end.endswith((b"/", b"/.")):
            return False
        name = self.resolve(words.pieces)
        if name is None:
            return not self._has_number(words)
        return name not in (b"/dev/null", b"|") and not self.machine.is_directory(self.full(name))

    def _has_number(self, words: Word) -> bool:
        """Whether the name has parts that may be anything."""
        return any(isinstance(piece, tuple) and piece[0] in (ALTERNATIVE, BREAK, END) for piece in words.pieces)

    def uses(self) -> Iterator[Use]:
        """Every place where a variable is expanded."""
        for item, _, _, _ in self.items:
            match item:
                case Assignment():
                    yield from word_uses(item.value)
                case Recipe():
                    yield from word_uses(item.start)
                    if isinstance(item.action, Folder | Forward):
                        yield from word_uses(item.action.words)
        for _, pipe in self.commands():
            yield from text_uses(pipe.raw, pipe.span.start + 1)
        for _, test in self.tests():
            if test.kind == condition_lines.PROGRAM or test.kind == condition_lines.EXPAND:
                yield from text_uses(test.node.raw, test.node.span.end - len(test.node.raw))


def word_uses(word: Word) -> Iterator[Use]:
    """The variables in a word, each with its place."""
    if all(isinstance(piece, bytes) or piece[0] == BREAK for piece in word.pieces):
        return
    for part in parts.walk(parts.parts(word)):
        match part:
            case parts.Variable():
                yield Use(part.name, part.span)
            case parts.Alternative():
                end = part.span.start + part.raw.index(part.operator, len(part.name))
                yield Use(part.name, Span(part.span.start, end), excused=True)
            case parts.Command():
                yield from text_uses(part.raw, part.span.start)
            case _:
                pass


def text_uses(text: bytes, start: int) -> Iterator[Use]:
    """The variables in the text of a command or a `$` condition that begins at the offset `start`."""
    if b"$" not in text:
        return
    hidden = SINGLE.sub(lambda quoted: b"'" * len(quoted[0]), text) if b"'" in text else text
    for found in NAME.finditer(hidden):
        after = hidden[found.end() : found.end() + 1]
        excused = b"{" in found[0] and after in (b":", b"-", b"+")
        if hidden[found.start() - 1 : found.start()] != b"\\":
            yield Use(found[1], Span(start + found.start(), start + found.end()), excused)


def _rule(recipe: Recipe, items: tuple[Item, ...], index: int, parents: tuple[Rule, ...]) -> Rule:
    words = start_line.split_words(recipe.start.pieces)
    read = start_line.read(words if words is not None else start_line.static_words(recipe.start.pieces))
    lock = read.lock if not isinstance(read.lock, tuple) else read.lock[0]
    if words is None:
        _, colon, after = recipe.start.raw.partition(b":")
        lock = after.strip() if colon else None
    tests = tuple(_test(node) for node in recipe.conditions if isinstance(node, Condition))
    return Rule(recipe, read.flags, lock, words is not None and not read.skipped, tests, parents, items, index)


def _test(node: Condition) -> Test:
    kind, negated, weight, area, _, text = node.parts
    begins = node.span.end - len(node.raw)
    at = node.raw.rfind(text) if text else -1
    plain = at >= 0
    return Test(node, kind, negated, weight is not None, area, text, begins + max(at, 0), plain)
