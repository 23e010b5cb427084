"""The pages: each is self-contained, everything in it is escaped, and it may load nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pyprocmail.report import archive
from pyprocmail.report.archive import Archive, Row
from pyprocmail.webpage import WebPages, amount

MOST_ROWS = 500
MOST_MAILS = 5000
"""The most that a page shows: rows of a table, mails of a day or of the search."""
_TEMPLATES = Path(__file__).parent / "templates"
_WIDTH, _HEIGHT = 800, 160


@dataclass(frozen=True, slots=True)
class Bar:
    """A day in the drawing: its place, size and text."""

    x: float
    y: float
    width: float
    height: float
    text: str


def bars(days: list[Row]) -> list[Bar]:
    """Bars for the mails of each day, the oldest on the left."""
    most = max((count for _, count, _ in days), default=0)
    width = _WIDTH / max(len(days), 1)
    return [
        Bar(
            round(number * width, 2),
            round(_HEIGHT * (1 - count / most), 2),
            round(width * 0.9, 2),
            round(_HEIGHT * count / most, 2),
            f"{day}: {count} mails, {amount(size)}",
        )
        for number, (day, count, size) in enumerate(days)
    ]


class Pages:
    """The pages of an archive, in a folder."""

    def __init__(self, kept: Archive, folder: Path) -> None:
        self._archive = kept
        self._folder = folder
        self._templates = WebPages(_TEMPLATES, "search.js")

    def write(self, changed: set[str], gone: set[str]) -> None:
        """Write the overviews, and the pages of days that changed or have no page yet; remove pages of `gone` days.

        Raises:
            OSError: the folder cannot be written to.
        """
        days = archive.by_day(self._archive)
        shown = list(reversed(days))
        self._page("index", "Days", "index.html", days=shown, bars=bars(days), width=_WIDTH, height=_HEIGHT)
        for name in archive.TABLES:
            rows = archive.table(self._archive, name, MOST_ROWS)
            self._page(name, name.capitalize(), "table.html", rows=rows, most=MOST_ROWS)
        self._mails("search", "Search", "", searched=True)
        for day, _, _ in days:
            if day in changed or not (self._folder / f"day-{day}.html").exists():
                self._mails(f"day-{day}", day, day, searched=False)
        for day in gone:
            (self._folder / f"day-{day}.html").unlink(missing_ok=True)

    def _mails(self, name: str, title: str, day: str, *, searched: bool) -> None:
        found = list(archive.mails(self._archive, MOST_MAILS, day))
        self._page(name, title, "mails.html", mails=found, most=MOST_MAILS, searched=searched)

    def _page(self, name: str, title: str, template: str, **values: object) -> None:
        text = self._templates.render(template, title=title, here=name, tables=list(archive.TABLES), **values)
        path = self._folder / f"{name}.html"
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
