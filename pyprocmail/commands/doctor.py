"""`pyprocmail doctor`: why an rcfile is ignored, and where mail goes."""

from __future__ import annotations

import os
import pwd

import click

from pyprocmail.doctor.examine import examine
from pyprocmail.doctor.patient import Patient

ILL = 1


@click.command(epilog="Exit status: 0 all is well, 1 something is wrong, 2 trouble.  See pyprocmail-doctor(1).")
@click.argument("user", required=False, default="")
@click.option("--root", metavar="DIR", default="/", help="Look at the machine that is below DIR.")
def doctor(user: str, root: str) -> None:
    """Tell why the rcfile of USER is ignored, or where the mail goes.

    Looks at who calls procmail, at owners and modes, the system mailbox, the folders that the rcfile names, and the
    last errors in its log.  Each finding has the command that mends it; nothing is changed.  Without USER it is you.
    """
    patient = _patient(user, root)
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
    """The user by name, or who runs this."""
    try:
        entry = pwd.getpwnam(name) if name else pwd.getpwuid(os.getuid())
    except KeyError as error:
        raise click.UsageError(f"there is no user {name or os.getuid()}") from error
    groups = tuple(dict.fromkeys((entry.pw_gid, *os.getgrouplist(entry.pw_name, entry.pw_gid))))
    return Patient(entry.pw_name, entry.pw_uid, groups, entry.pw_dir, entry.pw_shell, root)
