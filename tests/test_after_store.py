"""Nothing that comes after a mail is stored can turn the outcome: a second delivery would be a second copy.

From the moment at which a mail is safe, each call that the program makes of the machine fails in turn.
"""

import subprocess
import sys
from pathlib import Path

import pytest

MAIL = b"From a@b Thu Jan  1 00:00:00 2026\nSubject: one\n\nbody\n"

SCRIPT = r"""
import errno, os, sys
from pyprocmail.commands import main
from pyprocmail.host import Host
from pyprocmail.maildrop import session as maildrop
from pyprocmail.procmail import session as procmail

argv, folder = [os.fsencode(word) for word in sys.argv[2:]], sys.argv[1]
FAULTS = [OSError(errno.ENOSPC, "No space left on device", "somewhere"), OSError(errno.EIO, "Input/output error"),
          PermissionError(errno.EACCES, "Permission denied"), ValueError("a value"), OverflowError("too large"),
          MemoryError(), UnicodeError("no text"), RuntimeError("a fault of ours"), TypeError("another one")]
armed, countdown, fault = False, 0, None

def arm(function):
    def armed_too(self):
        global armed
        function(self)
        armed = True
    return armed_too

procmail.Session.decide = arm(procmail.Session.decide)
whole = maildrop.Session.done
def done(self):
    global armed
    whole(self)
    armed = armed or self.delivered
maildrop.Session.done = done

def failing(function):
    def call(*arguments, **named):
        global countdown, armed
        if armed:
            countdown -= 1
            if countdown == 0:
                armed = False
                os.write(3, b"x")
                raise fault
        return function(*arguments, **named)
    return call

for name in dir(Host):
    function = getattr(Host, name)
    if name.startswith("_") or not callable(function) or name in ("exit_now", "check_signals", "settle"):
        continue
    static = isinstance(Host.__dict__.get(name), staticmethod)
    setattr(Host, name, staticmethod(failing(function)) if static else failing(function))

wrong = []
total = 0
for fault in FAULTS:
    number = 0
    while True:
        number += 1
        for path in (folder + "/box", folder + "/second/x"):
            if os.path.exists(path):
                os.truncate(path, 0)
        for path in os.listdir(folder + "/md/new"):
            os.unlink(folder + "/md/new/" + path)
        for path in ("global.lock", "box.lock", "lock", "l"):
            if os.path.exists(folder + "/" + path):
                os.unlink(folder + "/" + path)
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            os.dup2(writer, 3)
            mail = os.memfd_create("mail")
            os.write(mail, open(folder + "/mail", "rb").read())
            os.lseek(mail, 0, 0)
            os.dup2(mail, 0)
            err = os.open(folder + "/err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(err, 2)
            countdown = number
            os._exit(main.run(argv))
        os.close(writer)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        failed = os.read(reader, 10)
        os.close(reader)
        copies = open(folder + "/box", "rb").read().count(b"Subject: one") if os.path.exists(folder + "/box") else 0
        copies += len(os.listdir(folder + "/md/new"))
        said = open(folder + "/err", "rb").read()
        for log in ("log",):
            if os.path.exists(folder + "/" + log):
                said += open(folder + "/" + log, "rb").read()
                os.unlink(folder + "/" + log)
        if status or copies != 1 or (isinstance(fault, OSError) and b"Traceback" in said):
            wrong.append(f"{fault!r}, call {number}: status {status}, {copies} copies, {said[-600:]!r}")
        if not failed:
            break
        total += 1
print(total)
print("\n".join(wrong))
"""

PROCMAIL = """\
PATH=/usr/bin:/bin
SHELL=/bin/sh
VERBOSE=on
LOGABSTRACT=all
COMSAT=9@127.0.0.1
LOCKFILE={folder}/global.lock
TRAP="cat > /dev/null; echo trapped"
"""
SETS = {
    "mbox": PROCMAIL + ":0:\n{folder}/box\n",
    "mbox with a log": PROCMAIL + "LOGFILE={folder}/log\n:0:\n{folder}/box\n",
    "maildir and links": PROCMAIL + ":0\n{folder}/md/ {folder}/second/\n",
    "default": PROCMAIL + "DEFAULT={folder}/box\n",
    "clone": ":0 c\n{{ :0\n/dev/null\n}}\n:0:\n{folder}/box\n",
    "program": PROCMAIL + ":0 w:{folder}/lock\n| cat >> {folder}/box\n",
}
FILTERS = {
    "mbox": 'logfile "{folder}/log"\nVERBOSE=5\nto "{folder}/box"\n',
    "maildir with a quota": 'MAILDIRQUOTA="1000000S,100C"\nto "{folder}/md"\n',
    "in a lock": 'dotlock "{folder}/l" {{\nto "{folder}/box"\n}}\n',
    "program": 'logfile "{folder}/log"\nto "|cat >> {folder}/box"\n',
}


def sweep(folder: Path, *argv: str) -> None:
    """Run the script; fail if a call that failed after the store turned the outcome."""
    (folder / "mail").write_bytes(MAIL)
    for part in ("md/new", "md/cur", "md/tmp"):
        (folder / part).mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-I", "-c", SCRIPT, folder, *argv], text=True, capture_output=True, check=True, timeout=500
    )
    count, _, wrong = done.stdout.partition("\n")
    assert int(count) > 0, "calls that failed after the store"
    assert wrong.strip() == ""


def sweep_procmail(folder: Path, name: str) -> None:
    (folder / "rc").write_text(SETS[name].format(folder=folder))
    sweep(folder, "procmail", "-m", f"{folder}/rc")


def sweep_maildrop(folder: Path, name: str) -> None:
    (folder / "rc").write_text(FILTERS[name].format(folder=folder))
    (folder / "rc").chmod(0o600)
    sweep(folder, "/bin/maildrop", f"{folder}/rc")


def test_procmail(tmp_path: Path) -> None:
    sweep_procmail(tmp_path, "mbox")


def test_maildrop(tmp_path: Path) -> None:
    sweep_maildrop(tmp_path, "mbox")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SETS.keys() - {"mbox"}))
def test_other_rcfiles(tmp_path: Path, name: str) -> None:
    sweep_procmail(tmp_path, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FILTERS.keys() - {"mbox"}))
def test_other_filter_files(tmp_path: Path, name: str) -> None:
    sweep_maildrop(tmp_path, name)
