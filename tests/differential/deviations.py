"""What ours does otherwise without PYPROCMAIL_STRICT: rows of pyprocmail-compat(7).

Each is a function that says whether it is the reason of a difference, as narrowly as it can.
"""

from __future__ import annotations

from collections.abc import Callable

from differential.cases import Case
from differential.harness import Outcome

_BOUNCED, _REQUEUED = b"  Folder: **Bounced**", b"  Folder: **Requeued**"


def explain(case: Case, want: Outcome, got: Outcome) -> str | None:
    """The row that explains the difference between `want`, the reference, and `got`; None if none does."""
    for row, explains in _ROWS.items():
        if explains(case, want, got):
            return row
    return None


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
}
