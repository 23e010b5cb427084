"""Kind "patterns": random patterns on random texts, with MATCH, areas, D and scores.

What makes the reference loop for ever is nearly left out, as far as it is known: groups that can match
nothing are rarely repeated.
"""

from __future__ import annotations

import random

from differential.cases import Case

PLAIN = ["a", "b", "c", "A", "B", ".", "[ab]", "[^a]", "[^b]", "^", "$"]
RARE = [
    "\\<",
    "\\>",
    "^^",
    "\\.",
    "[a-b]",
    "x",
    "\\a",
    " ",
    "\\n",
    "-",
    "!",
    "[\xe0-\xff]",
    "[^\xe9]",
    "[]a]",
    "[^]a]",
    "$$",
    "^^^",
]
BROKEN = ["(", ")", "[", "[a-", "]", "\\", "*", "+", "?", "[:a:]", "[^^]", "^TO_", "^TO", "\\^TO_", "\xe9", "[$]"]
TEXTS = [
    "a",
    "b",
    "c",
    "ab",
    "ba",
    "A",
    "B",
    "x",
    "\n",
    "\n",
    " ",
    "abc",
    "aab",
    "\xe9",
    ".",
    "\t",
    "\n\n",
    "bb",
    "-",
    "_",
]
PREFIXES = [
    "",
    "",
    "",
    "",
    "! ",
    "V ?? ",
    "B ?? ",
    "HB ?? ",
    "H ?? ",
    "1^1 ",
    "1^1 ",
    "1^0 ",
    "2^.5 ",
    "V ?? 1^1 ",
    "-1^2 ",
    "! 3^1 ",
]
_CANNOT_BEGIN = "!$?<>0123456789-+.,\\"


def generate(rng: random.Random) -> Case:
    """A mail and a few conditions on it."""
    body = _text(rng, 12)
    header = "Subject: " + _text(rng, 6).replace("\n", rng.choice(["\n ", "\nX: "]))
    lines = ["LOGFILE=log", "VERBOSE=yes", "DEFAULT=/dev/null", f"V='{_text(rng, 8)}'"]
    for _ in range(rng.randint(2, 5)):
        lines += [
            "MATCH=none",
            f":0{rng.choice(['B', 'B', 'B', '', 'HB', 'D', 'BD', 'HBD'])}",
            f"* {_condition(rng)}",
            '{ LOG="held [$MATCH] $=\n" }',
        ]
    # Without VERBOSE conditions are tested another way.
    lines[lines.index("VERBOSE=yes")] = rng.choice(("VERBOSE=yes", "VERBOSE=no"))
    return Case("\n".join(lines).encode("latin-1") + b"\n", f"From: a@b\n{header}\n\n{body}".encode("latin-1"))


def _text(rng: random.Random, most: int) -> str:
    return "".join(rng.choices(TEXTS, k=rng.randint(0, most)))


def _condition(rng: random.Random) -> str:
    text, _ = _pattern(rng, rng.randint(0, 3))
    if rng.random() < 0.5:
        text = _with_split(rng, text)
    if text[:1] in _CANNOT_BEGIN:
        text = "()" + text
    return rng.choice(PREFIXES) + text


def _pattern(rng: random.Random, depth: int) -> tuple[str, bool]:
    """A pattern, and whether it can match nothing."""
    parts, nothing, empty = "", True, True
    for _ in range(rng.choice([1, 1, 2, 2, 3, 4])):
        part, empty = _group(rng, depth) if depth and rng.random() < 0.35 else _atom(rng)
        quantifier = rng.choice(["", "", "", "", "*", "+", "?"]) if not empty or rng.random() < 0.004 else ""
        parts += part + quantifier
        nothing = nothing and (empty or quantifier in ("*", "?"))
    if rng.random() < (0.004 if empty else 0.02):
        parts += rng.choice(["*", "+", "?", "**", "??"])
    return parts, nothing


def _atom(rng: random.Random) -> tuple[str, bool]:
    odd = rng.random()
    if odd < 0.02:
        return rng.choice(BROKEN), True
    return rng.choice(PLAIN if odd < 0.8 else RARE), False


def _group(rng: random.Random, depth: int) -> tuple[str, bool]:
    alternatives = [_pattern(rng, depth - 1) for _ in range(rng.choice([1, 1, 2, 3]))]
    if rng.random() < 0.05:
        alternatives.append(("", True))
    return "(" + "|".join(text for text, _ in alternatives) + ")", any(empty for _, empty in alternatives)


def _with_split(rng: random.Random, text: str) -> str:
    if rng.random() < 0.7:
        return text + "\\/" + _pattern(rng, 2)[0]
    # Anywhere, but not behind a backslash, which it would tear off.
    at = rng.choice([at for at in range(len(text) + 1) if not text[:at].endswith("\\")])
    return text[:at] + "\\/" + text[at:]
