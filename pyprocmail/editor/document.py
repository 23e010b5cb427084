"""A file that is open in an editor: its text, its language, and offsets in the editor's units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pyprocmail.editor.manual import Manual
from pyprocmail.lint.finding import Found
from pyprocmail.lint.machine import Machine
from pyprocmail.lint.mailfilter.view import FilterView
from pyprocmail.lint.run import Selection, check_filter, check_rcfile
from pyprocmail.lint.view import View
from pyprocmail.maildrop.syntax import layout as filter_layout
from pyprocmail.maildrop.syntax.parse import parse as parse_filter
from pyprocmail.procmail.syntax import layout as rcfile_layout
from pyprocmail.procmail.syntax.parse import parse
from pyprocmail.source import Source, Span

Units = Literal["utf-8", "utf-16", "utf-32"]
"""The unit of a column, on which the editor and the server agree."""

_WIDTHS: dict[Units, tuple[str, int]] = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}


@dataclass(frozen=True)
class Document:
    """An rcfile, or a filter file of maildrop (`is_filter`), as it is in the editor now."""

    name: str
    data: bytes
    is_filter: bool
    machine: Machine
    manual: Manual
    units: Units = "utf-16"

    @cached_property
    def source(self) -> Source:
        """The text with its lines."""
        return Source(self.name, self.data)

    @cached_property
    def view(self) -> View:
        """An rcfile as checks see it."""
        return View(parse(self.data)[0], self.data, self.machine)

    @cached_property
    def filter_view(self) -> FilterView:
        """A filter file as checks see it."""
        return FilterView(parse_filter(self.data)[0], self.data, self.machine)

    @cached_property
    def found(self) -> list[Found]:
        """The findings about the file, without those about the files that it includes."""
        check = check_filter if self.is_filter else check_rcfile
        everything = check(self.name, self.data, self.machine, Selection())
        return [one for one in everything if one.source.name == self.name]

    def arranged(self) -> bytes:
        """The text in the canonical layout."""
        return filter_layout.arranged(self.data) if self.is_filter else rcfile_layout.arranged(self.data)

    def changed(self, data: bytes) -> Document:
        """The same file with another text."""
        return Document(self.name, data, self.is_filter, self.machine, self.manual, self.units)

    def offset(self, line: int, column: int) -> int:
        """The offset in bytes of the editor's line and column, both from 0."""
        starts = self.source.starts
        if line >= len(starts):
            return len(self.data)
        start = starts[line]
        end = starts[line + 1] - 1 if line + 1 < len(starts) else len(self.data)
        coding, width = _WIDTHS[self.units]
        encoded = self.data[start:end].decode("utf-8", "replace").encode(coding)[: column * width]
        return start + len(encoded.decode(coding, "ignore").encode())

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset in the editor's units, both from 0."""
        line, column = self.source.position(min(offset, len(self.data)))
        start = self.source.starts[line - 1]
        coding, width = _WIDTHS[self.units]
        return line - 1, len(self.data[start : start + column - 1].decode("utf-8", "replace").encode(coding)) // width

    def line_span(self, offset: int) -> Span:
        """The line around an offset, without its newline."""
        start = self.data.rfind(b"\n", 0, offset) + 1
        end = self.data.find(b"\n", offset)
        return Span(start, len(self.data) if end < 0 else end)
