"""The syntax of filter files, their patterns, and what the message looks like to them.

tests/cases/mailfilter/faults/*.filter are files that maildrop refuses, each with what is said of it in .out.  Runs of
filter files against the recorded behaviour of the reference are in tests/conformance/maildrop.
"""

import random
import shutil
from pathlib import Path

import pytest
from conftest import ROOT
from differential import maildrop as differential
from differential import pcre as patterns
from hypothesis import given, settings
from hypothesis import strategies as st

from pyprocmail.diagnostics import render
from pyprocmail.maildrop.arithmetic import is_true, real, written
from pyprocmail.maildrop.syntax import nodes
from pyprocmail.maildrop.syntax.compiled import compile_filter
from pyprocmail.maildrop.syntax.lexer import lex
from pyprocmail.maildrop.syntax.parse import parse, read
from pyprocmail.matching.pcre import DEAR_SEARCHES, LimitError, PatternError, Regex
from pyprocmail.message import address, mime
from pyprocmail.source import Source

FAULTS = sorted((ROOT / "tests" / "cases" / "mailfilter" / "faults").glob("*.filter"))


@pytest.mark.parametrize("path", FAULTS, ids=lambda path: path.stem)
def test_faults_are_told_with_their_place(path: Path, update_cases: bool) -> None:
    """The line of the reference, and ours, caret included."""
    data = path.read_bytes()
    lines = compile_filter(data, path.name.encode(), caret=True).lines
    told = b"".join((b"maildrop: " if named else b"") + text + b"\n" for named, text in lines).decode()
    expected = path.with_suffix(".out")
    if update_cases:
        expected.write_text(told)
    assert told == expected.read_text()


@given(st.binary(max_size=60) | st.text("if(){};\n\"'`/=~ae$\\#,1<&|!", max_size=40).map(str.encode))
def test_no_file_crashes_the_parser(data: bytes) -> None:
    """Whatever the bytes, there is a tree or a diagnostic that can be shown."""
    _, diagnostics = parse(data)
    for diagnostic in diagnostics:
        assert "^" in render(diagnostic, Source("f", data))
    assert compile_filter(data, b"f").program is not None or diagnostics


@given(st.text("ab \"'`/=~$\\#\n;", max_size=40).map(str.encode))
def test_lexemes_lie_in_order(data: bytes) -> None:
    """The spans do not overlap, and the last lexeme ends the file or is an error."""
    lexemes = lex(data)
    ends = 0
    for lexeme in lexemes:
        assert ends <= lexeme.span.start <= lexeme.span.end <= len(data)
        ends = lexeme.span.end
    assert lexemes[-1].type in ("EOF", "ERROR")


STATEMENTS = [
    "if (/a/)", "if (1) {", "{", "}", "else", "elsif (2)", 'to "x"', "A=1", "(A)=(B+1)*2", "A=B=", ")", "foreach /x/",
    "foreach (/x/)", "foreach 1", "exception {", 'dotlock "l" {', "# c", "; # c", "while (1 &&", '"x', "/x", "%",
    "exit",
    "cc 'y' \\ # c", "x", "", "'a' b", "a !~ /b/", "substr(a,1,2)", "length(", "\\q", "`d`", "} else", "!(a =~ /b/)",
]  # fmt: skip


def check_tree(data: bytes) -> list[str]:
    """The tree is the file, its spans nest; the kinds of its statements."""
    tree, diagnostics = parse(data)
    assert nodes.unparse(tree) == data
    kinds: list[str] = []
    todo: list[nodes.Node] = [tree]
    while todo:
        node = todo.pop()
        at = node.span.start
        for child in nodes.children(node):
            assert at <= child.span.start <= child.span.end
            assert child.span.end <= node.span.end or not diagnostics
            at = child.span.end
        kinds.append(type(node).__name__)
        todo += nodes.children(node)
    assert bool(diagnostics) == (read(data).fault is not None)
    assert "Faulty" not in kinds or diagnostics
    if not diagnostics:
        assert compile_filter(data, b"f").program is not None
    return kinds


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(STATEMENTS), max_size=12).map("\n".join) | st.text("if(){};\n\"'`/=~ae$\\#,1<&|!"))
def test_a_tree_is_its_file(text: str) -> None:
    """Whatever stands in it, faults included."""
    check_tree(text.encode())


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_a_tree_is_its_file_of_any_bytes(data: bytes) -> None:
    """The same for what nobody writes."""
    check_tree(data)


def test_trees_of_files() -> None:
    """And for what people write."""
    files = [path for path in ROOT.glob("tests/**/*mailfilter") if path.is_file()]
    assert files
    for path in [*FAULTS, *files]:
        check_tree(path.read_bytes())


