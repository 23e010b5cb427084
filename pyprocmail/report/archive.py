"""The mails from the logs so far, in a database beside the pages, so that an hourly run reads only new lines.

A log is identified by its first line, not by its name: a log that was rotated, compressed or copied is not read twice.
The mails and the offset reached are written in one transaction.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from pyprocmail.report import lines

LONGEST_LINE_BYTES = 16 << 20
_WAIT_S = 60.0
_TABLES = """\
CREATE TABLE IF NOT EXISTS log (first BLOB PRIMARY KEY, offset INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS mail (
  id INTEGER PRIMARY KEY, time INTEGER NOT NULL, day TEXT NOT NULL, sender TEXT NOT NULL, size INTEGER NOT NULL,
  subject TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS recipient (mail INTEGER NOT NULL, address TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS file (mail INTEGER NOT NULL, name TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS mail_day ON mail (day, time);
CREATE INDEX IF NOT EXISTS recipient_mail ON recipient (mail);
CREATE INDEX IF NOT EXISTS file_mail ON file (mail);
"""


@dataclass(slots=True)
class Taken:
    """The additions of a run: mails, skipped lines, and the days (YYYY-MM-DD, local time) that changed."""

    mails: int = 0
    skipped: int = 0
    days: set[str] = field(default_factory=set)


class Archive:
    """The database in the file `path`, which only its owner may read."""

    def __init__(self, path: Path) -> None:
        """Open it, or make it.

        Raises:
            sqlite3.Error: it is not such a database, or another run takes too long.
            OSError: it cannot be made.
        """
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self.database = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
        self.database.executescript(_TABLES)

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def add(self, log: Path, taken: Taken) -> None:
        """Add the new lines of a log, and count them in `taken`.

        Raises:
            OSError: the log cannot be read.
            sqlite3.Error: the database cannot be written; then no line of this log was added.
        """
        with closing(_open(log)) as file:
            first = file.readline(LONGEST_LINE_BYTES)
            if not first.endswith(b"\n"):
                return
            key = hashlib.sha256(first).digest()
            self.database.execute("BEGIN IMMEDIATE")
            try:
                found = self.database.execute("SELECT offset FROM log WHERE first = ?", (key,)).fetchone()
                file.seek(found[0] if found else 0)
                offset = self._take(file, taken)
                self.database.execute("INSERT OR REPLACE INTO log VALUES (?, ?)", (key, offset))
                self.database.execute("COMMIT")
            except BaseException:
                self.database.execute("ROLLBACK")
                raise

    def _take(self, file: IO[bytes], taken: Taken) -> int:
        """Add the complete lines; returns the offset of the rest."""
        offset = file.tell()
        for line in iter(lambda: file.readline(LONGEST_LINE_BYTES), b""):
            if not line.endswith(b"\n"):
                # The last line is still being written; a line that is too long is skipped.
                if len(line) < LONGEST_LINE_BYTES:
                    break
                taken.skipped += 1
                while line and not line.endswith(b"\n"):
                    line = file.readline(LONGEST_LINE_BYTES)
                offset = file.tell()
                continue
            offset += len(line)
            mail = lines.read(line)
            if mail is None:
                taken.skipped += 1
                continue
            taken.days.add(self._keep(mail))
            taken.mails += 1
        return offset

    def _keep(self, mail: lines.Logged) -> str:
        (day,) = self.database.execute("SELECT date(?, 'unixepoch', 'localtime')", (mail.time,)).fetchone()
        assert isinstance(day, str)
        number = self.database.execute(
            "INSERT INTO mail (time, day, sender, size, subject) VALUES (?, ?, ?, ?, ?)",
            (mail.time, day, mail.sender, mail.size, mail.subject),
        ).lastrowid
        self.database.executemany("INSERT INTO recipient VALUES (?, ?)", [(number, one) for one in mail.recipients])
        self.database.executemany("INSERT INTO file VALUES (?, ?)", [(number, one) for one in mail.files])
        return day

    def forget(self, days: int) -> set[str]:
        """Keep that many of the newest days with mail; returns the removed ones."""
        keep = {
            day for (day,) in self.database.execute("SELECT DISTINCT day FROM mail ORDER BY day DESC LIMIT ?", (days,))
        }
        gone = {day for (day,) in self.database.execute("SELECT DISTINCT day FROM mail")} - keep
        for day in gone:
            self.database.execute("BEGIN IMMEDIATE")
            for table in ("recipient", "file"):
                self.database.execute(f"DELETE FROM {table} WHERE mail IN (SELECT id FROM mail WHERE day = ?)", (day,))  # noqa: S608  two names of ours
            self.database.execute("DELETE FROM mail WHERE day = ?", (day,))
            self.database.execute("COMMIT")
        return gone


def _open(log: Path) -> IO[bytes]:
    """The open log, decompressed if its name ends in .gz."""
    return cast(IO[bytes], gzip.open(log, "rb")) if log.suffix == ".gz" else log.open("rb")


Row = tuple[str, int, int]
"""A value, its number of mails, and their bytes."""

TABLES = {
    "senders": "SELECT sender, count(*), sum(size) FROM mail GROUP BY sender",
    "recipients": "SELECT address, count(*), sum(size) FROM recipient JOIN mail ON mail.id = mail GROUP BY address",
    "domains": ("SELECT lower(substr(sender, instr(sender, '@') + 1)), count(*), sum(size) FROM mail GROUP BY 1"),
    "subjects": "SELECT subject, count(*), sum(size) FROM mail GROUP BY subject",
    "attachments": "SELECT name, count(*), sum(size) FROM file JOIN mail ON mail.id = mail GROUP BY name",
}


def table(archive: Archive, name: str, most: int) -> list[Row]:
    """The rows of one of TABLES, those with most mails first."""
    return archive.database.execute(f"{TABLES[name]} ORDER BY 2 DESC, 3 DESC, 1 LIMIT ?", (most,)).fetchall()


def by_day(archive: Archive) -> list[Row]:
    """The days, the oldest first."""
    return archive.database.execute("SELECT day, count(*), sum(size) FROM mail GROUP BY day ORDER BY day").fetchall()


@dataclass(frozen=True, slots=True)
class Shown:
    """A mail for a page; `when` is local time."""

    when: str
    sender: str
    recipients: Sequence[str]
    size: int
    subject: str
    files: Sequence[str]


def mails(archive: Archive, most: int, day: str = "") -> Iterator[Shown]:
    """The newest mails, of one day or of all, the newest first."""
    where = "WHERE day = ?" if day else "WHERE ? = ''"
    rows = archive.database.execute(
        "SELECT id, strftime('%Y-%m-%d %H:%M', time, 'unixepoch', 'localtime'), sender, size, subject "  # noqa: S608
        f"FROM mail {where} ORDER BY time DESC, id DESC LIMIT ?",  # one of two texts of ours
        (day, most),
    )
    for number, when, sender, size, subject in rows.fetchall():
        recipients = archive.database.execute("SELECT address FROM recipient WHERE mail = ?", (number,))
        files = archive.database.execute("SELECT name FROM file WHERE mail = ?", (number,))
        yield Shown(when, sender, [one for (one,) in recipients], size, subject, [one for (one,) in files])
