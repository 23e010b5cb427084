"""Random mail and options, through formail and through ours: what comes out has to be the same.

`python tests/differential/formail.py [first seed] [number of seeds]` prints each difference.  Ours runs with
PYPROCMAIL_STRICT=yes; what the reference answers with a crash or not at all is left out.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pyprocmail.host import Host
from pyprocmail.tools import formail

REFERENCE = shutil.which("formail", path="/usr/bin")
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C", "PYPROCMAIL_STRICT": "yes"}
TODAY = re.compile(rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d 20\d\d")
CACHE = "cache"
# What the reference makes of a From_ line right behind a header, or what looked like one, depends on what its
# memory held before: behind a header that began with another From_ line, in answers, and with -e behind any.
UNDEFINED = re.compile(rb"(?m)^From .*\n(?:.+\n)*From ")
UNDEFINED_R = re.compile(rb"(?m)^(?:From |[!-9;-\xff]+[ \t]*:).*\n(?:[> \t].*\n)*(?:From |Article )")
UNDEFINED_E = re.compile(rb"(?m)^.+\nFrom ")

NAMES = [
    "From", "Reply-To", "Sender", "Return-Path", "Errors-To", "Return-Receipt-To", "Path", "Resent-Sender",
    "Resent-From", "Resent-Reply-To", "Subject", "Message-ID", "References", "In-Reply-To", "X-Loop", "Received",
    "Date", "X-A", "x-b", "Status", "Content-Length", "To", "Cc", "Old-Subject", "List-Id", "Resent-Message-ID",
    "FROM", "subject", "Re", "Article", "X-\xe9",
]  # fmt: skip
PARTIAL = ["", "Re", "Resent-", "X-", "T", "Sub", "From", "Fr", "Rec", "x", "Old-", "Subject", "To "]
WORDS = [
    "joe", "joe@a.b", "<ann@c.d>", "Joe Doe <joe@a.b>", "a!b!c", "joe@local", "x.UUCP", "<>", "(none) <>",
    "grp: a@b.c, d@e.f;",
    '"joe x"@a.b', "Re: hello", "re:", "<1@x>", "<2@x> <3@x>", "", " ", "\t", "12", "40", "7", "0", "remote from host",
    "Thu Jan  1 00:00:00 2026", "hello  world ", "caf\xe9", "a\0b", "\r", "a,b", "/x/y", "@", "(c) a@b.c (d)",
]  # fmt: skip
SEPARATORS = [": ", ": ", ": ", ":", ":\t", " : ", "\t:", ":  ", " ", ""]
BODY = [
    "text", "", "", "From x y", "From x", "From a@b Thu Jan  1 00:00:00 2026", ">From x y", "Subject: in body",
    "X-A: in body", " folded", "\t", "From ", "from x y", "Article 7 of x.y:", "caf\xe9", "a\0b", "text\r", "To: z",
    "------------------------------", "From: a@b", "Date: today", "List-Id: x", "From \t x \t y", "*** EOOH ***",
    "\x1f", "\x1f\x0c",
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One call."""

    arguments: list[bytes]
    mail: bytes
    cache: bytes | None


@dataclass(frozen=True)
class Outcome:
    """What is compared."""

    status: int
    output: bytes
    messages: bytes
    cache: bytes | None


def field(rng: random.Random) -> str:
    """A header field, seldom a broken one."""
    name = rng.choice(NAMES)
    separator = rng.choice(SEPARATORS) if rng.random() < 0.3 else ": "
    text = " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 2)))
    folds = "".join("\n" + rng.choice(" \t") + rng.choice(WORDS) for _ in range(rng.choice([0, 0, 0, 0, 1, 2])))
    return name + separator + text + folds


