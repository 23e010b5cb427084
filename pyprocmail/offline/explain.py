"""explain: each step of one mail through the rules, and why the mail is where it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyprocmail.engine import events
from pyprocmail.engine.trace import BLOCK, CHAIN, PATTERN, PROGRAM, SIZE, Finding
from pyprocmail.exits import EX_TEMPFAIL
from pyprocmail.matching import near
from pyprocmail.matching.macros import contracted
from pyprocmail.matching.regex import Area
from pyprocmail.message import mime
from pyprocmail.message.decoded import AREAS
from pyprocmail.message.model import Message
from pyprocmail.offline.listing import place as shown_place
from pyprocmail.offline.listing import why
from pyprocmail.offline.outcome import FOLDER, NOWHERE, Outcome, folder_name, judge, line_of, name_of, one_line, shown
from pyprocmail.offline.rules import Line, Rules
from pyprocmail.offline.sources import Mail
from pyprocmail.procmail.compiled.start_line import DISTINGUISH_CASE

if TYPE_CHECKING:
    from pyprocmail.engine.trace import Place, Trace
    from pyprocmail.offline.filters import FilterRules

_LONGEST = 100
_AREAS = {b"H": mime.HEADER, b"B": mime.BODY, b"HB": mime.HEADER | mime.BODY, b"BH": mime.HEADER | mime.BODY}
_NAMES = {b"H": "the header", b"B": "the body", b"HB": "the mail", b"BH": "the mail"}
MISSES = {
    near.CASE: "but for upper and lower case (flag D) it matches",
    near.ANCHOR: "without the ^ at its beginning it matches",
    near.BLANKS: "if several blanks (or a folded line) were one blank it matches",
    near.DECODED: "it matches what is written there in encoded form (MIME_HEADER ??, MIME_TEXT ??)",
}


@dataclass(slots=True)
class Step:
    """One step: the rcfile line, its text, and notes about it.

    `held` is the result of a condition.  `kind` is "rcfile", "recipe", "passed", "condition", "variable", "program",
    "filter", "lock", "stored", "refused", "forwarded" or "clone".
    """

    kind: str
    line: Line
    text: str
    held: bool | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Explained:
    """The steps of a mail, and its outcome."""

    outcome: Outcome
    steps: list[Step]
    answers: list[str]


def explain(rules: Rules | FilterRules, mail: Mail) -> Explained:
    """Run the mail through the rules, which were opened with `told`, and report every step."""
    recorded: list[list[events.Event]] = []

    def listen(trace: Trace) -> None:
        recorded.append(events.record(trace))

    outcome = judge(rules, mail.source, mail.data, heard=listen)
    teller = _teller(rules, Message(mail.data))
    steps = [step for event in recorded[0] for step in teller.steps(event)] if recorded else []
    return Explained(outcome, steps, list(_answers(outcome, "procmail" if isinstance(rules, Rules) else "maildrop")))


def _teller(rules: Rules | FilterRules, message: Message) -> Teller:
    if isinstance(rules, Rules):
        return Teller(rules, message)
    from pyprocmail.offline.explain_filters import FilterTeller

    return FilterTeller(rules, message)


def _answers(outcome: Outcome, program: str) -> Iterator[str]:
    """The sentences that answer "why is it there?"."""
    for fate in outcome.fates:
        what = "A copy is" if fate.copy else "The mail is"
        verb = f"{what} in {fate.where}" if fate.kind == FOLDER else f"{what} {fate.kind}: {fate.where}"
        if fate.kind in ("forward", "program"):
            verb = f"{'A copy' if fate.copy else 'The mail'} goes to {fate.where.strip()}"
        yield f"{verb}\n    {'because' if fate.recipe == NOWHERE else 'because of'} {why(fate)}"
    for text in outcome.refused:
        yield f"It is not in {text}"
    for text in outcome.warnings:
        yield f"Wrong in the rules: {text}"
    if outcome.fault:
        yield f"The run ended with an error of ours: {outcome.fault}"
    if not outcome.fates:
        keeps = "keeps it" if outcome.status == EX_TEMPFAIL else "sends it back"
        yield f"The mail is nowhere: {program} ends with the exit status {outcome.status}, and the mail server {keeps}"


class Teller:
    """Turns events into steps; keeps the flags of the recipe, and the mail with the changes of filters."""

    def __init__(self, rules: Rules | FilterRules, message: Message) -> None:
        self._rules = rules
        self._message = message
        self._flags = 0

    def _line(self, place: Place) -> Line:
        return line_of(self._rules, place)

    def steps(self, event: events.Event) -> Iterator[Step]:
        """The steps for an event."""
        if isinstance(event, events.RcfileEntered):
            yield Step("rcfile", self._line((event.path, 0)), name_of(self._rules, event.path))
        elif isinstance(event, events.RecipeBegun):
            self._flags = event.flags
            yield Step("recipe", self._line(event.place), self._source(event.place))
        elif isinstance(event, events.RecipePassed):
            yield self._passed(event)
        elif isinstance(event, events.ConditionTested):
            yield from self._tested(event.place, event.finding)
        elif isinstance(event, events.Assigned):
            value = "removed" if event.value is None else shown(event.value)
            yield Step("variable", self._line(event.place), f"{shown(event.name)}={cut(value)}")
        elif isinstance(event, events.ProgramRan):
            status = "" if not event.status else f" (exit status {event.status})"
            yield Step("program", self._line(event.place), shown(event.line).strip() + status)
        elif isinstance(event, events.LockTaken):
            yield Step("lock", self._line(event.place), shown(event.path))
        elif isinstance(event, events.MailReplaced):
            before, self._message = self._message, event.message
            yield Step("filter", self._line(event.place), _change(before, event.message))
        elif isinstance(event, events.Stored):
            text = f"{shown(event.folder)}, {event.size:,} bytes" + (", as a copy" if event.copy else "")
            yield Step("stored", self._line(event.place), text)
        elif isinstance(event, events.Refused):
            text = f"{folder_name(self._rules, event.folder)}: {event.reason}"
            yield Step("refused", self._line(event.place), text)
        elif isinstance(event, events.Forwarded):
            yield Step("forwarded", self._line(event.place), shown(event.line).strip())
        elif isinstance(event, events.Cloned):
            yield Step("clone", self._line(event.place), "a copy of the mail goes through the block")

    def _passed(self, event: events.RecipePassed) -> Step:
        if event.reason == CHAIN:
            text = f"{self._source(event.place)}: not tried, because of its flag A, a, E or e"
        elif event.reason == BLOCK:
            text = "the block is passed over"
        else:
            text = "passed over: a pattern of it is nowhere in the mail"
        return Step("passed", self._line(event.place), text)

    def _source(self, place: Place) -> str:
        """The line of the rcfile at the place."""
        text = self._rules.sources.get(self._rules.stage.whole(place[0]), b"")
        return shown(near.line_of(text, place[1])).strip()

    def _tested(self, place: Place, finding: Finding) -> Iterator[Step]:
        step = Step("condition", self._line(place), f"* {shown(finding.written).strip()}", finding.held)
        if finding.shown.strip() and finding.kind in (PATTERN, SIZE) and b"$" in finding.written:
            expanded = shown(finding.shown)
            if expanded.strip() not in step.text:
                step.notes.append(f"that is: {cut(expanded)}")
        if finding.weight is not None:
            step.notes.append(f"score {finding.before:g} -> {finding.after:g}")
        if finding.kind == PATTERN:
            step.notes.extend(self._of_pattern(finding))
        elif finding.kind == SIZE:
            what = area_name(finding.area)
            step.notes.append(f"{what} has {finding.size:,} bytes, the limit is {finding.limit:,}")
        elif finding.kind == PROGRAM:
            step.notes.append(f"exit status {finding.status}")
        yield step

    def _of_pattern(self, finding: Finding) -> Iterator[str]:
        if finding.text is None:
            return
        fold = not self._flags & DISTINGUISH_CASE
        pattern = finding.shown.removeprefix(b"\\")
        area = Area(finding.text, unicode=finding.area in AREAS and not finding.text.isascii())
        where = area_name(finding.area)
        if finding.held != finding.negated or finding.match is not None:
            yield from _of_match(finding, pattern, area, where, fold)
            return
        if finding.negated:
            yield f"not found in {where}"
            return
        yield from _of_failure(finding, pattern, area, where, self._decoded(finding.area), fold)

    def _decoded(self, area: bytes) -> bytes | None:
        """The text of an area of the mail with everything decoded; None for a variable."""
        number = _AREAS.get(area)
        return None if number is None else mime.View(self._message.data).text(number)


def _of_match(finding: Finding, pattern: bytes, area: Area, where: str, fold: bool) -> Iterator[str]:
    """Notes about where a pattern was found."""
    if finding.match is not None and not finding.match.none:
        value = area.text[finding.match.start : finding.match.end]
        yield f"MATCH={cut(shown(value))}"
    start, end = near.place(pattern, area, fold=fold)
    if end > start:
        yield f"found in {where}: {line_in(area.text, end)}"


def _of_failure(
    finding: Finding, pattern: bytes, area: Area, where: str, decoded: bytes | None, fold: bool
) -> Iterator[str]:
    """Notes about how far a pattern matched, and about near misses."""
    reaches = near.how_far(pattern, area, fold=fold)
    best = reaches[0]
    if not area.text:
        yield f"{where} is empty"
    elif best.end:
        yield f"found in {where} as far as {cut(shown(contracted(best.found)))}: {line_in(area.text, best.end)}"
        yield f"then nothing for {cut(shown(contracted(best.missing)))}"
    else:
        yield f"not even its beginning is in {where}"
    if finding.area not in _AREAS:
        yield f"{where} is: {cut(one_line(area.text))}"
    for kind, line in near.misses(pattern, area, decoded, fold=fold):
        yield f"near: {MISSES[kind]}: {cut(one_line(line))}"


def area_name(area: bytes) -> str:
    if area in AREAS:
        return area.decode()
    return _NAMES.get(area) or (f"the variable {shown(area)}" if area else "the mail")


def line_in(text: bytes, at: int) -> str:
    return cut(one_line(near.line_of(text, at)))


def _change(before: Message, after: Message) -> str:
    """A short text about the changes of a filter."""
    if before.data == after.data:
        return "the filter left the mail as it was"
    old, new = set(before.head.split(b"\n")), set(after.head.split(b"\n"))
    added = [f"+ {cut(one_line(line))}" for line in after.head.split(b"\n") if line and line not in old]
    gone = [f"- {cut(one_line(line))}" for line in before.head.split(b"\n") if line and line not in new]
    body = [] if before.body == after.body else [f"the body has {len(after.body):,} bytes"]
    return "the mail is now: " + "; ".join((gone + added + body)[:8])


def cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


# -- for people ------------------------------------------------------------------------------


_USUAL = ("rcfile", "recipe", "condition", "stored", "refused", "forwarded", "filter", "clone")
_MARKS = {True: "yes", False: "no", None: ""}


def lines(found: Explained, *, everything: bool, recipe: int) -> Iterator[str]:
    """The lines that `explain` prints for a mail; `recipe` is the line of the only recipe to show, or 0."""
    yield f"{found.outcome.sender}  {found.outcome.subject or '(no subject)'}"
    current = 0
    for step in found.steps:
        if step.kind in ("recipe", "passed"):
            current = step.line[1]
        if (recipe and current != recipe) or not (everything or recipe or step.kind in _USUAL):
            continue
        yield from _step(step)
    yield ""
    yield from found.answers


def _step(step: Step) -> Iterator[str]:
    if step.kind == "recipe":
        yield f"{shown_place(step.line)}: {step.text}"
        return
    if step.kind == "rcfile":
        yield f"{step.text}:"
        return
    label = _MARKS[step.held] if step.kind == "condition" else step.kind
    yield f"    {label:<9} {step.text}"
    for note in step.notes:
        yield f"              {note}"


def explained_json(found: Explained) -> dict[str, object]:
    """One mail as JSON."""
    return {
        "source": found.outcome.source,
        "from": found.outcome.sender,
        "subject": found.outcome.subject,
        "status": found.outcome.status,
        "steps": [
            {
                "kind": step.kind,
                "rcfile": step.line[0],
                "line": step.line[1],
                "text": step.text,
                "held": step.held,
                "notes": step.notes,
            }
            for step in found.steps
        ],
        "answers": found.answers,
    }
