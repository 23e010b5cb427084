"""The home, the rcfile, the folders that it names, and the system mailbox: their owners and who may write to them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from pyprocmail.doctor.patient import SEARCH, WRITE, Gravity, Patient, Trouble
from pyprocmail.lint.view import View

SPOOL = "/var/mail"
DOTLOCKFILE = "/usr/bin/dotlockfile"
ROOT_CACHE = "/var/cache/pyprocmail"
_FULL = 0.01
_LAST_ERRORS = 5
_ERRORS = re.compile(
    r"procmail: .*(Error|Suspicious|Couldn't|Can't|Lock failure|Quota|Denying|Bad|Skipped|Unable|Failed|"
    r"Exceeded|Missing|Program failure|No space|Renaming|Insufficient|Timeout)"
)


def rcfile(patient: Patient, path: str) -> Iterator[Trouble]:
    """Reasons to ignore the rcfile: the user or root must own it, and no other user may write to it.

    procmail(1), NOTES.
    """
    barrier = patient.barrier(path)
    if barrier:
        sentence = f"{patient.name} may not search {barrier}: {path} cannot be read"
        yield Trouble(Gravity.ERROR, sentence, f"chmod a+x {barrier}")
    status = patient.status(path)
    if status is None:
        yield Trouble(Gravity.NOTE, f"there is no {path}: mail goes to the system mailbox")
        return
    if not stat.S_ISREG(status.st_mode):
        yield Trouble(Gravity.ERROR, f"{path} is not a file")
        return
    if status.st_uid not in (0, patient.uid):
        sentence = f"{path} belongs to the user {status.st_uid}: it is ignored"
        yield Trouble(Gravity.ERROR, sentence, f"chown {patient.name} {path}")
    if not patient.may(path, 4):
        yield Trouble(Gravity.ERROR, f"{patient.name} may not read {path}", f"chmod u+r {path}")
    foreign_group = status.st_gid not in patient.groups[:1]
    if status.st_mode & stat.S_IWOTH:
        yield Trouble(Gravity.ERROR, f"everybody may write to {path}: it is ignored", f"chmod go-w {path}")
    elif status.st_mode & stat.S_IWGRP and foreign_group:
        sentence = f"another group may write to {path}: it is ignored"
        yield Trouble(Gravity.ERROR, sentence, f"chmod g-w {path}")
    folder = os.path.dirname(path)
    around = patient.status(folder)
    if around is not None and around.st_mode & stat.S_IWOTH and not around.st_mode & stat.S_ISVTX:
        yield Trouble(Gravity.ERROR, f"everybody may write to {folder}: {path} is ignored", f"chmod o-w {folder}")


def home(patient: Patient) -> Iterator[Trouble]:
    """Problems of the home, which must exist and belong to the user."""
    status = patient.status(patient.home)
    if status is None or not stat.S_ISDIR(status.st_mode):
        sentence = f"the home {patient.home} is not there"
        yield Trouble(Gravity.ERROR, sentence, f"install -d -o {patient.name} -m 700 {patient.home}")
    elif status.st_uid != patient.uid:
        sentence = f"the home {patient.home} belongs to the user {status.st_uid}"
        own = patient.home.startswith("/home/")
        mends = f"chown {patient.name} {patient.home}" if own else f"usermod -m -d /home/{patient.name} {patient.name}"
        yield Trouble(Gravity.ERROR, sentence, mends)
    elif not patient.may(patient.home, WRITE | SEARCH):
        yield Trouble(Gravity.ERROR, f"{patient.name} may not write to {patient.home}", f"chmod u+wx {patient.home}")


def system_mailbox(patient: Patient, *, needed: bool) -> Iterator[Trouble]:
    """Problems of the system mailbox; it is `needed` unless the rcfile sets DEFAULT."""
    path = f"{SPOOL}/{patient.name}"
    status = patient.status(path, follow=False)
    if status is None:
        if not patient.may(SPOOL, WRITE | SEARCH):
            gravity = Gravity.ERROR if needed else Gravity.NOTE
            sentence = f"{path} is not there, and {patient.name} may not make it"
            yield Trouble(gravity, sentence, f"install -o {patient.name} -g mail -m 660 /dev/null {path}")
        return
    if not stat.S_ISREG(status.st_mode):
        yield Trouble(Gravity.ERROR, f"{path} is not a file: it would be renamed to BOGUS", f"mv {path} {path}.old")
    elif status.st_uid != patient.uid:
        sentence = f"{path} belongs to the user {status.st_uid}: it would be renamed to BOGUS"
        yield Trouble(Gravity.ERROR, sentence, f"chown {patient.name} {path}")
    elif not patient.may(path, WRITE):
        yield Trouble(Gravity.ERROR, f"{patient.name} may not write to {path}", f"chmod u+w {path}")
    if patient.status(f"{path}.lock") is not None:
        sentence = f"{path}.lock is there: if no program holds it, mail waits until it is old"
        yield Trouble(Gravity.WARNING, sentence, f"ls -l {path}.lock")
    if not patient.may(SPOOL, WRITE | SEARCH) and patient.status(DOTLOCKFILE) is None:
        sentence = (
            f"only the group mail may make lockfiles in {SPOOL}, and dotlockfile is missing: kernel locks have to do"
        )
        yield Trouble(Gravity.NOTE, sentence, "apt-get install liblockfile-bin")


def named_folders(patient: Patient, view: View) -> Iterator[Trouble]:
    """Problems of MAILDIR, LOGFILE and DEFAULT, if their values are known."""
    maildir = _value(view, b"MAILDIR")
    if maildir:
        status = patient.status(maildir)
        if status is None or not stat.S_ISDIR(status.st_mode):
            sentence = f"MAILDIR {maildir} is not a directory: folders are looked for elsewhere"
            yield Trouble(Gravity.ERROR, sentence, f"install -d -o {patient.name} -m 700 {maildir}")
        elif not patient.may(maildir, WRITE | SEARCH):
            sentence = f"{patient.name} may not write to MAILDIR {maildir}"
            yield Trouble(Gravity.ERROR, sentence, f"chown {patient.name} {maildir}")
    for name in (b"LOGFILE", b"DEFAULT"):
        path = _value(view, name)
        if path and path.startswith("/") and not path.startswith("/dev/"):
            yield from _file(patient, name.decode(), path.rstrip("/"))


def _file(patient: Patient, name: str, path: str) -> Iterator[Trouble]:
    folder = os.path.dirname(path)
    if patient.status(path) is not None:
        if not patient.may(path, WRITE):
            yield Trouble(
                Gravity.ERROR, f"{patient.name} may not write to {name} {path}", f"chown {patient.name} {path}"
            )
    elif patient.status(folder) is None:
        sentence = f"the folder of {name} {path} is not there"
        yield Trouble(Gravity.ERROR, sentence, f"install -d -o {patient.name} -m 700 {folder}")
    elif not patient.may(folder, WRITE | SEARCH):
        yield Trouble(Gravity.ERROR, f"{patient.name} may not make {name} {path}", f"chown {patient.name} {folder}")


def _value(view: View, name: bytes) -> str:
    """The path in the variable, if it is known; a relative one is in MAILDIR."""
    value = view.value(name) if name in view.values else None
    if not value:
        return ""
    return (value if name == b"MAILDIR" else view.full(value)).decode("utf-8", "replace")


def log(patient: Patient, view: View) -> Iterator[Trouble]:
    """The last errors in LOGFILE."""
    path = _value(view, b"LOGFILE")
    text = patient.text(path, 1 << 16) if path else None
    lines = [line for line in (text or "").splitlines() if _ERRORS.search(line)][-_LAST_ERRORS:]
    for line in lines:
        shown = "".join(character if character.isprintable() else "?" for character in line)
        yield Trouble(Gravity.NOTE, f"{path} says: {shown}")


def shell(patient: Patient, view: View) -> Iterator[Trouble]:
    """A login shell that cannot run the rcfile's commands, if the rcfile sets no SHELL."""
    if b"SHELL" not in view.values and re.search(r"(csh|fish|nologin|false)$", patient.shell):
        sentence = f"the login shell {patient.shell} runs the commands of the rcfile, and it is not like sh(1)"
        yield Trouble(Gravity.ERROR, sentence, "put SHELL=/bin/sh at the top of the rcfile")


