"""The manual's text about a flag, a variable, a macro or a statement, for an editor to show."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_ESCAPES = {
    "\\e": "\\", "\\&": "", "\\(dq": '"', "\\(aq": "'", "\\(ha": "^", "\\(ga": "`", "\\(ti": "~", "\\-": "-",
    "\\`": "`",
}  # fmt: skip
_KEYS = ("Cm", "Ev", "Ic", "Fn", "Li")
_MACROS = frozenset((
    "Ad", "Ar", "Brq", "Cm", "Dq", "Dv", "Em", "Ev", "Fl", "Fn", "Ic", "Li", "Nm", "No", "Ns", "Oc", "Oo", "Op", "Pa",
    "Pf", "Pq", "Ql", "Qq", "Sq", "Sx", "Sy", "Va", "Xr",
))  # fmt: skip
_CLOSING = frozenset(",.;:)?!")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list: its text about one or more names."""

    names: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Manual:
    """The entries of a page by section and name."""

    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)

    def says(self, section: str, name: str) -> str:
        """The entry of `name` as Markdown, with all names of the entry; empty if there is none."""
        entry = self.entries.get((section, name))
        return "" if entry is None else f"{', '.join(f'`{one}`' for one in entry.names)}: {entry.text}"

    def names(self, section: str) -> dict[str, str]:
        """The names of a section, each with its text."""
        return {name: entry.text for (part, name), entry in self.entries.items() if part == section}


def read(page: str) -> Manual:
    """The entries of the lists of a page in the mdoc language."""
    entries: dict[tuple[str, str], Entry] = {}
    section = ""
    names: list[str] = []
    words: list[str] = []

    def finish() -> None:
        text = _joined(words)
        for name in names if text else ():
            entries.setdefault((section, name), Entry(tuple(names), text))

    for line in page.split("\n"):
        if re.match(r"\.(S[hs]|It|El|Bl)\b", line):
            finish()
            names, words = [], []
            if line.startswith((".Sh ", ".Ss ")):
                section = line[4:].capitalize()
            elif line.startswith(".It"):
                names = _names(line.split()[1:])
        elif line.startswith(".Pp"):
            words.append("\n\n")
        elif line.startswith("."):
            words += _macro_words(line[1:].split())
        else:
            words += [_plain(word) for word in line.split()]
    finish()
    return Manual(entries)


def _names(parts: list[str]) -> list[str]:
    """The names that an entry describes."""
    found: list[str] = []
    takes = only = False
    for part in parts:
        if part in _MACROS:
            takes = part in _KEYS
            only = part == "Fn"
        elif takes and part not in _CLOSING and _plain(part) not in ("...", "{", "}"):
            found.append(_plain(part))
            takes = not only
    return found


def _macro_words(parts: list[str]) -> list[str]:
    """The words of a line that begins with a macro; `Ns` leaves out the blank."""
    found: list[str] = []
    joined = False
    for part in parts:
        if part == "Ns":
            joined = True
        elif part not in _MACROS:
            text = _plain(part)
            if found and (joined or text in _CLOSING):
                found[-1] += text
            else:
                found.append(text)
            joined = False
    return found


def _plain(text: str) -> str:
    for escape, character in _ESCAPES.items():
        text = text.replace(escape, character)
    return text


def _joined(words: list[str]) -> str:
    return re.sub(r" ?\n\n ?", "\n\n", " ".join(words)).strip()
