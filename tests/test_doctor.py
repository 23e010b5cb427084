"""`pyprocmail doctor` on machines that are set up wrong, each in one way, in a folder of their own."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pyprocmail.doctor.examine import Examination, examine
from pyprocmail.doctor.patient import SEARCH, WRITE, Gravity, Patient

PAT = 12345 if os.getuid() == 0 else os.getuid()
OTHER = PAT + 1
RCFILE = "MAILDIR=$HOME/Mail\nDEFAULT=$MAILDIR/inbox\nLOGFILE=$HOME/log\nSHELL=/bin/sh\n"


def own(path: Path) -> None:
    """Give it to pat; without root it is pat's already, since pat is who runs the tests."""
    if os.getuid() == 0:
        os.chown(path, PAT, PAT)


def write(root: Path, path: str, text: str, mode: int = 0o644) -> Path:
    """A file of the machine."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return file


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """One that is set up well."""
    for folder, mode in (("home/pat/Mail", 0o700), ("var/mail", 0o755), ("usr/bin", 0o755)):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder).chmod(mode)
    write(tmp_path, "etc/postfix/main.cf", '# main\nmailbox_command = /usr/bin/procmail -a "$EXTENSION"\n')
    write(tmp_path, "usr/bin/procmail", "#!/bin/sh\n", 0o755)
    write(tmp_path, "usr/bin/dotlockfile", "#!/bin/sh\n", 0o755)
    for path in (
        write(tmp_path, "home/pat/.procmailrc", RCFILE, 0o600),
        write(tmp_path, "var/mail/pat", "", 0o660),
        tmp_path / "home/pat",
        tmp_path / "home/pat/Mail",
    ):
        own(path)
    return tmp_path


def look(machine: Path, **changes: object) -> Examination:
    patient = Patient("pat", PAT, (PAT,), "/home/pat", root=str(machine))
    return examine(replace(patient, **changes))  # type: ignore[arg-type]  # each change has its field's type


def test_a_good_machine(machine: Path) -> None:
    found = look(machine)
    assert found.troubles == []
    assert not found.ill
    assert found.callers == ["Postfix calls /usr/bin/procmail (mailbox_command)"]
    assert found.default == "/home/pat/Mail/inbox"


def with_shell(machine: Path, path: str) -> Examination:
    return examine(Patient("pat", PAT, (PAT,), "/home/pat", path, str(machine)))


def rc(text: str) -> Callable[[Path], object]:
    """The rcfile has this text, after what a good one has."""
    return lambda machine: (machine / "home/pat/.procmailrc").write_text(RCFILE + text)


def forward(text: str, mode: int = 0o644) -> Callable[[Path], object]:
    return lambda machine: own(write(machine, "home/pat/.forward", text, mode))


def without(path: str) -> Callable[[Path], object]:
    """The file is not there, and only the group mail may write to the spool."""

    def spoil(machine: Path) -> None:
        (machine / path).unlink()
        (machine / "var/mail").chmod(0o555)

    return spoil


def folder_as_mailbox(machine: Path) -> None:
    (machine / "var/mail/pat").unlink()
    (machine / "var/mail/pat").mkdir()


def folder_as_rcfile(machine: Path) -> None:
    (machine / "home/pat/.procmailrc").unlink()
    (machine / "home/pat/.procmailrc").mkdir()


def no_home(machine: Path) -> None:
    shutil.rmtree(machine / "home/pat")
    (machine / "home/pat").write_text("")


def sticky_home(machine: Path) -> None:
    own(write(machine, "home/pat/.mailfilter", "", 0o600))
    (machine / "home/pat").chmod(0o1700)


def other_server(path: str, text: str, program: str = "") -> Callable[[Path], object]:
    """Another mail server than Postfix, with this in its configuration; nobody may run the program."""

    def spoil(machine: Path) -> None:
        (machine / "etc/postfix/main.cf").unlink()
        write(machine, path, text)
        if program:
            write(machine, program, "#!/bin/sh\n", 0o600)
            if os.getuid():
                (machine / program).chmod(0o000)

    return spoil


def cache(mode: int | None) -> Callable[[Path], object]:
    """A folder for compiled rcfiles with this mode; none, and no right to make one."""

    def spoil(machine: Path) -> None:
        folder = machine / "home/pat/.cache"
        folder.mkdir()
        if mode is not None:
            (folder / "pyprocmail").mkdir()
            (folder / "pyprocmail").chmod(mode)
            own(folder / "pyprocmail")
        own(folder)
        folder.chmod(0o700 if mode is not None else 0o500)

    return spoil


WRONG: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "rcfile that all may write": (
        lambda machine: (machine / "home/pat/.procmailrc").chmod(0o666),
        "everybody may write to /home/pat/.procmailrc",
        "chmod go-w /home/pat/.procmailrc",
    ),
    "home that all may write": (
        lambda machine: (machine / "home/pat").chmod(0o777),
        "everybody may write to /home/pat: ",
        "chmod o-w /home/pat",
    ),
    "home that may not be searched": (
        lambda machine: (machine / "home").chmod(0o600) if os.getuid() == 0 else (machine / "home/pat").chmod(0o600),
        "may not search /home",
        "chmod a+x /home",
    ),
    "home without a file": (
        lambda machine: (machine / "home/pat/.procmailrc").unlink(),
        "there is no /home/pat/.proc",
        "",
    ),
    "MAILDIR missing": (
        lambda machine: (machine / "home/pat/Mail").rmdir(),
        "MAILDIR /home/pat/Mail is not a directory",
        "install -d",
    ),
    "MAILDIR read-only": (
        lambda machine: (machine / "home/pat/Mail").chmod(0o500),
        "pat may not write to MAILDIR",
        "chown pat",
    ),
    "log in no folder": (
        lambda machine: (machine / "home/pat/.procmailrc").write_text(RCFILE.replace("HOME/log", "HOME/logs/log")),
        "the folder of LOGFILE /home/pat/logs/log is not there",
        "install -d",
    ),
    "log read-only": (
        lambda machine: own(write(machine, "home/pat/log", "", 0o400)),
        "pat may not write to LOGFILE",
        "chown pat",
    ),
    "errors in the log": (
        lambda machine: own(write(machine, "home/pat/log", 'procmail: Lock failure on "a.lock"\nother\n')),
        "/home/pat/log says: procmail: Lock failure",
        "",
    ),
    "mailbox missing": (
        without("var/mail/pat"),
        "/var/mail/pat is not there, and pat may not make it",
        "install -o pat -g mail -m 660 /dev/null /var/mail/pat",
    ),
    "mailbox is a folder": (
        folder_as_mailbox,
        "is not a file",
        "mv",
    ),
    "mailbox read-only": (
        lambda machine: (machine / "var/mail/pat").chmod(0o440),
        "pat may not write to /var/mail/pat",
        "chmod u+w",
    ),
    "lockfile left": (lambda machine: write(machine, "var/mail/pat.lock", ""), "pat.lock is there", "ls -l"),
    "dotlockfile missing": (
        without("usr/bin/dotlockfile"),
        "dotlockfile is missing",
        "apt-get",
    ),
    "nobody calls": (
        lambda machine: (machine / "etc/postfix/main.cf").unlink(),
        "nothing that was found here calls",
        "/.forward",
    ),
    "Postfix does not call": (
        lambda machine: write(
            machine, "etc/postfix/main.cf", "#mailbox_command = /usr/bin/procmail\nhome_mailbox = M/\n"
        ),
        "Postfix does not call procmail: it has home_mailbox = M/",
        "postconf -e",
    ),
    "Postfix calls what is not there": (
        lambda machine: (machine / "usr/bin/procmail").unlink(),
        "names /usr/bin/procmail, which is not there",
        "pyprocmail links /usr/bin",
    ),
    "Postfix calls what pat may not run": (
        lambda machine: (machine / "usr/bin/procmail").chmod(0o600),
        "pat may not run /usr/bin/procmail",
        "chmod a+rx",
    ),
    "forward elsewhere": (forward("pat@elsewhere.example\n"), "sends mail elsewhere", "/home/pat/.forward"),
    "forward that all may write": (
        forward("|/usr/bin/procmail\n", 0o666),
        "others may write to /home/pat/.forward",
        "chmod go-w",
    ),
    "forward to what is not there": (forward('"|/opt/procmail"\n'), "names /opt/procmail, which is not", "links /opt"),
    "PATH with nothing": (rc("PATH=/usr/bin:/nowhere/bin\n"), "PATH names /nowhere/bin", ""),
    "rcfile is a folder": (folder_as_rcfile, "/home/pat/.procmailrc is not a file", ""),
    "home missing": (no_home, "the home /home/pat is not there", "install -d -o pat -m 700 /home/pat"),
    "program behind a folder": (
        lambda machine: (machine / "usr/bin").chmod(0o600),
        "pat may not search /usr/bin: /usr/bin/procmail cannot run",
        "install it elsewhere",
    ),
    "Postfix has nothing": (
        lambda machine: write(machine, "etc/postfix/main.cf", "myhostname = mail.example\n"),
        "Postfix does not call procmail: it has no mailbox_command",
        "postconf -e",
    ),
    "Exim calls what is not there": (
        other_server("etc/exim4/exim4.conf", "transport_filter = /opt/bin/procmail -d\n"),
        "/etc/exim4/exim4.conf names /opt/bin/procmail, which is not there",
        "pyprocmail links /opt/bin",
    ),
    "Exim does not call": (
        other_server("etc/exim4/exim4.conf.template", "# command = /usr/bin/procmail\n"),
        "Exim does not call procmail: /etc/exim4/exim4.conf.template does not name it",
        "dc_localdelivery=procmail_pipe",
    ),
    "Sendmail calls what pat may not run": (
        other_server("etc/mail/sendmail.mc", "FEATURE(local_procmail, `/usr/bin/maildrop')dnl\n", "usr/bin/maildrop"),
        "pat may not run /usr/bin/maildrop",
        "chmod a+rx",
    ),
    "Sendmail does not call": (
        other_server("etc/mail/sendmail.mc", "dnl FEATURE(local_procmail, `/usr/bin/procmail')\n"),
        "Sendmail does not call procmail: /etc/mail/sendmail.mc does not name it",
        "FEATURE(local_procmail)",
    ),
    "DEFAULT in no folder": (
        lambda machine: (machine / "home/pat/.procmailrc").write_text(
            RCFILE.replace("MAILDIR/inbox", "HOME/none/inbox")
        ),
        "the folder of DEFAULT /home/pat/none/inbox is not there",
        "install -d",
    ),
    "filter file that all may write": (
        lambda machine: own(write(machine, "home/pat/.mailfilter", "", 0o602)),
        "everybody may write to /home/pat/.mailfilter: maildrop delivers nothing",
        "chmod o-w",
    ),
    "filter file is a folder": (
        lambda machine: (machine / "home/pat/.mailfilter").mkdir(),
        "/home/pat/.mailfilter is not a file: maildrop",
        "mv",
    ),
    "home with a sticky bit": (sticky_home, "there is a sticky bit on /home/pat: maildrop", "chmod o-w,-t /home/pat"),
    "cache of everybody": (
        cache(0o777),
        "/home/pat/.cache/pyprocmail is not a folder of pat alone, and is not used",
        "rm -r /home/pat/.cache/pyprocmail",
    ),
    "no room for a cache": (
        cache(None),
        "pat may not make /home/pat/.cache/pyprocmail",
        "chown pat /home/pat/.cache",
    ),
    "SELinux has refused": (
        lambda machine: write(
            machine,
            "var/log/audit/audit.log",
            'type=AVC msg=audit(1): avc:  denied  { write } for comm="procmail" name="inbox"\n',
        ),
        "the system refused procmail something, 1 times in /var/log/audit/audit.log: type=AVC",
        "ausearch",
    ),
    "AppArmor has refused": (
        lambda machine: write(
            machine, "var/log/kern.log", 'audit: apparmor="DENIED" operation="open" profile="/usr/bin/procmail"\n' * 2
        ),
        "2 times in /var/log/kern.log",
        "aa-logprof",
    ),
    "SELinux": (lambda machine: write(machine, "etc/selinux/config", "SELINUX=enforcing\n"), "SELinux is", "ausearch"),
    "AppArmor": (lambda machine: write(machine, "etc/apparmor.d/usr.bin.procmail", "x"), "AppArmor has", "journalctl"),
}


@pytest.mark.parametrize("way", WRONG)
def test_set_up_wrong(machine: Path, way: str) -> None:
    """The one trouble is told, with the command that mends it."""
    spoil, sentence, command = WRONG[way]
    spoil(machine)
    try:
        found = [trouble for trouble in look(machine).troubles if sentence in trouble.sentence]
    finally:
        for folder in ("home", "home/pat", "home/pat/.cache", "usr/bin"):
            if (machine / folder).exists():
                (machine / folder).chmod(0o755)
    assert found, way
    assert command in found[0].command


def test_owners(machine: Path) -> None:
    """What belongs to somebody else: for another user all of it does."""
    said = [trouble.sentence for trouble in look(machine, uid=OTHER, groups=(OTHER,)).troubles]
    for part in ("the home /home/pat belongs to", "/home/pat/.procmailrc belongs to", "/var/mail/pat belongs to"):
        assert any(part in sentence for sentence in said), part


def test_group(machine: Path) -> None:
    """The user's own group may write to the rcfile, another may not."""
    (machine / "home/pat/.procmailrc").chmod(0o660)
    group = (machine / "home/pat/.procmailrc").stat().st_gid
    assert look(machine, groups=(group,)).troubles == []
    found = look(machine, groups=(group + 1, group))
    assert [t.sentence for t in found.troubles if t.gravity is Gravity.ERROR] == [
        "another group may write to /home/pat/.procmailrc: it is ignored"
    ]


