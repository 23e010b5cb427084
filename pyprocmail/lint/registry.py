"""All checks by code, and the findings of the parser itself."""

from __future__ import annotations

from pyprocmail.lint import (
    assignments,
    decoded_areas,
    flags,
    flow,
    locks,
    loops,
    lost,
    patterns,
    security,
    slips,
    variables,
)
from pyprocmail.lint.finding import Check
from pyprocmail.lint.mailfilter import lost as filter_lost
from pyprocmail.lint.mailfilter import patterns as filter_patterns
from pyprocmail.lint.mailfilter import security as filter_security
from pyprocmail.lint.mailfilter import variables as filter_variables
from pyprocmail.lint.mailfilter import way as filter_way
from pyprocmail.lint.mailfilter.view import FilterView
from pyprocmail.lint.view import View

FAMILIES = (
    ("P2", "Lost mail", lost.CHECKS),
    ("P3", "Lockfiles", locks.CHECKS),
    ("P4", "Conditions", patterns.CHECKS + slips.CHECKS + decoded_areas.CHECKS),
    ("P5", "Flags", flags.CHECKS),
    ("P6", "Variables and actions", variables.CHECKS + assignments.CHECKS),
    ("P7", "Loops", loops.CHECKS),
    ("P8", "Security", security.CHECKS),
    ("P9", "The way through the file", flow.CHECKS),
)
CHECKS = tuple(check for _, _, checks in FAMILIES for check in checks)
FILTER_CHECKS = (
    *filter_lost.CHECKS,
    *filter_patterns.CHECKS,
    *filter_variables.CHECKS,
    *filter_security.CHECKS,
    *filter_way.CHECKS,
)
BY_CODE: dict[str, Check[View] | Check[FilterView]] = {
    **{check.code: check for check in CHECKS},
    **{check.code: check for check in FILTER_CHECKS},
}

SYNTAX = {
    "P001": "`# pyprocmail: ignore[CODE]` that silences nothing.",
    "P101": "Text that is neither assignment nor recipe; procmail skips it.",
    "P102": "A `}` without its `{`.",
    "P103": "A block that is never closed.",
    "P104": "A letter that is not a flag; what follows it, the lockfile included, is not seen.",
    "P105": "A recipe without an action.",
    "P106": "The file ends before the action of a recipe.",
    "P107": "The file ends inside quotes.",
    "P108": "A `${...}` that cannot be read.",
    "P109": "Lines that end in a carriage return.",
    "P110": "More than one name for a lockfile.",
    "P806": "A file or folder that others may write to (`--permissions`).",
    "M101": "A filter file of maildrop that cannot be read: no mail is delivered by it (exit 75).",
    "M109": "A filter file of maildrop whose lines end in a carriage return: `if` and `else` have no body then.",
}
"""Codes that are not a Check: the findings are made while a file is read."""
