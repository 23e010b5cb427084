"""test: runs the tests of an rcfile, TOML files that describe mails and what must become of them."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from pyprocmail.host import LARGEST_RULES_BYTES, Host
from pyprocmail.message.header import fields
from pyprocmail.message.model import Message
from pyprocmail.offline.coverage import Coverage, Row, of_mail, rows, share
from pyprocmail.offline.explain import explain, lines
from pyprocmail.offline.listing import why
from pyprocmail.offline.outcome import DISCARDED, FOLDER, FORWARD, PROGRAM, Outcome, judge, one_line, open_rules, shown
from pyprocmail.offline.rules import MAILDROP, PROCMAIL, Setup
from pyprocmail.offline.sources import Mail
from pyprocmail.offline.stage import Answer

if TYPE_CHECKING:
    from pyprocmail.engine.trace import Place, Trace
    from pyprocmail.procmail.session import Session

_Known = Mapping[str, type | tuple[type, ...]]
_OF_FILE: _Known = {
    "rcfile": str,
    "before": str,
    "date": (str, date),
    "home": str,
    "user": str,
    "mail_filter": bool,
    "language": str,
    "set": list,
    "program": list,
    "test": list,
}
_OF_TEST: _Known = {
    "name": str, "mail": str, "file": str, "date": (str, date), "sender": str, "arguments": list, "set": list,
    "program": list, "folder": (str, list), "not_folder": (str, list), "forwarded": (str, list),
    "programs": (str, list), "called": (str, list), "header": (str, list), "variables": dict, "status": int,
}  # fmt: skip
EXPECTATIONS = ("folder", "not_folder", "forwarded", "programs", "called", "header", "variables", "status")
_UPDATED = ("folder", "forwarded", "programs", "status")
_BEGINS = re.compile(r"[ \t]*\[\[[ \t]*test[ \t]*\]\]")
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class UnreadableError(Exception):
    """A file with tests cannot be read; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Case:
    """One test: its place, the rules, the mail, and the expectations: a name of EXPECTATIONS, and its texts."""

    path: str
    line: int
    name: str
    setup: Setup
    mail: bytes
    expected: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a test: `failures` are sentences, none if it passed; `way` is the output of explain.

    `found` is what --update would write; `covered` is the coverage for --threshold, on request.
    """

    case: Case
    failures: tuple[str, ...]
    way: tuple[str, ...]
    found: tuple[tuple[str, tuple[str, ...]], ...]
    covered: Coverage | None = None


# -- reading ---------------------------------------------------------------------------------


def files(names: Sequence[str]) -> list[str]:
    """The files with tests: the named files, and every .toml with tests in the named folders.

    Raises:
        UnreadableError: there are no tests.
    """
    found: list[str] = []
    for name in names:
        path = Path(name)
        inside = sorted(str(file) for file in path.rglob("*.toml")) if path.is_dir() else [name]
        found += [file for file in inside if not path.is_dir() or _has_tests(file)]
    if not found:
        raise UnreadableError(f"{', '.join(names)}: no tests found (files .toml with [[test]])")
    return found


def _has_tests(path: str) -> bool:
    """Whether a .toml file has tests; it may also be a table of answers."""
    return any(_BEGINS.match(line) for line in _read(path).decode(errors="replace").split("\n"))


def _read(path: str) -> bytes:
    """The content of a file with tests.

    Raises:
        UnreadableError: it cannot be read, or is too large.
    """
    try:
        return Host().read_file(os.fsencode(path), LARGEST_RULES_BYTES)
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}") from error


def cases(path: str) -> list[Case]:
    """The tests of a file.

    Raises:
        UnreadableError: it is not such a file.
    """
    try:
        text = _read(path).decode()
        table = tomllib.loads(text)
    except ValueError as error:
        raise UnreadableError(f"{path}: {error}") from error
    _check(path, table, _OF_FILE)
    if "rcfile" not in table:
        raise UnreadableError(f'{path}: there is no rcfile = "..."')
    starts = [number for number, _ in _beginnings(text)]
    tests = table.get("test", [])
    if not tests or len(starts) != len(tests):
        raise UnreadableError(f"{path}: tests are tables, each begun by a line [[test]]")
    return [_case(path, line, table, test) for line, test in zip(starts, tests, strict=True)]


def _check(path: str, table: Mapping[str, object], known: _Known) -> None:
    for name, value in table.items():
        if name not in known:
            raise UnreadableError(f"{path}: unknown name {name!r}; known are {', '.join(known)}")
        if not isinstance(value, known[name]):
            raise UnreadableError(f"{path}: {name} has a value of the wrong kind")


def _case(path: str, line: int, table: Mapping[str, object], test: Mapping[str, object]) -> Case:
    where = f"{path}:{line}"
    _check(where, test, _OF_TEST)
    folder = Path(path).parent
    home, before = table.get("home"), table.get("before")
    setup = Setup(
        str(folder / str(table["rcfile"])),
        user=str(table.get("user", "")),
        home=str(folder / str(home)) if home else "",
        mail_filter=bool(table.get("mail_filter", False)),
        assignments=(*_texts(table.get("set", [])), *_texts(test.get("set", []))),
        arguments=_texts(test.get("arguments", [])),
        sender=str(test.get("sender", "")),
        answers=(*_programs(where, test), *_programs(where, table)),
        language=_language(path, table),
        before=str(folder / str(before)) if before else "",
        date=str(test.get("date", table.get("date", ""))),
    )
    expected = tuple((name, _expected(test[name])) for name in EXPECTATIONS if name in test)
    name = one_line(str(test.get("name", f"line {line}")).encode(errors="replace"))
    return Case(path, line, name, setup, _mail(where, folder, test), expected)


def _language(path: str, table: Mapping[str, object]) -> str:
    language = str(table.get("language", ""))
    if language not in ("", PROCMAIL, MAILDROP):
        raise UnreadableError(f"{path}: language is {PROCMAIL} or {MAILDROP}")
    return language


def _expected(value: object) -> tuple[str, ...]:
    if isinstance(value, dict):
        return tuple(f"{name}={text}" for name, text in value.items())
    return _texts(value)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, list) else (str(value),)


def _programs(where: str, table: Mapping[str, object]) -> Iterator[Answer]:
    rows = table.get("program", [])
    assert isinstance(rows, list)
    for row in rows:
        if not isinstance(row, dict) or "line" not in row:
            raise UnreadableError(f'{where}: a program has a line = "..."')
        output = row.get("output")
        yield str(row["line"]), int(row.get("status", 0)), None if output is None else str(output).encode()


def _mail(where: str, folder: Path, test: Mapping[str, object]) -> bytes:
    """The mail of a test; one without an empty line is all header."""
    if ("mail" in test) == ("file" in test):
        raise UnreadableError(f'{where}: a test has either mail = "..." or file = "..."')
    if "file" in test:
        try:
            host = Host()
            return host.read_file(os.fsencode(folder / str(test["file"])), host.largest_mail())
        except OSError as error:
            raise UnreadableError(f"{where}: {test['file']}: {error.strerror}") from error
    text = str(test["mail"]).encode()
    text = text if text.endswith(b"\n") else text + b"\n"
    return text if b"\n\n" in text else text + b"\n"


# -- running ---------------------------------------------------------------------------------


def results(found: Iterable[Case], workers: int = 1, *, counted: bool = False) -> Iterator[Result]:
    """The result of each test, in order; several processes may share the work.  `counted`: with the coverage.

    Raises:
        RulesError: an rcfile cannot be tried.
    """
    if workers > 1:
        with ProcessPoolExecutor(workers) as executor:
            yield from executor.map(partial(run, counted=counted), found)
    else:
        yield from map(partial(run, counted=counted), found)


class _Heard:
    """What a test needs from a run besides the outcome: the mail and the variables at its end, and programs called."""

    def __init__(self, mail: bytes) -> None:
        self._message = Message(mail)
        self._variables: dict[bytes, bytes | None] = {}
        self._session: Session | None = None
        self.called: list[str] = []

    def also(self, session: Session) -> None:
        """Keep the session of procmail's rules."""
        self._session = session

    def hear(self, trace: Trace) -> None:
        """Subscribe to a trace."""
        trace.ran.append(lambda _place, line, _status, _late: self.called.append(shown(line).strip()))
        trace.assigned.append(lambda _place, name, value: self._variables.update({name: value}))
        trace.replaced.append(self._replaced)

    def _replaced(self, _place: Place, message: Message) -> None:
        self._message = message

    def head(self) -> bytes:
        """The header of the mail at the end."""
        return (self._session or self).message.head

    @property
    def message(self) -> Message:
        """The mail with the changes of filters."""
        return self._message

    def value(self, name: bytes) -> bytes | None:
        """The value of a variable at the end."""
        if self._session is not None:
            return self._session.environment.get(name)
        return self._variables.get(name)


