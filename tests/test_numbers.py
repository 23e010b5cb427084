"""Numbers beyond every range, wherever a file, a mail or the command line gives one: no traceback, no hang."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

NUMBERS = (
    "", " ", "0", "-1", "+5", "010", "0x10", "5k", "2147483648", "-2147483649", "9223372036854775808",
    "100000000000000000000", "1e400", "nan", "inf", "0x1p99999", "9" * 5000, "-" + "9" * 5000, " 7 ",
)  # fmt: skip
IDS = [number[:24] or "nothing" for number in NUMBERS]
MAIL = "From a@b Thu Jan  1 00:00:00 2026\nSubject: one\nContent-Length: {number}\nLines: {number}\n\nbody\n"
VARIABLES = (
    "LOGFILE_KEEP", "LOGFILE_MAXSIZE", "TIMEOUT", "LOCKSLEEP", "LOCKTIMEOUT", "NORESRETRY", "SUSPEND", "LINEBUF",
    "UMASK", "SHIFT", "VERBOSE", "LOGABSTRACT", "DELIVERED_", "COMSAT",
)  # fmt: skip

each_number = pytest.mark.parametrize("number", NUMBERS, ids=IDS)


def run(program: Path, *arguments: str, mail: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the program on the mail; fail if it takes long, or shows where in our code it failed."""
    done = subprocess.run(
        [program, *arguments],
        input=mail,
        text=True,
        capture_output=True,
        check=False,
        cwd=cwd,
        timeout=30,
        errors="replace",
    )
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    return done


@each_number
def test_variables(number: str, launchers: Path, tmp_path: Path) -> None:
    """The mail is delivered whatever they are."""
    lines = [f'{name}="{number}"' for name in VARIABLES if name != "UMASK" or not number.strip("-9")]
    (tmp_path / "rc").write_text("\n".join([*lines, "UMASK=077", f"LOGFILE={tmp_path}/log", ":0:", "box"]) + "\n")
    done = run(launchers / "procmail", "-m", "./rc", mail=MAIL.format(number=number), cwd=tmp_path)
    assert done.returncode == 0, done.stderr + (tmp_path / "log").read_text()
    assert (tmp_path / "box").read_text().count("Subject: one") == 1


@each_number
def test_recipes(number: str, launchers: Path, tmp_path: Path) -> None:
    """Start lines, sizes, weights and exit codes."""
    text = (
        f":0\n* {number}^{number} ^Subject\n* > {number}\nscored\n:0\n* < {number}\nsmall\nEXITCODE={number}\n:0\nbox\n"
    )
    (tmp_path / "rc").write_text(text)
    run(launchers / "procmail", "-m", "./rc", mail=MAIL.format(number=number), cwd=tmp_path)
    (tmp_path / "rc2").write_text(f":{number.strip()}\n^Subject\nbox\n:0\nlast\n")
    run(launchers / "procmail", "-m", "./rc2", "DEFAULT=def", mail=MAIL.format(number=number), cwd=tmp_path)


@each_number
def test_filter_files(number: str, launchers: Path, tmp_path: Path) -> None:
    """maildrop's variables, arithmetic and quotas."""
    for part in ("md/new", "md/cur", "md/tmp"):
        (tmp_path / part).mkdir(parents=True)
    text = "".join(
        f'{name}="{number}"\n' for name in ("LOCKSLEEP", "LOCKTIMEOUT", "LOCKREFRESH", "VERBOSE", "EXITCODE")
    )
    for operator in "+-*/<>&|":
        text += f'X="{number}" {operator} "{number}"\n'
    text += f'Y=substr("abc", "{number}")\nZ=~"{number}"\nEXITCODE=0\nVERBOSE=0\nMAILDIRQUOTA="{number}S,{number}C"\n'
    (tmp_path / "rc").write_text(text + 'cc "md"\nto "box"\n')
    (tmp_path / "rc").chmod(0o600)
    run(launchers / "maildrop", "rc", mail=MAIL.format(number=number), cwd=tmp_path)


OPTIONS = (
    ("formail", "+{n}", "-1", "-s"), ("formail", "-m", "{n}", "-s"), ("formail", "-D", "{n}", "cache"),
    ("formail", "-n", "{n}", "-s", "cat"), ("lockfile", "-r", "0", "-l", "{n}", "lock"),
    ("lockfile", "-r", "{n}", "other"), ("lockmail", "-t", "{n}", "box", "true"), ("reformail", "-D", "{n}", "cache2"),
    ("maildrop", "-V", "{n}", "rc"),
    ("maildrop", "-w", "{n}", "rc"), ("pyprocmail", "-j", "{n}", "-m", "./prc"), ("formail", "-{n}", "-s"),
    ("mailbot", "-t", "rc", "-D", "{n}", "-n"),
)  # fmt: skip


@each_number
@pytest.mark.parametrize("command", OPTIONS, ids=" ".join)
def test_options(command: tuple[str, ...], number: str, launchers: Path, tmp_path: Path) -> None:
    """Options of every program that take a number."""
    (tmp_path / "rc").write_text('to "box"\n')
    (tmp_path / "rc").chmod(0o600)
    (tmp_path / "prc").write_text(":0\nbox\n")
    name, *arguments = (word.replace("{n}", number) for word in command)
    run(launchers / name, *arguments, mail=MAIL.format(number="5"), cwd=tmp_path)


@each_number
def test_what_is_on_disk(number: str, launchers: Path, tmp_path: Path) -> None:
    """Sizes in names, quota files, message numbers, logs."""
    for part in ("md/new", "md/cur", "md/tmp", "mh"):
        (tmp_path / part).mkdir(parents=True)
    short = number[:200].replace("/", "_") or "x"
    (tmp_path / "md/cur" / f"1,S={short}:2,").write_text("x")
    (tmp_path / "mh" / short.strip()[:100] if short.strip() else tmp_path / "mh" / "y").write_text("x")
    (tmp_path / "md/maildirsize").write_text(f"1000S\n{number} {number}\n")
    (tmp_path / "rc").write_text('MAILDIRQUOTA="1000S"\nto "md"\n')
    (tmp_path / "rc").chmod(0o600)
    (tmp_path / "prc").write_text(":0\nmh/.\n")
    (tmp_path / "log").write_text(f"  Folder: x\t\t{number}\n")
    run(launchers / "maildrop", "rc", mail=MAIL.format(number=1), cwd=tmp_path)
    run(launchers / "procmail", "-m", "./prc", mail=MAIL.format(number=1), cwd=tmp_path)
    run(launchers / "mailstat", "-k", "log", mail="", cwd=tmp_path)
