"""The whole examination: where a user's mail goes, and what prevents it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyprocmail.doctor import callers, files
from pyprocmail.doctor.patient import Gravity, Patient, Trouble
from pyprocmail.lint.machine import Machine
from pyprocmail.lint.view import View
from pyprocmail.procmail.syntax.parse import parse

_LONGEST = 8 << 20
"""The most bytes of an rcfile that are read."""


@dataclass(slots=True)
class Examination:
    """The callers of procmail, one line each; the destination of mail that no recipe delivers; the problems."""

    callers: list[str] = field(default_factory=list)
    default: str = ""
    troubles: list[Trouble] = field(default_factory=list)

    @property
    def ill(self) -> bool:
        """Whether there is an error or a warning."""
        return any(trouble.gravity is not Gravity.NOTE for trouble in self.troubles)


def examine(patient: Patient) -> Examination:
    """Examine everything; nothing is changed."""
    found = Examination()
    found.troubles += callers.callers(patient, found.callers)
    found.troubles += files.home(patient)
    path = f"{patient.home}/.procmailrc"
    found.troubles += files.rcfile(patient, path)
    text = patient.text(path, _LONGEST)
    data = (text or "").encode()
    view = View(parse(data)[0], data, Machine(patient.home.encode()))
    value = view.value(b"DEFAULT") if b"DEFAULT" in view.values else None
    found.default = view.full(value).decode("utf-8", "replace") if value else f"{files.SPOOL}/{patient.name}"
    found.troubles += files.system_mailbox(patient, needed=b"DEFAULT" not in view.values)
    for look in (files.named_folders, files.shell, files.path_folders, files.log):
        found.troubles += look(patient, view)
    found.troubles += files.filter_file(patient)
    found.troubles += files.cache(patient)
    found.troubles += files.disks(patient)
    found.troubles += callers.guards(patient)
    found.troubles += callers.denials(patient)
    return found
