"""The machine that cases of `pyprocmail check` see, the faults that are planted, and the documents about checks.

`python tests/check_cases.py` writes docs/CHECKS.md and man/pyprocmail-checks.7 anew.
"""

import random
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parent.parent
CASES = ROOT / "tests" / "cases" / "checks"
WILD = ROOT / "tests" / "wild"
HOME = b"/home/pat"

sys.path.insert(0, str(ROOT))

from wild.cases import FOLDERS  # noqa: E402  the same

from pyprocmail.lint.finding import Check, Found  # noqa: E402  run as a program, too
from pyprocmail.lint.machine import NoMachine  # noqa: E402  the same
from pyprocmail.lint.mailfilter.view import FilterView  # noqa: E402  the same
from pyprocmail.lint.registry import FAMILIES, FILTER_CHECKS, SYNTAX  # noqa: E402  the same
from pyprocmail.lint.run import Selection, check_filter, check_rcfile  # noqa: E402  the same
from pyprocmail.lint.view import View  # noqa: E402  the same


class Pat(NoMachine):
    """The machine of tests/wild: the home of pat with the folders that are made there, and every program but one."""

    def __init__(self) -> None:
        super().__init__()
        self.home = HOME

    def _here(self, path: bytes) -> Path:
        return WILD / "home" / path.removeprefix(HOME).decode().lstrip("/")

    def is_directory(self, path: bytes) -> bool:
        below = path.removeprefix(HOME).decode(errors="replace").strip("/")
        return path.startswith(HOME) and (self._here(path).is_dir() or below in FOLDERS)

    def read(self, path: bytes) -> bytes | None:
        here = self._here(path)
        return here.read_bytes() if path.startswith(HOME) and here.is_file() else None

    def has_program(self, name: bytes, path: bytes) -> bool:
        return name != b"no-such-filter"


def found_in(name: str, data: bytes, *, follow: bool = False) -> list[Found]:
    """The findings of a file; one named mailfilter is maildrop's."""
    if name.endswith("mailfilter"):
        return check_filter(name, data, Pat(), Selection(), follow=follow)
    return check_rcfile(name, data, Pat(), Selection(), follow=follow)


# Planted faults

Fault = Callable[[bytes, random.Random], bytes | None]


def _change(pattern: bytes, replacement: bytes) -> Fault:
    """One random place that fits the pattern is replaced."""
    compiled = re.compile(pattern, re.MULTILINE)

    def plant(text: bytes, chance: random.Random) -> bytes | None:
        places = list(compiled.finditer(text))
        if not places:
            return None
        place = chance.choice(places)
        return text[: place.start()] + place.expand(replacement) + text[place.end() :]

    return plant


