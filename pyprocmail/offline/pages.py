"""The HTML pages of a replay and of a diff: one self-contained file each."""

from __future__ import annotations

import datetime as dt
import os
from collections import Counter
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pyprocmail.offline import listing
from pyprocmail.offline.diff import NOWHERE as NOTHING
from pyprocmail.offline.outcome import FOLDER, shown
from pyprocmail.webpage import WebPages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyprocmail.offline.diff import Compared, Difference
    from pyprocmail.offline.outcome import Fate, Outcome
    from pyprocmail.offline.replay import Summary

MOST_MAILS = 1000
"""The most mails to show for a folder, and for a change from one folder to another."""
_TEMPLATES = Path(__file__).parent / "templates"
_WIDTH, _HEIGHT = 800, 120
_MOST_BARS = 100
_MONTH_DAYS, _YEAR_DAYS = 31, 366
_FIRST_YEAR, _LAST_YEAR = 1980, 2100
"""Dates outside these years are ignored."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A mail in the list of a folder."""

    sender: str
    subject: str
    date: str
    source: str
    size: int
    why: str


@dataclass(slots=True)
class Place:
    """A folder, or a command line that gets mails."""

    name: str
    count: int = 0
    size: int = 0
    share: float = 0.0
    mails: list[Shown] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bar:
    """A period in the chart: its position, its height, and its text."""

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of an rcfile, and the number of deliveries by the recipe that begins there."""

    number: int
    hits: int
    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """An rcfile."""

    name: str
    lines: list[SourceLine]


class ReplayPage:
    """Collects the data of a page mail by mail: the first mails of each folder, and the numbers of all."""

    def __init__(self, *, subjects: bool) -> None:
        self._subjects = subjects
        self._places: dict[str, Place] = {}
        self._days: Counter[dt.date] = Counter()

    def add(self, outcome: Outcome) -> None:
        """Add a mail."""
        day = _day(outcome.date)
        if day is not None:
            self._days[day] += 1
        for fate in outcome.fates:
            name = fate.where.strip() if fate.kind == FOLDER else f"{fate.kind}: {fate.where.strip()}"
            place = self._places.setdefault(name, Place(name))
            place.count += 1
            place.size += fate.size
            if len(place.mails) < MOST_MAILS:
                place.mails.append(self._shown(outcome, fate))

    def _shown(self, outcome: Outcome, fate: Fate) -> Shown:
        subject = outcome.subject if self._subjects else ""
        return Shown(outcome.sender, subject, outcome.date, outcome.source, outcome.size, listing.why(fate))

    def text(self, rcfile: str, found: Summary) -> str:
        """The page as HTML."""
        places = sorted(self._places.values(), key=lambda place: (-place.count, place.name))
        most = max((place.count for place in places), default=1)
        for place in places:
            place.share = round(100 * place.count / most, 1)
        step, drawn = bars(self._days)
        return WebPages(_TEMPLATES, "search.js").render(
            "replay.html",
            title=f"Replay of {rcfile}",
            summary=list(listing.totals(found)),
            places=places,
            shown=sum(len(place.mails) for place in places),
            bars=drawn,
            step=step,
            width=_WIDTH,
            height=_HEIGHT,
            sources=list(sources(rcfile, found)),
            subjects=self._subjects,
        )


def _day(date: str) -> dt.date | None:
    """The day of a Date field; None if it is not a date."""
    try:
        day = parsedate_to_datetime(date).date()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return day if _FIRST_YEAR <= day.year <= _LAST_YEAR else None


def bars(days: Counter[dt.date]) -> tuple[str, list[Bar]]:
    """The chart of mails by day, month or year, so that the bars are not too many; the oldest on the left."""
    if not days:
        return "day", []
    span = (max(days) - min(days)).days
    step = "day" if span < _MOST_BARS else "month" if span < _MOST_BARS * _MONTH_DAYS else "year"
    length = {"day": 10, "month": 7, "year": 4}[step]
    counts: Counter[str] = Counter()
    at = min(days)
    while at <= max(days):  # periods without mails are included
        counts[at.isoformat()[:length]] += days.get(at, 0)
        at += dt.timedelta(days=1)
    most = max(counts.values())
    width = _WIDTH / len(counts)
    return step, [
        Bar(
            round(number * width, 2),
            round(_HEIGHT * (1 - count / most), 2),
            round(width * 0.9, 2),
            round(_HEIGHT * count / most, 2),
            f"{name}: {count} mails",
        )
        for number, (name, count) in enumerate(counts.items())
    ]


def sources(rcfile: str, found: Summary) -> Iterator[Source]:
    """The rcfiles, the main one first, with the deliveries of their recipes; one that no longer exists is left out."""
    names = sorted({name for name, _ in found.hits} | {rcfile}, key=lambda name: (name != rcfile, name))
    for name in names:
        try:
            path = rcfile if name == rcfile else os.path.join(os.path.dirname(rcfile), name)
            text = Path(path).read_bytes()
        except OSError:
            continue
        yield Source(
            name,
            [
                SourceLine(number, found.hits[name, number], shown(line))
                for number, line in enumerate(text.removesuffix(b"\n").split(b"\n"), 1)
            ],
        )


# -- diff ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Fate:
    where: str
    why: str


@dataclass(frozen=True, slots=True)
class _Changed:
    sender: str
    subject: str
    old: list[_Fate]
    new: list[_Fate]
    changed: tuple[str, ...]


@dataclass(slots=True)
class _Way:
    old: str
    new: str
    count: int = 0
    mails: list[_Changed] = field(default_factory=list)


class DiffPage:
    """Collects the mails that go elsewhere, grouped by old and new folder: the first mails of each group."""

    def __init__(self, *, subjects: bool) -> None:
        self._subjects = subjects
        self._ways: dict[tuple[str, str], _Way] = {}

    def add(self, found: Difference) -> None:
        """Add a mail."""
        way = self._ways.setdefault(found.way, _Way(*found.way))
        way.count += 1
        if len(way.mails) < MOST_MAILS:
            subject = found.subject if self._subjects else ""
            old, new = _fates(found.old, found), _fates(found.new, found)
            way.mails.append(_Changed(found.sender, subject, old, new, found.changed))

    def text(self, old: str, new: str, count: Compared) -> str:
        """The page as HTML."""
        ways = sorted(self._ways.values(), key=lambda way: (-way.count, way.old, way.new))
        return WebPages(_TEMPLATES, "search.js").render(
            "diff.html",
            title=f"From {old} to {new}",
            old=old,
            new=new,
            different=count.different,
            compared=count.mails,
            ways=ways,
            shown=sum(len(way.mails) for way in ways),
            subjects=self._subjects,
        )


def _fates(fates: Sequence[Fate], found: Difference) -> list[_Fate]:
    if not fates and not found.changed:
        return [_Fate(NOTHING, "")]
    return [_Fate(fate.where.strip() + (" (copy)" if fate.copy else ""), listing.why(fate)) for fate in fates]
