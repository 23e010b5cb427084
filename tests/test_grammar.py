"""What the rules of grammar/procmailrc.lark read, and what the readers at run time do: the same, whatever the text."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from check_cases import WILD
from test_syntax import CARRIAGE_RETURNS, FRAGMENTS

from pyprocmail.procmail.compiled import conditions, pieces, start_line
from pyprocmail.procmail.syntax import nodes, parts, patterns, places
from pyprocmail.procmail.syntax.parse import parse
from pyprocmail.procmail.syntax.unparse import unparse

CONDITIONS = [
    *(b"! ", b"!", b"1^0", b"-.5^", b"^", b"2", b"0x1.8p3", b"0x", b"+inf", b"infinity", b"-nan(a_1)", b"1e", b"1e5"),
    *(b" ", b"\t", b"B ??", b"A??", b"X ?? ", b"?", b"<", b">", b"$", b"\\", b"\\\n", b"\\\n  ", b"\0", b"abc", b"^Su"),
    *(b"a^b", b"\r\n", b".", b",", b"+", b"-", b"\\\r\n", b"\v", b"\xff"),
    *(b"^TO_", b"^FROM_DAEMON", b"\\^TO", b"[a-c]", b"[^", b"(", b")", b"^^", b"\\/", b"|", b"*"),
]
START_LINES = [
    *(b"0", b"c", b"HB", b" ", b"  ", b"\t", b":", b" :", b": ", b"x.lock", b'"', b'""', b"'a b'", b"\\", b"\\\n"),
    *(b"\0", b"-5", b"99999999999", b"w", b"$X", b"`a`", b"#", b" # c", b"E", b"zz", b"/", b"\v", b'" 0"', b"$\0"),
    *(b"'", b"\\#", b"\xff", b"\r\n", b"'0'"),
]


def texts(seed: int, count: int) -> Iterator[bytes]:
    """Conditions, start lines, whole files, and lines of wild rcfiles with a piece of another one in them."""
    pick = random.Random(seed)
    wild = [line for path in sorted(WILD.glob("*.rc")) for line in path.read_bytes().splitlines(keepends=True)]
    for number in range(count):
        if number % 4 == 0:
            yield b":0\n* " + b"".join(pick.choices(CONDITIONS, k=pick.randint(0, 7))) + b"\nm\n"
        elif number % 4 == 1:
            yield b":" + b"".join(pick.choices(START_LINES, k=pick.randint(0, 9))) + b"\nm\n"
        elif number % 4 == 2:
            yield b"".join(pick.choices(FRAGMENTS + CARRIAGE_RETURNS, k=pick.randint(0, 20)))
        else:
            at = pick.randrange(len(wild))
            lines = b"".join(wild[at : at + 6])
            cut, other = pick.randint(0, len(lines)), pick.choice(wild)
            yield lines[:cut] + other[: pick.randint(0, len(other))] + lines[cut:]


def check(data: bytes, *, strict: bool) -> None:
    tree, _ = parse(data, strict=strict)
    assert unparse(tree) == data
    todo: list[nodes.Node] = [tree]
    while todo:
        node = todo.pop()
        inside = nodes.children(node)
        todo += inside
        at = node.span.start
        for child in inside:
            assert at <= child.span.start <= child.span.end <= node.span.end, (data, child)
            at = child.span.end
            assert unparse(child) == data[child.span.start : at], (data, child)
        if isinstance(node, nodes.Condition):
            # `nan` is no equal of its own.
            assert repr(node.parts) == repr(conditions.read(node.text)), data
            check_pattern(node, data)
        if isinstance(node, nodes.Word):
            check_word(node, data)
        if isinstance(node, nodes.Start):
            check_start(node, data)


def check_word(node: nodes.Word, data: bytes) -> None:
    """The parts of a word are its pieces, and each stands where it says."""
    at = node.span.start
    found = parts.parts(node)
    for part in parts.walk(found):
        assert at <= part.span.start <= part.span.end <= node.span.end, (data, part)
        assert data[part.span.start : part.span.end] == part.raw, (data, part)
        at = part.span.start
    names = [part.name for part in parts.walk(found) if isinstance(part, parts.Variable | parts.Alternative)]
    kinds = (pieces.VARIABLE, pieces.ESCAPED, pieces.ALTERNATIVE)
    assert names == [piece[1] for piece in node.pieces if isinstance(piece, tuple) and piece[0] in kinds], data
    text = b"".join(part.text for part in parts.walk(found) if isinstance(part, parts.Text))
    written = [piece if isinstance(piece, bytes) else piece[1] for piece in node.pieces if _is_text(piece)]
    assert [text] == [b"".join(one for one in written if isinstance(one, bytes))], data


def _is_text(piece: pieces.Piece) -> bool:
    return isinstance(piece, bytes) or piece[0] == pieces.PREFIX


def check_pattern(node: nodes.Condition, data: bytes) -> None:
    at = patterns.offsets(node)
    assert len(at) == len(node.test.text) + 1
    written = bytes((data + b"\n")[offset] for offset in at[:-1])
    assert written == node.test.text, data
    found = patterns.tokens(node)
    for token in found:
        assert node.test.span.start <= token.span.start <= token.span.end <= node.test.span.end, (data, token)
        if token.macro:
            assert data[token.span.start : token.span.end] == token.macro, data
        elif isinstance(token.token, int) and token.token < 256 and token.span.start < token.span.end:
            assert data[token.span.end - 1] == token.token or token.span.end == len(data), (data, token)


def check_start(node: nodes.Start, data: bytes) -> None:
    words = start_line.split_words(node.pieces)
    assert node.expanded == (words is None)
    if words is None:
        return
    read = start_line.read(words)
    found = (node.count, node.bits, node.lock, node.unread.text if node.unread else b"")
    assert found == (read.count, read.flags, read.lock, read.skipped), data


def test_the_grammar_and_the_readers_agree() -> None:
    for number, data in enumerate(texts(1, 1500)):
        check(data, strict=number % 3 == 0)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(2, 10))
def test_they_agree_on_two_hundred_thousand_texts(seed: int) -> None:
    for number, data in enumerate(texts(seed, 25_000)):
        check(data, strict=number % 3 == 0)


def test_places() -> None:
    """Each byte of a text that was read from a file is the one that stands at its place."""
    for number, data in enumerate(texts(10, 4000)):
        text = data[5:] if number % 4 == 0 else data
        logical = places.logical(text)
        at = places.of_logical(text)
        assert logical == bytes((text + b"\n")[offset] for offset in at)
        joined = conditions.join(logical)
        assert joined == bytes(logical[offset] for offset in places.of_joined(logical))
        assert at == sorted(at)


def test_what_the_tree_says() -> None:
    """Of a recipe with everything in it."""
    data = b":0 Bc: x.lock\n* ! 2^.5 H ?? ^Subject\n* ? test -f x\n* > 10\n* $ $A\nm/.\n"
    (recipe, _) = parse(data)[0].items
    assert isinstance(recipe, nodes.Recipe)
    assert [flag.raw for flag in recipe.start.flags] == [b"B", b"c"]
    assert recipe.start.lockfile is not None
    assert recipe.start.lockfile.name == b"x.lock"
    found = [one for one in recipe.conditions if isinstance(one, nodes.Condition)]
    assert [type(one.test).__name__ for one in found] == ["RegexTest", "ProgramTest", "SizeTest", "ExpandedTest"]
    first = found[0]
    assert first.negated
    assert first.weight is not None
    assert (first.weight.weight, first.weight.exponent) == (2.0, 0.5)
    assert first.area is not None
    assert data[first.area.span.start : first.area.span.end] == b"H ??"
    assert data[first.test.span.start : first.test.span.end] == b"^Subject"
    assert isinstance(recipe.action, nodes.Folder)
    assert recipe.action.kind is nodes.FolderKind.MH


def test_parts_of_a_word() -> None:
    """Each with its place, and what is in an alternative in it."""
    data = b'A="x $B"${C:-`echo $D`y}$\\E\n'
    (assignment, _) = parse(data)[0].items
    assert isinstance(assignment, nodes.Assignment)
    found = parts.parts(assignment.value)
    assert [(type(part).__name__, part.raw) for part in parts.walk(found)] == [
        ("Text", b"x "),
        ("Variable", b"$B"),
        ("Alternative", b"${C:-`echo $D`y}"),
        ("Command", b"`echo $D`"),
        ("Text", b"y"),
        ("Variable", b"$\\E"),
    ]


def test_a_carriage_return_before_a_quote() -> None:
    """It is text, and the one that ends the line is not, though nothing stands between them in the end."""
    data = b"A=x\r'\r\ny'\n"
    check(data, strict=False)
    check(data, strict=True)


def test_tokens_of_a_pattern() -> None:
    """Through a line that was joined and a macro."""
    data = b":0\n* ^TO_a\\\n  [bc]*\\.d\nm\n"
    (recipe, _) = parse(data)[0].items
    assert isinstance(recipe, nodes.Recipe)
    condition = next(one for one in recipe.conditions if isinstance(one, nodes.Condition))
    found = [one for one in patterns.tokens(condition) if one.macro is None]
    assert [data[one.span.start : one.span.end] for one in found] == [b"a", b"[bc]", b"*", b"\\.", b"d"]
    assert {data[one.span.start : one.span.end] for one in patterns.tokens(condition) if one.macro} == {b"^TO_"}
