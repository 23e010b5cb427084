"""What ours does otherwise without PYPROCMAIL_STRICT: rows of pyprocmail-compat(7).

Each is a function that says whether it is the reason of a difference, as narrowly as it can.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from differential.cases import Case
from differential.harness import Outcome
from pyprocmail.matching import egrep
from pyprocmail.matching.automaton import Automaton
from pyprocmail.message.model import end_of_header
from pyprocmail.message.visible import blanked

Reference = Callable[[Case], Outcome]

_RESULT = re.compile(rb'procmail: (?:(?:Match|No match) on|Score: +-?\d+ +[-+]?\d+)(?: !)? "(.*?)"\n', re.DOTALL)
_MATCHED = (b'procmail: Assigning "MATCH=', b'procmail: Matched "', b"procmail: Score: ")
_EXPANDED_COUNT = re.compile(rb"(?m)^[ \t{}]*:[ \t'\"\\0-9]*[$`]")
_CONDITION = (b"procmail: Match on", b"procmail: No match on", b"procmail: Score: ", b"procmail: Invalid regexp")
_ENTRY = re.compile(rb"(?m)(?=^procmail: )")
_BACKQUOTES = re.compile(rb"(?m)^[ \t]*\*.*`")
_FOLDED = re.compile(rb"\n[ \t]")
_SENDMAIL = re.compile(rb'(?m)^procmail: Executing "[^"\n,]*/(?:sm|sendmail),')
_CUT = re.compile(rb'[\0\1][^\n]*|"$', re.MULTILINE)
_MAIL_IN_CONDITION = re.compile(rb"(?m)^[ \t]*(?:\*[^\n]*)?\$[^\n]*(?:`|\$\{?(?:MATCH|\d))")
_QUOTE_BEHIND_HASH = re.compile(rb"(?m)[$`][^#]*#[^\n]*[\"'`\\]")
_QUOTE_IN_BACKQUOTES = re.compile(rb'"[^`"]*`[^`]*"')
_TEMPORARY = re.compile(rb'(?<=rename temp file ")[^"\n]*|(?<=to "locked/)[^"\n]*')
_ESCAPED = re.compile(rb"(?m)^>(?=From )")
_CAPTURE = re.compile(rb"(?m)(\w+)[ \t]+=[ \t]*\|")
_FILTER_FORWARD = re.compile(rb"(?m):[^:\n]*f[^\n]*\n(?:[ \t]*[*#].*\n|.*\n){0,9}?[ \t]*!")
_RESCUED = b"procmail: Rescue of unfiltered data succeeded\n"
_SCORE = re.compile(rb"procmail: Score: ")
_BODY_ALONE = re.compile(rb"(?m)^[ \t]*:[^:\n]*b")
_UMASK = re.compile(rb"(?m)^UMASK=(?:777|-1)$")
_IGNORING = re.compile(rb"(?m)^[ \t]*:[^:\n]*i")
_NOT_A_NUMBER = b"-9223372036854775808"
_NO_PROGRAM = re.compile(rb"(?m)^(?:/bin/)?sh: .*(?:cannot open|not found|Permission denied)")
_EMPTY_LINES = re.compile(rb"(?m)^(?:\r?\n)+")
_SIZE = re.compile(rb"(?m)^(  Folder: .*?)[\t ]+\d+$")
_MEMORY = (b"Rescue of unfiltered data failed", b"\t18446744073709551615\n")
# A value with newlines goes on in the next line.
_LOGGED = re.compile(
    rb"(?m)^(?:(?:From .*\n)?(?: Subject:.*\n)?  Folder: .*|procmail: .*(?:\n(?!procmail: |  Folder: ).*)*)$",
    re.IGNORECASE,
)
_BOUNCED, _REQUEUED = b"  Folder: **Bounced**", b"  Folder: **Requeued**"


def explain(case: Case, want: Outcome, got: Outcome, reference: Reference) -> str | None:
    """The row that explains the difference between `want`, the reference's, and `got`; None if none does."""
    if _has_crashed(got):
        return None
    # Ours has blanks in the log where the reference has control characters, but for what LOG= writes.
    shown, ours = (_changed(outcome, _without_controls) for outcome in (want, got))
    if shown != want and shown == ours:
        return "log-controls"
    return _explain(case, shown, ours, reference, ()) or _explain(case, want, got, reference, ())


