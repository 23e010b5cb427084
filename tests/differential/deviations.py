"""What ours does otherwise without PYPROCMAIL_STRICT: rows of pyprocmail-compat(7).

Each is a function that says whether it is the reason of a difference, as narrowly as it can.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from differential.cases import Case
from differential.harness import Outcome

_SPLIT_AT_BRANCH = re.compile(rb"\\/[()*+?]*\||\|[()]*\\/")
_EXPANDED_COUNT = re.compile(rb":[ \t'\"\\]*[$`]")
_QUOTE_IN_BACKQUOTES = re.compile(rb'"[^`"]*`[^`]*"')
_TEMPORARY = re.compile(rb'(?<=rename temp file ")[^"\n]*|(?<=to "locked/)[^"\n]*')
_POSTMARK = re.compile(rb"(?m)^From ")
_CAPTURE = re.compile(rb"(?m)\w[ \t]+=[ \t]*\|")
_IGNORING = re.compile(rb"(?m)^[ \t]*:[^:\n]*i")
_NOT_A_NUMBER = b"-9223372036854775808"
_BOUNCED, _REQUEUED = b"  Folder: **Bounced**", b"  Folder: **Requeued**"


def explain(case: Case, want: Outcome, got: Outcome) -> str | None:
    """The row that explains the difference between `want`, the reference, and `got`; None if none does."""
    for row, explains in _ROWS.items():
        if not _has_crashed(got) and explains(case, want, got):
            return row
    return None


def _has_crashed(got: Outcome) -> bool:
    """No deviation excuses that."""
    return any(b"Traceback (most recent" in text for text in (got.stderr, *(data for _, data in got.tree.values())))


def is_undefined(case: Case, want: Outcome) -> bool:
    """Whether the log shows what the reference's memory held: a subject that the mail begins with."""
    if any(b"Rescue of unfiltered data failed" in data for data in (want.stderr, *(d for _, d in want.tree.values()))):
        return True
    given = (case.rcfile, case.mail, *(file.data for file in case.files.values()))
    shown = (want.stderr, *(data for _, data in want.tree.values()))
    return all(text.isascii() for text in given) and not all(text.isascii() for text in shown)


def explain_always(case: Case, want: Outcome, got: Outcome) -> str | None:
    """The same for what differs with PYPROCMAIL_STRICT=yes as well."""
    for row, explains in _ALWAYS.items():
        if not _has_crashed(got) and explains(case, want, got):
            return row
    return None


def _regexp_branch(case: Case, want: Outcome, got: Outcome) -> bool:
    """`a\\/|b`, where procmail goes on into the next alternative, and what is like it."""
    return bool(_SPLIT_AT_BRANCH.search(case.rcfile)) and _delivered_alike(want, got)


def _start_line_count(case: Case, _want: Outcome, _got: Outcome) -> bool:
    """How many conditions without `*` follow a `:` is decided before what stands behind it is expanded."""
    return bool(_EXPANDED_COUNT.search(case.rcfile))


def _quote_in_backquotes(case: Case, want: Outcome, got: Outcome) -> bool:
    """A `"` that ends backquotes ends the quotes too, when nothing is executed: then no end of them is missing."""

    def quieter(outcome: Outcome) -> list[bytes]:
        return [text.replace(b"procmail: Unexpected EOL\n", b"") for text in _logs(outcome)]

    if not _QUOTE_IN_BACKQUOTES.search(case.rcfile):
        return False
    return quieter(want) == quieter(got) and _delivered_alike(want, got)


def _crlf_rcfile(case: Case, _want: Outcome, _got: Outcome) -> bool:
    """A CR before a newline of the rcfile is no text."""
    return b"\r\n" in case.rcfile


def _crlf_header(case: Case, _want: Outcome, _got: Outcome) -> bool:
    """A line of only CR ends the header."""
    return b"\n\r\n" in case.mail or case.mail.startswith(b"\r\n")


def _nul(case: Case, _want: Outcome, _got: Outcome) -> bool:
    """A NUL in the mail neither hides the body nor ends the escaping."""
    return b"\0" in case.mail


def _missing_program(_case: Case, want: Outcome, _got: Outcome) -> bool:
    """A program that is not there is no delivery."""
    return any(b"cannot open" in text or b"not found" in text for text in (want.stderr, *_logs(want)))


def _leading_newlines(case: Case, _want: Outcome, _got: Outcome) -> bool:
    """Newlines and `From ` at the beginning of a mail are no new mail."""
    return case.mail.startswith(b"\n") and case.mail.lstrip(b"\n").startswith(b"From ")


def _garbage_temporary_name(_case: Case, want: Outcome, got: Outcome) -> bool:
    """procmail logs what its memory held as the name of a temporary file; or the name has an inode number in it."""
    cut = [(_TEMPORARY.sub(b"", text), text) for text in _logs(want)]
    return any(before != after for before, after in cut) and [before for before, _ in cut] == [
        _TEMPORARY.sub(b"", text) for text in _logs(got)
    ]


