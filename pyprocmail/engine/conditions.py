"""Whether the conditions of a recipe hold.  procmailrc(5), Conditions; procmailsc(5)."""

from __future__ import annotations

from pyprocmail.engine import numbers, programs, scoring
from pyprocmail.engine.expansion import LineTooLongError, expand_marked
from pyprocmail.engine.scoring import Tally
from pyprocmail.program import conditions as syntax
from pyprocmail.program import start_line
from pyprocmail.program.words import scan_quoted, scan_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyprocmail.engine.session import Session
    from pyprocmail.matching.regex import Area, Match
    from pyprocmail.program.conditions import Condition
    from pyprocmail.program.pieces import Scan

    Entry = tuple[int, int, Condition, bytes]

_LARGEST = (1 << 63) - 1
"""A limit that is larger is taken for this one, as is its negative: to the reference it is a long."""
_EXPANSIONS = 64
"""How often a `$` condition may turn into another one; no honest rcfile needs more than two."""


def hold(session: Session, entries: tuple[Entry, ...], flags: int) -> bool:
    """Test the conditions until one fails; `$=` is the score they reached."""
    if not entries:
        session.score = 0
        return True
    tally = Tally()
    ok = True
    for at, (offset, raw_length, condition, _) in enumerate(entries):
        session.trace.offset = offset
        if _is_too_long(session, raw_length, condition):
            session.exceeded_linebuf()
            ok = False
        else:
            ok = _Test(session, flags, tally).run(condition)
        if not ok:
            pass_over(session, entries[at + 1 :])
            break
    session.score = tally.displayed()
    # What is not a number is not below 0 either.
    return ok and not (tally.weighted and tally.total <= 0)


def pass_over(session: Session, entries: tuple[Entry, ...]) -> None:
    """Conditions that are read and not tested: what is too long is complained of."""
    for _, raw_length, condition, _ in entries:
        if _is_too_long(session, raw_length, condition):
            session.exceeded_linebuf()


def _is_too_long(session: Session, raw_length: int, condition: Condition) -> bool:
    return raw_length > session.linebuf - 1 and condition[syntax.KIND] != syntax.PROGRAM


