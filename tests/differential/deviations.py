"""What ours does otherwise without PYPROCMAIL_STRICT: rows of pyprocmail-compat(7).

Each is a function that says whether it is the reason of a difference, as narrowly as it can.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from differential.cases import Case
from differential.harness import Outcome

_POSTMARK = re.compile(rb"(?m)^From ")
_BOUNCED, _REQUEUED = b"  Folder: **Bounced**", b"  Folder: **Requeued**"


def explain(case: Case, want: Outcome, got: Outcome) -> str | None:
    """The row that explains the difference between `want`, the reference, and `got`; None if none does."""
    for row, explains in _ROWS.items():
        if explains(case, want, got):
            return row
    return None


def is_undefined(case: Case, want: Outcome) -> bool:
    """Whether the log shows what the reference's memory held: a subject that the mail begins with."""
    given = (case.rcfile, case.mail, *(file.data for file in case.files.values()))
    shown = (want.stderr, *(data for _, data in want.tree.values()))
    return all(text.isascii() for text in given) and not all(text.isascii() for text in shown)


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
    "body-postmark": _body_postmark,
}