def _child_first(_case: Case, want: Outcome, got: Outcome) -> bool:
    """No deviation: when a program that nobody waits for, and its `Executing`, come to the log is chance."""
    wanted, found = (sorted(b"\n".join(_logs(outcome)).split(b"\n")) for outcome in (want, got))
    return wanted == found and _own_lines(want) == _own_lines(got) and _delivered_alike(want, got)


def _own_lines(outcome: Outcome) -> list[bytes]:
    lines = b"\n".join(_logs(outcome)).split(b"\n")
    return [line for line in lines if line.startswith(b"procmail: ") and not line.startswith(b"procmail: Executing")]


def _logs(outcome: Outcome) -> list[bytes]:
    return [outcome.stderr, *(data for name, (_, data) in outcome.tree.items() if name.startswith("log"))]


def _delivered_alike(want: Outcome, got: Outcome) -> bool:
    """Whether all but the logs is the same."""
    trees = [{name: entry for name, entry in o.tree.items() if not name.startswith("log")} for o in (want, got)]
    return (want.status, want.stdout, trees[0]) == (got.status, got.stdout, trees[1])


def _body_postmark(_case: Case, want: Outcome, got: Outcome) -> bool:
    """The first body line, written alone, is escaped: one byte more in a folder and in an abstract."""
    escaped = [name for name, entry in got.tree.items() if want.tree.get(name) != entry and not name.startswith("log")]
    return (
        bool(escaped)
        and want.status == got.status
        and all(got.tree[name][1] in _escapings(want.tree.get(name, ("", b""))[1]) for name in escaped)
    )


def _escapings(folder: bytes) -> Iterator[bytes]:
    """The folder with one From_ line after the other escaped that begins its last entry."""
    for match in _POSTMARK.finditer(folder):
        yield folder[: match.start()] + b">" + folder[match.start() :]


def _capture_name(case: Case, _want: Outcome, _got: Outcome) -> bool:
    """`NAME = | program` keeps the whole of its name: whatever depends on the variable may differ."""
    return any(_CAPTURE.search(text) for text in (case.rcfile, *(file.data for file in case.files.values())))


def _ignore_folders(case: Case, want: Outcome, got: Outcome) -> bool:
    """A folder that cannot be written is said to be so in spite of `i`."""
    return bool(_IGNORING.search(case.rcfile)) and _errors(want) < _errors(got)


def _errors(outcome: Outcome) -> int:
    return sum(
        text.count(b"Error while writing to") for text in (outcome.stderr, *(d for _, d in outcome.tree.values()))
    )


def _score_nan(_case: Case, want: Outcome, _got: Outcome) -> bool:
    """A score that is not a number does not match."""
    return any(_NOT_A_NUMBER in text for text in (want.stderr, *(data for _, data in want.tree.values())))


def _clone_rcfile(_case: Case, want: Outcome, got: Outcome) -> bool:
    """A clone goes on although MAILDIR has changed what the name of its rcfile stands for."""
    texts = [b"".join((outcome.stderr, *(data for _, data in outcome.tree.values()))) for outcome in (want, got)]
    return b'procmail: Lost "' in texts[0] and b'procmail: Lost "' not in texts[1]


def _exit_temporary(_case: Case, want: Outcome, got: Outcome) -> bool:
    """75 and Requeued instead of 73 and Bounced, and nothing else."""
    if want.status != 73 or got.status != 75:
        return False
    return _as_requeued(want) == _as_requeued(got)


def _as_requeued(outcome: Outcome) -> tuple[bytes, bytes, dict[str, tuple[str, bytes]]]:
    def replace(text: bytes) -> bytes:
        return text.replace(_BOUNCED, _REQUEUED).replace(b'"EXITCODE=73"', b'"EXITCODE=75"')

    tree = {name: (kind, replace(data)) for name, (kind, data) in outcome.tree.items()}
    return replace(outcome.stdout), replace(outcome.stderr), tree


_ROWS: dict[str, Callable[[Case, Outcome, Outcome], bool]] = {
    "exit-temporary": _exit_temporary,
    "capture-name": _capture_name,
    "ignore-folders": _ignore_folders,
    "score-nan": _score_nan,
    "clone-rcfile": _clone_rcfile,
    "body-postmark": _body_postmark,
    "crlf-rcfile": _crlf_rcfile,
    "crlf-header": _crlf_header,
    "nul-header": _nul,
    "missing-program": _missing_program,
    "leading-newlines": _leading_newlines,
}

_ALWAYS: dict[str, Callable[[Case, Outcome, Outcome], bool]] = {
    "regexp-branch": _regexp_branch,
    "start-line-count": _start_line_count,
    "quote-in-backquotes": _quote_in_backquotes,
    "garbage-temporary-name": _garbage_temporary_name,
    "child-first": _child_first,
}