def _without_controls(text: bytes) -> bytes:
    """The text with blanks for the control characters in lines of a log."""
    return _LOGGED.sub(lambda found: blanked(found[0]), text)


def _explain(case: Case, want: Outcome, got: Outcome, reference: Reference, rows: tuple[str, ...]) -> str | None:
    """The same; `case` is one that is meant by a case of which `got` is the outcome, according to `rows`."""
    found = _normal(got, rows)
    if want.status == 73 and found.status == 75:
        want, found = _requeued(want), _requeued(found)
        if want == found or explain_always(case, want, found):
            return "exit-temporary"
    for row, explains in _ROWS.items():
        if explains(case, want, found):
            return row
    for row, (meant, _) in _MEANT.items():
        other = meant(case)
        if other is None:
            continue
        further = (*rows, row)
        as_meant, found = _normal(reference(other), further), _normal(got, further)
        same = as_meant == found or explain_always(other, as_meant, found)
        if same or _explain(other, as_meant, got, reference, further):
            return row
    return None


def _normal(outcome: Outcome, rows: tuple[str, ...]) -> Outcome:
    for row in rows:
        outcome = _MEANT[row][1](outcome)
    return outcome


def _has_crashed(got: Outcome) -> bool:
    """No deviation excuses that."""
    return any(b"Traceback (most recent" in text for text in (got.stderr, *(data for _, data in got.tree.values())))


def is_undefined(case: Case, want: Outcome) -> bool:
    """Whether the log shows what the reference's memory held: a subject that the mail begins with, a size below 0."""
    shown = (want.stderr, *(data for _, data in want.tree.values()))
    if any(mark in data for mark in _MEMORY for data in shown):
        return True
    given = (case.rcfile, case.mail, *(file.data for file in case.files.values()))
    return all(text.isascii() for text in given) and not all(text.isascii() for text in shown)


def explain_always(case: Case, want: Outcome, got: Outcome) -> str | None:
    """The same for what differs with PYPROCMAIL_STRICT=yes as well."""
    for row, explains in _ALWAYS.items():
        if not _has_crashed(got) and explains(case, want, got):
            return row
    return None


def _first_difference(want: Outcome, got: Outcome) -> tuple[bytes, bytes]:
    """What stands in both logs from the first line on that is not the same."""
    rests = [b"".join(_logs(outcome)).splitlines(keepends=True) for outcome in (want, got)]
    while rests[0] and rests[1] and rests[0][0] == rests[1][0]:
        rests = [rests[0][1:], rests[1][1:]]
    return b"".join(rests[0]), b"".join(rests[1])


def _first_pattern(want: Outcome, got: Outcome) -> bytes:
    """The pattern of the first condition whose lines in the log differ."""
    result = _RESULT.search(_first_difference(want, got)[0])
    return result[1] if result else b""


def _regexp_branch(_case: Case, want: Outcome, got: Outcome) -> bool:
    """`a\\/|b`, where procmail goes on into the next alternative, and what is like it."""
    pattern = _first_pattern(want, got)
    # The log shows the backslash that protects the beginning of a line as well.
    return any(Automaton(egrep.parse(text), fold=True).strays for text in (pattern, pattern[1:]) if text)


def _regexp_match(_case: Case, want: Outcome, got: Outcome) -> bool:
    """A pattern with a group that can match nothing in several ways, where strictly ours may find too much.

    Or too little; by default it reads what is written.
    """
    rests = _first_difference(want, got)
    pattern = _first_pattern(want, got)
    alike = all(rest.startswith((*_MATCHED, *_CONDITION)) or not rest for rest in rests)
    return alike and any(_has_ways(text) for text in (pattern, pattern[1:]) if text)


def _has_ways(pattern: bytes) -> bool:
    """Whether strictly something else than what is written is made of it, its `\\/` apart."""
    return Automaton(egrep.parse(pattern.replace(rb"\/", b"x")), fold=True, literally=False).strays


