"""The types Finding and Check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from textwrap import dedent
from typing import Generic, TypeVar

from pyprocmail.diagnostics import Diagnostic, Severity
from pyprocmail.source import Source, Span

Subject = TypeVar("Subject")
"""The input of a check: the View of an rcfile, or the FilterView of a filter file."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the bytes of `span` by `text`."""

    span: Span
    text: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """A place, one sentence about it, a remedy, and the edits that mend it, if there are any."""

    span: Span
    sentence: str
    hint: str = ""
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A diagnostic, its file, and the edits that mend it."""

    source: Source
    diagnostic: Diagnostic
    edits: tuple[Edit, ...] = ()
    safe: bool = False

    @property
    def line(self) -> int:
        """The line, from 1."""
        return self.source.position(self.diagnostic.span.start)[0]

    @property
    def column(self) -> int:
        """The column, from 1, in bytes."""
        return self.source.position(self.diagnostic.span.start)[1]


@dataclass(frozen=True, slots=True)
class Check(Generic[Subject]):
    """One check, listed under its code.

    Users read its docstring: what it finds, why that hurts, an example, and what to write instead.  `safe`: its edits
    change nothing for mail that is now delivered as intended.
    """

    code: str
    severity: Severity
    find: Callable[[Subject], Iterator[Finding]]
    safe: bool = False

    @property
    def name(self) -> str:
        """The name of the function, as words joined by hyphens."""
        return self.find.__name__.replace("_", "-")

    @property
    def text(self) -> str:
        """The docstring without its indentation."""
        first, _, rest = (self.find.__doc__ or "").partition("\n")
        return f"{first}\n{dedent(rest)}".strip("\n ")

    def snippet(self, title: str) -> str:
        """The rcfile in the docstring under the line `Example:` or `Instead:`."""
        _, _, after = self.text.partition(f"\n{title}:\n")
        lines: list[str] = []
        for line in after.split("\n"):
            if line and not line.startswith("    "):
                break
            lines.append(line[4:])
        return "\n".join(lines).strip("\n") + "\n"