def test_shell(machine: Path) -> None:
    """The login shell matters when the rcfile sets none."""
    assert not with_shell(machine, "/usr/sbin/nologin").ill
    (machine / "home/pat/.procmailrc").write_text("LOGFILE=$HOME/log\n")
    assert with_shell(machine, "/usr/sbin/nologin").ill
    assert not with_shell(machine, "/bin/bash").ill


def test_default(machine: Path) -> None:
    """Without DEFAULT the mailbox that cannot be made is an error, with one it is a note."""
    (machine / "var/mail/pat").unlink()
    (machine / "var/mail").chmod(0o555)
    if look(machine).troubles:
        assert not look(machine).ill
        (machine / "home/pat/.procmailrc").write_text("SHELL=/bin/sh\n")
        assert look(machine).ill
        assert look(machine).default == "/var/mail/pat"


def test_owners_of_what_may_be_there(machine: Path) -> None:
    """Files of another user, for whom this is not the home."""
    own(write(machine, "home/pat/.forward", "|/usr/bin/procmail\n"))
    own(write(machine, "home/pat/.mailfilter", ""))
    cache(0o700)(machine)
    said = [trouble.sentence for trouble in look(machine, uid=OTHER, groups=(OTHER,)).troubles]
    for part in (
        "/home/pat/.forward belongs to",
        "/home/pat/.mailfilter belongs to",
        ".cache/pyprocmail is not a folder",
    ):
        assert any(part in sentence for sentence in said), part


