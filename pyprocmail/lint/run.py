"""Check files: read them and the files that they include, and leave out findings that comments silence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pyprocmail import reading
from pyprocmail.diagnostics import Diagnostic, Severity
from pyprocmail.lint import silence
from pyprocmail.lint.finding import Found
from pyprocmail.lint.machine import Machine
from pyprocmail.lint.mailfilter.view import FilterView
from pyprocmail.lint.registry import CHECKS, FILTER_CHECKS
from pyprocmail.lint.view import View
from pyprocmail.source import Source, Span

_INCLUDES = (b"INCLUDERC", b"SWITCHRC")
_MOST_FILES = 200


@dataclass(frozen=True, slots=True)
class Selection:
    """The codes to report: those that begin with one of `select` and with none of `ignore`."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def wants(self, code: str) -> bool:
        """Whether findings of this code are reported."""
        return (not self.select or code.startswith(self.select)) and not (self.ignore and code.startswith(self.ignore))


@dataclass(slots=True)
class _File:
    read: reading.Rcfile
    view: View


def sources(name: str, data: bytes, machine: Machine, *, filters: bool) -> Iterator[Source]:
    """The rcfile, or the filter file if `filters`, and the files that it includes, as far as their names are known."""
    if filters:
        yield from (source for source, _, _ in _filter_files(name, data, machine, follow=True))
    else:
        yield from (file.read.source for file in _files(name, data, machine, follow=True))


def check_rcfile(name: str, data: bytes, machine: Machine, selection: Selection, *, follow: bool = True) -> list[Found]:
    """The findings about an rcfile and the files that it includes."""
    files = list(_files(name, data, machine, follow=follow))
    names = frozenset(variable for file in files for variable in file.view.values)
    found: list[Found] = []
    for file in files:
        file.view.others = names
        found += _check(file, selection)
    return found


def _files(name: str, data: bytes, machine: Machine, *, follow: bool) -> Iterator[_File]:
    """The file, and those that it includes, each once."""
    todo: list[tuple[str, bytes]] = [(name, data)]
    seen: set[bytes] = set()
    made: list[_File] = []
    while todo and len(made) < _MOST_FILES:
        shown, text = todo.pop(0)
        read = reading.rcfile(shown, text)
        view = View(read.tree, text, machine)
        if made:
            # An included file has the variables of the main file.
            for variable, values in made[0].view.values.items():
                view.values.setdefault(variable, values)
        file = _File(read, view)
        made.append(file)
        unknown = False
        for assignment, _ in view.assignments:
            if assignment.name not in _INCLUDES or not assignment.value.raw:
                continue
            path = view.resolve(assignment.value.pieces)
            content = machine.read(view.full(path)) if path else None
            unknown = unknown or content is None
            if path and content is not None and follow and view.full(path) not in seen:
                seen.add(view.full(path))
                todo.append((view.full(path).decode("utf-8", "replace"), content))
        view.is_main = len(made) == 1 and not unknown and _is_whole(view)
        yield file


def _is_whole(view: View) -> bool:
    """Whether this looks like a user's whole rcfile, not like a part that other files include."""
    return bool({b"MAILDIR", b"DEFAULT", b"LOGFILE", b"PATH", b"SHELL"} & view.values.keys()) or not any(
        use for use in view.uses()
    )


def _check(file: _File, selection: Selection) -> list[Found]:
    found = [Found(file.read.source, diagnostic) for diagnostic in file.read.diagnostics]
    for check in CHECKS:
        if not selection.wants(check.code):
            continue
        for finding in check.find(file.view):
            diagnostic = Diagnostic(check.code, finding.span, finding.sentence, finding.hint, "", check.severity)
            found.append(Found(file.read.source, diagnostic, finding.edits, check.safe))
    if b"pyprocmail:" in file.read.source.data:
        found = silence.without_silenced(file.read.source, found, silence.in_rcfile(file.view.tree))
    wanted = [one for one in found if selection.wants(one.diagnostic.code)]
    return sorted(wanted, key=lambda one: (one.diagnostic.span.start, one.diagnostic.code))


def check_filter(name: str, data: bytes, machine: Machine, selection: Selection, *, follow: bool = True) -> list[Found]:
    """The findings about a filter file of maildrop and the files that it includes."""
    files = list(_filter_files(name, data, machine, follow=follow))
    names = frozenset(variable for _, view, _ in files for variable in view.values)
    found: list[Found] = []
    for source, view, read in files:
        view.others = names
        here = [Found(source, diagnostic) for diagnostic in read]
        for check in FILTER_CHECKS:
            for finding in check.find(view) if selection.wants(check.code) else ():
                diagnostic = Diagnostic(check.code, finding.span, finding.sentence, finding.hint, "", check.severity)
                here.append(Found(source, diagnostic, finding.edits, check.safe))
        if b"pyprocmail:" in source.data:
            here = silence.without_silenced(source, here, silence.in_filter(view))
        wanted = [one for one in here if selection.wants(one.diagnostic.code)]
        found += sorted(wanted, key=lambda one: (one.diagnostic.span.start, one.diagnostic.code))
    return found


def _filter_files(
    name: str, data: bytes, machine: Machine, *, follow: bool
) -> Iterator[tuple[Source, FilterView, list[Diagnostic]]]:
    """The file, and those that it includes, each once."""
    todo: list[tuple[str, bytes]] = [(name, data)]
    seen: set[bytes] = set()
    main: FilterView | None = None
    for _ in range(_MOST_FILES):
        if not todo:
            break
        shown, text = todo.pop(0)
        file = reading.filter_file(shown, text)
        read = list(file.diagnostics)
        view = FilterView(file.tree, text, machine, is_main=main is None)
        for variable, values in main.values.items() if main is not None else ():
            view.values.setdefault(variable, list(values))
        main = main or view
        for _, command in view.commands("include"):
            view.is_main = False  # the other file may set MATCH and variables
            path = view.resolve(command.operand)
            content = machine.read(view.full(path)) if path and follow else None
            if path and content is not None and view.full(path) not in seen:
                seen.add(view.full(path))
                todo.append((view.full(path).decode("utf-8", "replace"), content))
        if b"\r\n" in text:
            at = text.index(b"\r\n")
            sentence = "lines end in a carriage return: maildrop reads it as the end of another line"
            read += [Diagnostic("M109", Span(at, at + 1), sentence, "sed -i 's/\\r$//'", "", Severity.ERROR)]
        yield file.source, view, read
