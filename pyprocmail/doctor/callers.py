"""The callers of procmail for the user: .forward, Postfix, Exim, Sendmail; and reasons why it cannot run."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator

from pyprocmail.doctor.patient import SEARCH, Gravity, Patient, Trouble

POSTFIX = "/etc/postfix/main.cf"
EXIM = (
    "/etc/exim4/exim4.conf",
    "/etc/exim4/exim4.conf.template",
    "/etc/exim/exim.conf",
    "/etc/exim4/conf.d/transport/30_exim4-config_procmail_pipe",
)
SENDMAIL = ("/etc/mail/sendmail.mc", "/etc/mail/sendmail.cf")
_EXIM_MENDS = (
    "sed -i 's/^dc_localdelivery=.*/dc_localdelivery=procmail_pipe/' /etc/exim4/update-exim4.conf.conf && "
    "update-exim4.conf"
)
_PROGRAM = re.compile(r"(/[^\s\"',|]*(?:procmail|maildrop))\b")


def callers(patient: Patient, found: list[str]) -> Iterator[Trouble]:
    """Add a line to `found` for each caller of procmail; yields the problems with them."""
    forward = f"{patient.home}/.forward"
    text = patient.text(forward)
    if text is not None:
        yield from _forward(patient, forward, text, found)
        if found:
            return
    yield from _postfix(patient, found)
    for server, paths in (("Exim", EXIM), ("Sendmail", SENDMAIL)):
        for path in paths:
            programs = _PROGRAM.findall(_without_comments(patient.text(path) or ""))
            if programs:
                found.append(f"{server} ({path}) calls {programs[0]}")
                yield from _program(patient, programs[0], path)
                break
    if not found and text is None:
        yield from _silent(patient)
        sentence = "nothing that was found here calls procmail: no .forward, Postfix, Exim or Sendmail does"
        yield Trouble(Gravity.WARNING, sentence, f"echo '\"|/usr/local/bin/procmail || exit 75\"' > {forward}")


def _silent(patient: Patient) -> Iterator[Trouble]:
    """Problems with an Exim or Sendmail whose configuration does not name procmail."""
    for server, paths, command in (
        ("Exim", EXIM, _EXIM_MENDS),
        ("Sendmail", SENDMAIL, "echo 'FEATURE(local_procmail)dnl' >> /etc/mail/sendmail.mc; make -C /etc/mail"),
    ):
        path = next((path for path in paths if patient.status(path) is not None), "")
        if path:
            yield Trouble(Gravity.ERROR, f"{server} does not call procmail: {path} does not name it", command)


def _without_comments(text: str) -> str:
    return re.sub(r"(?m)^\s*(#|dnl\b).*$", "", text)


def _forward(patient: Patient, path: str, text: str, found: list[str]) -> Iterator[Trouble]:
    status = patient.status(path)
    assert status is not None, path
    if status.st_uid not in (0, patient.uid):
        yield Trouble(Gravity.ERROR, f"{path} belongs to the user {status.st_uid}", f"chown {patient.name} {path}")
    if status.st_mode & (stat.S_IWOTH | stat.S_IWGRP):
        yield Trouble(Gravity.ERROR, f"others may write to {path}: mail servers ignore it then", f"chmod go-w {path}")
    programs = _PROGRAM.findall(_without_comments(text))
    if not programs:
        sentence = f"{path} sends mail elsewhere, and not through procmail: {' '.join(text.split())[:80]}"
        yield Trouble(Gravity.ERROR, sentence, f"echo '\"|/usr/local/bin/procmail || exit 75\"' > {path}")
        return
    found.append(f"{path} calls {programs[0]}")
    yield from _program(patient, programs[0], path)


def _postfix(patient: Patient, found: list[str]) -> Iterator[Trouble]:
    text = patient.text(POSTFIX)
    if text is None:
        return
    settings = dict(re.findall(r"(?m)^(\w+)\s*=\s*(.*(?:\n[ \t]+.*)*)", _without_comments(text)))
    command = settings.get("mailbox_command", "").strip()
    programs = _PROGRAM.findall(command)
    if programs:
        found.append(f"Postfix calls {programs[0]} (mailbox_command)")
        yield from _program(patient, programs[0], POSTFIX)
        if patient.uid == 0:
            sentence = "Postfix never delivers as root"
            yield Trouble(Gravity.WARNING, sentence, "write `root: somebody' into /etc/aliases, and run newaliases")
    elif patient.text(f"{patient.home}/.forward") is None:
        other = next((name for name in ("mailbox_transport", "home_mailbox") if settings.get(name, "").strip()), "")
        why = f"it has {other} = {settings[other].strip()}" if other else "it has no mailbox_command"
        mends = "postconf -e 'mailbox_command = /usr/local/bin/procmail -a \"$EXTENSION\"'"
        yield Trouble(Gravity.ERROR, f"Postfix does not call procmail: {why}", mends)


def _program(patient: Patient, program: str, where: str) -> Iterator[Trouble]:
    """The reason why the user cannot run the program, if there is one."""
    barrier = patient.barrier(program)
    if barrier:
        yield Trouble(
            Gravity.ERROR, f"{patient.name} may not search {barrier}: {program} cannot run", "install it elsewhere"
        )
    elif patient.status(program) is None:
        sentence = f"{where} names {program}, which is not there"
        yield Trouble(Gravity.ERROR, sentence, f"pyprocmail links {program.rpartition('/')[0]}")
    elif not patient.may(program, SEARCH):
        yield Trouble(Gravity.ERROR, f"{patient.name} may not run {program}", f"chmod a+rx {program}")


_DENIALS = re.compile(r"(avc: +denied|apparmor=\"DENIED\").*(procmail|maildrop)")
_DENIAL_LOGS = ("/var/log/audit/audit.log", "/var/log/kern.log", "/var/log/syslog", "/var/log/messages")
_LAST_BYTES = 1 << 18


def denials(patient: Patient) -> Iterator[Trouble]:
    """Refusals of SELinux or AppArmor to procmail, from the system's logs, if these can be read."""
    for path in _DENIAL_LOGS:
        lines = [line for line in (patient.text(path, _LAST_BYTES) or "").splitlines() if _DENIALS.search(line)]
        if lines:
            shown = "".join(character if character.isprintable() else "?" for character in lines[-1])[:200]
            command = "ausearch -m avc -c procmail | audit2why" if "avc:" in lines[-1] else "aa-logprof"
            sentence = f"the system refused procmail something, {len(lines)} times in {path}: {shown}"
            yield Trouble(Gravity.WARNING, sentence, command)


def guards(patient: Patient) -> Iterator[Trouble]:
    """SELinux and AppArmor, which can refuse access that file modes allow."""
    if (patient.text("/etc/selinux/config") or "").find("SELINUX=enforcing") >= 0:
        sentence = "SELinux is enforcing: what it refuses looks like missing rights"
        yield Trouble(Gravity.NOTE, sentence, "ausearch -m avc -ts today | grep -i procmail")
    for path in ("/etc/apparmor.d/usr.bin.procmail", "/etc/apparmor.d/usr.local.bin.procmail"):
        if patient.status(path) is not None:
            sentence = f"AppArmor has rules for procmail in {path}"
            yield Trouble(Gravity.NOTE, sentence, "journalctl -k | grep 'apparmor=\"DENIED\"'")
