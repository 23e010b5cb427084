"""Whether the conditions of a recipe match.  procmailrc(5), Conditions; procmailsc(5)."""

from __future__ import annotations

from pyprocmail.engine.trace import PATTERN, PROGRAM, SIZE, Finding
from pyprocmail.numerals import integer_at
from pyprocmail.procmail import command_lines, scoring
from pyprocmail.procmail.compiled import conditions as syntax
from pyprocmail.procmail.compiled import start_line
from pyprocmail.procmail.compiled.words import scan_quoted, scan_size
from pyprocmail.procmail.expansion import LineTooLongError, expand_marked
from pyprocmail.procmail.scoring import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyprocmail.matching.regex import Area, Match, Regex
    from pyprocmail.procmail.compiled.conditions import Condition
    from pyprocmail.procmail.compiled.pieces import Scan
    from pyprocmail.procmail.session import Session

    Entry = tuple[int, int, Condition, bytes]

"""The largest limit, and negated the smallest: the reference has a long."""
_EXPANSIONS = 4096
"""How often a `$` condition may become another one: enough for one that grows by a byte to reach the usual LINEBUF."""


def hold(session: Session, entries: tuple[Entry, ...], flags: int) -> bool:
    """Test the conditions until one fails; `$=` becomes the score so far."""
    if not entries:
        session.fate.score = 0
        return True
    tally = Tally()
    tests = _Tests(session, flags, tally)
    trace = session.trace
    heard = trace.verbose or trace.tested
    ok = True
    for at, (offset, raw_length, condition, text) in enumerate(entries):
        trace.offset = offset
        if _is_too_long(session, raw_length, condition):
            session.exceeded_linebuf()
            ok = False
        elif not heard and tests.is_plain(condition):
            ok = tests.hold(condition)
        else:
            finding = tests.run(condition, text)
            ok = apply(session, finding, tally)
        if not ok:
            pass_over(session, entries[at + 1 :])
            break
    session.fate.score = tally.displayed()
    # NaN is not below 0 either.
    return ok and not (tally.weighted and tally.total <= 0)


def test(session: Session, condition: Condition, flags: int, tally: Tally, written: bytes) -> Finding:
    """Test one condition of a recipe with these flags, whose score so far is `tally`.

    Neither the tally nor a variable changes: `apply` changes them.  Expansions and the program run once.
    """
    return _Tests(session, flags, tally).run(condition, written)


def apply(session: Session, finding: Finding, tally: Tally) -> bool:
    """Apply the finding to MATCH and the score; returns whether the recipe may still match."""
    weighted = finding.weight is not None
    if weighted:
        tally.weighted = True
        tally.total = finding.after
    trace = session.trace
    if not finding.silent:
        if trace.verbose and trace.log_tested is not None:
            trace.log_tested(trace.place, finding)
        for hear in trace.tested:
            hear(trace.place, finding)
    if finding.match is not None:
        session.environment[b"MATCH"] = finding.matched(finding.match)
        session.variables.foreign.add(b"MATCH")
    if weighted and not finding.too_long and not (finding.kind == PROGRAM and finding.status < 0):
        return finding.silent or not tally.hopeless
    return finding.held


def pass_over(session: Session, entries: tuple[Entry, ...]) -> None:
    """Read conditions without testing them: one that is too long is logged."""
    for _, raw_length, condition, _ in entries:
        if _is_too_long(session, raw_length, condition):
            session.exceeded_linebuf()


def _is_too_long(session: Session, raw_length: int, condition: Condition) -> bool:
    return raw_length > session.variables.linebuf - 1 and condition[syntax.KIND] != syntax.PROGRAM


