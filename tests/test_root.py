"""Running as root with -d: who opens what, what may be imported, what is believed.

The recipient is a throw-away user, see differential/root.py, where random runs are compared with the reference.
"""

import ast
import os
import random
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGQUIT, SIGTERM, Signals

import installation
import pytest
from conftest import ROOT
from differential import root
from differential.root import Account
from differential.root_scenes import USER, Entry, Scene, generate
from differential.signals import READING, Signal

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can deliver for another user")

MAIL = b"From a@b Thu Jan  1 00:00:00 2026\nSubject: one\n\nbody\n\n"

# Whatever a delivery may import when it first needs it, a later import being a failure.
EVERYTHING = r"""VERBOSE=yes
INCLUDERC=$HOME/included
COMSAT=biff@127.0.0.1
LOCKFILE=$HOME/lock
:0 fhw
| cat
:0
* ^Subject:.*\/[a-z]+
* 1^0.5 B ?? .
* 9876543210^0 ^Subject
* ! ? exit 1;
* $ ! ^X-$\MATCH
* > 1
{
    :0 cw
    { :0 c
      copy/ }
    :0 c:
    other
    :0 w
    | no-such-program-at-all
    TRAP="echo $MATCH; exit 0;"
}
:0
* ^Subject: ((((
/dev/null
SWITCHRC=$HOME/switched
"""


@pytest.fixture
def recipient() -> Iterator[Account]:
    """The throw-away user; nobody else has it meanwhile."""
    with root.account() as found:
        yield found


def rcfile(text: str, uid: int, mode: int = 0o644) -> Entry:
    """A ~/.procmailrc of the user."""
    return Entry(text.encode(), mode, uid)


# -- the reference ---------------------------------------------------------------------------


def differing(found: Account, seeds: range, launchers: Path) -> str:
    """The scenes in which ours does something else."""
    return "\n".join(filter(None, (root.difference(found, seed, launchers) for seed in seeds)))


@pytest.mark.usefixtures("reference")
def test_a_few_scenes(recipient: Account, launchers: Path) -> None:
    assert differing(recipient, range(10), launchers) == ""


@pytest.mark.slow
@pytest.mark.usefixtures("reference")
def test_many_scenes(recipient: Account, launchers: Path) -> None:
    assert differing(recipient, range(1000, 1120), launchers) == ""


@pytest.mark.torture
@pytest.mark.usefixtures("reference")
def test_very_many_scenes(recipient: Account, launchers: Path) -> None:
    assert differing(recipient, range(1120, 2000), launchers) == ""


def test_scenes_are_the_same_each_time() -> None:
    assert generate(random.Random("root 1"), 1) == generate(random.Random("root 1"), 1)


# -- giving up root --------------------------------------------------------------------------


def test_nothing_of_root_is_left(recipient: Account, launchers: Path) -> None:
    """Neither as an effective nor as a saved identity, nor as a group."""
    text = "ID=`grep -E '^(Uid|Gid|Groups|CapEff|CapPrm)' /proc/self/status; true`\nLOG=$ID\n:0\nbox\n"
    done = recipient.run(Scene(("-d", USER), MAIL, rcfile=rcfile(text, recipient.uid)), launchers / "procmail")
    seen = dict(line.split(":", 1) for line in done.log.decode().splitlines())
    assert seen["Uid"].split() == [str(recipient.uid)] * 4
    assert seen["Gid"].split() == [str(recipient.gid)] * 4
    assert seen["Groups"].split() == [str(recipient.gid)]
    assert {int(seen[name], 16) for name in ("CapEff", "CapPrm")} == {0}