def _regexp_nest(_case: Case, want: Outcome, got: Outcome) -> bool:
    """MATCH, or a score, of a pattern with a `\\/` that repeats what can match nothing or has an empty alternative."""
    entries = [_ENTRY.split(b"".join(_logs(outcome))) for outcome in (want, got)]
    first = next((pair for pair in zip(*entries, strict=False) if pair[0] != pair[1]), (b"", b""))
    pattern = egrep.parse(_first_pattern(want, got))
    return all(entry.startswith(_MATCHED) for entry in first) and pattern.has_split and _has_nest(pattern.tokens)


def _has_nest(tokens: tuple[egrep.Token, ...]) -> bool:
    """Whether a group that can match nothing is repeated, or there is an empty alternative."""
    # For each open group: whether the alternative so far can match nothing, and whether one before it can.
    groups = [(True, False)]
    for at, token in enumerate(tokens):
        before, behind = tokens[at - 1 : at] or (egrep.OPEN,), tokens[at + 1 : at + 2] or (egrep.CLOSE,)
        if token == egrep.OPEN:
            groups.append((True, False))
        elif token == egrep.OR:
            if before[0] in (egrep.OPEN, egrep.OR) or behind[0] in (egrep.CLOSE, egrep.OR):
                return True
            groups[-1] = (True, any(groups[-1]))
        elif token not in (egrep.STAR, egrep.PLUS, egrep.OPTIONAL):
            nullable = any(groups.pop()) if token == egrep.CLOSE else token == egrep.SPLIT
            if nullable and token == egrep.CLOSE and behind[0] in (egrep.STAR, egrep.PLUS, egrep.OPTIONAL):
                return True
            nullable = nullable or behind[0] in (egrep.STAR, egrep.OPTIONAL)
            groups[-1] = (groups[-1][0] and nullable, groups[-1][1])
    return False


def _regexp_score(_case: Case, want: Outcome, got: Outcome) -> bool:
    """What a score counts behind a match that leaves something behind, when the pattern has a `\\/`."""
    result = _RESULT.search(_first_difference(want, got)[0])
    if not result or not result[0].startswith(b"procmail: Score: "):
        return False
    return egrep.SPLIT in egrep.parse(result[1]).tokens


def _hash_quote(case: Case, want: Outcome, got: Outcome) -> bool:
    """Quotes that begin in a comment which is one because what stands before its `#` came to nothing."""
    wanted, found = _first_difference(want, got)
    complained = [rest.startswith(b"procmail: Unexpected EOL\n") for rest in (wanted, found)]
    return any(complained) and not all(complained) and bool(_QUOTE_BEHIND_HASH.search(case.rcfile))


def _quote_in_backquotes(case: Case, want: Outcome, got: Outcome) -> bool:
    """A `"` that ends backquotes ends the quotes too, when nothing is executed: then no end of them is missing."""

    wanted, found = _first_difference(want, got)
    ends = (b"procmail: Unexpected EOL\n", b'procmail: Skipped """\n')
    complained = any(rest.startswith(ends) for rest in (wanted, found))
    return complained and bool(_QUOTE_IN_BACKQUOTES.search(case.rcfile))


def _header_joined(case: Case, want: Outcome, got: Outcome) -> bool:
    """Behind a condition with backquotes folded header lines are joined for a search, as they are before it."""
    wanted, found = _first_difference(want, got)
    searched = wanted.startswith((*_CONDITION, *_MATCHED)) and found.startswith((*_CONDITION, *_MATCHED))
    log = b"".join(_logs(want))
    executed = b"procmail: Executing " in log[: len(log) - len(wanted)]
    folded = _FOLDED.search(case.mail[: end_of_header(case.mail)])
    return searched and executed and bool(folded) and bool(_BACKQUOTES.search(case.rcfile))


def _start_line_count(case: Case, want: Outcome, got: Outcome) -> bool:
    """How many conditions without `*` follow a `:` is decided before what stands behind it is expanded.

    So the logs differ first where a line is a condition for one and an action or no recipe's for the other.
    """
    texts = (case.rcfile, *(file.data for file in case.files.values()))
    conditions = [rest.startswith(_CONDITION) for rest in _first_difference(want, got)]
    return any(conditions) and any(_EXPANDED_COUNT.search(text) for text in texts)