FAULTS: dict[str, Fault] = {
    "the `w` of a filter is lost": _change(rb"^(\s*:0 ?[a-zA-Z]*f[a-zA-Z]*)w(?=[a-zA-Z]*\s*(?::.*)?$)", rb"\1"),
    "the `$ ` of a condition is lost": _change(rb"^(\s*\* *(?:! *)?)\$ *(?=\S.*\$)", rb"\1"),
    "a closing parenthesis is lost": _change(rb"^(\s*\*.*[^\\])\)(?=[^)]*$)", rb"\1"),
    "a closing bracket is lost": _change(rb"^(\s*\*.*(?<!\\)\[[^]\n]*[^]\\\n])\](?=[^][]*$)", rb"\1"),
    "the `*` of a condition is lost": _change(rb"^(\s*)\* +(?=\^)", rb"\1"),
    "the `^` before a field is lost": _change(rb"^(\s*\* *(?:! *)?)\^(?=[A-Z][A-Za-z-]+:)", rb"\1"),
    "the `^` before a macro is lost": _change(rb"\^(?=TO_|FROM_DAEMON|FROM_MAILER)", rb""),
    "a closing brace is lost": _change(rb"^\s*\}\s*$", b""),
    "an opening brace is lost": _change(rb"^\s*\{\s*$", b""),
    "the second colon of a mailbox is lost": _change(rb"^(\s*:0 ?[a-zA-Z]*):$(?=(?:\n\s*\*.*)*\n\s*[\w.-]+$)", rb"\1"),
    "a flag stands after the second colon": _change(rb"^(\s*:0 ?):$", rb"\1: c"),
    "`$HOME` has become `~`": _change(rb"^(\s*\w+)=\$HOME/", rb"\1=~/"),
    "a letter of a variable's name is lost where it is used": _change(
        rb"^((?!\s*#).*\$[A-Z]{4,})[A-Z]\b(?!\()", rb"\1"
    ),
    "two letters of a setting's name are swapped": _change(rb"^(LOGF|MAIL|DEFA)(.)(.)(.*=)", rb"\1\3\2\4"),
    "a comment follows a condition": _change(rb"^(\s*\* *\^[A-Z].*[^\\\n])$", rb"\1   # a reason"),
    "`[0-9]` has become `\\d`": _change(rb"^(\s*\*.*)\[0-9\]", rb"\1\\d"),
    "quotes are lost": _change(rb"^(\s*\w+=)\"(\w+ \w[^\"\n]*)\"$", rb"\1\2"),
    "a closing quote is lost": _change(rb"^(\s*\w+=\"[^\"\n]*)\"$", rb"\1"),
    "the `|` of an action is lost": _change(rb"^(\s*)\| *(?=\w+ -)", rb"\1"),
    "`:0` has become `0:`": _change(rb"^:0(?=.*$)", rb"0:"),
    "a recipe without conditions is put before": _change(rb"^(:0.*\n\*)", rb":0:\ninbox\n\n\1"),
    "the guards of an answer are lost": lambda text, _: (
        re.sub(rb"(?m)^\s*\* *! *\^.*(?:X-Loop|FROM_DAEMON|FROM_MAILER|Auto-Submitted|Precedence|List-).*\n", b"", text)
        if b"! ^X-Loop" in text
        else None
    ),
    "the file has lines of DOS": lambda text, _: text.replace(b"\n", b"\r\n"),
}
PLANTED = 200

FILTER_FAULTS: dict[str, Fault] = {
    "`$HOME` has become `~`": _change(rb"\"\$HOME/", rb'"~/'),
    "`eq` or `ne` has become `==` or `!=`": lambda text, chance: _change(
        *((rb" eq ", rb" == ") if chance.random() < 0.5 else (rb" ne ", rb" != "))
    )(text, chance),
    "the `^` before a field is lost": _change(rb"/\^(?=[A-Z][A-Za-z-]+:)", rb"/"),
    "`exception` is lost": _change(rb"exception (?=\{\n\s*xfilter)", rb""),
    "a closing parenthesis of a pattern is lost": _change(rb"(?m)^(.*/[^/\n]*)\)(?=[^/\n)]*/)", rb"\1"),
    "a closing brace is lost": _change(rb"^\s*\}\s*$", b""),
    "an empty line follows a condition": _change(rb"^(\s*(?:if|elsif) .*)\n(?=\s*\{)", rb"\1\n\n"),
    "single quotes have become double ones": _change(rb"'reformail -i \"(.*)\"'", rb'"reformail -i \'\1\'"'),
    "a letter of a variable's name is lost where it is used": _change(rb"(\$[A-Z]{4,})[A-Z]\b", rb"\1"),
    "`EXITCODE=0` is lost": _change(rb"^\s*EXITCODE=0\n", b""),
    "a delivery without a condition is put before": _change(rb"^(if \()", rb'to "inbox"\n\1'),
    "the backslash of a dot is lost": _change(rb"\\\.(?=example)", rb"."),
    "the guard against loops is lost": _change(rb"^if \(!/\^X-Loop.*\n", b""),
    "a quote is lost": _change(rb"\"$", b""),
    "the file has lines of DOS": lambda text, _: text.replace(b"\n", b"\r\n"),
}
PLANTED_IN_FILTERS = 100