def test_the_parser_goes_on_behind_a_fault() -> None:
    """Each fault is told, and the statements between them are there."""
    data = (
        b'A=1 # one\nB==\nif (/x/) {\n  to "a"\n}\nelse\n{\n  cc )\n  C=2\n} # two\n\'\nfor each\nexit\n'
        b'while (1)\n{\n  to "b" \\ # three\n'
    )
    tree, diagnostics = parse(data)
    assert [data.count(b"\n", 0, diagnostic.span.start) + 1 for diagnostic in diagnostics] == [2, 3, 8, 11, 15]
    assert read(data).fault is not None
    kinds = check_tree(data)
    assert [kinds.count(kind) for kind in ("Faulty", "If", "Command", "Assign", "While")] == [3, 1, 3, 2, 1]
    assert [comment.raw for comment in nodes.comments(tree)] == [b"# one", b"# two", b"# three"]


def test_parentheses_are_kept() -> None:
    """With the expression that they hold together."""
    (statement,) = parse(b"A=((B + 1)) * 2\n")[0].statements
    assert isinstance(statement, nodes.Evaluate)
    assert isinstance(statement.expression, nodes.Assign)
    product = statement.expression.value
    assert isinstance(product, nodes.Binary)
    assert product.left.parentheses is not None
    assert [lexeme.raw for lexeme in product.left.parentheses.lexemes()] == [b"(", b")", b"(", b")"]


def test_else_belongs_to_the_nearest_if() -> None:
    """As the manual says of statements without braces."""
    parsed = read(b"if (1)\nif (0)\nA=1\nelse\nA=2\n")
    assert parsed.tree is not None
    (outer,) = parsed.tree.statements
    assert getattr(outer, "otherwise", "?") is None


# -- patterns ------------------------------------------------------------------------------


def test_look_around_and_back_references_go_to_pcre2() -> None:
    """And what RE2 understands as Perl does stays there."""
    assert not Regex(rb"(?<=a)b", fold=True).linear
    assert not Regex(rb"(a)\1", fold=True).linear
    assert Regex(rb"^Subject:\s*(.*invoice)\b", fold=True).linear


@pytest.mark.parametrize(
    "text", [rb"(?=(a+))(a+)+\2{2}$", rb"^(?:(a|aa))+\1(?=!!)", rb"(*LIMIT_MATCH=4000000000)(?=a)(a+)+(?=!!)"]
)
def test_the_match_limit_ends_a_search(text: bytes) -> None:
    """Backtracking that would take longer than anybody lives ends, and no pattern can ask for more of it."""
    regex = Regex(text, fold=False)
    assert not regex.linear
    with pytest.raises(LimitError):
        regex.search(b"a" * 60 + b"!")


@pytest.mark.parametrize("text", [rb"(", rb"[", rb"a**", rb"(?<n", rb"\2", rb"a{2,1}"])
def test_a_bad_pattern_is_refused(text: bytes) -> None:
    """At once, not when it is searched."""
    with pytest.raises(PatternError):
        Regex(text, fold=True)


@pytest.mark.parametrize(
    ("text", "subject", "span"),
    [
        (b"(?=x)x\\x{e9}", "ax\u00e9", (1, 4)),
        (b"(?=a)a{,3}b", "aab a{,3}b", (4, 10)),
        (b"(?=a)a{ 1, 3 }b", "aab", None),
        (b"(?=a)a{1,3}b", "aab", (0, 3)),
        (b"(?=a)\\Qa{,3}\\E", "a{,3}", (0, 5)),
        (b"[\\w-.]+$", "x a-b.c", (2, 7)),
        (b"[[:alpha:]-.]+$", "x a-b.c", (2, 7)),
        (b"[^\\s-\\d]+$", "1-ab", (2, 4)),
        (b"(?#[\\w-)x", "x", (0, 1)),
        (b"\\c[(?=b)b{,1}", "\x1bb{,1}", (0, 6)),
    ],
)
def test_pcre2_is_asked_in_the_words_of_maildrop(text: bytes, subject: str, span: tuple[int, int] | None) -> None:
    """PCRE2 reads some of them otherwise than the PCRE of maildrop 2.9.3 does."""
    found = Regex(text, fold=False).search(subject.encode())
    assert (found and found[0]) == span


def test_the_offset_of_a_fault_is_that_of_what_was_written() -> None:
    """Backslashes that PCRE2 is given do not count."""
    with pytest.raises(PatternError) as caught:
        Regex(b"{,3}[\\w-.](x", fold=False)
    assert (caught.value.offset, caught.value.reason) == (12, "missing )")


