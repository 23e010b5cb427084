"""Cases about conditions and their scores: weights, sizes, programs, areas, MATCH, `$` conditions, macros."""

from __future__ import annotations

import random

from differential.cases import Case, File

_WEIGHTS = (
    "1",
    "0",
    "-1",
    "5",
    ".5",
    "-.5",
    "10",
    "100",
    "1.9",
    "2147483647",
    "-2147483647",
    "3",
    "1e2",
    "+2",
    "0x10",
    "1,",
    "-0",
    ".",
)
_POWERS = ("0", "1", "1", "0", ".5", "2", "-1", ".9", "-.5", "1.5", "0.99", "1e1", "+1", "", "-2", "10")
_ATOMS = (
    "a",
    "b",
    "o",
    "l",
    ".",
    "[a-m]",
    "[^a-m]",
    "^",
    "$",
    "()",
    "x",
    "A",
    " ",
    "\\<",
    "\\>",
    "e",
    "li",
    "(a|b)",
    "\n",
)
_PATTERNS = (
    "^Subject",
    "zz",
    ".*",
    "^.*$",
    "^",
    "$",
    "",
    "a",
    "line",
    "^From",
    "^TO_x",
    "^TOx",
    "^FROM_DAEMON",
    "^FROM_MAILER",
    "^^",
    "^^From",
    "z^^",
    "()\\<li",
    "\\<li",
    "Subject:.*\\/[a-z]+",
    "a\\/.",
    "\\/line",
    "()\\/li.*",
    "[",
    "(",
    ")",
    "*",
    "a**",
    "o+",
    "l?",
    "^$",
    ".+",
    "LINE",
    "^TO_(x|a)@",
    "(^TO_|^Subject:).*[xh]",
    "5 lines",
    "x??y",
)
_PROGRAMS = (
    "true",
    "false",
    "exit 3;",
    "exit 200;",
    "grep -q line",
    "grep -c o;",
    'test -n "$V"',
    "kill -9 $$;",
    "kill -15 $$;",
    "exit 1;",
    "sh -c 'exit 4'",
    "echo $V",
)
_LIMITS = (
    "10",
    "0",
    "100",
    "45",
    "-5",
    "1000",
    "150",
    "10k",
    "= 10",
    "abc",
    "",
    "$N",
    "1e3",
    '"20"',
    "99999999999999999999",
    " 7",
    "+3",
    "`echo 5`",
    "3 # c",
)
_AREAS = ("B ??", "H ??", "HB ??", "BH ??", "V ??", "W ??", "UNSET ??", "MATCH ??", "b ??", "V??")
_WORDS = ("line", "body", "lo", "a", "aa", "aba", "xo", "Line", "ol", "l", "hello", "o o", "b")


def generate(rng: random.Random) -> Case:
    """A case."""
    lines = [
        "LOGFILE=log",
        "DEFAULT=def",
        "VERBOSE=yes",
        f"V='{rng.choice(_VALUES)}'",
        f"W='{rng.choice(_VALUES)}'",
        f"N={rng.choice(_LIMITS[:7]) or 4}",
    ]
    for _ in range(rng.randint(1, 6)):
        lines += _recipe(rng)
        lines.append('LOG="=> $= $RES [$MATCH]\n" RES')
    mail = _mail(rng)
    # Without VERBOSE conditions are tested another way.
    lines[lines.index("VERBOSE=yes")] = rng.choice(("VERBOSE=yes", "VERBOSE=no"))
    return Case(
        ("\n".join(lines) + "\n").encode(),
        mail,
        (b"-m", b"rc", b"arg"),
        {"def": File(b"From x\n\nold\n\n"), "m": File(b"From x\n\nold\n\n")},
    )


_VALUES = (
    "abc",
    "",
    "a.b*c",
    "! abc",
    "? true",
    "B ?? line",
    "5^0 a",
    "$ $W",
    "zz",
    "a b  a",
    "(x|a)",
    "1^1 o",
    "> 10",
    "^TO_",
    "li",
    "line\nbody",
    "\\",
    "[a",
    "$V",
    "-3^1 l",
    "< 5",
    "aaa",
    "W ?? a",
)


def _mail(rng: random.Random) -> bytes:
    head = ["From a@b.c Thu Jan  1 00:00:00 2026"] if rng.random() < 0.7 else []
    head += [
        rng.choice(("From: a@b.c", "From: root@x", "From: MAILER-DAEMON")),
        rng.choice(("To: x@y.z", "Cc: q, x@y", "To: a-x")),
    ]
    head += rng.sample(
        ("Subject: hello world", "Subject: 5^0 a", "Precedence: bulk", "X-A: a\n b\n\tc", "Subject:", "x: y"),
        rng.randint(0, 3),
    )
    body = [" ".join(rng.choices(_WORDS, k=rng.randint(0, 5))) for _ in range(rng.randint(0, 5))]
    return ("\n".join([*head, "", *body]) + rng.choice(("\n", "\n", "", "\n\n"))).encode()


def _recipe(rng: random.Random) -> list[str]:
    flags = "".join(flag for flag in "HBDAEae" if rng.random() < (0.25 if flag in "HBD" else 0.06))
    conditions = [
        "*" + rng.choice((" ", " ", "", "  ")) + _condition(rng) for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4)))
    ]
    action = rng.choice(
        ("{ RES=hit }", "{ RES=hit }", '{ RES="$=" }', '{ LOG="in $= $?\n" }', "{\n:0\n* 3^0\n{ RES=in }\n}")
    )
    return [rng.choice((":0 ", ":0 ", ":0")) + flags, *conditions, action]


def _condition(rng: random.Random) -> str:
    prefixes = []
    if rng.random() < 0.6:
        prefixes.append(_weight(rng))
    if rng.random() < 0.2:
        prefixes.append(rng.choice(("!", "!", "! ", "! !", "!!")))
    if rng.random() < 0.25:
        prefixes.append(rng.choice(_AREAS))
    if rng.random() < 0.05:
        prefixes.append(_weight(rng))
    rng.shuffle(prefixes)
    chance = rng.random()
    if chance < 0.62:
        what = rng.choice(_PATTERNS) if rng.random() < 0.5 else _pattern(rng)
    elif chance < 0.74:
        what = rng.choice("<>") + rng.choice((" ", "", "  ")) + rng.choice(_LIMITS)
    elif chance < 0.86:
        what = "? " + rng.choice(_PROGRAMS)
    else:
        what = "$ " + rng.choice(
            (
                "$V",
                "$W",
                "$\\V",
                "a$V",
                "^$V",
                "$V$W",
                '"$V"',
                "${V:-zz}",
                "$UNSET",
                "$1",
                "! $V",
                "$=^0 o",
                "`echo a`",
                "$ $V",
                "l$",
                "a\\.b",
                "'a'",
            )
        )
        if rng.random() < 0.3:
            return what
    return rng.choice((" ", " ", "")).join([*prefixes, what]) + rng.choice(("", "", "", " ", "\t"))


def _weight(rng: random.Random) -> str:
    return rng.choice(_WEIGHTS) + rng.choice(("^", "^", "^", " ^ ", "^ ")) + rng.choice(_POWERS)


def _pattern(rng: random.Random) -> str:
    text = "".join(rng.choice(_ATOMS) + rng.choice(("", "", "", "*", "+", "?")) for _ in range(rng.randint(1, 4)))
    text = text.replace("\n", "\\\n  ")
    if rng.random() < 0.15:
        at = rng.randint(0, len(text))
        text = text[:at] + "\\/" + text[at:]
    return text