def good_files() -> list[tuple[str, bytes]]:
    """The rcfiles into which faults are put."""
    paths = [*sorted((ROOT / "examples").glob("*.rc")), *sorted(WILD.glob("*.rc"))]
    return [(str(path.relative_to(ROOT)), path.read_bytes()) for path in paths]


def good_filters() -> list[tuple[str, bytes]]:
    """The same for filter files of maildrop."""
    paths = [*sorted((ROOT / "examples").glob("**/*.mailfilter")), *sorted((CASES / "filters").glob("*.mailfilter"))]
    return [(str(path.relative_to(ROOT)), path.read_bytes()) for path in paths]


@cache
def planted() -> dict[str, tuple[int, int]]:
    """Of each kind of fault, how many were planted into rcfiles and how many of these were found."""
    return _plant(FAULTS, PLANTED, good_files())


@cache
def planted_in_filters() -> dict[str, tuple[int, int]]:
    """The same for filter files."""
    return _plant(FILTER_FAULTS, PLANTED_IN_FILTERS, good_filters())


def _plant(faults: dict[str, Fault], wanted: int, files: list[tuple[str, bytes]]) -> dict[str, tuple[int, int]]:
    chance = random.Random(18)
    before = {name: _signs(name, data) for name, data in files}
    counts = dict.fromkeys(faults, (0, 0))
    kinds = list(faults)
    made = 0
    while made < wanted:
        kind = kinds[made % len(kinds)]
        name, data = chance.choice(files)
        faulty = faults[kind](data, chance)
        if faulty is None or faulty == data:
            continue
        made += 1
        total, hits = counts[kind]
        counts[kind] = (total + 1, hits + bool(_signs(name, faulty) - before[name]))
    return counts


def _signs(name: str, data: bytes) -> Counter[tuple[str, bytes, str]]:
    """What is found, apart from the lines it is found in."""
    return Counter(
        (one.diagnostic.code, one.source.line(one.line), re.sub(r"line \d+", "", one.diagnostic.sentence))
        for one in found_in(name, data)
    )


OTHERS = CASES / "others.toml"


def others() -> dict[str, list[dict[str, str]]]:
    """What the two old checkers look for, by checker: each with the codes that find it, or why none does."""
    return tomllib.loads(OTHERS.read_text())


# Documents

DOCUMENT = ROOT / "docs" / "CHECKS.md"
PAGE = ROOT / "man" / "pyprocmail-checks.7"


def document() -> str:
    """docs/CHECKS.md."""
    return "\n".join(_markdown()) + "\n"


def _markdown() -> Iterator[str]:
    yield "# Checks\n"
    yield "*Made by `make checks` from the docstrings in pyprocmail/lint: edit those instead.*\n"
    yield "`pyprocmail check` finds these in rcfiles (P) and in filter files of maildrop (M)."
    yield "`pyprocmail check --explain CODE` shows one of them.\n"
    yield "A comment silences a finding on its own line or in the statement after it:\n"
    yield "```\n# pyprocmail: ignore[P301] only one mail a day\n:0\nreports\n```\n"
    yield "## Reading the file\n"
    for code, text in SYNTAX.items():
        yield f"- **{code}** {text}"
    yield ""
    for _, title, checks in FAMILIES:
        yield f"## {title}\n"
        for check in checks:
            yield from _markdown_of(check)
    yield "## Filter files of maildrop\n"
    for one in FILTER_CHECKS:
        yield from _markdown_of(one)
    yield "## What is found\n"
    yield f"{PLANTED} single faults, put by chance into the rcfiles of examples/ and tests/wild/. A fault counts as"
    yield "found when there is a finding that was not there before.\n"
    yield from _counted(planted())
    yield f"\nThe same with {PLANTED_IN_FILTERS} faults in filter files:\n"
    yield from _counted(planted_in_filters())
    yield ""
    yield "## The lists of other checkers\n"
    yield "What two old checkers look for, with the code that finds it here, or the reason why none does."
    for title, rows in others().items():
        yield f"\n### {title}\n"
        yield "| | what it is about | here |\n|---|---|---|"
        for row in rows:
            here = row.get("codes", "")
            here += ": " * bool(here and "why" in row) + row.get("why", "")
            yield f"| {row['id']} | {row['what']} | {here} |"