def test_a_mail_of_many_dear_lines_is_given_up() -> None:
    """One line may take long, and a few; a mail has as many lines as its sender likes."""
    regex = Regex(b"^(?=x|a)(a+)+$", fold=False)
    dear, cheap = b"a" * 17 + b"!", b"aaa"
    for _ in range(DEAR_SEARCHES):
        assert regex.search(dear) is None
    assert regex.search(cheap) is not None
    with pytest.raises(LimitError):
        regex.search(dear)
    regex.afresh()
    assert regex.search(dear) is None


ATOMS = [
    "a", "b", ".", "[ab]", "[^a]", "\\w", "\\s", "\\b", "^", "$", "(", "(?:", ")", "|", "*", "+", "?", "{1,2}", "*?",
    "\u00e9", "[a-z]", "\\.", "B", "\\d", " ", "{", "]", "[-a]", "[]a]", "\\S", "K",
]  # fmt: skip
SUBJECTS = [
    "",
    "ab",
    "aab",
    "ba b",
    "xAb",
    "\u00e9",
    "\u00c9 \u00e9",
    "a1",
    "b\n",
    "a-b.x",
    "{a}",
    "\u017f",
    "\u212a",
    "aBa\n",
]


def test_re2_and_pcre2_agree_where_re2_is_trusted() -> None:
    """The same span for every group."""
    pick = random.Random(3)
    compared = 0
    for number in range(3000):
        text = "".join(pick.choice(ATOMS) for _ in range(pick.randint(1, 7))).encode()
        try:
            regex = Regex(text, fold=bool(number % 2))
        except PatternError:
            continue
        if regex.linear:
            compared += 1
            for subject in SUBJECTS:
                data = subject.encode()
                assert regex.search(data) == regex._search_perl(data, 0), (text, subject)
                if regex.search(data) and "\n" not in subject:
                    lines = b"q\n" + data + b"\nz"
                    lowered = lines.lower() if lines.isascii() else None
                    assert regex.first_line(lines, lowered) >= 0, (text, subject)
    assert compared > 1000


@pytest.mark.parametrize(
    ("text", "fold", "literal"),
    [
        (b"^Subject:.*Invoice", True, b"invoice"),
        (b"^Subject:.*Invoice", False, b"Invoice"),
        (b"^Subject: *", True, b""),
        (b"^(To|Cc):.*me@example\\.com", True, b"me@example.com"),
        (b"abcdef|x", True, b""),
        (b"(abcdef|x)yz", True, b"yz"),
        (b"abcde?f", True, b"abcd"),
        (b"abc{0}de+", True, b"ab"),
        ("a\\db\u00e9cde".encode(), True, b"cde"),
    ],
)
def test_the_literal_text_of_a_pattern(text: bytes, fold: bool, literal: bytes) -> None:
    assert Regex(text, fold=fold)._literal == literal


# -- values --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"0.1", b"0.1000000000000000055511"),
        (b" 12x", b"12"),
        (b"0x10", b"16"),
        (b"1e", b"1"),
        (b".", b"0"),
        (b"-inf", b"-inf"),
    ],
)
def test_numbers(text: bytes, number: bytes) -> None:
    """As atof and printf have them."""
    assert written(real(text)) == number


@pytest.mark.parametrize("text", [b"", b" ", b"0", b" 0 ", b".0", b"0.00", b"0.5 ", b". "])
def test_false(text: bytes) -> None:
    """What counts as false."""
    assert not is_true(text)


# -- the message ---------------------------------------------------------------------------


def test_lines_of_a_mime_message() -> None:
    """Fields unfolded and decoded; text parts decoded; a part's last line goes on in the next one."""
    data = (
        b'From: "Plain Name" <a@b>\nSubject: =?utf-8?Q?=C3=A9?=\n =?utf-8?Q?t?= x\nMime-Version: 1.0\n'
        b"Content-Type: multipart/mixed; boundary=z\n\npre\n--z\nContent-Type: text/plain; charset=iso-8859-1\n"
        b"Content-Transfer-Encoding: quoted-printable\n\n=E9 soft=\n line\nend\n--z\n"
        b"Content-Type: image/gif\n\nGIF\n--z\n\nnext\n--z--\n"
    )
    view = mime.View(data)
    header, body, whole = (list(view.lines(area)) for area in (mime.HEADER, mime.BODY, mime.HEADER | mime.BODY))
    assert header[:2] == [b"From: Plain Name <a@b>", "Subject: \u00e9t x".encode()]
    assert body == ["\u00e9 soft line".encode(), b"endnext"]
    # Only in the text of both, the line that goes on meets the next part's header first.
    assert whole[-2:] == [b"endContent-Type: image/gif", b"next"]