def _mail_command(case: Case, want: Outcome, got: Outcome) -> bool:
    """What came with the mail is part of a pattern: so the logs differ first in what became of a `$` condition."""
    results = (b"procmail: Match on ", b"procmail: No match on ", b"procmail: Score: ")
    found = _first_difference(want, got)[1]
    said = found.startswith((*results, b"procmail: Skipped ", b"procmail: Invalid regexp "))
    return said and bool(_MAIL_IN_CONDITION.search(case.rcfile))


def _without_returns(case: Case) -> Case | None:
    """A CR before a newline of the rcfile is no text."""
    return replace(case, rcfile=case.rcfile.replace(b"\r\n", b"\n")) if b"\r\n" in case.rcfile else None


def _with_empty_line(case: Case) -> Case | None:
    """A line of only CR ends the header."""
    end = end_of_header(case.mail)
    if not (case.mail.endswith(b"\n\r\n", 0, end) or case.mail[:end] == b"\r\n"):
        return None
    return replace(case, mail=case.mail[: end - 2] + case.mail[end - 1 :])


def _without_empty_line(outcome: Outcome) -> Outcome:
    """A line of only CR is an empty one, which may be the last that a folder needs; and it counts in sizes."""
    outcome = _changed(outcome, lambda text: _EMPTY_LINES.sub(b"\n", text))
    return _with_logs(outcome, lambda text: _SIZE.sub(rb"\1", text))


def _with_other_header(case: Case) -> Case | None:
    """A NUL in the header is a byte like others, and the body is not a part of the header."""
    end = end_of_header(case.mail)
    header = case.mail[:end]
    return replace(case, mail=header.replace(b"\0", b"\1") + case.mail[end:]) if b"\0" in header else None


def _with_other_bytes(case: Case) -> Case | None:
    """A NUL does not end the escaping."""
    return replace(case, mail=case.mail.replace(b"\0", b"\1")) if b"\0" in case.mail else None


def _with_nul_replaced(outcome: Outcome) -> Outcome:
    """Nothing of what is behind a NUL is shown in the log, nor what stands for one."""
    return _with_logs(_changed(outcome, lambda text: text.replace(b"\0", b"\1")), lambda text: _CUT.sub(b"", text))


def _with_logs(outcome: Outcome, change: Callable[[bytes], bytes]) -> Outcome:
    """With logs changed, and nothing else."""
    tree = {name: (kind, change(text) if _is_log(name) else text) for name, (kind, text) in outcome.tree.items()}
    return replace(outcome, stderr=change(outcome.stderr), tree=tree)


def _changed(outcome: Outcome, change: Callable[[bytes], bytes]) -> Outcome:
    tree = {name: (kind, change(text)) for name, (kind, text) in outcome.tree.items()}
    return Outcome(outcome.status, change(outcome.stdout), change(outcome.stderr), tree)


def _without_rcfile(outcome: Outcome) -> Outcome:
    """Without the file itself, which is not what it means."""
    return replace(outcome, tree={name: entry for name, entry in outcome.tree.items() if name != "rc"})


def _missing_program(_case: Case, want: Outcome, got: Outcome) -> bool:
    """A program that is not there is no delivery: the logs differ first behind a shell's word of that."""
    wanted, _ = _first_difference(want, got)
    log = b"".join(_logs(want))
    same = log[: len(log) - len(wanted)]
    # The program is not waited for, so its last word may come later than that of procmail.
    last = same[same.rfind(b"procmail: Executing ") :] + wanted.partition(b"procmail: Executing ")[0]
    return last.startswith(b"procmail: Executing ") and bool(_NO_PROGRAM.search(last))


def _leading_newlines(case: Case, want: Outcome, got: Outcome) -> bool:
    """Newlines and `From ` at the beginning of a mail are no new mail: this `From ` is escaped."""
    begins = case.mail.startswith(b"\n") and case.mail.lstrip(b"\n").startswith(b"From ")
    return begins and _escapes_more(want, got)


def _garbage_temporary_name(_case: Case, want: Outcome, got: Outcome) -> bool:
    """procmail logs what its memory held as the name of a temporary file; or the name has an inode number in it."""
    named = any(_TEMPORARY.search(text) for text in _logs(want))
    return named and _with_logs(want, _without_temporary) == _with_logs(got, _without_temporary)