def run(case: Case, *, counted: bool = False) -> Result:
    """Run one test."""
    heard = _Heard(case.mail)
    with open_rules(case.setup, told=True) as rules:
        outcome = judge(rules, case.name, case.mail, also=heard.also, heard=heard.hear)
        failures = list(_failures(case, outcome, heard))
        way = list(lines(explain(rules, Mail(case.name, case.mail)), everything=False, recipe=0)) if failures else []
        covered = of_mail(rules, case.name, case.mail) if counted else None
    return Result(case, tuple(failures), tuple(way), tuple(_found(outcome)), covered)


def share_of(found: Iterable[Result]) -> float:
    """The share of the recipes of all rcfiles that matched in a test, in percent.

    Raises:
        RulesError: an rcfile cannot be read any more.
    """
    sums: dict[str, tuple[Setup, Coverage]] = {}
    for result in found:
        setup = result.case.setup
        _, covered = sums.setdefault(os.path.abspath(setup.rcfile), (setup, Coverage()))
        if result.covered is not None:
            covered.add(result.covered)
    table: list[Row] = []
    for setup, covered in sums.values():
        with open_rules(setup, told=True) as rules:
            table += rows(covered, rules)
    return share(table)


def _found(outcome: Outcome) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What became of the mail, in the terms of a test."""
    places = _places(outcome)
    yield "folder", places["folder"]
    for name in ("forwarded", "programs"):
        if places[name]:
            yield name, places[name]
    if outcome.status:
        yield "status", (str(outcome.status),)


def _places(outcome: Outcome) -> dict[str, tuple[str, ...]]:
    def those(*kinds: str) -> tuple[str, ...]:
        return tuple(
            "/dev/null" if fate.kind == DISCARDED else fate.where.strip()
            for fate in outcome.fates
            if fate.kind in kinds
        )

    return {"folder": those(FOLDER, DISCARDED), "forwarded": those(FORWARD), "programs": those(PROGRAM)}


def _failures(case: Case, outcome: Outcome, heard: _Heard) -> Iterator[str]:
    if not case.expected:
        yield "nothing is expected of it; --update writes what happens"
    if outcome.fault:
        yield f"an error of ours: {outcome.fault}"
    places = _places(outcome)
    header = [shown(line) for line in fields(heard.head())]
    for name, expected in case.expected:
        if name == "folder":
            if sorted(expected) != sorted(places["folder"]):
                yield f"folder: expected {_list(expected)}, found {_list(places['folder'])} ({_why(outcome)})"
        elif name == "not_folder":
            for folder in set(expected) & set(places["folder"]):
                yield f"not_folder: it is in {folder} ({_why(outcome)})"
        elif name in ("forwarded", "programs", "called"):
            texts = heard.called if name == "called" else places[name]
            for pattern in expected:
                if not any(fnmatchcase(text, pattern) or fnmatchcase(text, f"* {pattern}") for text in texts):
                    yield f"{name}: expected {pattern}, found {_list(texts)}"
        elif name == "header":
            for line in expected:
                if line not in header:
                    yield f"header: there is no {line!r}"
        elif name == "variables":
            yield from _variables(expected, heard)
        elif name == "status" and expected != (str(outcome.status),):
            yield f"status: expected {_list(expected)}, found {outcome.status}"


def _variables(expected: Sequence[str], heard: _Heard) -> Iterator[str]:
    for assignment in expected:
        name, _, value = assignment.partition("=")
        found = heard.value(os.fsencode(name))
        if found is None or shown(found) != value:
            yield f"variables: expected {assignment}, found {'nothing' if found is None else shown(found)}"


def _list(texts: Sequence[str]) -> str:
    return ", ".join(texts) or "nothing"


def _why(outcome: Outcome) -> str:
    return "; ".join(why(fate) for fate in outcome.fates) or f"exit status {outcome.status}"


# -- output ----------------------------------------------------------------------------------


def report(found: Iterable[Result], form: str) -> Iterator[str]:
    """The results in a form of --output-format."""
    passed = failed = 0
    kept: list[Result] = []
    for result in found:
        passed, failed = (passed, failed + 1) if result.failures else (passed + 1, failed)
        if form == "junit":
            kept.append(result)
        elif result.failures:
            yield from _for_github(result) if form == "github" else _failed(result, full=form == "full")
        elif form == "full":
            yield f"{result.case.path}:{result.case.line}: {result.case.name}: passed"
    if form == "junit":
        yield from _junit(kept, failed)
    else:
        yield f"{passed} passed, {failed} failed"


def _failed(result: Result, *, full: bool) -> Iterator[str]:
    for failure in result.failures:
        yield f"{result.case.path}:{result.case.line}: {result.case.name}: {failure}"
    if full:
        yield from (f"    {line}" for line in result.way)


def _for_github(result: Result) -> Iterator[str]:
    """A workflow command for each failure: GitHub shows it at the line of the test."""
    case = result.case

    def safe(text: str, *, of_property: bool) -> str:
        text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        return text.replace(":", "%3A").replace(",", "%2C") if of_property else text

    for failure in result.failures:
        file, title = safe(case.path, of_property=True), safe(case.name, of_property=True)
        yield f"::error file={file},line={case.line},title={title}::{safe(failure, of_property=False)}"


def _junit(found: Sequence[Result], failed: int) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f'<testsuite name="pyprocmail" tests="{len(found)}" failures="{failed}">'
    for result in found:
        name, path = _attribute(result.case.name), _attribute(result.case.path)
        start = f'  <testcase name={name} classname={path} file={path} line="{result.case.line}"'
        if not result.failures:
            yield f"{start}/>"
            continue
        yield f"{start}>"
        text = escape(_NO_XML.sub(" ", "\n".join(result.way)))
        yield f"    <failure message={_attribute('; '.join(result.failures))}>{text}</failure>"
        yield "  </testcase>"
    yield "</testsuite>"


def _attribute(text: str) -> str:
    return quoteattr(_NO_XML.sub(" ", text))


def result_json(result: Result) -> dict[str, object]:
    """A test as JSON."""
    return {
        "file": result.case.path,
        "line": result.case.line,
        "name": result.case.name,
        "failures": list(result.failures),
        "way": list(result.way),
    }


def sums_json(found: Sequence[Result]) -> dict[str, object]:
    """The numbers of passed and failed tests as JSON."""
    failed = sum(bool(result.failures) for result in found)
    return {"passed": len(found) - failed, "failed": failed}


# -- update ----------------------------------------------------------------------------------


def _beginnings(text: str) -> Iterator[tuple[int, int]]:
    """The tests of a file: the number of the line [[test]], from 1, and that of the line after the test."""
    starts = [number for number, line, inside in _outside(text) if not inside and _BEGINS.match(line)]
    tables = [number for number, line, inside in _outside(text) if not inside and line.lstrip().startswith("[")]
    end = text.count("\n") + 2
    for start in starts:
        yield start, min((number for number in tables if number > start), default=end)


def _outside(text: str) -> Iterator[tuple[int, str, bool]]:
    """The lines of a TOML file with their numbers, and whether they begin within a multi-line string."""
    quote = ""
    for number, line in enumerate(text.split("\n"), 1):
        yield number, line, bool(quote)
        for mark in re.findall(r'"""|\'\'\'', line):
            quote = "" if quote == mark else quote or mark


