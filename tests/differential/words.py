"""Kind "words": a soup of the rcfile's syntax in values, action words, lock names, commands and conditions."""

from __future__ import annotations

import random
import re

from differential.cases import Case, File
from pyprocmail.procmail.compiled.pieces import ALTERNATIVE
from pyprocmail.procmail.syntax.nodes import Node, Word, children
from pyprocmail.procmail.syntax.parse import parse

ARGS = rb"""#!/bin/sh
for word; do printf '<%s>' "$word" >&2; done
echo >&2
for word; do printf '<%s>' "$word"; done
echo
cat >/dev/null
exit 0
"""
"""A program that shows its words, in the log and on its output."""

TEXT = [
    "a", "b", "foo", "x1", "_", "-", "7", ".", ",", "/", "=", ":", "%", "@", "!", "~", "a b", "\xe9", "\xff",
    " ", " ", "  ", "\t", "\\\n", "\n", " \\\n  ", "\r", "\v", "\f", "\0",
    "#", "#", " # c", " #", "#c", "\\#c", ";", " ; ", "&", "|", "<", ">", "*", "?", "[", "(", ")", "{", "{ ", "}", "}",
]  # fmt: skip
QUOTES = [
    '"', '"', "'", "'", "\\", "\\\\", '\\"', "\\'", "\\$", "\\`", "\\#", "\\a", "\\ ", "\\}", '""', "''", "'a b'",
    '"a b"', '" x "', "'$A'", '"$B"', '"\n"', "'\n'",
]  # fmt: skip
VARIABLES = [
    "$A", "$B", "$E", "$U", "$Q", "$N", "$S", "$G", "$P", "$D", "$BS", "$A1", "$_", "$-", "$?", "$#", "$=", "$0", "$1",
    "$2", "$9", "$10", "$@", '"$@"', '"$@"', "$*", "$", "$!", "$.", "$ ", '$"', "$'", "$\\A", "$\\P", "$\\U", "$\\1",
    "$\\", "$\\_", "$\\{A}", "${A}", "${B}", "${E}", "${U}", "${1}", "${12}", "${_}", "${-}", "${?}", "${=}", "${#}",
    "${@}", "${}", "${A", "${", "${ A}", "${A }", "${A%x}", "${bad!x}", "${A:", "${A:x}", "${\\A}", "${A}x}", "$A$B",
    "${U:-x}", "${U:-a b}", '${U:-"a b"}', "${E-e}", "${E:-e}", "${A:+y}", "${U:+n}",
    "${U+n}", "${E:+n}", "${E+n}", "${U:-$B}", '"${U:-$B}"', '"${U:-"q x"}"', "${U:-${E:-deep}}", "${U:-'}'}",
    '${U:-"}"}', "${U:-\\}}", "${1:-one}", "${9:-nine}", "${U:-`echo z`}", "${U:-\n}", "${U:- x}", "${U:-#}",
]  # fmt: skip
BACKQUOTES = [
    "`echo o`", "`echo 'a  b'`", '`echo "a b"`', '"`echo a  b`"', "`echo $A`", "`echo \\$A`", "`args $B x`",
    '`args "$B" x`', "`args a;args b`", "`true`", "``", "`printf 'a\\n\\n'`", "`printf a`", '`args "$@" $1`',
    "`echo \\`echo n\\``", '"`echo \\"q\\"`"', '"`echo "q"`"', "`echo \\\\x`", "`exit 3;`", "`nosuch`", "`echo $\\A`",
]  # fmt: skip
STATEMENTS = [
    "9X=b", "-foo=b", "foo-bar=b", 'A"B"=c', "A+=b", "=x", "$X=1", "!foo", "| foo", "{ x", "'x'", "}", "A:b", "X",
    "X Y Z", "X= Y =Z", "X\t=\tb", "\\X=1", "X\\=1", "X\r=1", "X =", "X=", "X=#c", "X=\\", "X#c", "X;Y=1", "X=1;Y=2",
    "X=1 Y=2   Z", "X = a b c", ".", "*", "X,Y", "\xe9=1", "X\xe9=1", "\0", "X=a\0b", "X\0=1", "\v", "\f\fX=1", "#",
    "# X=1\\", "#\\\nX=2", "`echo X`=1", '"X"=1', "X=1}", "{ }", ":", "::", ":x", ": 0",
]  # fmt: skip
ARGUMENTS = [b"one", b"two words", b"", b"a;b", b'"q"', b"$A", b" ", b"x\ty", b"\xe9", b"-m", b"A=b", b"'"]

