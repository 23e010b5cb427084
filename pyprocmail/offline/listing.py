"""The output of a replay: text for people, JSON for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from pyprocmail.offline.outcome import NOWHERE, Fate, Outcome
from pyprocmail.offline.replay import Summary
from pyprocmail.offline.rules import Line

VERSION = 1
"""The version of the JSON (pyprocmail-json(5)): it grows when a member is removed or changes its meaning."""

_SLOWEST = 10
_LONGEST = 60


def place(line: Line) -> str:
    """A place in the form of compilers: file:line."""
    return f"{line[0]}:{line[1]}" if line != NOWHERE else "no recipe"


def why(fate: Fate) -> str:
    """The sentence that answers "why is it there?"."""
    if fate.recipe == NOWHERE:
        return "no recipe delivered it: DEFAULT"
    if not fate.conditions:
        return f"{place(fate.recipe)}, which has no condition"
    if fate.by_filter:
        return f"{place(fate.recipe)}: {', '.join(fate.conditions)}"
    return f"{place(fate.recipe)}: * " + "  * ".join(fate.conditions)


def summary(found: Summary) -> Iterator[str]:
    """The lines of a replay."""
    if found.folders:
        yield " mails       bytes  folder"
        for name, (count, size) in sorted(found.folders.items()):
            yield f"{count:6}  {size:10,}  {name}"
    yield from _counted("thrown away", Counter({"/dev/null": found.discarded} if found.discarded else {}))
    yield from _counted("forwarded", found.forwards)
    yield from _counted("to programs", found.programs)
    yield ""
    yield from totals(found)
    yield from _counted("refused", found.refused)
    yield from _counted("not run, and taken to succeed (--allow-commands, --canned)", found.unanswered)
    yield from _counted("wrong in the rules, and for how many mails", found.warnings)
    yield from _counted("errors of ours", found.faults)
    if found.seconds:
        yield from ("", "slowest recipes, milliseconds")
        for line, spent in sorted(found.seconds.items(), key=lambda item: -item[1])[:_SLOWEST]:
            yield f"{spent * 1000:10.1f}  {place(line)}"


def totals(found: Summary) -> Iterator[str]:
    """The sums of all mails."""
    deliveries = sum(count for count, _ in found.folders.values())
    text = f"{_number(found.mails, 'mail')}, {found.size:,} bytes: {_number(deliveries, 'delivery', 'deliveries')}"
    text += f" into {_number(len(found.folders), 'folder')}"
    yield text + (f", {found.copies} as a copy" if found.copies else "")
    if found.fallen:
        yield f"{_number(found.fallen, 'mail')} delivered by no recipe"
    if found.undelivered:
        yield f"{_number(found.undelivered, 'mail')} would end with an exit status: the mail server keeps them"


def mails(found: Iterable[Outcome], folder: str) -> Iterator[str]:
    """Each mail that goes to the folder: sender, subject, and why."""
    for outcome in found:
        for fate in outcome.fates:
            if fate.where.rstrip("/.") == folder.rstrip("/."):
                yield f"{cut(outcome.sender)}  {cut(outcome.subject) or '(no subject)'}"
                yield f"    {why(fate)}"


def _counted(title: str, counter: Counter[str]) -> Iterator[str]:
    if counter:
        yield f"{title}:"
        for text, count in sorted(counter.items()):
            yield f"{count:6}  {text.strip()}"


def _number(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def cut(text: str) -> str:
    """A text of a mail, shortened for a line of a list."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


# -- JSON ------------------------------------------------------------------------------------


def summary_json(found: Summary) -> dict[str, object]:
    """The JSON members of a replay without its mails."""
    return {
        "mails": found.mails,
        "bytes": found.size,
        "folders": {name: {"mails": count, "bytes": size} for name, (count, size) in sorted(found.folders.items())},
        "discarded": found.discarded,
        "forwards": dict(sorted(found.forwards.items())),
        "programs": dict(sorted(found.programs.items())),
        "copies": found.copies,
        "delivered_by_no_recipe": found.fallen,
        "with_exit_status": found.undelivered,
        "refused": dict(sorted(found.refused.items())),
        "not_run": dict(sorted(found.unanswered.items())),
        "warnings": dict(sorted(found.warnings.items())),
        "faults": dict(sorted(found.faults.items())),
        "recipes": [{"rcfile": name, "line": line, "mails": n} for (name, line), n in sorted(found.hits.items())],
    }


def outcome_json(outcome: Outcome) -> dict[str, object]:
    """One mail as JSON."""
    return {
        "source": outcome.source,
        "from": outcome.sender,
        "subject": outcome.subject,
        "date": outcome.date,
        "bytes": outcome.size,
        "status": outcome.status,
        "fates": [fate_json(fate) for fate in outcome.fates],
        "refused": list(outcome.refused),
        "not_run": list(outcome.unanswered),
        "fault": outcome.fault,
        "warnings": list(outcome.warnings),
    }


def fate_json(fate: Fate) -> dict[str, object]:
    """One fate as JSON; without a recipe, `recipe` is null."""
    recipe = None if fate.recipe == NOWHERE else {"rcfile": fate.recipe[0], "line": fate.recipe[1]}
    return {
        "kind": fate.kind,
        "where": fate.where,
        "copy": fate.copy,
        "recipe": recipe,
        "conditions": list(fate.conditions),
        "bytes": fate.size,
        "sha256": fate.digest,
    }
