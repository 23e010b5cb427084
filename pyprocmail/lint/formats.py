"""Output formats of findings, for people and programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

from pyprocmail import __version__
from pyprocmail.diagnostics import Severity, render, shown
from pyprocmail.lint.finding import Found
from pyprocmail.lint.registry import BY_CODE, SYNTAX

_SARIF_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_GITHUB_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
VERSION = 1


def full(found: Iterable[Found]) -> str:
    """Each finding with its line and a caret."""
    return "".join(render(one.diagnostic, one.source) for one in found)


def concise(found: Iterable[Found]) -> str:
    """One line for each finding."""
    return "".join(
        f"{one.source.name}:{one.line}:{one.column}: {one.diagnostic.severity.value}[{one.diagnostic.code}]: "
        f"{one.diagnostic.sentence}\n"
        for one in found
    )


def as_json(found: Iterable[Found]) -> str:
    """One object; `text` is the line of the file."""
    findings = [
        {
            "file": one.source.name,
            "line": one.line,
            "column": one.column,
            "code": one.diagnostic.code,
            "severity": one.diagnostic.severity.value,
            "sentence": one.diagnostic.sentence,
            "hint": one.diagnostic.hint,
            "text": shown(one.source.line(one.line)),
            "mends": "safe" if one.edits and one.safe else "unsafe" if one.edits else "no",
        }
        for one in found
    ]
    return json.dumps({"schema": "pyprocmail-check", "version": VERSION, "findings": findings}, indent=1) + "\n"


def sarif(found: list[Found]) -> str:
    """SARIF 2.1.0, for programs that collect findings."""
    codes = sorted({one.diagnostic.code for one in found})
    rules = [{"id": code, "shortDescription": {"text": summary(code)}} for code in codes]
    results = [
        {
            "ruleId": one.diagnostic.code,
            "level": _SARIF_LEVELS[one.diagnostic.severity],
            "message": {"text": ": ".join(filter(None, (one.diagnostic.sentence, one.diagnostic.hint)))},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": one.source.name},
                        "region": {"startLine": one.line, "startColumn": one.column},
                    }
                }
            ],
        }
        for one in found
    ]
    driver = {"name": "pyprocmail", "version": __version__, "rules": rules}
    run = {"tool": {"driver": driver}, "results": results}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def github(found: Iterable[Found]) -> str:
    """Commands of a GitHub workflow, which shows the findings beside the lines."""
    return "".join(
        f"::{_GITHUB_LEVELS[one.diagnostic.severity]} file={_property(one.source.name)},line={one.line},"
        f"col={one.column},title={one.diagnostic.code}::{_escaped(one.diagnostic.sentence)}\n"
        for one in found
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def statistics(found: Iterable[Found]) -> str:
    """How often each code was found, the most frequent first."""
    counted = Counter(one.diagnostic.code for one in found)
    rows = sorted(counted.items(), key=lambda row: (-row[1], row[0]))
    return "".join(f"{count:6}  {code}  {summary(code)}\n" for code, count in rows)


def summary(code: str) -> str:
    """The first line about a code."""
    check = BY_CODE.get(code)
    return check.text.split("\n")[0] if check else SYNTAX.get(code, "")


def explained(code: str) -> str:
    """The full text about a code; empty if the code is unknown."""
    check = BY_CODE.get(code)
    if check is None:
        return f"{code}\n\n{SYNTAX[code]}\n" if code in SYNTAX else ""
    mends = "" if not check.safe else "\n\nMended by --fix."
    return f"{code}: {check.name} ({check.severity.value})\n\n{check.text}{mends}\n"
