"""Rcfiles, their trees, programs and diagnostics; the laws that hold for any bytes."""

from __future__ import annotations

import marshal
import random
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocmail.diagnostics import render
from pyprocmail.procmail.compiled import instructions as op
from pyprocmail.procmail.syntax import nodes
from pyprocmail.procmail.syntax.lower import compile_rcfile, lower
from pyprocmail.procmail.syntax.parse import parse
from pyprocmail.procmail.syntax.unparse import unparse
from pyprocmail.source import Source, Span

if TYPE_CHECKING:
    from pyprocmail.engine.cache import Value
    from pyprocmail.procmail.compiled.instructions import Instruction, Program

CASES = Path(__file__).parent / "cases" / "syntax"

FRAGMENTS = [
    *(b":0", b":0 c", b":0:", b":1", b":2 HB", b":", b": x", b":0 A\n", b":0\nm\n", b":0 fhe:", b"w", b"E", b"b i"),
    *(b"* foo", b"* ", b"* ! \\", b"{ ", b"{\n", b"{", b"}", b"} ", b"| cat", b"! x", b"X=|", b"foo", b"m/", b"z:l"),
    *(b"A=", b"B =", b" = ", b"a b", b"x y", b"-", b"9", b"\n", b"\n", b"\n\n", b" ", b"\t", b"#", b" # c"),
    *(b'"', b"'", b"`", b"\\", b"\\\n", b"\\#", b"$X", b"${X:-", b"${X+", b"${a!", b"${", b"${X}", b"$", b"$\\A"),
]
CARRIAGE_RETURNS = [b"\r\n", b"\r", b"\\\r\n", b"* a\\\r\n b\r\n"]

rcfiles = st.lists(st.sampled_from(FRAGMENTS + CARRIAGE_RETURNS), max_size=40).map(b"".join)


def case_paths() -> list[Path]:
    return sorted(CASES.glob("*.rc"))


@pytest.mark.parametrize("path", case_paths(), ids=lambda path: path.stem)
def test_case(path: Path, *, update_cases: bool) -> None:
    """Beside x.rc stand x.tree, with the diagnostics behind the tree, and x.program."""
    data = path.read_bytes()
    tree, diagnostics = parse(data)
    assert unparse(tree) == data
    found = "".join(f"{line}\n" for line in dump(tree))
    found += "".join("\n" + render(diagnostic, Source(path.name, data)) for diagnostic in diagnostics)
    check(path.with_suffix(".tree"), found, update=update_cases)
    program = "".join(f"{at:3} {describe(instruction)}\n" for at, instruction in enumerate(lower(tree)))
    check(path.with_suffix(".program"), program, update=update_cases)


def check(path: Path, found: str, *, update: bool) -> None:
    if update:
        path.write_text(found, "utf-8")
    assert found == path.read_text("utf-8")


HIDDEN = {"span", "items", "conditions", "passed", "number", "flags", "lockfile", "unread", "prefixes", "test"}
"""What are nodes themselves, or None."""


def dump(tree: nodes.Rcfile) -> Iterator[str]:
    """A line a node: span, kind, and the fields that are not nodes themselves."""
    todo: list[tuple[int, nodes.Node]] = [(0, tree)]
    while todo:
        depth, node = todo.pop()
        shown = []
        for field in fields(node):
            value = getattr(node, field.name)
            if field.name not in HIDDEN and not isinstance(value, nodes.Node | Span):
                shown.append(f" {field.name}={value!r}")
        yield f"{node.span.start:4}-{node.span.end:<4} {'  ' * depth}{type(node).__name__}{''.join(shown)}"
        todo += ((depth + 1, child) for child in reversed(nodes.children(node)))


NAMES = {number: name for name, number in vars(op).items() if name in ("ASSIGN", "UNSET", "NOTE", "CLOSE", "RECIPE")}
NAMES[op.END_OF_FILE] = "END_OF_FILE"


