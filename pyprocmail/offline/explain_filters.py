"""explain for filter files of maildrop: the conditions of each `if`, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pyprocmail.engine.trace import EXPRESSION, PATTERN, VALUE, Finding
from pyprocmail.matching import near_lines
from pyprocmail.message import mime
from pyprocmail.offline import branches
from pyprocmail.offline.explain import MISSES, Step, Teller, area_name, cut, line_in
from pyprocmail.offline.outcome import one_line, shown

if TYPE_CHECKING:
    from pyprocmail.engine.trace import Place
    from pyprocmail.message.model import Message
    from pyprocmail.offline.branches import Leaf
    from pyprocmail.offline.filters import FilterRules

_OTHER_AREA = {b"H": (mime.BODY, "in the body it is found (:b)"), b"B": (mime.HEADER, "in the header it is found (:h)")}


class FilterTeller(Teller):
    """Turns the events of a filter file into steps.

    The events of a pattern and of compared values come before the event of the part that they belong to.
    """

    def __init__(self, rules: FilterRules, message: Message) -> None:
        super().__init__(rules, message)
        self._filters = rules
        self._pattern: Finding | None = None
        self._values: list[tuple[bytes, bytes]] = []

    def _tested(self, place: Place, finding: Finding) -> Iterator[Step]:
        if finding.kind == PATTERN:
            self._pattern = finding
        elif finding.kind == VALUE:
            self._values.append((self._written(place), finding.text or b""))
        elif finding.kind == EXPRESSION:
            found = self._filters.branches_of(place[0]).by_leaf.get(place[1])
            if found is not None:
                branch, leaf = found
                if leaf is branch.leaves[0]:
                    yield Step("recipe", self._line((place[0], branch.start)), cut(shown(branch.text)))
                yield self._of_leaf(place, leaf, finding)
            self._pattern, self._values = None, []

    def _written(self, place: Place) -> bytes:
        """The first word of the compared expression, as written in the file."""
        text = self._rules.sources.get(self._rules.stage.whole(place[0]), b"")[place[1] :]
        return text.split(None, 1)[0] if text.strip() else b""

    def _of_leaf(self, place: Place, leaf: Leaf, finding: Finding) -> Step:
        step = Step("condition", self._line(place), cut(shown(leaf.text)), finding.held)
        if leaf.kind == branches.PATTERN:
            step.notes.extend(self._of_search(leaf, finding))
        for written, value in self._values:
            step.notes.append(f"{shown(written)} is {cut(one_line(value)) or 'empty'}")
        if leaf.kind in (branches.FUNCTION, branches.OTHER):
            step.notes.append(f"its value is {cut(one_line(finding.text or b'')) or 'empty'}")
        return step

    def _of_search(self, leaf: Leaf, finding: Finding) -> Iterator[str]:
        searched = self._pattern
        if searched is None or searched.text is None:
            yield "this is no pattern"
            return
        pattern, text = searched.written, searched.text
        where = area_name(searched.area) if searched.area else f"the text {cut(one_line(text))!r}"
        if pattern not in leaf.text:
            yield f"that is: {cut(shown(pattern))}"
        if searched.after:
            yield f"score {searched.after:g}"
        start, end = near_lines.place(pattern, text, fold=leaf.fold)
        if finding.held or end:
            if end > start:
                yield f"found in {where}: {line_in(text, end)}"
            return
        yield from self._of_failure(searched, pattern, where, leaf.fold)

    def _of_failure(self, searched: Finding, pattern: bytes, where: str, fold: bool) -> Iterator[str]:
        text = searched.text or b""
        best = near_lines.how_far(pattern, text, fold=fold)[0]
        if not text:
            yield f"{where} is empty"
        elif best.end:
            yield f"found in {where} as far as {cut(shown(best.found))}: {line_in(text, best.end)}"
            yield f"then nothing for {cut(shown(best.missing))}"
        else:
            yield f"not even its beginning is in {where}"
        for kind, line in near_lines.misses(pattern, text, fold=fold):
            yield f"near: {MISSES[kind].replace('flag D', 'option D')}: {cut(one_line(line))}"
        area, words = _OTHER_AREA.get(searched.area, (0, ""))
        if area:
            other = mime.View(self._message.data).text(area)
            end = near_lines.place(pattern, other, fold=fold)[1]
            if end:
                yield f"near: {words}: {line_in(other, end)}"
