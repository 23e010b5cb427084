"""Patterns of filter files: the text that they search, MATCH, and scores.  maildropfilter(7), "Patterns"."""

from __future__ import annotations

from pyprocmail.engine.trace import PATTERN, Finding
from pyprocmail.maildrop import areas, commands
from pyprocmail.maildrop import instructions as op
from pyprocmail.maildrop.arithmetic import is_true, real, written
from pyprocmail.maildrop.log import words
from pyprocmail.matching.pcre import LimitError
from pyprocmail.matching.regex import Area

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyprocmail.maildrop.instructions import Pattern
    from pyprocmail.maildrop.session import Session
    from pyprocmail.matching.pcre import Regex, Span

# maildrop matches the line that it found once more, for MATCH, and counts that too.
# tests/conformance/maildrop/pat-weights-message.json
_FOUND_IN_MESSAGE = b"2"

_AREAS = {op.HEADER: b"H", op.BODY: b"B", op.WHOLE: b"HB"}


def search_message(session: Session, line: int, pattern: Pattern) -> bytes:
    """Search the message: whether there is a match, or the score."""
    pieces, area, fold, weights = pattern
    text = commands.expand(session, pieces)
    regex = _regex(session, line, text, fold)
    if regex is None:
        return b"0"
    value = b"0"
    found = _in_lines(session, line, text, regex, _Lines(session, area))
    if weights is not None:
        value = _score(found, weights)
    else:
        for subject, spans in found:
            _remember(session, subject, spans)
            value = _FOUND_IN_MESSAGE
            break
    _trace_result(session, line, text, value)
    if session.trace.tested:
        _tell(session, text, _AREAS[area], session.view.text(area), value, scored=weights is not None)
    return value


def search_area(session: Session, line: int, name: bytes, pattern: Pattern) -> bytes:
    """Search a decoded area, line by line: whether there is a match, or the score."""
    pieces, _, fold, weights = pattern
    text = commands.expand(session, pieces)
    regex = _regex(session, line, text, fold)
    if regex is None:
        return b"0"
    value = b"0"
    area = areas.of(session, name)
    found = _in_lines(session, line, text, regex, area)
    if weights is not None:
        value = _score(found, weights)
    else:
        for subject, spans in found:
            _remember(session, subject, spans)
            value = b"1"
            break
    _trace_result(session, line, text, value)
    if session.trace.tested:
        _tell(session, text, name, area.text, value, scored=weights is not None)
    return value


def search_text(session: Session, line: int, subject: bytes, pattern: Pattern) -> bytes:
    """Search a text: whether there is a match, or the score."""
    pieces, _, fold, weights = pattern
    text = commands.expand(session, pieces)
    regex = _regex(session, line, text, fold)
    if regex is None:
        return b"0"
    if session.verbose > 2:
        session.note("matching", text, subject)
    value = b"0"
    found = _in_text(session, line, text, regex, subject)
    if weights is not None:
        value = _score(found, weights)
    else:
        for _, spans in found:
            _remember(session, subject, spans)
            value = b"1"
            break
    _trace_result(session, line, text, value)
    if session.trace.tested:
        _tell(session, text, b"", subject, value, scored=weights is not None)
    return value


def all_matches(session: Session, line: int, subject: bytes | None, pattern: Pattern, name: bytes = b"") -> list[bytes]:
    """The matches for foreach: those in a text, or one for each line of the message or of the area `name`.

    The groups of the last match are in MATCH1 and so on when this returns, as in maildrop.
    """
    pieces, area, fold, _ = pattern
    text = commands.expand(session, pieces)
    regex = _regex(session, line, text, fold)
    if regex is None:
        return []
    if name:
        found = _in_lines(session, line, text, regex, areas.of(session, name))
    elif subject is None:
        found = _in_lines(session, line, text, regex, _Lines(session, area))
    else:
        if session.verbose > 2:
            session.note("matching", text, subject)
        found = _in_text(session, line, text, regex, subject)
    matches: list[bytes] = []
    for searched, spans in found:
        session.check_watchdog()
        _remember(session, searched, spans, whole=False)
        start, end = spans[0]
        matches.append(searched[start:end].partition(b"\0")[0])
    _trace_result(session, line, text, b"%d" % len(matches))
    return matches


def _regex(session: Session, line: int, text: bytes, fold: bool) -> Regex | None:
    regex = session.regex(text, fold=fold)
    if regex is None:
        session.note("bad-pattern", session.file, line)
    return regex


class _Lines:
    """The lines of the message, as maildrop sees it, or of its header or body."""

    __slots__ = ("_view", "_area")

    def __init__(self, session: Session, area: int) -> None:
        self._view = session.view
        self._area = area

    @property
    def text(self) -> bytes:
        """The text of all lines."""
        return self._view.text(self._area)

    @property
    def lowered(self) -> bytes | None:
        """The text in lower case; None if it is not ASCII."""
        return self._view.lowered(self._area)

    def lines(self, offset: int) -> Iterator[bytes]:
        """The lines, beginning with the one that contains the offset."""
        return self._view.lines(self._area, offset)


def _in_lines(
    session: Session, line: int, text: bytes, regex: Regex, searched: _Lines | areas.Lines
) -> Iterator[tuple[bytes, list[Span]]]:
    """The first match in each line."""
    regex.afresh()
    start = 0
    if session.verbose <= 2:
        start = regex.first_line(searched.text, searched.lowered)
        if start < 0:
            return
    for subject in searched.lines(start):
        if session.verbose > 2:
            session.note("matching", text, subject)
        try:
            spans = regex.search(subject)
        except LimitError:
            _give_up(session, line, text)
            return
        if spans is not None:
            yield subject, spans
        elif session.verbose > 2:
            session.note("not-matched")
        if not regex.linear:
            session.check_watchdog()


def _in_text(
    session: Session, line: int, text: bytes, regex: Regex, subject: bytes
) -> Iterator[tuple[bytes, list[Span]]]:
    """All matches in a text."""
    try:
        for spans in regex.successive(subject):
            yield subject, spans
    except LimitError:
        _give_up(session, line, text)


def _give_up(session: Session, line: int, text: bytes) -> None:
    """PCRE2 has reached its limit, which counts as no match."""
    texts = (session.file, line, text)
    session.note("limit", *texts)
    session.log.write(words("limit", texts) + b"\n")


def _score(found: Iterator[tuple[bytes, list[Span]]], weights: tuple[float, float]) -> bytes:
    weight, factor = weights
    total = 0.0
    for _ in found:
        total += weight
        weight *= factor
    return written(total)


def _remember(session: Session, subject: bytes, spans: list[Span], *, whole: bool = True) -> None:
    """Set MATCH and MATCH1 and so on; groups after the last one that took part keep their values."""
    last = max(number for number, (start, _) in enumerate(spans) if start >= 0)
    for number, (start, end) in enumerate(spans[: last + 1]):
        if number or whole:
            name = b"MATCH%d" % number if number else b"MATCH"
            session.set(name, subject[start:end].partition(b"\0")[0] if start >= 0 else b"")


def _tell(session: Session, pattern: bytes, area: bytes, text: bytes, value: bytes, *, scored: bool) -> None:
    """Report the result of a search to the readers of the trace."""
    finding = Finding(PATTERN, pattern, pattern, negated=False, held=is_true(value))
    finding.area, finding.searched = area, Area(text)
    if scored:
        finding.after = real(value)
    for hear in session.trace.tested:
        hear(session.trace.place, finding)


def _trace_result(session: Session, line: int, text: bytes, value: bytes) -> None:
    if session.verbose > 3:
        session.note("searched", session.file, line, text, value)