HEAD = rb"""LOGFILE=log
VERBOSE=yes
LOCKSLEEP=0
SHELL=/bin/sh
PATH=@DIR@/bin:/usr/bin:/bin
DEFAULT=/dev/null
SENDMAIL=args
NULL=/dev/null
F=c
O=0
ARGS=args
A=a
B="b  c "
E=
Q='"'
N="
"
S="	s "
G=">x;y"
P='.*[$(|'
D='$A'
BS='\'
"""
MAIL = b"From a@b Thu Jan  1 00:00:00 2026\nFrom: a@b\nSubject: hello\n\nbody\n"


def generate(rng: random.Random) -> Case:
    """An rcfile of a few statements made of soup, and arguments for it."""
    rcfile = _statements(rng)
    while _leaves_open(rcfile):
        rcfile = _statements(rng)
    if rng.random() < 0.15:
        rcfile = rcfile.rstrip(b"\n")
    if rng.random() < 0.03:
        rcfile = rcfile.replace(b"\n", b"\r\n")
    return Case(
        rcfile,
        MAIL,
        (b"-m", b"rc", *rng.choices(ARGUMENTS, k=rng.choice([0, 0, 1, 2, 3, 10]))),
        files={"bin/args": File(ARGS, 0o755), "box": File(b"From x\n\nold\n\n")},
        dirs=dict.fromkeys(("d", "d/new", "d/cur", "d/tmp"), 493),
    )


def _statements(rng: random.Random) -> bytes:
    statements = [rng.choice(_KINDS)(rng) for _ in range(rng.randint(1, 6))]
    # The number of a process is not always a word of its own, by which it could be told and masked.
    text = re.sub(r"\$(?:\\?\$)+", "$", "".join(statements))
    # A command of no words gets the arguments of a `"$@"` that stands in the reference's memory where its words would.
    return HEAD + re.sub(r"\$@([^`]*)`(?=\s*(?:`|\Z))", r"$@\1`true", text).encode("latin-1")


def _leaves_open(rcfile: bytes) -> bool:
    """Whether a word has a `${NAME:-` that is not closed: of that the reference remembers in words of other lines."""
    todo: list[Node] = [parse(rcfile, strict=True)[0]]
    while todo:
        node = todo.pop()
        todo += children(node)
        pieces = node.pieces if isinstance(node, Word) else ()
        if any(isinstance(piece, tuple) and piece[0] == ALTERNATIVE and len(piece) > 4 for piece in pieces):
            return True
    return False


def _soup(rng: random.Random, most: int = 6) -> str:
    tokens = rng.choices([TEXT, QUOTES, VARIABLES, BACKQUOTES], [10, 4, 12, 4], k=rng.randint(0, most))
    return "".join(rng.choice(kind) for kind in tokens)


def _shown(*names: str) -> str:
    return 'LOG="' + "".join(f"[${name}]" for name in names) + '\n"\n'


def _assignment(rng: random.Random) -> str:
    name = rng.choice(["X", "Y", "Z", "A", "_a", "X1", "LONG_NAME_2", "x"])
    return name + rng.choice(["=", "=", "=", "= ", " = ", "\t=\t"]) + _soup(rng) + "\n" + _shown("X")


def _odd_statement(rng: random.Random) -> str:
    statement = rng.choice(STATEMENTS)
    # What `:` with an expansion behind it is, is decided before anything is expanded: see pyprocmail-compat(7).
    soup = "" if ":" in statement else rng.choice(["", " " + _soup(rng, 3)])
    return statement + soup + "\n" + _shown("X", "Y")


