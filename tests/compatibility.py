"""docs/COMPATIBILITY.md, from its sources: man/pyprocmail-compat.7, the recorded cases, the lists of deviations.

`make compatibility` writes it; test_wild.py fails when it is not up to date.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wild.cases import mails, rcfiles

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "man" / "pyprocmail-compat.7"
DOCUMENT = TESTS.parent / "docs" / "COMPATIBILITY.md"

_PARTS = ("procmail", "pyprocmail", "Why", "Strict")
_CLOSING = ".,;:)"


@dataclass(frozen=True)
class Row:
    """A row of the manual page: `parts` are the texts behind the words of _PARTS, as Markdown."""

    name: str
    section: str
    parts: dict[str, str]


@dataclass(frozen=True)
class Deviation:
    """A run that differs: `kind` is default or always."""

    case: str
    kind: str
    row: str
    reason: str


def deviations(path: Path) -> list[Deviation]:
    """The tables `default` and `always` of a list of deviations."""
    tables = tomllib.loads(path.read_text())
    return [
        Deviation(case, kind, entry["row"], entry["reason"])
        for kind in ("default", "always")
        for case, entry in tables.get(kind, {}).items()
    ]


# -- the manual page ---------------------------------------------------------------------------


def rows() -> list[Row]:
    """The rows of pyprocmail-compat(7), in its order."""
    found: list[Row] = []
    section, part = "", ""
    texts: dict[str, list[str]] = {}
    for line in PAGE.read_text().splitlines():
        if line.startswith(".Sh "):
            section, texts = line.removeprefix(".Sh ").capitalize(), {}
        elif line.startswith('.\\" row: '):
            texts = {}
            found.append(Row(line.removeprefix('.\\" row: '), section, {}))
        elif found and (head := re.fullmatch(r"\.Em (\w+) :", line)):
            # What the program of the row's area does, which for some is maildrop.
            part = "procmail" if head[1] == "maildrop" else head[1]
            texts[part] = []
        elif part in texts and not line.startswith((".It", ".El", ".Pp")):
            texts[part].append(_markdown(line))
            found[-1].parts[part] = _joined(texts[part])
    return found


def _joined(lines: list[str]) -> str:
    text = re.sub(r"\s+", " ", " ".join(lines)).strip()
    return text[:1].upper() + text[1:]


def _markdown(line: str) -> str:
    """A line of mdoc(7), as far as the page uses it."""
    line = line.replace("\\e", "\\")
    if not line.startswith("."):
        return re.sub(r"\\\([lr]q", '"', line.replace("\\&", "")).replace("|", "\\|")
    macro, _, rest = line[1:].partition(" ")
    words = [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', rest)]
    if macro == "Nm" and (not words or words[0] in _CLOSING):
        words.insert(0, "pyprocmail")
    if macro == "Xr":
        return f"{words[0]}({words[1]})" + "".join(words[2:])
    # Macros within the line: of them only the text counts.
    words = [word for word in words if word not in ("Cm", "Pa", "Qq")]
    end = ""
    while words and all(char in _CLOSING for char in words[-1]):
        end = words.pop() + end
    text = "".join(word for word in words if word not in ("Ns", "Li")) if "Ns" in words else " ".join(words)
    if macro == "Fl":
        text = "-" + text
    return f"`{text}`{end}".replace("|", "\\|")


# -- the document ------------------------------------------------------------------------------


def document() -> str:
    """The text of docs/COMPATIBILITY.md."""
    recorded = deviations(TESTS / "conformance" / "deviations.toml")
    return "\n".join([*_head(), *_areas(recorded), *_cases(recorded), *_wild(), *_rows()])


def _head() -> Iterator[str]:
    yield "# Where pyprocmail and procmail differ, and what shows it"
    yield ""
    yield "*Made by `make compatibility`: edit man/pyprocmail-compat.7 or the lists of deviations instead.*"
    yield ""
    yield "The reference is procmail 3.22.  A difference that is not listed here is a fault of pyprocmail."
    yield "`PYPROCMAIL_STRICT=yes` in its environment or an rcfile restores what procmail does, where a row says so."
    yield ""


def _areas(listed: list[Deviation]) -> Iterator[str]:
    """The counts of the recorded cases."""
    yield "## Recorded cases"
    yield ""
    yield "Each was recorded from the reference programs: exit status, output, all files with modes and contents, log."
    yield ""
    yield "| area | cases | agree by default | agree under PYPROCMAIL_STRICT=yes |"
    yield "|---|--:|--:|--:|"
    totals: Counter[str] = Counter()
    for area in sorted(folder for folder in (TESTS / "conformance").iterdir() if any(folder.glob("*.json"))):
        differing = Counter(d.kind for d in listed if d.case.startswith(f"{area.name}/"))
        count = sum(1 for _ in area.glob("*.json"))
        figures = {"cases": count, "default": count - differing.total(), "strict": count - differing["always"]}
        totals.update(figures)
        yield _line(area.name, *map(str, figures.values()))
    yield _line("all", *(str(totals[name]) for name in ("cases", "default", "strict")))
    yield ""


def _cases(listed: list[Deviation]) -> Iterator[str]:
    """The recorded cases that differ."""
    yield "The cases that differ, with the row below that says why:"
    yield ""
    yield "| case | what it shows | row | what is different | strict |"
    yield "|---|---|---|---|---|"
    for deviation in listed:
        about = json.loads((TESTS / "conformance" / f"{deviation.case}.json").read_text()).get("about", "")
        strict = "agrees" if deviation.kind == "default" else "differs"
        yield _line(deviation.case, about.replace("|", "\\|"), _link(deviation.row), deviation.reason, strict)
    yield ""


def _wild() -> Iterator[str]:
    """The rcfiles of tests/wild."""
    listed = deviations(TESTS / "wild" / "wild.toml")
    count, texts = len(rcfiles()), len(mails())
    yield "## Rcfiles as people write them"
    yield ""
    yield f"{count} rcfiles in the styles of three decades (tests/wild), each with {texts} mails: {count * texts} runs,"
    yield f"of which {count * texts - len(listed)} agree by default, and all under `PYPROCMAIL_STRICT=yes`."
    yield ""
    if listed:
        yield "| rcfile and mail | row | what is different |"
        yield "|---|---|---|"
        for deviation in listed:
            yield _line(deviation.case, _link(deviation.row), deviation.reason)
        yield ""


def _rows() -> Iterator[str]:
    """The rows of the manual page."""
    section = ""
    for row in rows():
        if row.section != section:
            if section:
                yield ""
            section = row.section
            yield f"## {section}"
            yield ""
            program = "maildrop" if "aildrop" in section else "procmail"
            yield f"| row | {program} | pyprocmail | why | strict |"
            yield "|---|---|---|---|---|"
        yield _line(f'<a id="{row.name}"></a>{row.name}', *(row.parts.get(part, "") for part in _PARTS))
    yield ""


def _link(row: str) -> str:
    return f"[{row}](#{row})"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
