"""Words, condition lines and start lines: what is read in them.  Recorded from procmail's log."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from pyprocmail.procmail.compiled import conditions, start_line
from pyprocmail.procmail.compiled.conditions import EXPAND, LARGER, PROGRAM, REGEX, SMALLER
from pyprocmail.procmail.compiled.pieces import (
    ALTERNATIVE,
    ARGUMENTS,
    BACKQUOTE,
    BAD,
    BREAK,
    END,
    ESCAPED,
    VARIABLE,
    literal,
)
from pyprocmail.procmail.compiled.words import scan_list, scan_quoted, scan_size, scan_value

if TYPE_CHECKING:
    from pyprocmail.procmail.compiled.pieces import Pieces

_ = (BREAK,)


def var(name: bytes, *, quoted: bool = False) -> tuple[int, bytes, bool]:
    return (VARIABLE, name, quoted)


VALUES: list[tuple[bytes, Pieces, bytes]] = [
    # text, pieces, what is left
    (b"a b", (b"a",), b" b"),
    (b"  two\n", (b"two",), b"\n"),
    (b"", (), b""),
    (b" # x", (), b"# x"),
    (b"b#c d", (b"b#c",), b" d"),
    (b"a\\nb", (b"anb",), b""),
    (b"a\\ b\\\nc", (b"a bc",), b""),
    (b"\\# a\\#b", (b"#",), b" a\\#b"),
    (b"a\\#b", (b"a\\#b",), b""),
    (b"'a\\\n`$x'b", (b"a\\\n`$xb",), b""),
    (b'"a\\nb\\$c\\`d\\\\e\\"f\\\'g\\#h"', (b"a\\nb$c`d\\e\"f\\'g\\#h",), b""),
    (b'""', (b"",), b""),
    (b"a'b'\"c\"d", (b"abcd",), b""),
    (b"$ x", (b"$",), b" x"),
    (b"$.x$", (b"$.x$",), b""),
    (b'"$"', (b"$",), b""),
    (b"$@$*$!", (b"@$*$!",), b""),
    (b"$10$x_1-", (var(b"1"), b"0", var(b"x_1"), b"-"), b""),
    (b"$_a${_}${_a}", (var(b"_"), b"a", var(b"{_}"), var(b"_a")), b""),
    (b"$$$?$#$=$-", (var(b"$"), var(b"?"), var(b"#"), var(b"="), var(b"-")), b""),
    (b'"$x"$\\y$\\10', (var(b"x", quoted=True), (ESCAPED, b"y"), (ESCAPED, b"1")), b""),
    (b"$\\?", (b"$?",), b""),
    (b'"x$@y"', (b"x", (ARGUMENTS,), b"y"), b""),
    (b"${a!b}c", ((BAD, b"a"), b"b}c"), b""),
    (b"${12}${$}", ((BAD, b"12"), (BAD, b""), b"}"), b""),
    (b"${} x", (), b" x"),
    (b"${b:} X=1", ((BAD, b"b"), b"X=1"), b""),
    (b"x${b:} X=1", (b"x", (BAD, b"b")), b" X=1"),
    (b'"${a', ((BAD, b"a"), b""), b""),
    (b"${U:-w}x", ((ALTERNATIVE, b"U", b":-", False), b"w", (END,), b"x"), b""),
    (
        b"${U-${E:+d}}",
        ((ALTERNATIVE, b"U", b"-", False), (ALTERNATIVE, b"E", b":+", False), b"d", (END,), (END,)),
        b"",
    ),
    (b'"${U:-"q x"}"', ((ALTERNATIVE, b"U", b":-", True), b'"q x"', (END,)), b""),
    (b'${U:-"q }x"}t', ((ALTERNATIVE, b"U", b":-", False), b"q }x", (END,), b"t"), b""),
    (b"${U:-\\}}", ((ALTERNATIVE, b"U", b":-", False), b"}", (END,)), b""),
    (b'"${U:-\\}}\\}"', ((ALTERNATIVE, b"U", b":-", True), b"}", (END,), b"\\}"), b""),
    (b"${U:-a b}", ((ALTERNATIVE, b"U", b":-", False, False), b"a"), b" b}"),  # not closed in its word
    (b"${-x}", ((ALTERNATIVE, b"", b"-", False), b"x", (END,)), b""),
    (b"`a b`c", ((BACKQUOTE, b"a b", False), b"c"), b""),
    (b"``", ((BACKQUOTE, b"", False),), b""),
    (b'`\\\\x \\$x \\` \\n \\"`', ((BACKQUOTE, b'\\x $x ` \\n \\"', False),), b""),
    (b'"`e \\"a\\" \\\\\\\\`"', ((BACKQUOTE, b'e "a" \\\\', True),), b""),
    (b"`a\\\nb`", ((BACKQUOTE, b"ab", False),), b""),
    (b'"`echo "in dq"', ((BACKQUOTE, b"echo ", True), b"in dq"), b""),  # run without a shell
    (b'"x`echo a;"y z"', (b"x", (BACKQUOTE, b"echo a;", True), b"y"), b' z"'),  # run by the shell
    (b"x`a\nb", (b"x", (BACKQUOTE, b"a\nb", False)), b""),
]


@pytest.mark.parametrize(("text", "pieces", "rest"), VALUES)
def test_value(text: bytes, pieces: Pieces, rest: bytes) -> None:
    scan = scan_value(text, 0)
    assert (scan.pieces, text[scan.end :]) == (pieces, rest)


@pytest.mark.parametrize(
    ("text", "pieces", "unterminated"),
    [
        (b'"a\nb', (b"a\nb",), True),
        (b"'a", (b"a",), True),
        (b"a\\", (b"a",), True),
        (b'"`a', ((BACKQUOTE, b"a", True),), True),
        (b"`a\\", ((BACKQUOTE, b"a", False),), True),
        (b"`a", ((BACKQUOTE, b"a", False),), False),
        (b"${a", ((BAD, b"a"),), False),
        (b"${a:-b", ((ALTERNATIVE, b"a", b":-", False, False), b"b"), False),
    ],
)
def test_end_of_file(text: bytes, pieces: Pieces, *, unterminated: bool) -> None:
    scan = scan_value(text, 0)
    assert (scan.pieces, scan.unterminated, scan.end) == (pieces, unterminated, len(text))


@pytest.mark.parametrize(
    ("text", "pieces", "rest"),
    [
        (b" a\tb  c \nd", (b"a", _, b"b", _, b"c"), b"\nd"),
        (b"a#b #c", (b"a#b",), b"#c"),
        (b'"a b"c $x "" \'\'', (b"a bc", _, var(b"x"), _, b"", _, b""), b""),
        (b"a \\\n b", (b"a", _, b"b"), b""),
        (b'-f "$1" "$@"', (b"-f", _, var(b"1", quoted=True), _, (ARGUMENTS,)), b""),
        (b"${x:-e f} g", ((ALTERNATIVE, b"x", b":-", False), b"e", _, b"f", (END,), _, b"g"), b""),
        (b"`a b` ${x:-h\nA", ((BACKQUOTE, b"a b", False), _, (ALTERNATIVE, b"x", b":-", False, False), b"h"), b"\nA"),
        (b'"a\nb"', (b"a\nb",), b""),
    ],
)
def test_list(text: bytes, pieces: Pieces, rest: bytes) -> None:
    scan = scan_list(text, 0)
    assert (scan.pieces, text[scan.end :]) == (pieces, rest)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (b"a  b # 'c'", (b"a  b # 'c'",)),
        (b'a"b"c', (b"abc",)),
        (b"a\\.b\\$c\\\\d\\'", (b"a\\.b$c\\d\\'",)),
        (b'"a # b', (b"a ",)),
        (b"a\"b  'c  d' \\.\"", (b"ab c  d .",)),
        (b'"#a', (b"#a",)),
        (b"^TO_$x(b)$", (b"^TO_", var(b"x", quoted=True), b"(b)$")),
    ],
)
def test_dollar_condition(text: bytes, pieces: Pieces) -> None:
    scan = scan_quoted(text)
    assert (scan.pieces, scan.unterminated) == (pieces, False)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (b" 10k", (b"10k",)),
        (b' 3  4 "5 6" # c', (b"3 4 5 6 ",)),
        (b" 5#a", (b"5#a",)),
        (b" $N", (var(b"N"),)),
        (b'"5', (b"5",)),
        (b" \\\n  5\n6", (b"5",)),
        (b"#5", (b"#5",)),
    ],
)
def test_size(text: bytes, pieces: Pieces) -> None:
    scan = scan_size(text)
    assert (scan.pieces, scan.unterminated) == (pieces, False)


def test_literal() -> None:
    assert literal(()) == b""
    assert literal((b"x",)) == b"x"
    assert literal((b"x", _, b"y")) is None
    assert literal((var(b"x"),)) is None


CONDITIONS: list[tuple[bytes, tuple[object, ...]]] = [
    (b"", (REGEX, False, None, None, b"", b"")),
    (b" \tfoo  bar \t", (REGEX, False, None, None, b"foo  bar", b"foo  bar")),
    (b"!! !foo", (REGEX, True, None, None, b"foo", b"foo")),
    (b"5^0 3^0 a", (REGEX, False, (3.0, 0.0), None, b"a", b"a")),
    (b"! B ?? \\foo", (REGEX, True, None, b"B", b"\\foo", b"foo")),
    (b"V ?? W??abc", (REGEX, False, None, b"W", b"abc", b"abc")),
    (b"V-x ?? x", (REGEX, False, None, None, b"V-x ?? x", b"V-x ?? x")),
    (b"xa??y", (REGEX, False, None, b"xa", b"y", b"y")),
    (b"$ ! $V", (EXPAND, False, None, None, b"$ ! $V", b"! $V")),
    (b"? true\\\n  x", (PROGRAM, False, None, None, b"? true\\\n  x", b" true\\\n  x")),
    (b"? ! false", (PROGRAM, False, None, None, b"? ! false", b" ! false")),
    (b"< 10k", (SMALLER, False, None, None, b"< 10k", b" 10k")),
    (b"10^.5 V ?? ! > 3", (LARGER, True, (10.0, 0.5), b"V", b"> 3", b" 3")),
    (b"=> 10", (REGEX, False, None, None, b"=> 10", b"=> 10")),
    # continuations
    (b"a\\\n \t b", (REGEX, False, None, None, b"ab", b"ab")),
    (b"a \\\n b", (REGEX, False, None, None, b"a b", b"a b")),
    (b"! \\\n a", (REGEX, True, None, None, b"\\\na", b"\na")),
    (b"\n   * foo", (REGEX, False, None, None, b"\n* foo", b"\n* foo")),
    (b"$\\\n 5", (EXPAND, False, None, None, b"$5", b"5")),
    # weights: strtod(3)
    (b"1 ^ 1 a", (REGEX, False, (1.0, 1.0), None, b"a", b"a")),
    (b"1^1a", (REGEX, False, (1.0, 1.0), None, b"a", b"a")),
    (b"+1^-1", (REGEX, False, (1.0, -1.0), None, b"", b"")),
    (b"1e2^1 a", (REGEX, False, (100.0, 1.0), None, b"a", b"a")),
    (b"0x10^0x1p1 a", (REGEX, False, (16.0, 2.0), None, b"a", b"a")),
    (b"-inf^1", (REGEX, False, (-math.inf, 1.0), None, b"", b"")),
    (b"1e999^1", (REGEX, False, (math.inf, 1.0), None, b"", b"")),
    *((text, (REGEX, False, None, None, text, text)) for text in (b"1", b"-a", b".a", b"1 a", b"1^", b"1^a", b"12^^x")),
    *(
        (text, (REGEX, False, None, None, text, text))
        for text in (b"1^ a", b"inf^1", b"- 5^0", b"1,5^1", b".^1", b"0x^")
    ),
]


@pytest.mark.parametrize(("text", "expected"), CONDITIONS)
def test_condition(text: bytes, expected: tuple[object, ...]) -> None:
    assert conditions.read(text) == expected


def test_expanded_condition_keeps_its_prefixes() -> None:
    outer = conditions.read(b"! 2^1 B ?? $ $V")
    assert conditions.read(b"! W ?? abc", outer) == (REGEX, False, (2.0, 1.0), b"W", b"abc", b"abc")
    assert conditions.read(b"abc", outer) == (REGEX, True, (2.0, 1.0), b"B", b"abc", b"abc")


START_LINES: list[tuple[bytes, tuple[object, ...]]] = [
    # text, then count, flags, lock, skipped
    (b"0", (0, 0, None, b"")),
    (b" 00 ", (0, 0, None, b"")),
    (b"+2c", (2, start_line.CARBON_COPY, None, b"")),
    (b"", (1, 0, None, b"")),
    (b"-1", (1, 0, None, b"")),
    (b"A", (0, start_line.ALSO, None, b"")),
    (b"0 H B D", (0, start_line.HEAD | start_line.BODY | start_line.DISTINGUISH_CASE, None, b"")),
    (b"0 Dz:x y", (0, start_line.DISTINGUISH_CASE, None, b"z:x y")),
    (b"0 1 c", (0, 0, None, b"1 c")),
    (b"0c# x", (0, start_line.CARBON_COPY, None, b"# x")),
    (b"0 # c", (0, 0, None, b"")),
    (b"0:", (0, 0, b"", b"")),
    (b"0: # foo", (0, 0, b"", b"")),
    (b"0:c", (0, 0, (b"c",), b"")),
    (b"0 c : lock file extra", (0, start_line.CARBON_COPY, (b"lock",), b"file extra")),
    (b'0 "H :x y"', (0, start_line.HEAD, (b"x y",), b"")),
    (b'0: "a b".lck', (0, 0, (b"a b.lck",), b"")),
    (b'0 : ""', (0, 0, (b"",), b"")),
    (b"0 c:w:x", (0, start_line.CARBON_COPY, (b"w:x",), b"")),
]


@pytest.mark.parametrize(("text", "expected"), START_LINES)
def test_start_line(text: bytes, expected: tuple[object, ...]) -> None:
    words = start_line.split_words(scan_list(text, 0).pieces)
    assert words is not None
    read = start_line.read(words)
    assert (read.count, read.flags, read.lock, read.skipped) == expected


def test_start_line_with_expansions() -> None:
    assert start_line.split_words(scan_list(b"0 $F", 0).pieces) is None
    assert start_line.static_count(scan_list(b"2$F", 0).pieces) == 2
    assert start_line.static_count(scan_list(b"$N", 0).pieces) == 0