def path_folders(patient: Patient, view: View) -> Iterator[Trouble]:
    """Folders of PATH that do not exist."""
    for folder in (_value(view, b"PATH") if b"PATH" in view.values else "").split(":"):
        if folder.startswith("/") and patient.status(folder) is None:
            yield Trouble(Gravity.NOTE, f"PATH names {folder}, which is not there")


def filter_file(patient: Patient) -> Iterator[Trouble]:
    """Filter files that maildrop refuses: it then delivers nothing, and the mail stays in the queue."""
    path = f"{patient.home}/.mailfilter"
    status = patient.status(path)
    if status is None:
        return
    if not stat.S_ISREG(status.st_mode):
        yield Trouble(Gravity.ERROR, f"{path} is not a file: maildrop delivers nothing", f"mv {path} {path}.old")
    elif status.st_uid != patient.uid:
        sentence = f"{path} belongs to the user {status.st_uid}: maildrop delivers nothing"
        yield Trouble(Gravity.ERROR, sentence, f"chown {patient.name} {path}")
    elif status.st_mode & stat.S_IWOTH:
        yield Trouble(Gravity.ERROR, f"everybody may write to {path}: maildrop delivers nothing", f"chmod o-w {path}")
    around = patient.status(patient.home)
    if around is not None and around.st_mode & (stat.S_IWOTH | stat.S_ISVTX):
        what = "everybody may write to" if around.st_mode & stat.S_IWOTH else "there is a sticky bit on"
        sentence = f"{what} {patient.home}: maildrop delivers nothing"
        yield Trouble(Gravity.ERROR, sentence, f"chmod o-w,-t {patient.home}")


