"""From_ lines: the first line of a mail in an mbox, and the >From lines after it.

Pure functions on bytes; the caller passes the time.  procmail(1), -f and -o.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from time import struct_time

_DAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")


def timestamp(when: struct_time) -> bytes:
    """`Thu Jan  1 00:00:00 2026`, as ctime(3) writes it in any locale."""
    return b"%s %s %2d %02d:%02d:%02d %d" % (
        _DAYS[when.tm_wday],
        _MONTHS[when.tm_mon - 1],
        when.tm_mday,
        when.tm_hour,
        when.tm_min,
        when.tm_sec,
        when.tm_year,
    )


def rfc_date(when: struct_time) -> bytes:
    """`Thu, 01 Jan 2026 00:00:00 +0000`, as a Date field has it."""
    day, month, _, clock, year = timestamp(when).split()
    offset = when.tm_gmtoff // 60
    sign = b"-" if offset < 0 else b"+"
    return b"%b, %02d %b %b %b %b%02d%02d" % (
        day, when.tm_mday, month, year, clock, sign, abs(offset) // 60, abs(offset) % 60,
    )  # fmt: skip


def is_postmark(line: bytes) -> bool:
    """Whether the line is `From who ... date`: a weekday, a month, a day and a time of day in a row.

    The rest of the line after the time of day (a zone, a year, `remote from`) may be anything.
    """
    return line.startswith(b"From ") and _date_word(line.split()) > 0


def _date_word(words: list[bytes]) -> int:
    """The index of the word that begins the date; 0 if none does."""
    for at in range(1, len(words) - 3):
        if words[at] in _DAYS and words[at + 1] in _MONTHS and _is_day_and_time(words[at + 2], words[at + 3]):
            return at
    return 0


def _is_day_and_time(day: bytes, time: bytes) -> bool:
    return day.isdigit() and len(day) <= 2 and len(time) >= 4 and time[:1].isdigit() and b":" in time[1:3]


def make(who: bytes, when: struct_time) -> bytes:
    """`From who  Thu Jan  1 00:00:00 2026`, with its newline."""
    return b"From %s  %s\n" % (who, timestamp(when))


def line_end(data: bytes) -> int:
    """The offset after the From_ line alone; 0 without a From_ line."""
    if not data.startswith(b"From "):
        return 0
    return data.find(b"\n") + 1 or len(data)


def envelope_end(data: bytes) -> int:
    """The offset after the From_ line and the `>From ` lines that follow it directly; 0 without a From_ line.

    As in procmail, any line there that begins with a `>` counts as a `>From ` line.
    """
    end = line_end(data)
    while end and data.startswith(b">", end):
        end = data.find(b"\n", end) + 1 or len(data)
    return end


def _without_leading_newlines(data: bytes) -> bytes:
    return data.lstrip(b"\n") if data.startswith(b"\n") else data


def replace(data: bytes, who: bytes, when: struct_time) -> bytes:
    """The mail with `From who  date` in place of its From_ line (-f who, -o); newlines before it are removed."""
    data = _without_leading_newlines(data)
    return make(who, when) + data[line_end(data) :]


def refresh(data: bytes, fallback: bytes, when: struct_time) -> bytes:
    """The mail with a new date in its From_ line (-f -); a mail without the line gets one from `fallback`.

    The address keeps its spelling; the old date and the text after it are removed.  A line without
    a newline is not a From_ line.
    """
    data = _without_leading_newlines(data)
    end = line_end(data)
    if not data.endswith(b"\n", 0, end):
        return make(fallback, when) + data[end:]
    return make(_address(data[:end]), when) + data[end:]


def _address(line: bytes) -> bytes:
    """The text before the date of a From_ line, or its first word if there is no date."""
    words = line.split()
    date = _date_word(words)
    if not date:
        # Only space and tab are blanks here: a carriage return belongs to the address.
        rest = line[len(b"From ") :].replace(b"\t", b" ").rstrip(b"\n")
        address = rest.lstrip(b" ").partition(b" ")[0]
        return line[len(b"From ") :][: rest.find(address) + len(address)]
    return line[len(b"From ") : line.rfind(words[date] + b" " + words[date + 1])].rstrip()


def mark_untrusted(data: bytes, invoker: bytes, when: struct_time) -> bytes:
    """The mail with `>From invoker  date` below the From_ line that an untrusted caller gave.

    A mail without a From_ line gets one from `invoker`.
    """
    data = _without_leading_newlines(data)
    end = line_end(data)
    if not end:
        return make(invoker, when) + data
    first = data[:end] if data.endswith(b"\n", 0, end) else data[:end] + b"\n"
    return first + b">" + make(invoker, when) + data[end:]