def _counted(counts: dict[str, tuple[int, int]]) -> Iterator[str]:
    yield "| fault | planted | found |\n|---|---:|---:|"
    for kind, (total, hits) in counts.items():
        yield f"| {kind} | {total} | {hits} |"
    yield f"| all | {sum(total for total, _ in counts.values())} | {sum(hits for _, hits in counts.values())} |"


def _markdown_of(check: Check[View] | Check[FilterView]) -> Iterator[str]:
    mends = ", mended by `--fix`" if check.safe else ""
    yield f"### {check.code} {check.name}\n"
    yield f"*{check.severity.value}{mends}*\n"
    for part in check.text.split("\n\n"):
        title, _, rest = part.partition(":\n    ")
        if rest and title in ("Example", "Instead"):
            yield f"{title}:\n\n```\n{dedent('    ' + rest)}\n```\n"
        else:
            yield part + "\n"


def page() -> str:
    """The manual page."""
    return "\n".join(_mdoc()) + "\n"


def _mdoc() -> Iterator[str]:
    yield '.\\" Made by `make checks` from the docstrings in pyprocmail/lint.'
    yield ".Dd November 27, 2026\n.Dt PYPROCMAIL-CHECKS 7\n.Os\n.Sh NAME\n.Nm pyprocmail-checks"
    yield ".Nd what pyprocmail check finds in rcfiles\n.Sh DESCRIPTION"
    yield "Each code is that of a mistake that\n.Xr pyprocmail-check 1\nreports."
    yield ".Sh READING THE FILE\n.Bl -tag -width P101"
    for code, text in SYNTAX.items():
        yield f".It {code}\n" + "\n".join(map(_roff, re.split(r"(?<=\.) (?=[A-Z])", text)))
    yield ".El"
    for _, title, checks in FAMILIES:
        yield f".Sh {title.upper()}"
        for check in checks:
            yield f".Ss {check.code} {check.name} ({check.severity.value})"
            yield from _mdoc_of(check)
    yield ".Sh FILTER FILES OF MAILDROP"
    for one in FILTER_CHECKS:
        yield f".Ss {one.code} {one.name} ({one.severity.value})"
        yield from _mdoc_of(one)
    yield ".Sh SEE ALSO\n.Xr pyprocmail-check 1 ,\n.Xr pyprocmailrc 5"


def _mdoc_of(check: Check[View] | Check[FilterView]) -> Iterator[str]:
    code = False
    lines = check.text.split("\n")
    for number, line in enumerate(lines):
        inside = line.startswith("    ")
        if inside and not code:
            yield ".Bd -literal -offset indent"
        elif code and not inside:
            yield ".Ed"
        code = inside
        if line:
            yield from [_roff(line[4:])] if inside else map(_roff, re.split(r"(?<=[.?])  ?(?=[A-Z`])", line))
        elif number + 1 < len(lines):
            yield ".Pp"
    if code:
        yield ".Ed"


def _roff(text: str) -> str:
    """The text so that roff shows it as it is."""
    safe = (
        text.replace("\\", "\\e")
        .replace("`", "\\(ga")
        .replace("'", "\\(aq")
        .replace("~", "\\(ti")
        .replace("^", "\\(ha")
    )
    safe = safe.replace("\u00fc", "\\(:u")
    return "\\&" + safe if safe[:1] in (".", "'") else safe


if __name__ == "__main__":
    DOCUMENT.write_text(document())
    PAGE.write_text(page())