def test_nothing_of_root_is_left_to_maildrop(recipient: Account, launchers: Path) -> None:
    """What a filter file starts is the recipient, with the recipient's groups; so is what it stores."""
    recipient.home.mkdir(exist_ok=True)
    os.chown(recipient.home, recipient.uid, -1)
    text = "`grep -E '^(Uid|Gid|Groups|CapEff|CapPrm)' /proc/self/status > seen`\nto \"box\"\n"
    (recipient.home / ".mailfilter").write_text(text)
    os.chown(recipient.home / ".mailfilter", recipient.uid, -1)
    (recipient.home / ".mailfilter").chmod(0o600)
    command: list[str | Path] = [launchers / "maildrop", "-d", USER]
    done = subprocess.run(command, input=MAIL, capture_output=True, check=False, timeout=60, extra_groups=[0, 4, 27])
    assert (done.returncode, done.stderr) == (0, b"")
    seen = dict(line.split(":", 1) for line in (recipient.home / "seen").read_text().splitlines())
    assert seen["Uid"].split() == [str(recipient.uid)] * 4
    assert seen["Gid"].split() == [str(recipient.gid)] * 4
    assert seen["Groups"].split() == [str(recipient.gid)]
    assert {int(seen[name], 16) for name in ("CapEff", "CapPrm")} == {0}
    assert (recipient.home / "box").stat().st_uid == recipient.uid


@pytest.mark.parametrize("wrong", ["foreign file", "writable file", "foreign home", "writable home"])
def test_maildrop_believes_no_file_or_home_of_others(recipient: Account, launchers: Path, wrong: str) -> None:
    recipient.home.mkdir(exist_ok=True)
    rules = recipient.home / ".mailfilter"
    box = recipient.home.parent / "open" / "box"
    box.parent.mkdir()
    box.parent.chmod(0o777)
    rules.write_text(f'to "{box}"\n')
    rules.chmod(0o602 if wrong == "writable file" else 0o604)
    os.chown(rules, 54321 if wrong == "foreign file" else recipient.uid, -1)
    recipient.home.chmod(0o777 if wrong == "writable home" else 0o755)
    os.chown(recipient.home, 54321 if wrong == "foreign home" else recipient.uid, -1)
    command: list[str | Path] = [launchers / "maildrop", "-d", USER]
    done = subprocess.run(command, input=MAIL, capture_output=True, check=False, timeout=60)
    assert done.returncode == 75
    assert not box.exists()


def test_all_that_is_needed_was_imported_before(recipient: Account, launchers: Path) -> None:
    """An rcfile that uses everything is run to its end."""
    recipient.run(Scene(("-d", USER), MAIL), launchers / "procmail")
    scene = Scene(("-d", USER), MAIL, rcfile=rcfile(EVERYTHING, recipient.uid), global_rcfile="DROPPRIVS=yes\n")
    done = recipient.run(scene, launchers / "procmail")
    assert b"import" not in done.log
    assert b"Traceback" not in done.log
    assert done.status == 0, done.log
    assert b"Subject: one" in done.tree[str(recipient.home / "other")][1]


def run_script(script: str, recipient: Account, scene: Scene) -> root.Outcome:
    """Run a Python program, as the launchers do, in the scene."""
    program = recipient.home.parent / "program"
    program.write_text(f"#!{installation.interpreter()} -I\n{script}")
    program.chmod(0o755)
    return recipient.run(scene, program)


def test_a_late_import_keeps_the_mail_with_the_caller(recipient: Account) -> None:
    script = (
        "from pyprocmail.commands import main, privileges\n"
        "privileges.load = lambda: None\n"
        "main.main()\n"
    )  # fmt: skip
    scene = Scene(("-d", USER), MAIL, rcfile=rcfile("PATH=/none\n:0 fhw\n| formail -I X:\n:0\nbox\n", recipient.uid))
    done = run_script(script, recipient, scene)
    assert done.status == 75
    assert b'procmail: No longer root, refusing to import "' in done.log
    assert done.tree[str(recipient.home / "box")][1] == b"seed\n\n"


APART = ("pyprocmail.message.decoded.Decoded",)
"""What another process does where it cannot be imported: it is much, and few rcfiles need it."""