class _Tests:
    """The tests of the conditions of one recipe; by its flags they search `area`; `written` is the present one."""

    __slots__ = ("session", "tally", "area", "fold", "written")

    def __init__(self, session: Session, flags: int, tally: Tally) -> None:
        self.session = session
        self.tally = tally
        self.fold = not flags & start_line.DISTINGUISH_CASE
        self.area = start_line.area(flags)
        self.written = b""

    def run(self, condition: Condition, written: bytes) -> Finding:
        self.written = written
        foreign = False
        for _ in range(_EXPANSIONS):
            kind, _, weight, _, _, text = condition
            if kind != syntax.EXPAND or (weight is not None and self.tally.saturated):
                break
            try:
                expanded, foreign_at = self._expand(scan_quoted(text))
            except LineTooLongError as error:
                return self._too_long(condition, error.shown)
            before, condition = condition, syntax.read(expanded, condition)
            if foreign_at is not None and not self.session.identity.strict:
                foreign = True
                condition = _disarmed(condition, before, expanded[:foreign_at])
        else:
            self.session.note("exceeded-linebuf")
            finding = Finding(PATTERN, self.written, b"", negated=False, held=False)
            finding.silent = True
            return finding
        kind, _, weight, _, shown, _ = condition
        if weight is not None and self.tally.saturated:
            finding = self._found(PATTERN, condition, shown, held=True)
            finding.after = finding.before
            finding.silent = True
            return finding
        if kind == syntax.REGEX:
            return self._regex(condition)
        if kind == syntax.PROGRAM:
            return self._program(condition)
        return self._size(condition, expand=not foreign)

    # -- patterns --------------------------------------------------------------------------

    def _regex(self, condition: Condition) -> Finding:
        _, negated, weight, _, shown, text = condition
        session = self.session
        if not shown:
            finding = self._found(PATTERN, condition, shown, held=not negated)
            if weight is not None and not negated:
                self._score(finding, scoring.with_limit(finding.before, weight))
            return finding
        regex, area = self._pattern(condition)
        # A backslash that protects the beginning of the line is shown, but is not part of the pattern.
        shown = b"\\" + regex.expanded if shown != text else regex.expanded
        finding = self._found(PATTERN, condition, shown, held=False)
        finding.searched = area
        if weight is not None:
            matches = self._matches(regex, area, weight)
            if regex.splits:
                matches = self._keeping(finding, matches)
            self._score(finding, _counted(finding.before, condition, matches))
        elif regex.splits:
            match = session.mail.questions.match(regex, area)
            finding.held = (match is not None) != negated
            if match is not None:
                self._keep(finding, match)
        else:
            finding.held = session.mail.questions.search(regex, area) != negated
        return finding

    def _pattern(self, condition: Condition) -> tuple[Regex, Area]:
        """What to search for, and where."""
        _, _, _, name, shown, text = condition
        session = self.session
        area = session.area(name or self.area)
        regex = session.patterns.get(
            text, fold=self.fold, literally=not session.identity.strict, protected=shown != text, unicode=area.unicode
        )
        if not regex.valid:
            session.note("invalid-regexp", regex.expanded)
        return regex, area

    def is_plain(self, condition: Condition) -> bool:
        r"""Whether the condition is a pattern that cannot set MATCH (no `\/`)."""
        kind, _, _, _, shown, text = condition
        return kind == syntax.REGEX and shown != b"" and b"\\/" not in text

    def hold(self, condition: Condition) -> bool:
        """Test and apply such a condition, without a Finding: for a run in which nobody reads it."""
        _, negated, weight, *_ = condition
        tally = self.tally
        if weight is None:
            regex, area = self._pattern(condition)
            return self.session.mail.questions.search(regex, area) != negated
        tally.weighted = True
        if tally.saturated:
            return True
        regex, area = self._pattern(condition)
        tally.total = _counted(tally.total, condition, self._matches(regex, area, weight))
        return not tally.hopeless

    def _matches(self, regex: Regex, area: Area, weight: syntax.Weight) -> Iterator[Match]:
        """The matches that a score counts.  A weight of 0 is not even searched for: MATCH stays unchanged."""
        return self.session.mail.questions.count(regex, area) if weight[0] else iter(())

    def _keeping(self, finding: Finding, matches: Iterator[Match]) -> Iterator[Match]:
        """The matches; each one becomes the new MATCH."""
        for match in matches:
            self._keep(finding, match)
            yield match

    def _keep(self, finding: Finding, match: Match) -> None:
        """Note the new MATCH, unless the match did not pass a `\\/` inside the text."""
        if match.none:
            return
        if finding.match is None:
            finding.assigns = b"MATCH" not in self.session.environment
        finding.match = match
        if self.session.trace.verbose:
            finding.matches.append(match)

    # -- programs --------------------------------------------------------------------------

    def _program(self, condition: Condition) -> Finding:
        _, negated, weight, _, _, text = condition
        session = self.session
        command = command_lines.prepare(session, text)
        command.purpose = "condition"
        chunks = self._input(condition)
        # The only change before `apply`: the abstract shows this if a signal ends the program.
        session.fate.size = sum(map(len, chunks))
        ended = session.run(command, chunks)
        status = ended.status
        assert status is not None
        if status:
            session.note("non-zero-exitcode", status, command.name)
        finding = self._found(PROGRAM, condition, command.line, held=(status == 0) != negated)
        finding.status = status
        finding.size = session.fate.size
        if weight is not None:
            if status < 0:
                # A signal is not a number of matches, so this counts as a condition without weight.
                finding.after = finding.before
                finding.held = negated
            else:
                self._score(finding, scoring.with_program(finding.before, weight, status, negated=negated))
        return finding

    def _input(self, condition: Condition) -> list[bytes]:
        """The program's input: the area, folded header lines joined as for a search, and an empty line."""
        name = condition[3] or self.area
        session = self.session
        chunks = [session.area(name).text if session.is_area(name) else session.environment.get(name, b"")]
        return chunks if chunks[0].endswith(b"\n\n") else [*chunks, b"\n"]

    # -- sizes -----------------------------------------------------------------------------

    def _size(self, condition: Condition, *, expand: bool) -> Finding:
        kind, negated, weight, area, shown, text = condition
        session = self.session
        try:
            value = self._expand(scan_size(text))[0] if expand else text.lstrip(b" \t")
        except LineTooLongError as error:
            return self._too_long(condition, error.shown)
        if text[:1] in (b" ", b"\t"):
            value = b" " + value
        limit, rest = _read_limit(value)
        if rest:
            session.note("skipped", rest)
        size = len(session.message) if area is None else len(session.area(area))
        larger = kind == syntax.LARGER
        held = (size > limit if larger else size < limit) != negated
        finding = self._found(SIZE, condition, shown[:1] + value, held=held)
        finding.area = area or b""
        finding.size, finding.limit = size, limit
        if weight is not None:
            strict = session.identity.strict
            share = scoring.size_share(weight, size, limit, larger=larger != negated, strict=strict)
            self._score(finding, scoring.added(finding.before, share))
        return finding

    # -- helpers of all tests --------------------------------------------------------------

    def _found(self, kind: str, condition: Condition, shown: bytes, *, held: bool) -> Finding:
        finding = Finding(kind, self.written, shown, negated=condition[1], held=held)
        finding.weight = condition[2]
        finding.area = condition[3] or self.area
        finding.before = finding.after = self.tally.total
        return finding

    def _too_long(self, condition: Condition, shown: bytes) -> Finding:
        """A condition that is too long after its expansion: it fails, whatever its weight."""
        finding = self._found(PATTERN, condition, shown, held=False)
        finding.too_long = True
        return finding

    def _score(self, finding: Finding, after: float) -> None:
        """The condition has changed the score to `after`."""
        finding.after = after
        finding.held = after != finding.before

    def _expand(self, scan: Scan) -> tuple[bytes, int | None]:
        """As expand_marked, but logs the faults of the text."""
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


def _counted(total: float, condition: Condition, matches: Iterator[Match]) -> float:
    """The score after a condition with a weight and a pattern."""
    _, negated, weight, *_ = condition
    assert weight is not None
    if not negated:
        return scoring.counted(total, weight, matches)
    return scoring.added(total, weight[0]) if next(matches, None) is None else total


def _disarmed(condition: Condition, before: Condition, own: bytes) -> Condition:
    """The condition that an expansion gives, where everything after `own` may be text of the mail.

    The sender of the mail must not start a program: a `?` or a further `$` that is not the rcfile's own is
    a byte of a pattern, and text of the mail is not expanded a second time.
    """
    kind, negated, weight, area, shown, _ = condition
    if kind == syntax.EXPAND or (kind == syntax.PROGRAM and syntax.read(own + b".", before)[syntax.KIND] != kind):
        return (syntax.REGEX, negated, weight, area, shown, shown)
    return condition


def _read_limit(value: bytes) -> tuple[int, bytes]:
    """The number of a size condition, and the text after it."""
    number, end = integer_at(value)
    return number, value[end:].lstrip(b" \t")