class _Test:
    """One condition line."""

    __slots__ = ("session", "flags", "tally")

    def __init__(self, session: Session, flags: int, tally: Tally) -> None:
        self.session = session
        self.flags = flags
        self.tally = tally

    def run(self, condition: Condition) -> bool:
        foreign = False
        for _ in range(_EXPANSIONS):
            if condition[syntax.KIND] != syntax.EXPAND:
                break
            _, negated, _, _, _, text = condition
            if condition[syntax.WEIGHT] is not None and self.tally.saturated:
                break
            try:
                expanded, foreign_at = self._expand(scan_quoted(text))
            except LineTooLongError as error:
                return self._log(error.shown, False, negated=negated)
            before, condition = condition, syntax.read(expanded, condition)
            if foreign_at is not None and not self.session.identity.strict:
                foreign = True
                condition = _disarmed(condition, before, expanded[:foreign_at])
        else:
            self.session.note("exceeded-linebuf")
            return False
        weight = condition[syntax.WEIGHT]
        if weight is not None:
            self.tally.weighted = True
            if self.tally.saturated:
                return True
        kind = condition[syntax.KIND]
        if kind == syntax.REGEX:
            return self._regex(condition)
        if kind == syntax.PROGRAM:
            return self._program(condition)
        return self._size(condition, expand=not foreign)

    # -- patterns --------------------------------------------------------------------------

    def _regex(self, condition: Condition) -> bool:
        _, negated, weight, _, shown, text = condition
        session = self.session
        if not shown:
            if weight is None:
                return self._log(shown, not negated, negated=negated)
            before = self.tally.total
            if not negated:
                scoring.add_limit(self.tally, weight)
            return self._score(before, shown, negated)
        fold = not self.flags & start_line.DISTINGUISH_CASE
        # A backslash that protects the beginning of the line is shown, though not matched.
        protected = shown != text
        literally = not session.identity.strict
        regex = session.patterns.get(text, fold=fold, literally=literally, protected=protected)
        shown = b"\\" + regex.expanded if protected else regex.expanded
        if not regex.valid:
            session.note("invalid-regexp", regex.expanded)
        area = self._area(condition)
        if weight is not None:
            # What counts for nothing is not even looked for: MATCH stays what it is.
            counted = session.questions.count(regex, area) if weight[0] else iter(())
            matches = self._assigning_match(area, condition, counted)
            return self._weighted(matches, weight, shown, negated)
        if regex.splits:
            match = session.questions.match(regex, area)
            if match is not None:
                self._set_match(area, condition, match)
            found = match is not None
        else:
            found = session.questions.search(regex, area)
        return self._log(shown, found != negated, negated=negated)

    def _weighted(self, matches: Iterator[Match], weight: syntax.Weight, shown: bytes, negated: bool) -> bool:
        tally = self.tally
        before = tally.total
        if negated:
            if next(matches, None) is None:
                tally.add(weight[0])
        else:
            scoring.count(tally, weight, matches)
        return self._score(before, shown, negated)

    def _assigning_match(self, area: Area, condition: Condition, matches: Iterator[Match]) -> Iterator[Match]:
        """The matches; MATCH is set at each."""
        for match in matches:
            self._set_match(area, condition, match)
            yield match

    def _set_match(self, area: Area, condition: Condition, match: Match) -> None:
        """Assign MATCH, unless the match did not come through `\\/` inside the text."""
        if match.none:
            return
        session = self.session
        if condition[3] != b"MATCH" or b"MATCH" not in session.environment:
            session.note("assigning", b"MATCH=")
        text = area.text[match.start : match.end].partition(b"\0")[0]
        session.environment[b"MATCH"] = text
        session.foreign.add(b"MATCH")
        session.note("matched", text)

    # -- programs --------------------------------------------------------------------------

    def _program(self, condition: Condition) -> bool:
        _, negated, weight, _, _, text = condition
        session = self.session
        command = programs.prepare(session, text)
        chunks = self._input(condition)
        session.size = sum(map(len, chunks))
        ended = programs.run(session, command, chunks)
        status = ended.status
        assert status is not None
        if status:
            session.note("non-zero-exitcode", status, command.name)
        if weight is None:
            return self._log(command.line, (status == 0) != negated, negated=negated)
        before = self.tally.total
        if status < 0:
            # Killed: no number of matches, so it counts as a condition without weight.
            self._score(before, command.line, negated)
            return negated
        scoring.count_program(self.tally, weight, status, negated=negated)
        return self._score(before, command.line, negated)

    def _input(self, condition: Condition) -> list[bytes]:
        """What the program reads: the area, folded header lines joined as for a search, and an empty line."""
        name = self._area_name(condition)
        mail_area = name in (b"H", b"B", b"HB", b"BH")
        chunks = [self.session.area(name).text if mail_area else self.session.environment.get(name, b"")]
        return chunks if chunks[0].endswith(b"\n\n") else [*chunks, b"\n"]

    # -- sizes -----------------------------------------------------------------------------

    def _size(self, condition: Condition, *, expand: bool) -> bool:
        kind, negated, weight, area, shown, text = condition
        session = self.session
        try:
            value = self._expand(scan_size(text))[0] if expand else text.lstrip(b" \t")
        except LineTooLongError as error:
            return self._log(error.shown, False, negated=negated)
        if text[:1] in (b" ", b"\t"):
            value = b" " + value
        limit, rest = _read_limit(value)
        if rest:
            session.note("skipped", rest)
        shown = shown[:1] + value
        size = len(session.message) if area is None else len(self._area(condition).text)
        larger = kind == syntax.LARGER
        if weight is None:
            return self._log(shown, (size > limit if larger else size < limit) != negated, negated=negated)
        before = self.tally.total
        strict = session.identity.strict
        self.tally.add(scoring.size_share(weight, size, limit, larger=larger != negated, strict=strict))
        return self._score(before, shown, negated)

    # -- what they share -------------------------------------------------------------------

    def _expand(self, scan: Scan) -> tuple[bytes, int | None]:
        """As expand_marked, with what is to be said of the text."""
        error: LineTooLongError | None = None
        value: tuple[bytes, int | None] = (b"", None)
        try:
            value = expand_marked(self.session, scan.pieces, 1)
        except LineTooLongError as too_long:
            error = too_long
        if scan.unterminated:
            self.session.note("unexpected-eol")
        if error is not None:
            self.session.exceeded_linebuf()
            raise error
        return value

    def _area_name(self, condition: Condition) -> bytes:
        name, flags = condition[3], self.flags
        if name is not None:
            return name
        if not flags & start_line.BODY:
            return b"H"
        return b"HB" if flags & start_line.HEAD else b"B"

    def _area(self, condition: Condition) -> Area:
        return self.session.area(self._area_name(condition))

    def _log(self, shown: bytes, holds: bool, *, negated: bool) -> bool:
        self.session.note("match" if holds else "no-match", b" !" if negated else b"", shown)
        return holds

    def _score(self, before: float, shown: bytes, negated: bool) -> bool:
        """Log what a weighted condition changed; it fails only when the recipe cannot match any more."""
        tally = self.tally
        change = tally.total - before
        self.session.note("score", scoring.truncated(change), tally.logged(), b" !" if negated else b"", shown)
        return not tally.hopeless


def _disarmed(condition: Condition, before: Condition, own: bytes) -> Condition:
    """The condition that an expansion has become, when all behind `own` may be the mail's text.

    A stranger must not have a program run: a `?` or a further `$` that is not the rcfile's own is
    a byte of a pattern, and what is the mail's is not expanded a second time.
    """
    kind, negated, weight, area, shown, _ = condition
    if kind == syntax.EXPAND or (kind == syntax.PROGRAM and syntax.read(own + b".", before)[syntax.KIND] != kind):
        return (syntax.REGEX, negated, weight, area, shown, shown)
    return condition


def _read_limit(value: bytes) -> tuple[int, bytes]:
    """The number of a size condition, and what stands behind it."""
    text = value.lstrip(b" \t\n")
    number = numbers.leading_digits(text)
    if number is None:
        return 0, value.lstrip(b" \t")
    end = 1 if text[:1] in (b"-", b"+") else 0
    while text[end : end + 1].isdigit():
        end += 1
    return max(-_LARGEST - 1, min(number, _LARGEST)), text[end:].lstrip(b" \t")
