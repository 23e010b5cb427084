"""mailstat(1): how much mail arrived where, from a procmail LOGFILE."""

from __future__ import annotations

import os
import stat
import time

from pyprocmail.exits import EX_NOINPUT, EX_OK, EX_USAGE, PyprocmailError
from pyprocmail.message.visible import blanked
from pyprocmail.numerals import bounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pyprocmail.host import Host

    Write = Callable[[bytes], None]

_USAGE = b"Usage: mailstat [-klmots] [logfile]\n"
_HELP = (
    _USAGE
    + b"""\
\t-k\tkeep logfile intact
\t-l\tlong display format
\t-m\tmerge any errors into one line
\t-o\tuse the old logfile
\t-t\tterse display format
\t-s\tsilent in case of no mail
"""
)
NO_MAIL = 1
_CHUNK_BYTES = 1 << 16
_LONGEST_LINE_BYTES = 1 << 20
_FOLDER = b"  Folder: "
_DIAGNOSTIC = b" ## "
_DIGITS = b"0123456789"
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_HALF_A_YEAR_S = 31556952 // 2
# How the lines that procmail writes only with VERBOSE begin, after `procmail: `.
_TRACE = (
    b"Assigning ", b"Executing ", b"Match on", b"No match on", b'Matched "', b"Score: ", b"Locking ",
    b"Unlocking ", b"Opening ", b"Acquiring kernel-lock", b"Linking to ", b"Rcfile: ", b"HOST mismatched ",
    b"Assuming identity ", b"Notified comsat: ", b"Forking ", b"Non-zero exitcode ", b"Reiterating kernel-lock",
)  # fmt: skip


class _UsageError(PyprocmailError):
    """The command line is invalid; `text` is the message for the user."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text


class _Options:
    """The command line."""

    __slots__ = ("flags", "json", "log")

    def __init__(self, arguments: Sequence[bytes]) -> None:
        self.flags: set[int] = set()
        self.json = False
        names = list(arguments)
        while names and names[0].startswith(b"-") and names[0] != b"-":
            word = names.pop(0)
            if word == b"--":
                break
            if word == b"--json":
                self.json = True
                continue
            for letter in word[1:]:
                if letter not in b"klmots":
                    raise _UsageError(_HELP if letter in b"h?" else _USAGE)
                self.flags.add(letter)
        if len(names) > 1:
            raise _UsageError(_HELP)
        # None: standard input.
        self.log = names[0] if names and names[0] != b"-" else None

    def has(self, letter: bytes) -> bool:
        """Whether the option `letter` was given."""
        return letter[0] in self.flags


class Row:
    """The counts of one folder, or of one line that is not a folder line."""

    __slots__ = ("count", "size")

    def __init__(self) -> None:
        self.count = 0
        self.size = 0


def run(
    host: Host,
    argv: Sequence[bytes],
    environ: Mapping[bytes, bytes],
    read: Callable[[int], bytes],
    write: Write,
    note: Write,
) -> int:
    """Run `mailstat` with `argv` (its own name first); returns the exit status.

    `read` reads standard input; `write` and `note` write to standard output and standard error.
    """
    strict = environ.get(b"PYPROCMAIL_STRICT") == b"yes"
    try:
        options = _Options(argv[1:])
    except _UsageError as error:
        note(error.text)
        return EX_USAGE
    if options.log is None:
        rows = count(_lines(read), verbose=strict)
    else:
        path = options.log + b".old" if options.has(b"o") else options.log
        problem = _missing(host, options.log, path, note if strict else None)
        if problem:
            if not options.has(b"s"):
                write(problem)
            return NO_MAIL
        if not stat.S_ISREG(host.stat(path).st_mode):
            note(b"mailstat: %b is not a regular file\n" % path)
            return EX_NOINPUT
        rows = _count_file(host, path, keep=options.has(b"k") or options.has(b"o"), verbose=strict)
    if options.has(b"m"):
        _merge(rows)
    if options.json:
        write(_json(rows))
    else:
        table = _table(rows, long=options.has(b"l"), terse=options.has(b"t"))
        write(table if strict else blanked(table))
    return EX_OK


def _missing(host: Host, log: bytes, path: bytes, complain: Write | None) -> bytes:
    """The message if there is no log, or an empty one; else empty."""
    try:
        status = host.stat(path)
    except OSError:
        return b"Can't find your LOGFILE=%b\n" % path
    if stat.S_ISDIR(status.st_mode):
        return b"LOGFILE=%b is a folder\n" % path
    if status.st_size:
        return b""
    old = log + b".old"
    try:
        changed = host.stat(old).st_mtime
    except OSError as error:
        if complain is not None:
            complain(b"ls: cannot access '%b': %b\n" % (old, (error.strerror or "").encode()))
        return b"No mail arrived since\n"
    return b"No mail arrived since %b\n" % _when(changed, host.time())


def _when(changed: float, now: float) -> bytes:
    """A time in the form of ls(1): the year instead of the hour unless it is in the last six months."""
    recent = now - _HALF_A_YEAR_S < changed <= now
    text = time.strftime("%b %e %H:%M" if recent else "%b %e %Y", time.localtime(changed))
    return b" ".join(text.encode().split())


def _count_file(host: Host, path: bytes, *, keep: bool, verbose: bool) -> dict[bytes, Row]:
    """Count a log.  Unless `keep`, the log is first renamed to LOG.old, and an empty one created."""
    if not keep:
        host.rename(path, path + b".old")
        host.close(host.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        path += b".old"
    fd = host.open_to_read(path)
    try:
        return count(_lines(lambda size: host.read(fd, size)), verbose=verbose)
    finally:
        host.close(fd)


def _lines(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The lines of a file without their newlines; a very long line is truncated."""
    rest = b""
    while piece := read(_CHUNK_BYTES):
        *lines, last = piece.split(b"\n")
        for line in lines:
            yield rest + line if len(rest) < _LONGEST_LINE_BYTES else rest
            rest = b""
        if len(rest) < _LONGEST_LINE_BYTES:
            rest += last
    if rest:
        yield rest