def _without_temporary(text: bytes) -> bytes:
    return _TEMPORARY.sub(b"", text)


def _umask_owner(case: Case, want: Outcome, got: Outcome) -> bool:
    """A file or directory whose UMASK keeps its owner from it is written or made a link in all the same."""
    wanted, found = _first_difference(want, got)
    refused = wanted.startswith((b"procmail: Couldn't create or rename temp file", b"procmail: Couldn't read "))
    went_on = found.startswith((b"procmail: Acquiring kernel-lock\n", b"procmail: Couldn't make link to "))
    return refused and went_on and bool(_UMASK.search(case.rcfile))


def is_chance(want: Outcome, got: Outcome) -> bool:
    """No deviation: when a clone, or a program nobody waits for, and its `Executing`, come to the log is chance."""
    wanted, found = (sorted(b"\n".join(_logs(outcome)).split(b"\n")) for outcome in (want, got))
    return wanted == found and _own_lines(want) == _own_lines(got) and _delivered_alike(want, got)


def _own_lines(outcome: Outcome) -> list[bytes]:
    lines = b"\n".join(_logs(outcome)).split(b"\n")
    return [line for line in lines if line.startswith(b"procmail: ") and not line.startswith(b"procmail: Executing")]


def _is_log(name: str) -> bool:
    return name.rpartition("/")[2].startswith("log")


def _logs(outcome: Outcome) -> list[bytes]:
    return [outcome.stderr, *(data for name, (_, data) in outcome.tree.items() if _is_log(name))]


def _delivered_alike(want: Outcome, got: Outcome) -> bool:
    """Whether all but the logs is the same."""
    trees = [{name: entry for name, entry in o.tree.items() if not _is_log(name)} for o in (want, got)]
    return (want.status, want.stdout, trees[0]) == (got.status, got.stdout, trees[1])


def _body_postmark(case: Case, want: Outcome, got: Outcome) -> bool:
    """A From_ line of the body, written alone, is escaped that procmail takes for a postmark or for covered."""
    return bool(_BODY_ALONE.search(case.rcfile)) and _escapes_more(want, got)


def _escapes_more(want: Outcome, got: Outcome) -> bool:
    """Whether the folders are the same but for the `>` before lines that begin with `From `, of which ours has more."""
    trees = [{name: e for name, e in o.tree.items() if not _is_log(name)} for o in (want, got)]
    bare = [{name: (kind, _ESCAPED.sub(b"", data)) for name, (kind, data) in tree.items()} for tree in trees]
    escaped = [sum(len(data) for _, data in tree.values()) for tree in trees]
    return want.status == got.status and bare[0] == bare[1] and escaped[0] < escaped[1]


def _capture_name(case: Case, want: Outcome, got: Outcome) -> bool:
    """`NAME = | program` keeps the whole of its name: the logs differ first in a name without its last byte."""
    texts = (case.rcfile, *(file.data for file in case.files.values()))
    names = {match[1] for text in texts for match in _CAPTURE.finditer(text)}
    wanted, found = _first_difference(want, got)
    return any(
        wanted.startswith(b'procmail: Assigning "%s="\n' % name[:-1])
        and found.startswith(b'procmail: Assigning "%s="\n' % name)
        for name in names
    )


def _filter_empty(_case: Case, want: Outcome, got: Outcome) -> bool:
    """The mail that a filter nobody waits for left without a word is rescued, and the logs say so first."""
    wanted, found = _first_difference(want, got)
    return found.startswith(_RESCUED) and not wanted.startswith(_RESCUED)


def _filter_forward(case: Case, want: Outcome, got: Outcome) -> bool:
    """The body is still there behind a filter `!` of the header, so that more is written.

    Or another thing follows from it, of which only a verbose log tells.
    """
    if b"VERBOSE=yes" not in case.rcfile and any(_FILTER_FORWARD.search(text) for text in _texts(case)):
        return True
    wanted, _ = _first_difference(want, got)
    log = b"".join(_logs(want))
    executed = _SENDMAIL.search(log[: len(log) - len(wanted)])
    less = [sum(len(data) for _, data in outcome.tree.values()) for outcome in (want, got)]
    return bool(executed) and any(_FILTER_FORWARD.search(text) for text in _texts(case)) and less[0] < less[1]