def cache(patient: Patient) -> Iterator[Trouble]:
    """The folder of compiled rcfiles: if other users can write to it, it is not used, and each mail costs more."""
    path = ROOT_CACHE if patient.uid == 0 else f"{patient.home}/.cache/pyprocmail"
    status = patient.status(path, follow=False)
    if status is None:
        folder = os.path.dirname(path)
        if patient.status(folder) is not None and not patient.may(folder, WRITE | SEARCH):
            sentence = f"{patient.name} may not make {path}: each mail reads the rcfile anew"
            yield Trouble(Gravity.NOTE, sentence, f"chown {patient.name} {folder}")
    elif not stat.S_ISDIR(status.st_mode) or status.st_uid != patient.uid or status.st_mode & 0o022:
        sentence = f"{path} is not a folder of {patient.name} alone, and is not used: each mail reads the rcfile anew"
        yield Trouble(Gravity.NOTE, sentence, f"rm -r {path}")


def disks(patient: Patient) -> Iterator[Trouble]:
    """Disks that are full or nearly full."""
    for path in (patient.home, SPOOL):
        try:
            disk = os.statvfs(patient.here(path))
        except OSError:
            continue
        if disk.f_blocks and disk.f_bavail < disk.f_blocks * _FULL:
            yield Trouble(Gravity.WARNING, f"the disk of {path} is full", f"df -h {path}")
        if disk.f_files and disk.f_favail < disk.f_files * _FULL:
            yield Trouble(Gravity.WARNING, f"the disk of {path} has no room for more files", f"df -i {path}")