def test_a_message_of_many_parts() -> None:
    """What follows the last part that is told apart is still searched."""
    data = (
        b"Mime-Version: 1.0\nContent-Type: multipart/mixed; boundary=z\n\n" + b"--z\n\nx\n" * 12_000 + b"spam\n--z--\n"
    )
    assert len(mime.parse(data).children) == 10_000
    assert b"spam" in mime.View(data).lines(mime.BODY)


def test_parts_have_the_character_set_of_their_multipart() -> None:
    """Unless they name one; a message in a message begins anew."""
    data = (
        b"Mime-Version: 1.0\nContent-Type: multipart/mixed; boundary=z; charset=iso-8859-1\n\n--z\n\n\xe9\n\n--z\n"
        b"Content-Type: text/plain; charset=koi8-r\n\n\xe9\n\n--z\n"
        b"Content-Type: message/rfc822\n\nS: x\n\n\xe9!\n--z--\n"
    )
    assert list(mime.View(data).lines(mime.BODY)) == ["\u00e9".encode(), "\u0418".encode(), b"!"]


# What the reference makes of them.
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b'"" A " P" <a@b>', b'"\\" A \\" P" <a@b>'),
        (b'"a\\b" <a@b>', b"ab <a@b>"),
        (b'a"b"c <a@b>', b'"a\\"b\\"c" <a@b>'),
        (b"x(c) <a@b>", b'"x (c)" <a@b>'),
        (b"y z(c) J.  :y <a@b>", b'"y z(c) J.  :y" <a@b>'),
        (b'a@b (c"d)', b'"c\\"d" <a@b>'),
        (b'News@x, "Update@y"@n.com: <i@n>', b'News@x, "Update@y\\"@n.com:" <i@n>'),
        (b"a (b) c: d", b"b <a>, c: d"),
        (b'"a" "b": c;', b"a b: c;"),
        (b"a [b]: c@d", b"a[b]:c@d"),
        (b"x < y", b"x <y>"),
        (b"<a@b>, x <", b"a@bx"),
        (b"x, (cc), y", b"x, cc y"),
        (b"x (a <b@c>", b'x, "(a <b@c>"'),
        (b"a@b > c@d", b"a@b, c@d"),
        (b"<x <y@z>", b"x y@z"),
        (b"<>, a@b", b", a@b"),
        (b"=?utf-8?Q?=22b=22?= <c@d>", b'"\\"b\\"" <c@d>'),
    ],
)
def test_addresses_as_they_are_searched(text: bytes, shown: bytes) -> None:
    """However broken."""
    assert mime.addresses(text) == shown


def test_base64_that_is_none() -> None:
    """Each group of four by itself; `=` stands for a number unless it leaves out a byte."""
    for text, meant in (
        (b"YQ==\nYWI=\nYWJj\n", b"aababc"),
        (b"aG==bG8K\nbG8K", b"hlo\nlo\n"),
        (b"a=GV", b"n\x31\x95"),
        (b"YW*Jj YQ", b"abc"),
    ):
        assert mime.from_base64(text) == meant


@given(st.binary(max_size=300))
def test_no_message_is_too_broken(data: bytes) -> None:
    """Strangers write mail."""
    mime.View(data).text(mime.HEADER | mime.BODY).decode()
    address.parse(data)


def test_nested_parts_end() -> None:
    """A message of a thousand parts in parts is no deep recursion."""
    data = b"Mime-Version: 1.0\n" + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(1000)
    )
    assert mime.View(data + b"\nx\n").text(mime.HEADER)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*differential.KINDS])
def test_agrees_with_the_installed_maildrop(kind: str) -> None:
    """Random filter files through both."""
    if not shutil.which("maildrop", path="/usr/bin:/bin"):
        pytest.skip("the reference maildrop is not installed (apt-get install maildrop)")
    found, broken = differential.differences(kind, range(5000, 5100))
    assert found == [], "\n".join(found)
    assert broken < 60


def test_a_few_patterns_against_pcre2() -> None:
    """What RE2 answers for a pattern is what PCRE2 answers."""
    for wild in (False, True):
        assert [line for seed in range(1500) for line in patterns.differing(seed, texts=6, wild=wild)] == []


@pytest.mark.slow
def test_many_patterns_against_pcre2() -> None:
    """The same for patterns enough to meet rare combinations."""
    assert [line for seed in range(10_000, 40_000) for line in patterns.differing(seed)] == []


@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=pytest.mark.slow if part < 2 else pytest.mark.torture) for part in range(8)]
)
def test_a_million_wild_comparisons(part: int) -> None:
    """Everything that PCRE2 knows, signs in any order, and any bytes: RE2 is trusted with what is the same."""
    outcomes = [patterns.compare(seed, wild=True) for seed in range(part * 25_000, (part + 1) * 25_000)]
    assert [line for outcome in outcomes for line in outcome.found] == []
    assert sum(outcome.compared for outcome in outcomes) > 125_000
