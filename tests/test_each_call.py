"""Every call that a program makes of the machine fails in turn: one line says so, no mail is lost, nothing is traced.

The delivery itself is swept in test_delivery and test_after_store; here are the programs around it, and the locks,
logs, caches, quotas and temporary files of maildrop.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MAIL = (
    "From a@b Thu Jan  1 00:00:00 2026\nFrom: Ann <a@b>\nTo: c@d\nSubject: one\nMessage-ID: <1@b>\nMIME-Version: 1.0\n"
    "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/plain; name=t\n\nbody\n--x--\n"
)

SCRIPT = r"""
import errno, json, os, shutil, sys
from pyprocmail.commands import main
from pyprocmail.host import Host

argv, mail, files = json.loads(sys.argv[1])
argv = [os.fsencode(word) for word in argv]
CAN_FAIL = (
    "open", "read", "write", "close", "stat", "lstat", "fstat", "link", "rename", "unlink", "fsync", "ftruncate",
    "lseek", "mkdir", "fchown", "fchmod", "chmod", "utime", "chdir", "sync_folder", "listdir", "open_to_read",
    "open_waiting", "lock_to_end", "lock_whole", "pipe", "memory_file", "spawn", "fork", "read_waiting", "dup", "dup2",
    "read_whole", "read_file", "null_output",
)
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE)
countdown = 0
failed = ""

def failing(name, function):
    def call(*arguments, **named):
        global countdown, failed
        countdown -= 1
        if countdown == 0:
            failed = name
            os.write(99, name.encode())
            raise OSError(error, os.strerror(error), b"the-file")
        return function(*arguments, **named)
    return call

for name in CAN_FAIL:
    function = getattr(Host, name)
    static = isinstance(Host.__dict__.get(name), staticmethod)
    setattr(Host, name, staticmethod(failing(name, function)) if static else failing(name, function))

def content(fd):
    size = os.fstat(fd).st_size
    return os.pread(fd, size, 0)

def tree():
    found = {}
    for folder, _, names in os.walk(b"."):
        for name in names:
            path = os.path.join(folder, name)
            found[os.fsdecode(folder)] = found.get(os.fsdecode(folder), 0) + 1
    return found

def run(number):
    global countdown
    here = os.getcwd()
    shutil.rmtree("work", ignore_errors=True)
    os.mkdir("work")
    os.chdir("work")
    for name, text in files.items():
        if os.path.dirname(name):
            os.makedirs(os.path.dirname(name), exist_ok=True)
        if not name.endswith("/"):
            with open(name, "w") as file:
                file.write(text)
            os.chmod(name, 0o600)
    said = [os.memfd_create(name) for name in ("in", "out", "err", "failed")]
    os.write(said[0], mail.encode())
    os.lseek(said[0], 0, 0)
    pid = os.fork()
    if not pid:
        for fd, number_ in zip(said, (0, 1, 2, 99)):
            os.dup2(fd, number_)
        countdown = number
        os._exit(main.run(argv))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    out, err, name = (content(fd) for fd in said[1:])
    for fd in said:
        os.close(fd)
    left = tree()
    os.chdir(here)
    return status, out.decode("latin-1"), err.decode("latin-1"), name.decode(), left

answers = []
error = 0
good = run(0)
for error in ERRORS:
    number = 0
    while True:
        number += 1
        answer = run(number)
        if not answer[3]:
            break
        answers.append([number, os.strerror(error), *answer])