def _folder(rng: random.Random) -> str:
    start = rng.choice([":0 c", ":0c", ":0 ch", ":0 cb"])
    lock = rng.choice(["", "", "", ":", ": " + _soup(rng, 3), ":l.lock"])
    first = rng.choice(["/dev/null", "/dev/null ", "d/ ", "d/", "d ", "", "$NULL ", "box "])
    # The rcfile is no folder: the reference reads on in what it has delivered to it.
    return start + lock + "\n" + first + _soup(rng, 4).replace("$_", "$-") + "\n"


def _forward(rng: random.Random) -> str:
    return ":0 " + rng.choice(["cwi", "cwi", "cwhi"]) + "\n!" + rng.choice(["", " "]) + _soup(rng, 5) + "\n"


def _pipe(rng: random.Random) -> str:
    start = rng.choice(["cwi", "cwi", "cWi", "fwi", "fhwi", "cwi:" + _soup(rng, 2)])
    program = rng.choice(["args ", " args ", "args ", "printf '%s,' ", "echo ", "true ", "test ", "", "$ARGS "])
    return ":0 " + start + "\n|" + program + _soup(rng, 5) + "\n"


def _capture(rng: random.Random) -> str:
    start = rng.choice(["wi", "wi", "wih", "Wi"])
    name = rng.choice(["X=|", "X = |", "X=| ", "Y=|", "X\t=\t|", "_a=|"])
    program = rng.choice(["args ", " args ", "echo ", "printf %s ", ""])
    return ":0 " + start + "\n" + name + program + _soup(rng, 5) + "\n" + _shown("X")


def _condition(rng: random.Random) -> str:
    marks = ["$ ", "$", "$ ^", "? args ", "? ", "> ", "< ", "X ?? $ ", "! $ ", "A ?? ", "$ A ?? ", "B ?? ? args "]
    mark = rng.choice([*marks, "1^1 $ ", "! ? echo "])
    start = ":0" + rng.choice(["", " B", " D"])
    return start + "\n*" + rng.choice(["", " "]) + mark + _soup(rng, 5) + '\n{ LOG="yes\n" }\n'


def _start(rng: random.Random) -> str:
    start = rng.choice(["0", "0 ", "0:", "1", "0$F", "0$E", "0 c$E", '0"c"', "0 `echo c`", "0 '", "0c"])
    flags = rng.choice(["", _soup(rng, 3)]) + rng.choice(["", ":", ":" + _soup(rng, 3)])
    condition = rng.choice(["* ^From\n", "", "^From\n"])
    # Nobody waits for the copy that a block with `c` makes, nor for a pipe: when its lines come to the log is chance.
    actions = ["/dev/null\n", "X=| echo x\n"]
    if "c" not in start and "F" not in start:
        actions.append("{ X=1 }\n")
    return ":" + start + flags + "\n" + condition + rng.choice(actions)


def _setting(rng: random.Random) -> str:
    statements = [
        "SHELLMETAS",
        "SHELLMETAS=",
        "SHELLMETAS='&|<>~;?*['",
        "SHELLMETAS=b",
        f"LINEBUF={rng.choice([128, 130, 140, 150, 200, 300, 2048])}",
        f"SHIFT={rng.choice(['1', '2', '9', '-1', 'x', '0', '$#'])}",
        f"SHELL={rng.choice(['/bin/sh', 'args', '/nonexistent'])}",
        f"SHELLFLAGS={rng.choice(['-c', '-ec', ''])}",
        "A",
        f"A={_soup(rng, 2)}",
        'B=`echo "$A  $A"`',
        f"LOCKEXT={rng.choice(['.lock', '.l', '$A'])}",
        f"SENDMAILFLAGS={rng.choice(['', '-oi'])}",
        f"LONG={'0123456789' * rng.choice([5, 12, 13, 20, 204, 205])}",
        'X="$LONG$LONG"',
        f"X=$LONG{_soup(rng, 2)}",
    ]
    return rng.choice(statements) + "\n"


_KINDS = [
    *[_assignment] * 6,
    *[_odd_statement] * 2,
    _folder,
    *[_forward] * 2,
    *[_pipe] * 3,
    _capture,
    *[_condition] * 2,
    _start,
    *[_setting] * 2,
]
