"""Patterns of filter files: what they are searched in, MATCH, and scores.  maildropfilter(7), "Patterns"."""

from __future__ import annotations

from pyprocmail.engine import maildrop_commands as commands
from pyprocmail.matching.pcre import LimitError
from pyprocmail.program.numerals import written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyprocmail.engine.maildrop_session import Session
    from pyprocmail.matching.pcre import Regex, Span

    Pattern = tuple[Any, ...]

# maildrop matches the line that it found once more, for MATCH, and counts that.
# tests/conformance/maildrop/pat-weights-message.json
_FOUND_IN_MESSAGE = b"2"


def search_message(session: Session, line: int, pattern: Pattern) -> bytes:
    """Search the message: whether there is a match, or the score."""
    pieces, area, fold, weights = pattern
    text = commands.expand(session, pieces)
    regex = _regex(session, line, text, fold)
    if regex is None:
        return b"0"
    value = b"0"
    found = _in_lines(session, line, text, regex, area)
    if weights is not None:
        value = _score(found, weights)
    else:
        for subject, spans in found:
            _remember(session, subject, spans)
            value = _FOUND_IN_MESSAGE
            break
    _trace_result(session, line, text, value)
    return value


def search_text(session: Session, line: int, subject: bytes, pattern: Pattern) -> bytes:
    """Search a text: whether there is a match, or the score."""
    pieces, _, fold, weights = pattern
    text = commands.expand(session, pieces)
    regex = _regex(session, line, text, fold)
    if regex is None:
        return b"0"
    if session.verbose > 2:
        session.log.say(b"Matching /%b/ against %b" % (text, subject))
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
    return value


def all_matches(session: Session, line: int, subject: bytes | None, pattern: Pattern) -> list[bytes]:
    """What foreach goes through: the matches in a text, or one of each line of the message.

    The groups of the last one are in MATCH1 and so on when this returns, as with maildrop.
    """
    pieces, area, fold, _ = pattern
    text = commands.expand(session, pieces)
    regex = _regex(session, line, text, fold)
    if regex is None:
        return []
    if subject is None:
        found = _in_lines(session, line, text, regex, area)
    else:
        if session.verbose > 2:
            session.log.say(b"Matching /%b/ against %b" % (text, subject))
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
        session.log.say(b"%b(%d): Syntax error in /pattern/.\n" % (session.file, line))
    return regex


def _in_lines(session: Session, line: int, text: bytes, regex: Regex, area: int) -> Iterator[tuple[bytes, list[Span]]]:
    """The first match in each line of the message."""
    view = session.view
    start = 0
    if session.verbose <= 2:
        start = regex.first_line(view.text(area), view.lowered(area))
        if start < 0:
            return
    for subject in view.lines(area, start):
        if session.verbose > 2:
            session.log.say(b"Matching /%b/ against %b" % (text, subject))
        try:
            spans = regex.search(subject)
        except LimitError:
            _give_up(session, line, text)
            return
        if spans is not None:
            yield subject, spans
        elif session.verbose > 2:
            session.log.say(b"Not matched.")
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
    """PCRE2 reached its limit: that counts as no match."""
    complaint = b"%b(%d): Match limit exceeded, taken for no match: /%b/" % (session.file, line, text)
    session.log.say(complaint)
    session.log.write(complaint + b"\n")


def _score(found: Iterator[tuple[bytes, list[Span]]], weights: tuple[float, float]) -> bytes:
    weight, factor = weights
    total = 0.0
    for _ in found:
        total += weight
        weight *= factor
    return written(total)


def _remember(session: Session, subject: bytes, spans: list[Span], *, whole: bool = True) -> None:
    """Set MATCH and MATCH1 and so on; groups behind the last one that took part keep their values."""
    last = max(number for number, (start, _) in enumerate(spans) if start >= 0)
    for number, (start, end) in enumerate(spans[: last + 1]):
        if number or whole:
            name = b"MATCH%d" % number if number else b"MATCH"
            session.set(name, subject[start:end].partition(b"\0")[0] if start >= 0 else b"")


def _trace_result(session: Session, line: int, text: bytes, value: bytes) -> None:
    if session.verbose > 3:
        session.log.say(b"%b(%d): Search of %b = %b" % (session.file, line, text, value))