def postmark(rng: random.Random) -> str:
    """A From_ line, seldom with those of a relay behind it."""
    lines = []
    for index in range(rng.choice([1, 1, 1, 1, 2, 3])):
        words = [rng.choice(WORDS[:8] + WORDS[10:11] + ["", "u", "u@x.y"])]
        words += rng.choice([["Thu Jan  1 00:00:00 2026"], [], ["x"], ["Thu", "remote from " + rng.choice(WORDS)]])
        lines.append(("" if not index else ">") + "From " + " ".join(words))
    return "\n".join(lines)


def message(rng: random.Random) -> str:
    """A mail, more or less."""
    lines = [postmark(rng)] if rng.random() < 0.6 else []
    lines += [field(rng) for _ in range(rng.randint(0, 6))]
    if rng.random() < 0.1:
        lines.insert(rng.randint(0, len(lines)), rng.choice(BODY))
    if rng.random() < 0.9:
        lines.append("")
    lines += [rng.choice(BODY) for _ in range(rng.randint(0, 7))]
    return "\n".join(lines) + rng.choice(["\n", "\n", "\n\n", ""])


def babyl_message(rng: random.Random) -> str:
    """A mail as rmail keeps it: with its header and with the part of it that is shown."""
    header = ["Subject: x", *(rng.choice(["From: a@b", "Received: x", "Status: O", "To: z"]) for _ in range(3))]
    body = [rng.choice(BODY[:10]) for _ in range(rng.randint(0, 5))]
    lines = [rng.choice(["1,,", "0, answered,,"]), *header, "", "*** EOOH ***", header[0], "", *body]
    return "\n".join(lines) + "\n"


def mailbox(rng: random.Random, *, babyl: bool) -> bytes:
    """Input: a mail or several."""
    if babyl:
        parts = [babyl_message(rng) for _ in range(rng.randint(1, 4))]
        return ("BABYL OPTIONS:\nVersion: 5\n\x1f\x0c\n" + "\x1f\x0c\n".join(parts) + "\x1f").encode("latin-1")
    parts = [message(rng) for _ in range(rng.choice([1, 1, 2, 3, 4]))]
    return ("\n" * rng.choice([0, 0, 0, 1, 2]) + rng.choice(["", "\n"]).join(parts)).encode("latin-1")


def name(rng: random.Random, *, partial: bool) -> str:
    """A field name for an option."""
    if partial and rng.random() < 0.4:
        return rng.choice(PARTIAL)
    return rng.choice([*(n + ":" for n in NAMES), "From ", "Subject :"])


def option(rng: random.Random) -> list[str]:
    """One option with its arguments."""
    kind = rng.choice("xXaAiIuUiIRRbYczfrrktpq-lq")
    if kind in "xXuU":
        return ["-" + kind, name(rng, partial=True)]
    if kind in "aAiI":
        content = rng.choice(["", "", " new", " ", "new", " a\n b"])
        named = name(rng, partial=kind in "iI" and not content)
        # A generated Message-ID cannot be the same twice.
        return ["-" + kind, named + (" x" if "essage-" in named and not content and kind == "a" else content)]
    if kind == "R":
        old = name(rng, partial=True)
        return ["-R", old, name(rng, partial=not old.endswith((":", "From ")))]
    if kind == "k":
        return ["-rk"] if rng.random() < 0.5 else ["-kx", name(rng, partial=True)]
    if kind == "p":
        return ["-p", rng.choice(["> ", "", "|", "%"])]
    if kind == "q":
        return ["-q-"]
    return ["-lfolder"] if kind == "l" else ["-" + kind] if kind != "-" else ["-"]


