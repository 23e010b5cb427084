"""The surroundings of a file: its text with the included files in place, and who may write to these files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal

from pyprocmail.diagnostics import Diagnostic, Severity, shown
from pyprocmail.lint.finding import Found
from pyprocmail.lint.machine import Machine
from pyprocmail.lint.mailfilter.view import FilterView
from pyprocmail.lint.view import View
from pyprocmail.maildrop.syntax.parse import parse as parse_filter
from pyprocmail.procmail.syntax.parse import parse
from pyprocmail.source import Source, Span

_DEEPEST = 20
_INCLUDES = (b"INCLUDERC", b"SWITCHRC")


def effective(name: str, data: bytes, machine: Machine, *, is_filter: bool = False, depth: int = 0) -> Iterator[str]:
    """The lines of a file with those of the included files in place, each with its file and line."""
    source = Source(name, data)
    places = _filter_places if is_filter else _places
    included = {
        source.position(span.start)[0]: path for path, span, what in places(data, machine) if what == "included"
    }
    for number in range(1, len(source.starts) + (0 if data.endswith(b"\n") else 1)):
        yield f"{name}:{number}: {shown(source.line(number))}"
        if number in included and depth < _DEEPEST:
            content = machine.read(included[number])
            if content is not None:
                shown_name = included[number].decode("utf-8", "replace")
                yield from effective(shown_name, content, machine, is_filter=is_filter, depth=depth + 1)


def _places(data: bytes, machine: Machine) -> Iterator[tuple[bytes, Span, Literal["included", "folder"]]]:
    """The files that an rcfile includes, and its folders, where their names are known."""
    view = View(parse(data)[0], data, machine)
    for assignment, _ in view.assignments:
        path = view.resolve(assignment.value.pieces)
        if path and assignment.name in (*_INCLUDES, b"MAILDIR", b"LOGFILE", b"DEFAULT"):
            yield view.full(path), assignment.value.span, "included" if assignment.name in _INCLUDES else "folder"


def _filter_places(data: bytes, machine: Machine) -> Iterator[tuple[bytes, Span, Literal["included", "folder"]]]:
    """The same for a filter file."""
    view = FilterView(parse_filter(data)[0], data, machine)
    for _, command in view.commands("include", "logfile"):
        path = view.resolve(command.operand)
        if path:
            yield view.full(path), command.span, "included" if command.keyword == "include" else "folder"
    for _, assign in view.assigns():
        path = view.resolve(assign.value) if assign.name == b"DEFAULT" else None
        if path:
            yield view.full(path), assign.span, "folder"


def permissions(name: str, data: bytes, machine: Machine, *, is_filter: bool = False) -> Iterator[Found]:
    """Findings about other users who may write to the file, to included files, or to the folders of all these."""
    places: list[tuple[bytes, Span]] = [(os.fsencode(os.path.abspath(name)), Span(0, 0))]
    found = (_filter_places if is_filter else _places)(data, machine)
    places += [(path, span) for path, span, _ in found]
    seen: set[bytes] = set()
    for path, span in places:
        for one in (path, os.path.dirname(path.rstrip(b"/"))):
            who = machine.writers(one)
            if who and one not in seen:
                text = one.decode("utf-8", "replace")
                sentence = f"{'the group' if who == 'group' else 'everybody'} may write to {text}"
                severity = Severity.WARNING if who == "group" else Severity.ERROR
                mends = f"chmod {'g' if who == 'group' else 'go'}-w {text}"
                yield Found(Source(name, data), Diagnostic("P806", span, sentence, mends, "", severity))
            seen.add(one)