@pytest.mark.parametrize(
    ("command", "load", "parts"),
    [
        ("procmail", "load", ("engine", "procmail", "delivery", "message", "host")),
        ("maildrop", "load_for_maildrop", ("engine", "maildrop", "delivery", "message", "matching", "host")),
    ],
)
def test_every_import_that_waits_is_made_before(command: str, load: str, parts: tuple[str, ...]) -> None:
    """What the modules of a delivery import inside functions is loaded before the identity is given up."""
    script = (
        f"import sys\nfrom pyprocmail.commands import main, privileges, {command}\n"
        f"privileges.{load}()\nprint(*sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-I", "-c", script], text=True, capture_output=True, check=True)
    loaded = set(run.stdout.split())
    waiting = set()
    for name in loaded:
        path = ROOT / (name.replace(".", "/") + ".py")
        if name.startswith(tuple(f"pyprocmail.{part}" for part in parts)) and path.exists():
            waiting |= {(name, module) for module in imports_inside(path)}
    assert waiting, "the test finds such imports"
    waiting = {(name, module) for name, module in waiting if module not in APART}
    missing = {(name, module) for name, module in waiting if module not in loaded}
    assert {(name, module) for name, module in missing if not is_in_a_module(module, loaded)} == set()


def is_in_a_module(name: str, loaded: set[str]) -> bool:
    """Whether it names something in a module that is loaded, and no module."""
    module = name.rpartition(".")[0]
    return module in loaded and not (ROOT / module.replace(".", "/")).is_dir()


FILTER_FILE = """\
VERBOSE=0
if (/^Subject:.*(?<!x)one/)
{
  dotlock "a.lock" {
    xfilter "cat"
  }
}
if ($MIME_TEXT =~ /^Б/:D)
  to "not decoded"
if (!($MIME_TEXT =~ /^\u0410|^\u0430/))
  to "not decoded"
X=gdbmopen("db", "N")
Y=lookup("a", "list")
if (/^Subject: =.*x/:h || /body/:b)
{
  FLAGS="S"
  MAILDIRQUOTA="100000S"
  to "Maildir"
}
to "box"
"""


