"""`pyprocmail doctor`: finds why an rcfile is ignored and where mail goes, and writes a report for an issue."""

from __future__ import annotations

import os
import pwd
import sys

import click

from pyprocmail.commands.values import argument, option
from pyprocmail.doctor.disguise import Person
from pyprocmail.doctor.examine import examine
from pyprocmail.doctor.patient import Patient
from pyprocmail.exits import in_one_line

ILL = 1
TROUBLE = 2


@click.command(epilog="Exit status: 0 no mistakes, 1 mistakes, 2 an error.  See pyprocmail-doctor(1).")
@argument("words", metavar="[USER] | --report [RCFILE] [MAIL]", nargs=-1)
@option("--root", metavar="DIR", default="/", help="Examine the system below DIR.")
@option("--report", is_flag=True, help="Write a report for an issue, with private data replaced.")
@option("-o", "output", metavar="FILE", default="", help="Write the report to FILE.")
@option("--hide", metavar="WORD", multiple=True, help="Replace this word in the report, too.")
@option(
    "--language",
    type=click.Choice(("procmail", "maildrop")),
    help="The language of RCFILE, if its text does not show it.",
)
@option("--with-reference", is_flag=True, help="Also run the installed procmail or maildrop, in a sandbox.")
@option("--allow-commands", "allow", is_flag=True, help="Let the rules start programs, without network.")
def doctor(
    words: tuple[str, ...],
    root: str,
    report: bool,
    output: str,
    hide: tuple[str, ...],
    language: str | None,
    with_reference: bool,
    allow: bool,
) -> None:
    """Tell why the rcfile of USER is ignored, or where the mail goes.

    Looks at who calls procmail, at owners and modes, the system mailbox, the folders that the rcfile names, and the
    last errors in its log.  Each finding has the command that corrects it; nothing is changed.  USER is you by default.

    With --report it writes what an issue needs: versions, RCFILE with what it includes, the header of MAIL, and what
    becomes of that mail; addresses, names and passwords are replaced.  Read it before you send it.

    \b
      pyprocmail doctor alice
      pyprocmail doctor --report -o report.md ~/.procmailrc message.eml
    """
    if report:
        if len(words) > 2:
            raise click.UsageError("--report takes an rcfile and a mail")
        rcfile, mail = (*words, "", "")[:2]
        if any(_is_same(output, word) for word in words):
            raise click.UsageError(f"the report would overwrite {output}: choose another name for -o")
        _write(_report(rcfile, mail, hide, language or "", allow=allow, with_reference=with_reference), output)
        return
    if len(words) > 1 or output or hide or language or with_reference or allow:
        raise click.UsageError("name one user; rcfiles, mails and these options are for --report")
    patient = _patient("".join(words), root)
    found = examine(patient)
    for line in found.callers:
        click.echo(f"called: {line}")
    click.echo(f"rcfile: {patient.home}/.procmailrc")
    click.echo(f"rest of the mail: {found.default}")
    for trouble in found.troubles:
        click.echo(f"{trouble.gravity.value}: {trouble.sentence}")
        if trouble.command:
            click.echo(f"    {trouble.command}")
    if not found.ill:
        click.echo("nothing wrong was found")
    click.get_current_context().exit(ILL if found.ill else 0)


def _patient(name: str, root: str) -> Patient:
    """The user of that name, or the user who runs this."""
    try:
        entry = pwd.getpwnam(name) if name else pwd.getpwuid(os.getuid())
    except KeyError as error:
        raise click.UsageError(f"there is no user {name or os.getuid()}") from error
    groups = tuple(dict.fromkeys((entry.pw_gid, *os.getgrouplist(entry.pw_name, entry.pw_gid))))
    return Patient(entry.pw_name, entry.pw_uid, groups, entry.pw_dir, entry.pw_shell, root)


def _report(rcfile: str, mail: str, hide: tuple[str, ...], language: str, *, allow: bool, with_reference: bool) -> str:
    """The text of the report; exits with TROUBLE if something cannot be read."""
    from pyprocmail.doctor.complaint import Complaint, written
    from pyprocmail.offline.rules import RulesError, Setup, language_of
    from pyprocmail.offline.sources import NoMailError, mails

    try:
        data = next((one.data for one in mails((mail,))), b"") if mail else None
        complaint = Complaint(
            _person(), rcfile, data, language or language_of(Setup(rcfile)), tuple(map(os.fsencode, hide)), allow,
            with_reference,
        )  # fmt: skip
        return written(complaint)
    except (OSError, RulesError, NoMailError) as error:
        click.echo(f"pyprocmail: {in_one_line(error, rcfile)}", err=True)
        sys.exit(TROUBLE)


def _person() -> Person:
    """The user who runs this: all names of the user and of the machine."""
    names = {os.environ.get(name, "") for name in ("LOGNAME", "USER", "SUDO_USER")}
    real_name = ""
    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        pass  # a user without an entry has only these names
    else:
        names.add(entry.pw_name)
        real_name = entry.pw_gecos
    hosts = [os.uname().nodename]
    try:
        with open("/etc/mailname", encoding="utf-8", errors="replace") as file:
            hosts.append(file.read(1024))
    except OSError:
        pass  # most machines have no such file
    words = (" ".join(sorted(names)), real_name, os.path.expanduser("~"), " ".join(hosts))
    return Person(*map(os.fsencode, words))


def _is_same(one: str, other: str) -> bool:
    """Whether two names lead to the same existing file."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _write(text: str, output: str) -> None:
    """Write to the file, which only its owner can read, or to standard output."""
    if not output:
        click.echo(text)
        return
    try:
        fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        click.echo(f"pyprocmail: {in_one_line(error, output)}", err=True)
        sys.exit(TROUBLE)