def count(lines: Iterable[bytes], *, verbose: bool) -> dict[bytes, Row]:
    """Add up the folder lines of a log, and count its other lines by their text.

    From_ and Subject lines are ignored; so are the lines of VERBOSE unless `verbose`.
    """
    rows: dict[bytes, Row] = {}
    for line in lines:
        if line.startswith(b"From ") or line[:9].lower() == b" subject:":
            continue
        size = 0
        if line.startswith(b"  Folder:"):
            name, _, rest = line.partition(b"\t")
            name = _folder(name.removeprefix(_FOLDER))
            size = _number(rest.lstrip(b"\t").lstrip(b" "))
        elif not verbose and _is_trace(line):
            continue
        else:
            name = _DIAGNOSTIC + line
        row = rows.setdefault(name, Row())
        row.count += 1
        row.size += size
    return rows


def _is_trace(line: bytes) -> bool:
    """Whether VERBOSE wrote the line."""
    if not line.startswith(b"procmail: "):
        return False
    text = line[10:]
    if text.startswith(b"["):
        pid, _, date = text[1:].partition(b"] ")
        return pid.isdigit() and bool(date)
    return text.startswith(_TRACE)


def _folder(name: bytes) -> bytes:
    """The folder of a file if procmail generates such file names; else the name itself."""
    folder, slash, file = name.rpartition(b"/")
    if slash and file:
        if file.isdigit():
            return folder + b"/."
        stem = file.removeprefix(b"msg.")
        if stem and stem != file and not stem.translate(None, _LETTERS + _DIGITS + b"_-"):
            return folder + b"/"
        if folder.endswith(b"/new"):
            return folder.removesuffix(b"new")
    return name


def _number(text: bytes) -> int:
    """The number at the beginning of `text`; 0 if there is none."""
    end = 1 if text[:1] in (b"-", b"+") else 0
    while text[end : end + 1].isdigit():
        end += 1
    size = bounded(text[:end].lstrip(b"+-"))
    return -size if text.startswith(b"-") else size


def _merge(rows: dict[bytes, Row]) -> None:
    """Put all lines that are not folder lines into one row."""
    merged = Row()
    for name in [name for name in rows if name.startswith(_DIAGNOSTIC)]:
        merged.count += rows.pop(name).count
    if merged.count:
        rows[b" ## diagnostic messages ##"] = merged


def _table(rows: dict[bytes, Row], *, long: bool, terse: bool) -> bytes:
    """The report: `long` adds averages, `terse` omits the heading and the sums."""
    lines = []
    if not terse:
        lines.append(b"\n  Total Average  Number Folder" if long else b"\n  Total  Number Folder")
        lines.append(b"  ----- -------  ------ ------" if long else b"  -----  ------ ------")
    total = Row()
    for name, row in sorted(rows.items()):
        total.count += row.count
        total.size += row.size
        # A folder without a name counts in the sums only.  procmail's mailstat does the same.
        if name:
            lines.append(b"%b %b" % (_columns(row, long=long), name))
    if not terse:
        lines.append(b"  ----- -------  ------" if long else b"  -----  ------")
        lines.append(_columns(total, long=long))
    return b"".join(line + b"\n" for line in lines)


def _columns(row: Row, *, long: bool) -> bytes:
    average = int(row.size / row.count) if row.count else 0
    return b"%7d %7d %7d" % (row.size, average, row.count) if long else b"%7d %7d" % (row.size, row.count)


def _json(rows: dict[bytes, Row]) -> bytes:
    """The report for programs.  Bytes that are not UTF-8 are lone surrogates."""
    import json

    folders = []
    diagnostics = []
    for name, row in sorted(rows.items()):
        text = name.decode("utf-8", "surrogateescape")
        if name.startswith(_DIAGNOSTIC):
            diagnostics.append({"text": text.removeprefix(" ## "), "count": row.count})
        else:
            folders.append({"folder": text, "messages": row.count, "bytes": row.size})
    total = {
        "messages": sum(row.count for name, row in rows.items() if not name.startswith(_DIAGNOSTIC)),
        "bytes": sum(row.size for row in rows.values()),
    }
    return json.dumps({"folders": folders, "diagnostics": diagnostics, "total": total}, indent=2).encode() + b"\n"
