"""The table that assigns rules to mails: a text file with a row for each pair of sender and recipient pattern.

    # sender       recipient          rules
    *              postmaster@*       pass
    *@example.org  *                  /etc/pyprocmail/outbound.rc
    <>             *                  pass
    *              *@lists.example    /etc/pyprocmail/lists.filter  maildrop
    *              *                  /etc/pyprocmail/inbound.rc    each

The first row whose patterns both match applies; the last row must match everything.  A pattern is compared with the
whole address, ignoring case, with `*` for any text and `?` for one character; `<>` is the null sender.  Rules are an
absolute path, or `pass` for none.  `maildrop` marks a maildrop filter file.  `each` runs the rules once for each
recipient; otherwise they run once for all recipients of a mail that match the same row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

PASS = b"pass"
_WORDS = (b"procmail", b"maildrop", b"each")


class TableError(Exception):
    """The mistakes in the table, one line each."""


@dataclass(frozen=True, slots=True)
class Row:
    """`rules` is empty for `pass`."""

    sender: re.Pattern[bytes]
    recipient: re.Pattern[bytes]
    rules: bytes
    maildrop: bool
    each: bool
    line: int


class Table:
    """The rows in their order."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = tuple(rows)

    def find(self, sender: bytes, recipient: bytes) -> Row:
        """The row for a mail from `sender` to `recipient`."""
        for row in self.rows:
            if row.sender.fullmatch(sender) and row.recipient.fullmatch(recipient):
                return row
        raise AssertionError("the last row matches everything")


def read(text: bytes, name: str) -> Table:
    """The table in the file `name`.

    Raises:
        TableError: it is not a valid table.
    """
    rows: list[Row] = []
    wrong: list[str] = []
    for number, line in enumerate(text.split(b"\n"), 1):
        words = line.partition(b"#")[0].split()
        if not words:
            continue
        if len(words) < 3:
            wrong.append(f"{name}:{number}: a row has a sender, a recipient and rules")
            continue
        sender, recipient, rules, *more = words
        unknown = [word.decode(errors="replace") for word in more if word not in _WORDS]
        if unknown:
            wrong.append(f"{name}:{number}: '{unknown[0]}' is not one of procmail, maildrop and each")
        if rules != PASS and not rules.startswith(b"/"):
            wrong.append(
                f"{name}:{number}: '{rules.decode(errors='replace')}' is neither a path from the root nor pass"
            )
        path = b"" if rules == PASS else rules
        rows.append(Row(_pattern(sender), _pattern(recipient), path, b"maildrop" in more, b"each" in more, number))
    if not wrong and (not rows or not (rows[-1].sender.pattern == rows[-1].recipient.pattern == b".*")):
        wrong.append(f"{name}: the last row must be for all other mail, such as * * pass")
    if wrong:
        raise TableError("\n".join(wrong))
    return Table(rows)


def _pattern(word: bytes) -> re.Pattern[bytes]:
    """The glob as a pattern.  A run of stars counts as one: the time to match depends on the address's length only."""
    if word == b"<>":
        return re.compile(b"")
    parts = [re.escape(part).replace(rb"\?", b".") for part in re.split(rb"\*+", word)]
    # Each part is searched for once, after the previous one: an atomic group is never retried.
    if len(parts) == 1:
        return re.compile(parts[0], re.IGNORECASE | re.DOTALL)
    inner = b"".join(b"(?>.*?%b)" % part for part in parts[1:-1])
    return re.compile(parts[0] + inner + b".*" + parts[-1], re.IGNORECASE | re.DOTALL)
