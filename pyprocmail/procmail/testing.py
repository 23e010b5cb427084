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
    from collections.abc import Callable, Iterator

    from pyprocmail.matching.regex import Area, Match, Regex
    from pyprocmail.procmail.compiled.conditions import Condition
    from pyprocmail.procmail.compiled.pieces import Scan
    from pyprocmail.procmail.session import Session

    Entry = tuple[int, int, Condition, bytes]

"""The largest limit, and negated the smallest: the reference has a long."""
_EXPANSIONS = 64
"""How often a `$` condition may become another one; no sensible rcfile needs more than two."""


def hold(session: Session, entries: tuple[Entry, ...], flags: int) -> bool:
    """Test the conditions until one fails; `$=` becomes the score so far."""
    if not entries:
        session.fate.score = 0
        return True
    tally = Tally()
    tests = _Tests(session, flags, tally)
    ok = True
    for at, (offset, raw_length, condition, text) in enumerate(entries):
        session.trace.offset = offset
        if _is_too_long(session, raw_length, condition):
            session.exceeded_linebuf()
            ok = False
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
    if weighted and not (finding.kind == PROGRAM and finding.status < 0):
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
            kind, negated, weight, _, _, text = condition
            if kind != syntax.EXPAND or (weight is not None and self.tally.saturated):
                break
            try:
                expanded, foreign_at = self._expand(scan_quoted(text))
            except LineTooLongError as error:
                return self._unreadable(error.shown, negated)
            before, condition = condition, syntax.read(expanded, condition)
            if foreign_at is not None and not self.session.identity.strict:
                foreign = True
                condition = _disarmed(condition, before, expanded[:foreign_at])
        else:
            self.session.note("exceeded-linebuf")
            finding = self._unreadable(b"", False)
            finding.silent = True
            return finding
        kind, negated, weight, _, shown, _ = condition
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
        _, negated, weight, name, shown, text = condition
        session = self.session
        if not shown:
            finding = self._found(PATTERN, condition, shown, held=not negated)
            if weight is not None and not negated:
                self._score(finding, lambda tally: scoring.add_limit(tally, weight))
            return finding
        # A backslash that protects the beginning of the line is shown, but is not part of the pattern.
        protected = shown != text
        literally = not session.identity.strict
        area = session.area(name or self.area)
        regex = session.patterns.get(
            text, fold=self.fold, literally=literally, protected=protected, unicode=area.unicode
        )
        shown = b"\\" + regex.expanded if protected else regex.expanded
        if not regex.valid:
            session.note("invalid-regexp", regex.expanded)
        finding = self._found(PATTERN, condition, shown, held=False)
        finding.searched = area
        if weight is not None:
            self._count(finding, regex, area, weight)
        elif regex.splits:
            match = session.mail.questions.match(regex, area)
            finding.held = (match is not None) != negated
            if match is not None:
                self._keep(finding, match)
        else:
            finding.held = session.mail.questions.search(regex, area) != negated
        return finding

    def _count(self, finding: Finding, regex: Regex, area: Area, weight: syntax.Weight) -> None:
        """Score the matches; MATCH comes from the last one that counted."""
        # A weight of 0 is not even searched for: MATCH stays unchanged.
        matches = self.session.mail.questions.count(regex, area) if weight[0] else iter(())
        if regex.splits:
            matches = self._keeping(finding, matches)
        if not finding.negated:
            self._score(finding, lambda tally: scoring.count(tally, weight, matches))
        elif next(matches, None) is None:
            self._score(finding, lambda tally: tally.add(weight[0]))

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
                self._score(finding, lambda tally: scoring.count_program(tally, weight, status, negated=negated))
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
            return self._unreadable(error.shown, negated)
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
            self._score(finding, lambda tally: tally.add(share))
        return finding

    # -- helpers of all tests --------------------------------------------------------------

    def _found(self, kind: str, condition: Condition, shown: bytes, *, held: bool) -> Finding:
        finding = Finding(kind, self.written, shown, negated=condition[1], held=held)
        finding.weight = condition[2]
        finding.area = condition[3] or self.area
        finding.before = finding.after = self.tally.total
        return finding

    def _unreadable(self, shown: bytes, negated: bool) -> Finding:
        """A condition that is too long after its expansion: it fails, whatever its weight."""
        return Finding(PATTERN, self.written, shown, negated=negated, held=False)

    def _score(self, finding: Finding, count: Callable[[Tally], object]) -> None:
        """Count the condition, from the score so far."""
        tally = Tally()
        tally.total = finding.before
        count(tally)
        finding.after = tally.total
        finding.held = finding.after != finding.before

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