def describe(instruction: tuple[object, ...]) -> str:
    kind = instruction[0]
    assert isinstance(kind, int)
    return " ".join([NAMES[kind], *(repr(member) for member in instruction[1:])])


def lay_out(program: Program) -> None:
    """Check what the engine relies on: blocks nest, and every end is where it should be."""
    assert program[-1][0] == op.END_OF_FILE
    ends: list[object] = []
    unclosed = 0
    for at, instruction in enumerate(program):
        if instruction[0] == op.RECIPE:
            action, end = instruction[4], instruction[5]
            assert isinstance(action, tuple)
            if action[0] == op.BLOCK:
                ends.append(end)
                unclosed += end == len(program)
            else:
                assert end == at + 1
        elif instruction[0] == op.CLOSE:
            assert ends.pop() == at + 1
    assert ends == [len(program)] * unclosed
    assert program[-1][2] == unclosed


@given(st.one_of(st.binary(max_size=200), rcfiles), st.booleans())
def test_any_bytes_are_an_rcfile(data: bytes, strict: bool) -> None:
    tree, diagnostics = parse(data, strict=strict)
    assert unparse(tree) == data
    program = lower(tree)
    lay_out(program)
    assert marshal.loads(marshal.dumps(program)) == program  # noqa: S302  our own bytes
    for diagnostic in diagnostics:
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(data)
        assert render(diagnostic, Source("rc", data))


@given(rcfiles)
def test_spans_follow_each_other(data: bytes) -> None:
    """The leaves of the tree are the file, in order and without a gap that unparse would hide."""
    tree, _ = parse(data)
    todo: list[nodes.Node] = [tree]
    while todo:
        node = todo.pop()
        at = node.span.start
        for child in nodes.children(node):
            assert at <= child.span.start <= child.span.end <= node.span.end
            assert unparse(child) == data[child.span.start : child.span.end]
            at = child.span.end
            todo.append(child)


def test_line_ends_of_another_system() -> None:
    """A file with carriage returns means what the same file without them means; one warning says so."""
    unix = (CASES / "statements.rc").read_bytes()
    tree, diagnostics = parse(unix.replace(b"\n", b"\r\n"))
    assert unparse(tree) == unix.replace(b"\n", b"\r\n")
    assert [d.code for d in diagnostics].count("P109") == 1
    assert [without_offset(i) for i in lower(tree)] == [without_offset(i) for i in compile_rcfile(unix)]


def without_offset(instruction: Instruction) -> object:
    """`instruction` without the offsets and raw lengths, which count the carriage returns."""
    if instruction[0] != op.RECIPE:
        return instruction[:1] + instruction[2:]
    conditions, action = instruction[3], instruction[4]
    return instruction[2], [c[2:] for c in conditions], action[:1] + action[2:3], instruction[5:]


def test_strict_keeps_carriage_returns() -> None:
    program = compile_rcfile(b"A=b\r\n:0\r\n* c\r\nd\r\n", strict=True)
    assignment, recipe = program[:2]
    assert assignment[0] == op.ASSIGN
    assert assignment[3] == b"b\r"
    assert recipe[2:3] == ((0, None, b"\r"),)


@pytest.mark.parametrize(
    "data",
    [
        b":0\n{ " * 20_000,
        b":0\n{ " * 20_000 + b"} " * 20_000,
        b"A=" + b"${a:-" * 10_000 + b"x" + b"}" * 10_000,
        b":0\n* " + b"! " * 20_000 + b"\nm",
        b":1000000000\nA\n",
        b'A="' + b"`" * 20_001,
    ],
    ids=["unclosed", "closed", "alternatives", "negations", "count", "backquotes"],
)
def test_deep_nesting(data: bytes) -> None:
    tree, _ = parse(data)
    assert unparse(tree) == data
    lay_out(lower(tree))


RECIPE = b"""# recipe %d
:0 c: x%d.lock
* ^Subject:.*foo%d
* ! ^From:.*bar
* B ?? ^x$
{
  A="x$B" C=${D:-`echo $E`}
  :0
  | formail -s foo > $X
}
"""