def test_maildrop_imports_nothing_as_the_recipient(recipient: Account, launchers: Path) -> None:
    """A filter file that uses everything is run to its end, compiled by another process or from the cache."""
    mail = MAIL.replace(b"\n\n", b"\nMIME-Version: 1.0\nContent-Type: text/plain; charset=koi8-r\n\n\xc1", 1)
    for folder in (".", "Maildir", "Maildir/new", "Maildir/cur", "Maildir/tmp"):
        (recipient.home / folder).mkdir()
        os.chown(recipient.home / folder, recipient.uid, -1)
    for name, text in ((".mailfilter", FILTER_FILE), ("list", "a\n")):
        (recipient.home / name).write_text(text)
        os.chown(recipient.home / name, recipient.uid, -1)
        (recipient.home / name).chmod(0o600)
    for count in (1, 2):
        done = subprocess.run([launchers / "maildrop", "-d", USER], input=mail, capture_output=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        stored = list((recipient.home / "Maildir" / "cur").iterdir())
        assert len(stored) == count
        assert all(path.stat().st_uid == recipient.uid for path in stored)


DECODING = """\
PATH=/usr/bin:/bin
:0
* MIME_HEADER ?? ^Subject: \\/grüße
* MIME_TEXT ?? ^über <b>
* 1^1 MIME_TEXT ?? http://x
{ LOG="<$MATCH>" }
:0 fw
| pyprocmail mime strip
:0
* MIME_TEXT ?? An attachment was removed
box
"""
HTML = """\
From a@b Thu Jan  1 00:00:00 2026
Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html; charset=koi8-r

<p>uber &lt;b&gt;<a href=http://x>
--b
Content-Type: application/x; name=a

x
--b--
"""


def test_decoded_areas_as_the_recipient(recipient: Account, launchers: Path) -> None:
    """Another process decodes, which is the recipient; so do commands of `pyprocmail mime`."""
    mail = HTML.replace("uber", "&uuml;ber").encode()
    scene = Scene(("-d", USER), mail, rcfile=rcfile(DECODING, recipient.uid))
    done = recipient.run(scene, launchers / "procmail")
    assert done.status == 0, done.log
    assert "<Grüße>".encode() in done.log
    assert b"An attachment was removed" in done.tree[str(recipient.home / "box")][1]


OWN_TOOLS = """\
PATH=/none
:0 Wc
| pyprocmail vacation --text $HOME/.procmailrc --address me@x.org --cache vacation -- /bin/cat

:0 Wc
| pyprocmail vacation --text $HOME/.procmailrc --address me@x.org --cache vacation -- /bin/false

:0
* ! ? pyprocmail duplicate --cache duplicates
* ? pyprocmail duplicate --exact --cache duplicates
box
"""


def test_our_tools_as_the_recipient(recipient: Account, launchers: Path) -> None:
    """vacation and duplicate are processes of their own then, which PATH need not find, and the recipient's."""
    mail = MAIL.replace(b"Subject: one", b"Subject: =?utf-8?q?=C3=BC?=\nTo: me@x.org\nMessage-ID: <1@x>")
    done = recipient.run(Scene(("-d", USER), mail, rcfile=rcfile(OWN_TOOLS, recipient.uid)), launchers / "procmail")
    assert done.status == 0, done.log
    assert b"import" not in done.log
    assert b"ended with" not in done.log, "the second one answers nobody"
    assert b"Message-ID: <1@x>" in done.tree[str(recipient.home / "box")][1]
    for name in ("vacation", "duplicates"):
        assert done.tree[str(recipient.home / name)][1].count(b"\n") == 1, done.log


def imports_inside(path: Path) -> Iterator[str]:
    """The modules that functions of a module import."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    yield from (name.name for name in node.names)
                elif isinstance(node, ast.ImportFrom):
                    yield from (f"{node.module}.{name.name}" for name in node.names if node.module)


def test_root_never_loads_the_parser(recipient: Account) -> None:
    script = (
        "import os, sys\nfrom pyprocmail.commands import main\n"
        "try:\n    main.main()\nexcept SystemExit as end:\n    os._exit(42 if 'lark' in sys.modules else end.code)\n"
    )
    scene = Scene(("-d", USER), MAIL, rcfile=rcfile(":0\nbox\n", recipient.uid))
    assert run_script(script, recipient, scene).status == 0


@pytest.mark.parametrize("answer", [
    "pass",
    "raise SystemExit(1)",
    "os.kill(os.getpid(), 9)",
    "os.write(1, b'0123456789')",
    "os.write(1, cache.pack((b'an instruction', compile('', '', 'exec'))))",
    "os.write(1, cache.pack(())[:-1])",
    "os.truncate(1, cache.LIMIT_BYTES + 1)",
    "os.truncate(1, 10)",
])  # fmt: skip
def test_what_compiles_is_not_believed_everything(recipient: Account, answer: str) -> None:
    """It runs as the recipient, who may make it answer anything, or nothing."""
    compiler = recipient.home.parent / "compiler"
    lines = (f"#!{installation.interpreter()} -I", "import os", "from pyprocmail.engine import cache", answer)
    compiler.write_text("\n".join(lines) + "\n")
    compiler.chmod(0o755)
    script = f"import sys\nsys.executable = '{compiler}'\nfrom pyprocmail.commands import main\nmain.main()\n"
    scene = Scene(("-d", USER), MAIL, rcfile=rcfile(":0\nbox\n", recipient.uid))
    done = run_script(script, recipient, scene)
    assert (done.status, b"procmail: Couldn't compile \"" in done.log) == (75, True), done.log
    assert done.tree[str(recipient.home / "box")][1] == b"seed\n\n"


@pytest.mark.parametrize("statement", ["import wave", "import encodings.idna", "b'x'.decode('cp037')"])
def test_nothing_can_be_imported_by_whoever_was_root(recipient: Account, statement: str) -> None:
    script = (
        "from pyprocmail.commands import privileges\nfrom pyprocmail.exits import LateImportError\n"
        "from pyprocmail.host import Host\n"
        f"host = Host()\nprivileges.drop(host, host.user_by_name(b'{USER}'))\n"
        f"try:\n    {statement}\nexcept LateImportError:\n    raise SystemExit(42)\n"
    )
    assert run_script(script, recipient, Scene((), b"")).status == 42


# -- signals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", [
    ":0 w\n| cat; @KILL@",
    ":0\n* ? cat >/dev/null; @KILL@\nbox",
    "A=`cat; @KILL@`",
    ":0 fw\n| cat; @KILL@",
    ":0 cw\n{\n:0 w\n| cat; @KILL@\n}",
])  # fmt: skip
def test_what_is_waited_for_ends_with_the_session(recipient: Account, launchers: Path, recipe: str) -> None:
    """Whoever gets 75 delivers again: nothing may work on for the mail, nor be waited for."""
    kill = "trap 'echo ended >>$HOME/told; exit' TERM; kill -TERM $PID; while :; do sleep 0.01; done"
    text = "PID=$$\n" + recipe.replace("@KILL@", kill) + "\n:0\nother\n"
    done = recipient.run(Scene(("-d", USER), MAIL, rcfile=rcfile(text, recipient.uid)), launchers / "procmail")
    assert done.status == 75
    assert b"procmail: Terminating prematurely\n" in done.log
    assert done.tree[str(recipient.home / "told")][1] == b"ended\n"
    assert done.tree[str(recipient.home / "other")][1] == b"seed\n\n"


def test_no_signal_undoes_a_delivery(recipient: Account, launchers: Path) -> None:
    """TRAP runs after it: 75 would have the mail delivered twice."""
    text = "PID=$$\nTRAP='cat >/dev/null; kill -TERM $PID'\n:0\nbox\n"
    done = recipient.run(Scene(("-d", USER), MAIL, rcfile=rcfile(text, recipient.uid)), launchers / "procmail")
    assert done.status == 0
    assert done.tree[str(recipient.home / "box")][1].count(b"Subject: one") == 1


@pytest.mark.parametrize("number", [SIGHUP, SIGINT, SIGQUIT, SIGTERM])
def test_a_signal_while_the_mail_is_read(recipient: Account, launchers: Path, number: Signals) -> None:
    scene = Scene(("-d", USER), MAIL, rcfile=rcfile(":0\nbox\n", recipient.uid), signal=Signal(READING, number))
    done = recipient.run(scene, launchers / "procmail")
    assert (done.status, done.log) == (75, b"procmail: Terminating prematurely\n")
    assert done.tree[str(recipient.home / "box")][1] == b"seed\n\n"


# -- what is believed ------------------------------------------------------------------------


@pytest.mark.parametrize(("uid", "mode"), [(None, 0o646), (54321, 0o644)])
def test_an_rcfile_that_others_can_write_is_not_run(
    recipient: Account, launchers: Path, uid: int | None, mode: int
) -> None:
    """Nor is one of somebody else: the mail goes to the mailbox."""
    rules = rcfile(":0\nbox\n", recipient.uid if uid is None else uid, mode)
    scene = Scene(("-d", USER), MAIL, rcfile=rules, mailbox=Entry(b"", 0o600, recipient.uid))
    done = recipient.run(scene, launchers / "procmail")
    assert b"Suspicious rcfile" in done.log
    assert done.tree[f"/var/mail/{USER}"][1].count(b"Subject: one") == 1


def test_root_reads_no_rcfile_for_the_recipient(recipient: Account, launchers: Path) -> None:
    """One that only root can read is none; the reference reads it as root."""
    scene = Scene(("-d", USER), MAIL, rcfile=rcfile(":0\nbox\n", 0, 0o600), mailbox=Entry(b"", 0o600, recipient.uid))
    done = recipient.run(scene, launchers / "procmail")
    assert done.status == 0
    assert done.tree[f"/var/mail/{USER}"][1].count(b"Subject: one") == 1


def test_nothing_of_the_caller_goes_further(recipient: Account, launchers: Path) -> None:
    hostile = {"LD_LIBRARY_PATH": "/tmp", "PYTHONPATH": "/tmp", "PYPROCMAIL_STRICT": "yes", "TZ": "/etc/shadow"}
    text = "LOG=`env;`\n:0 i\n/dev/full\nDEFAULT=/dev/full\nORGMAIL=/dev/full\n"
    scene = Scene(("-d", USER), MAIL, rcfile=rcfile(text, recipient.uid), environment=hostile)
    done = recipient.run(scene, launchers / "procmail")
    for name in hostile:
        assert name.encode() + b"=" not in done.log
    assert done.status == 75, "PYPROCMAIL_STRICT would make it 73"


def test_a_zone_that_is_one_is_kept(recipient: Account, launchers: Path) -> None:
    scene = Scene(("-d", USER), MAIL, rcfile=rcfile("LOG=$TZ\n:0\nbox\n", recipient.uid))
    for zone in ("Europe/Vienna", ":/etc/localtime", "CET-1CEST,M3.5.0,M10.5.0/3"):
        given = Scene(scene.argv, MAIL, rcfile=scene.rcfile, environment={"TZ": zone})
        assert recipient.run(given, launchers / "procmail").log == zone.encode()


def test_another_name_means_d(recipient: Account, launchers: Path) -> None:
    deliver = launchers / "deliver"
    deliver.symlink_to("procmail")
    try:
        done = recipient.run(Scene((USER,), MAIL, rcfile=rcfile(":0\nbox\n", recipient.uid)), deliver)
    finally:
        deliver.unlink()
    assert done.tree[str(recipient.home / "box")][1].endswith(b"Subject: one\n\nbody\n\n")


def test_the_folder_dev_stdout_is_nobodys(recipient: Account, launchers: Path) -> None:
    """Programs and folders see /dev/null there; only a mail that is to go to standard output does."""
    for action, seen in (("/dev/stdout", b""), ("| cat >/dev/stdout", b""), ("|", MAIL)):
        scene = Scene(("-d", USER), MAIL, rcfile=rcfile(f":0 w\n{action}\n", recipient.uid))
        log = recipient.run(scene, launchers / "procmail").log
        assert log.replace(b"@DATE@", b"Thu Jan  1 00:00:00 2026") == seen, action


def test_a_new_mailbox_is_the_recipients_alone(recipient: Account, launchers: Path) -> None:
    """The group of the spool may use it where it may use the spool."""
    recipient.run(Scene(("-d", USER), MAIL), launchers / "procmail")
    done = recipient.run(Scene(("-d", USER), MAIL), launchers / "procmail")
    kind = done.tree[f"/var/mail/{USER}"][0]
    shared = Path("/var/mail").stat().st_mode & stat.S_IWGRP
    assert kind == f"-rw-{'rw-' if shared else '---'}--- {recipient.uid}"


# -- a spool that only the group mail may write to ------------------------------------------------


@pytest.mark.parametrize("program", ["procmail", "maildrop"])
def test_the_spool_lock_is_made_by_dotlockfile(recipient: Account, launchers: Path, program: str) -> None:
    """A reader that holds the dotlock is waited for, and while we deliver the dotlock is ours."""
    if not os.path.exists("/usr/bin/dotlockfile"):
        pytest.skip("dotlockfile is not installed (apt-get install liblockfile-bin)")
    if Path("/var/mail").stat().st_mode & stat.S_IWOTH:
        pytest.skip("everybody may write to /var/mail here")
    mailbox, lock = Path("/var/mail", USER), Path("/var/mail", f"{USER}.lock")
    recipient.home.mkdir(exist_ok=True)
    os.chown(recipient.home, recipient.uid, -1)
    rules = {"procmail": ".procmailrc", "maildrop": ".mailfilter"}
    (recipient.home / rules[program]).write_text("LOCKSLEEP=1\n")
    os.chown(recipient.home / rules[program], recipient.uid, -1)
    (recipient.home / rules[program]).chmod(0o600)
    try:
        mailbox.touch()
        os.chown(mailbox, recipient.uid, -1)
        mailbox.chmod(0o600)
        lock.write_text(f"{os.getpid()}\n")
        delivery = subprocess.Popen([launchers / program, "-d", USER], stdin=subprocess.PIPE)
        assert delivery.stdin
        delivery.stdin.write(MAIL)
        delivery.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            delivery.wait(2.5)
        assert mailbox.read_bytes() == b""
        lock.unlink()
        assert delivery.wait(30) == 0
        assert b"Subject: one" in mailbox.read_bytes()
        assert not lock.exists()
    finally:
        mailbox.unlink(missing_ok=True)
        lock.unlink(missing_ok=True)