def _texts(case: Case) -> tuple[bytes, ...]:
    """The rcfile and what it may include."""
    return case.rcfile, *(file.data for file in case.files.values())


def _filter_forward_size(case: Case, want: Outcome, got: Outcome) -> bool:
    """Nothing differs but sizes in abstracts, or what could not be written does, behind a filter `!`.

    That is left-over memory which a program was to be given.
    """
    if not any(_FILTER_FORWARD.search(text) for text in _texts(case)):
        return False
    if _first_difference(want, got)[0].startswith(b"procmail: Error while writing to"):
        return True
    changed = [_with_logs(outcome, lambda text: _SIZE.sub(rb"\1", text)) for outcome in (want, got)]
    return changed[0] == changed[1]


def _ignore_folders(case: Case, want: Outcome, got: Outcome) -> bool:
    """A folder that cannot be written is said to be so in spite of `i`."""
    texts = (case.rcfile, *(file.data for file in case.files.values()))
    return any(_IGNORING.search(text) for text in texts) and _errors(want) < _errors(got)


def _errors(outcome: Outcome) -> int:
    return sum(
        text.count(b"Error while writing to") for text in (outcome.stderr, *(d for _, d in outcome.tree.values()))
    )


def _score_nan(_case: Case, want: Outcome, got: Outcome) -> bool:
    """What is not a number adds nothing to a score: the logs differ first in such a score."""
    wanted, found = _first_difference(want, got)
    score, other = _SCORE.match(wanted), _SCORE.match(found)
    return bool(score and other) and _NOT_A_NUMBER in wanted.partition(b"\n")[0]


def _clone_rcfile(_case: Case, want: Outcome, got: Outcome) -> bool:
    """A clone goes on although MAILDIR has changed what the name of its rcfile stands for."""
    wanted, found = _first_difference(want, got)
    return wanted.startswith(b'procmail: Lost "') and b'procmail: Lost "' not in found


def _requeued(outcome: Outcome) -> Outcome:
    """75 and Requeued instead of 73 and Bounced."""

    def change(text: bytes) -> bytes:
        return text.replace(_BOUNCED, _REQUEUED).replace(b'"EXITCODE=73"', b'"EXITCODE=75"')

    return replace(_changed(outcome, change), status=75)


_ROWS: dict[str, Callable[[Case, Outcome, Outcome], bool]] = {
    "capture-name": _capture_name,
    "filter-empty": _filter_empty,
    "filter-forward": _filter_forward,
    "ignore-folders": _ignore_folders,
    "score-nan": _score_nan,
    "clone-rcfile": _clone_rcfile,
    "regexp-branch": _regexp_branch,
    "regexp-score": _regexp_score,
    "missing-program": _missing_program,
    "leading-newlines": _leading_newlines,
    "body-postmark": _body_postmark,
    "mail-command": _mail_command,
    "start-line-count": _start_line_count,
    "hash-quote": _hash_quote,
    "quote-in-backquotes": _quote_in_backquotes,
}

_MEANT: dict[str, tuple[Callable[[Case], Case | None], Callable[[Outcome], Outcome]]] = {
    "crlf-rcfile": (_without_returns, _without_rcfile),
    "crlf-header": (_with_empty_line, _without_empty_line),
    "nul-header": (_with_other_header, _with_nul_replaced),
    "nul-escape": (_with_other_bytes, _with_nul_replaced),
}
"""Rows about what a file or a mail means: the reference does with the case as it is meant what ours does with it as it
is.  What does not matter in the comparison is the same in both outcomes behind the second function.
"""

_ALWAYS: dict[str, Callable[[Case, Outcome, Outcome], bool]] = {
    "regexp-match": _regexp_match,
    "regexp-nest": _regexp_nest,
    "header-joined": _header_joined,
    "filter-forward": _filter_forward_size,
    "garbage-temporary-name": _garbage_temporary_name,
    "umask-owner": _umask_owner,
}