def test_rights_of_the_user(machine: Path) -> None:
    """What belongs to the user, who has taken the rights away."""
    (machine / "home/pat/.procmailrc").chmod(0o000)
    (machine / "home/pat").chmod(0o500)
    said = {trouble.sentence: trouble.command for trouble in look(machine).troubles}
    (machine / "home/pat").chmod(0o700)
    assert said["pat may not read /home/pat/.procmailrc"] == "chmod u+r /home/pat/.procmailrc"
    assert said["pat may not write to /home/pat"] == "chmod u+wx /home/pat"


def test_root_and_postfix(machine: Path) -> None:
    """Postfix gives root's mail to nobody's rcfile."""
    said = [trouble.sentence for trouble in look(machine, uid=0, groups=(0,)).troubles]
    assert "Postfix never delivers as root" in said


def test_full_disks(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No block, or no inode, is left."""
    size = (4096, 4096, 1000, 0, 0, 1000, 0, 0, 0, 255)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(size))
    said = [(trouble.sentence, trouble.command) for trouble in look(machine).troubles]
    assert ("the disk of /home/pat is full", "df -h /home/pat") in said
    assert ("the disk of /var/mail has no room for more files", "df -i /var/mail") in said


def test_modes(machine: Path) -> None:
    """Owner, group and others, in that order; only the first that fits counts."""
    patient = Patient("pat", PAT, (PAT,), "/home/pat", root=str(machine))
    (machine / "home/pat/Mail").chmod(0o077)
    assert not patient.may("/home/pat/Mail", WRITE)
    assert replace(patient, uid=OTHER, groups=(OTHER,)).may("/home/pat/Mail", WRITE | SEARCH)
    assert not patient.may("/nowhere", SEARCH)


def test_command(launchers: Path, tmp_path: Path) -> None:
    """It names the user's rcfile, and ends with 1 for what is wrong, 2 for what it cannot do."""

    def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(launchers / "pyprocmail"), "doctor", "--root", str(tmp_path), *arguments]
        return subprocess.run(command, text=True, capture_output=True, check=False)

    done = doctor()
    assert done.returncode == 1
    assert "rcfile: " in done.stdout
    assert "warning: nothing that was found here calls procmail" in done.stdout
    assert doctor("no-such-user-here").returncode == 2