def case(seed: int) -> Case:
    """The case of a seed."""
    rng = random.Random(seed)
    arguments = [word for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 4])) for word in option(rng)]
    cache = None
    if rng.random() < 0.1:
        cache = b"".join(
            rng.choice([b"<1@x>\0", b"joe\0", b"\0", b"<2@x> <3@x>\0", b"joe@a.b\0"]) for _ in range(rng.randint(0, 5))
        )
        arguments += ["-D", str(rng.randint(0, 60)), CACHE]
    babyl = False
    if rng.random() < 0.5:
        babyl = rng.random() < 0.05 and not {"-lfolder", "-r", "-rk"} & set(arguments)
        flags = ["B"] if babyl else [flag for flag in "de" if rng.random() < 0.3]
        arguments += ["-" + flag for flag in flags]
        arguments += ["-m" + str(rng.randint(0, 4))] if rng.random() < 0.3 else []
        arguments += ["+" + str(rng.randint(0, 3))] if rng.random() < 0.1 else []
        arguments += ["-" + str(rng.randint(1, 3))] if rng.random() < 0.1 else []
        arguments += rng.choice([["-A", "X-Mark: here"], []]) + ["-s"]
    return Case([word.encode("latin-1") for word in arguments], mailbox(rng, babyl=babyl), cache)


def reference(case: Case, folder: Path) -> Outcome | None:
    """What formail does; None when it crashes or hangs."""
    assert REFERENCE
    _put_cache(case, folder)
    try:
        done = subprocess.run(
            [REFERENCE, *case.arguments],
            input=case.mail,
            capture_output=True,
            cwd=folder,
            env=ENVIRONMENT,
            timeout=2,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode < 0:
        return None
    return Outcome(done.returncode, _masked(done.stdout), done.stderr, _cache(folder))


def ours(case: Case, folder: Path) -> Outcome:
    """What our formail does."""
    _put_cache(case, folder)
    output: list[bytes] = []
    messages: list[bytes] = []
    position = 0

    def read(size: int) -> bytes:
        nonlocal position
        size = min(size, 700)
        position += size
        return case.mail[position - size : position]

    previous = Path.cwd()
    os.chdir(folder)
    try:
        environment = {key.encode(): value.encode() for key, value in ENVIRONMENT.items()}
        status = formail.run(Host(), [b"formail", *case.arguments], environment, read, output.append, messages.append)
    finally:
        os.chdir(previous)
    return Outcome(status, _masked(b"".join(output)), b"".join(messages), _cache(folder))


def _masked(output: bytes) -> bytes:
    return TODAY.sub(b"@DATE@", output)


def _put_cache(case: Case, folder: Path) -> None:
    (folder / CACHE).unlink(missing_ok=True)
    if case.cache is not None:
        (folder / CACHE).write_bytes(case.cache)


def _cache(folder: Path) -> bytes | None:
    path = folder / CACHE
    return path.read_bytes() if path.exists() else None


def is_undefined(case: Case) -> bool:
    """Whether what the reference does with a case depends on its memory, or is a slip of one byte in a sum."""
    options = set(case.arguments)
    if b"-s" in options and UNDEFINED.search(case.mail):
        return True
    if b"-s" in options and options & {b"-r", b"-rk", b"-d"} and UNDEFINED_R.search(case.mail):
        return True
    # -u and -U free fields of the answer twice; -l counts a renamed From_ line wrongly.
    if (options & {b"-r", b"-rk"} and options & {b"-u", b"-U"}) or {b"-lfolder", b"-R"} <= options:
        return True
    return b"-e" in options and bool(UNDEFINED_E.search(case.mail))


def difference(seed: int, folder: Path) -> str | None:
    """What is different for a seed, told."""
    the_case = case(seed)
    if is_undefined(the_case):
        return None
    expected = reference(the_case, folder)
    if expected is None:
        return None
    got = ours(the_case, folder)
    if got == expected:
        return None
    lines = [
        f"seed {seed}: {the_case.arguments}",
        f"  mail {the_case.mail!r}",
        f"  cache {the_case.cache!r}",
        f"  want {expected}",
        f"  got  {got}",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run the seeds of the command line."""
    first = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, first + count):
            told = difference(seed, Path(folder))
            if told:
                found += 1
                print(told)
    print(f"{count - found} of {count} agree")


if __name__ == "__main__":
    main()