def update(path: str, found: Sequence[Result]) -> int:
    """Write the actual results into the failing tests of the file, for review; returns how many tests changed.

    Only `folder`, `forwarded`, `programs` and `status` are written, each on a separate line.
    """
    text = Path(path).read_text()
    table = text.split("\n")
    failing = {result.case.line: result for result in found if result.failures}
    spans = dict(_beginnings(text))
    inside = {number: within for number, _, within in _outside(text)}
    for start in sorted(failing, reverse=True):
        body = range(start + 1, min(spans[start], len(table) + 1))
        written = [n for n in body if not inside[n] and re.match(rf"[ \t]*({'|'.join(_UPDATED)})[ \t]*=", table[n - 1])]
        found_now = dict(failing[start].found)
        if any(table[number - 1].lstrip().startswith("status") for number in written):
            found_now.setdefault("status", ("0",))
        for number in reversed(written):
            del table[number - 1]
        table[start:start] = [f"{name} = {_toml(name, texts)}" for name, texts in found_now.items()]
    Path(path).write_text("\n".join(table))
    return len(failing)


def _toml(name: str, texts: Sequence[str]) -> str:
    """A TOML value; TOML's strings are like JSON's, except for DEL."""
    if name == "status":
        return texts[0]
    values = [json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f") for text in texts]
    return values[0] if len(values) == 1 else f"[{', '.join(values)}]"