print(json.dumps([good, answers]))
"""

LOG = "procmail: [1] Thu Jan  1 00:00:00 2026\nFrom a@b  Thu Jan  1 00:00:00 2026\n  Folder: x\t\t10\n"
FILTER = 'logfile "log"\nMAILDIRQUOTA="1000000S"\ndotlock "l" {\nflock "f" {\ncc "md"\n}\n}\nxfilter "cat"\nto "box"\n'
MAILDIR = {"md/new/": "", "md/cur/": "", "md/tmp/": ""}
JOBS: dict[str, tuple[list[str], dict[str, str]]] = {
    "formail": (["formail", "-I", "X: y"], {}),
    "formail -D": (["formail", "-D", "1000", "cache"], {"cache": ""}),
    "formail -r": (["formail", "-rk"], {}),
    "formail -l": (["formail", "-l", "folder", "-s"], {}),
    "formail -ds": (["formail", "-ds", "cat"], {}),
    "lockfile": (["lockfile", "-1", "-r", "1", "-l", "100", "lock"], {}),
    "lockfile, two": (["lockfile", "-1", "-r", "1", "one", "two"], {}),
    "reformail": (["reformail", "-a", "X: y"], {}),
    "reformail -D": (["reformail", "-D", "1000", "cache"], {"cache": ""}),
    "reformail -s": (["reformail", "-s", "cat"], {}),
    "reformime -x": (["reformime", "-xpart-"], {}),
    "reformime -r7": (["reformime", "-r7"], {}),
    "reformime -i": (["reformime", "-i"], {}),
    "mailbot": (["mailbot", "-t", "text", "-d", "db", "-A", "X: y", "cat"], {"text": "away\n"}),
    "mailbot, draft": (
        ["mailbot", "-T", "replydraft", "-l", "md", "-n"],
        {**MAILDIR, "md/cur/a:2,S": "Subject: x\n\naway\n"},
    ),
    "makedat": (["makedat", "-src=text", "-file=db", "-tmp=db.tmp"], {"text": "a\tb\nc\n"}),
    "duplicate": (["pyprocmail", "duplicate", "--cache", "cache"], {}),
    "duplicate, known": (
        ["pyprocmail", "duplicate", "--exact", "--cache", "cache"],
        {"cache": "9999999999 k v\n"},
    ),
    "vacation": (
        ["pyprocmail", "vacation", "-t", "text", "-a", "c@d", "--cache", "cache", "--", "cat"],
        {"text": "away\n"},
    ),
    "lockmail": (["lockmail", "lock", "true"], {}),
    "makemime": (["makemime", "-c", "text/plain", "-o", "out", "text"], {"text": "a\n"}),
    "makemime -j": (["makemime", "-j", "multi", "-"], {"multi": "Content-Type: a/b; boundary=x\n\n--x\n\na\n--x--\n"}),
    "maildirmake": (["maildirmake", "new"], {}),
    "maildirmake -f": (["maildirmake", "-f", "folder", "md"], MAILDIR),
    "maildirmake -q": (["maildirmake", "-q", "9S", "md"], MAILDIR),
    "maildirmake --add": (["maildirmake", "--add", "a=/tmp", "md"], MAILDIR),
    "deliverquota": (["deliverquota", "md", "1000000S"], MAILDIR),
    "deliverquota -c": (["deliverquota", "-c", "a/b"], {}),
    "mailstat": (["mailstat", "-k", "log"], {"log": LOG}),
    "mailstat, moved": (["mailstat", "log"], {"log": LOG}),
    "maildrop": (["maildrop", "filter"], {"filter": FILTER, **MAILDIR}),
    "maildrop, lookup": (
        ["maildrop", "filter"],
        {"filter": 'X=gdbmopen("db", "N")\nY=lookup("a", "list")\nto "box"\n', "list": "a\n"},
    ),
}


SLOW = ("maildrop", "deliverquota", "vacation", "maildirmake -f")
"""Jobs of many calls begin so."""

ALLOWED = {
    ("formail -ds", "spawn"),  # a shell has its word
    ("mailstat", "stat"), ("mailstat, moved", "stat"),  # "Can't find your LOGFILE", and 1
}  # fmt: skip
"""Where the reference's own way is kept.  formail says nothing of output that cannot be written, and ends with 74."""


def sweep(folder: Path, argv: list[str], files: dict[str, str]) -> Any:
    """What the program does, and what it does with each of its calls failing."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", SCRIPT, json.dumps([argv, MAIL, files])],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "TZ": "UTC"},
        text=True,
        capture_output=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "job", [pytest.param(job, marks=pytest.mark.slow if job.startswith(SLOW) else ()) for job in JOBS]
)
def test_each_call_fails(job: str, tmp_path: Path) -> None:
    """Success only with the whole result; else a line, no traceback, and no status that a mail server bounces on."""
    (status, out, _, _, _), answers = sweep(tmp_path, *JOBS[job])
    assert status in (0, 1)
    assert len(answers) >= 8, "calls that can fail"
    wrong = []
    for number, reason, ended, printed, said, call, _ in answers:
        place = f"call {number}, {call}, {reason}: status {ended}, {said[-300:]!r}"
        if (job.startswith("formail") and ended == 74) or (job, call) in ALLOWED:
            continue
        if "Traceback" in said:
            wrong.append(f"traced: {place}")
        elif ended == status:
            if printed != out and call != "write":
                wrong.append(f"success with another output: {place}")
        elif ended in (1, 2) or ended < 0 or not said.strip():
            wrong.append(f"no word: {place}")
        elif said.count("\n") > 3:
            wrong.append(f"more than a line: {place}")
    assert wrong == [], "\n".join(wrong)
