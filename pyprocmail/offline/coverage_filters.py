"""coverage for filter files of maildrop: counts for their conditions, and for the parts of these."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pyprocmail.engine.trace import EXPRESSION, WHOLE, Finding
from pyprocmail.offline.coverage import Coverage, Row, notes_of_condition, notes_of_recipe
from pyprocmail.offline.outcome import judge, name_of, shown

if TYPE_CHECKING:
    from pyprocmail.engine.trace import Place, Trace
    from pyprocmail.offline.branches import Branch
    from pyprocmail.offline.filters import FilterRules
    from pyprocmail.offline.sources import Mail, Part


def count(rules: FilterRules, part: Part) -> Coverage:
    """The coverage by the mails of a part."""
    found = Coverage()

    for mail in part.mails():
        count_mail(rules, found, mail)
    return found


def count_mail(rules: FilterRules, found: Coverage, mail: Mail) -> None:
    """Add the coverage by one mail."""

    def hear(trace: Trace) -> None:
        trace.tested.append(lambda place, finding: _count(rules, found, place, finding))

    found.end_mail(judge(rules, mail.source, mail.data, headed=False, heard=hear))


def _count(rules: FilterRules, found: Coverage, place: Place, finding: Finding) -> None:
    branch_and_leaf = rules.branches_of(place[0]).by_leaf.get(place[1])
    if finding.kind != WHOLE and (finding.kind != EXPRESSION or branch_and_leaf is None):
        return
    key = name_of(rules, place[0]), place[1]
    found.tried[key] += 1
    found.held[key] += finding.held
    if branch_and_leaf is None or finding.kind == WHOLE:
        return
    branch, leaf = branch_and_leaf
    # The parts before it were true, or the last one would not have been evaluated.
    if not finding.held and branch.all_must_hold and len(branch.leaves) > 1 and leaf is branch.leaves[-1]:
        found.near[key] += 1


def listing(found: Coverage, rules: FilterRules, path: bytes) -> Iterator[Row]:
    """The lines of a filter file; a condition of several parts is followed by a row for each part."""
    name = name_of(rules, path)
    by_line: dict[int, list[Branch]] = {}
    for branch in rules.branches_of(path).all:
        if branch.leaves:
            by_line.setdefault(rules.line_of(path, branch.start), []).append(branch)
    for number, text in enumerate(rules.sources[path].removesuffix(b"\n").split(b"\n"), 1):
        here = by_line.get(number, [])
        if not here:
            yield Row(name, number, shown(text), None, 0, False, ())
            continue
        written: str | None = shown(text)
        for branch in here:
            yield _of_branch(found, name, number, branch, written)
            written = None
            if len(branch.leaves) > 1:
                yield from _of_leaves(found, name, number, branch)


def _of_branch(found: Coverage, name: str, number: int, branch: Branch, written: str | None) -> Row:
    """The row of a condition: with the whole line for the first one in it, with its own text for the others."""
    key = name, branch.leaves[0].start if branch.is_statement else branch.start
    notes = () if branch.is_statement else tuple(notes_of_recipe(found, key, number))
    text = written if written is not None else f"    {shown(branch.text)}"
    return Row(name, number, text, found.tried[key], found.held[key], not branch.is_statement, notes)


def _of_leaves(found: Coverage, name: str, number: int, branch: Branch) -> Iterator[Row]:
    for leaf in branch.leaves:
        key = name, leaf.start
        notes = tuple(notes_of_condition(found, key, len(branch.leaves) if branch.all_must_hold else -1))
        yield Row(name, number, f"        {shown(leaf.text)}", found.tried[key], found.held[key], False, notes)