def test_a_long_rcfile() -> None:
    """Every recipe of a thousand becomes the same instructions, at its own offset."""
    data = b"".join(RECIPE % (n, n, n) for n in range(1000))
    program = compile_rcfile(data)
    assert [instruction[0] for instruction in program[:-1]] == 1000 * [
        op.RECIPE,
        op.ASSIGN,
        op.ASSIGN,
        op.RECIPE,
        op.CLOSE,
    ]
    offsets = [instruction[1] for instruction in program[:-1:5]]
    assert offsets == [at + 1 for at in range(len(data)) if data.startswith(b"\n:0 c:", at)]
    lay_out(program)


NOTES = {
    b"skipped": b'Skipped "%b"',
    b"missing-action": b"Missing action",
    b"incomplete-recipe": b"Incomplete recipe",
    b"closing-brace-unexpected": b"Closing brace unexpected",
    b"unexpected-eol": b"Unexpected EOL",
    b"bad-substitution": b'Bad substitution of "%b"',
    b"extraneous": b"Extraneous %b ignored",
    b"conflicting": b"Conflicting %b suppressed",
}


def skipped_log(program: Program) -> list[bytes] | None:
    """What is logged when the block of the first recipe is skipped; None when something follows it."""
    recipe = program[0]
    assert recipe[0] == op.RECIPE
    notes, end = list(recipe[7]), recipe[5]
    if end < len(program) - 1:
        return None
    for instruction in program[1:]:
        if instruction[0] == op.NOTE:
            notes += members((instruction[2:],))
        elif instruction[0] == op.ASSIGN:
            notes += members(instruction[5])
        elif instruction[0] == op.RECIPE:
            notes += members(instruction[9])
    return b"\n".join(NOTES[kind] % text if b"%" in NOTES[kind] else NOTES[kind] for kind, text in notes).split(b"\n")


def members(notes: Value) -> Iterator[tuple[bytes, bytes]]:
    assert isinstance(notes, tuple)
    for note in notes:
        assert isinstance(note, tuple)
        kind, text = note
        assert isinstance(kind, bytes)
        assert isinstance(text, bytes)
        yield kind, text


@pytest.mark.slow
def test_the_reference_skips_the_same(reference: Path, tmp_path: Path) -> None:
    """In a block that is not executed procmail only parses, and logs what it does not understand."""
    chance = random.Random(20260101)
    for _ in range(700):
        body = b"".join(chance.choices(FRAGMENTS, k=chance.randint(1, 14)))
        rcfile = b":0\n* zzz\n{\n" + body
        expected = skipped_log(compile_rcfile(rcfile, strict=True, passing=0))
        # Not static: the values of `$$` and `$#` in a start line.  Not worth it: a `$` that ends the file.
        if expected is None or b"$$" in rcfile or b"$#" in rcfile or rcfile.endswith(b"$"):
            continue
        assert reference_log(reference, tmp_path, rcfile) == expected, rcfile


def reference_log(reference: Path, directory: Path, rcfile: bytes) -> list[bytes]:
    """What the reference logs of `rcfile` behind its first condition."""
    (directory / "log").unlink(missing_ok=True)
    settings = b"MAILDIR=%b\nLOGABSTRACT=no\nLOGFILE=log\nDEFAULT=/dev/null\nVERBOSE=yes\n" % bytes(directory)
    (directory / "rc").write_bytes(settings + rcfile)
    subprocess.run([reference / "procmail", "-m", directory / "rc"], input=b"From: a@b.c\n\nbody\n", check=True)
    lines = (directory / "log").read_bytes().split(b"\n")
    lines = [line.removeprefix(b"procmail: ") for line in lines if not line.startswith(b"procmail: [")]
    behind = lines[lines.index(b'No match on "zzz"') + 1 :]
    return behind[: behind.index(b'Assigning "LASTFOLDER=/dev/null"')] or [b""]
