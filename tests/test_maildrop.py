"""maildrop and the programs that come with it, as processes: what the recorded cases cannot show."""

import email
import email.policy
import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import installation
import pytest
from conftest import ROOT
from test_startup import FORBIDDEN

from pyprocmail.delivery import gdbm

MAIL = (
    b"From: Joe <joe@example.com>\nTo: me@example.org\nSubject: invoice 17\nMessage-Id: <1@example.com>\n\n"
    b"From here\ntext\n"
)
EXAMPLES = ROOT / "examples" / "mailfilter"


@dataclass(frozen=True)
class Ran:
    """What a program did."""

    status: int
    stdout: str
    stderr: str


def run(
    launchers: Path,
    folder: Path,
    text: str,
    *arguments: str,
    mail: bytes = MAIL,
    name: str = "maildrop",
    mode: int = 0o600,
) -> Ran:
    """Run a filter file on a mail in `folder`."""
    (folder / "rc").write_text(text)
    (folder / "rc").chmod(mode)
    return program(launchers, folder, name, *arguments, "rc", mail=mail)


def program(launchers: Path, folder: Path, name: str, *arguments: str, mail: bytes = MAIL) -> Ran:
    """Run one of the programs in `folder`."""
    environment = {"PATH": f"{launchers}:/usr/bin:/bin", "HOME": str(folder), "TZ": "UTC", "LC_ALL": "C"}
    ran = subprocess.run(
        [launchers / name, *arguments],
        input=mail,
        cwd=folder,
        env=environment,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode().replace(str(launchers / name), name))


def maildir(folder: Path) -> Path:
    """A new maildir."""
    for part in ("tmp", "new", "cur"):
        (folder / "Maildir" / part).mkdir(parents=True)
    return folder / "Maildir"


# -- the filter file -----------------------------------------------------------------------


def test_a_broken_file_touches_no_mail(launchers: Path, tmp_path: Path) -> None:
    """75, the reference's line, and on demand the place; nothing before the fault is done."""
    ran = run(launchers, tmp_path, 'cc "box"\nif (1) {\n to "box"\n}\n', "maildrop", name="pyprocmail")
    assert ran.status == 75
    assert ran.stderr.splitlines() == [
        "rc(2): Syntax error after )",
        "rc:2:8: error[M101]: the block begins on the line of its condition",
        "    2 | if (1) {",
        "      |        ^ a line of its own",
        "   = maildropfilter(7)",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["rc"]


def test_a_file_that_others_may_write_is_refused(launchers: Path, tmp_path: Path) -> None:
    """Whoever may write it may run programs as its owner."""
    ran = run(launchers, tmp_path, 'to "box"\n', mode=0o602)
    assert ran == Ran(75, "", "maildrop: Invalid permissions on the filter file - world-writable.\n")
    assert not (tmp_path / "box").exists()


def test_embedded_mode_refuses_what_writes(launchers: Path, tmp_path: Path) -> None:
    """Each of the statements, before anything runs."""
    for statement in (
        'to "x"',
        'cc "x"',
        'xfilter "cat"',
        'system "true"',
        'log "x"',
        'logfile "x"',
        'flock "x" { ; }',
    ):
        ran = run(launchers, tmp_path, f'echo "early"\n{statement}\n', "-m")
        word = statement.split()[0]
        assert ran == Ran(75, "", f"maildrop: '{word}' disabled in embedded mode.\nrc(2): Syntax error.\n")


def test_embedded_mode_tells_by_echo_and_exit_code(launchers: Path, tmp_path: Path) -> None:
    """And delivers nothing by itself."""
    ran = run(launchers, tmp_path, 'if (/^Subject:.*invoice/)\n{\n EXITCODE=3\n echo "550 no invoices"\n}\n', "-m")
    assert ran == Ran(3, "550 no invoices\n", "")


def test_a_pattern_that_would_take_for_ever_is_no_match(launchers: Path, tmp_path: Path) -> None:
    """It is said, in the log as well, and filtering goes on."""
    text = 'logfile "log"\nif (/^X: (?=(a+))(a+)+\\2(?=!!)/)\n to "match"\nto "box"\n'
    mail = b"X: " + b"a" * 60 + b"!\n\nx\n"
    ran = run(launchers, tmp_path, text, mail=mail)
    assert ran.status == 0
    assert "Match limit exceeded" in ran.stderr
    assert "Match limit exceeded" in (tmp_path / "log").read_text()
    assert (tmp_path / "box").exists()
    assert not (tmp_path / "match").exists()


def test_addresses_are_no_commands(launchers: Path, tmp_path: Path) -> None:
    """What a header says is an argument of sendmail; a shell would have run it with the reference."""
    (tmp_path / "sm").write_text('#!/bin/sh\nfor a in "$@"; do echo "<$a>"; done\ncat >/dev/null\n')
    (tmp_path / "sm").chmod(0o755)
    text = 'SHELL="/bin/sh"\nSENDMAIL="./sm"\n/^Subject: (.*)/\nto "!$MATCH1"\n'
    ran = run(launchers, tmp_path, text, mail=b"Subject: a@b;touch${IFS}gone\n\nx\n")
    assert ran.stdout == "<-f>\n<>\n<a@b;touch${IFS}gone>\n"
    assert not (tmp_path / "gone").exists()


def test_deep_nesting_is_a_temporary_failure(launchers: Path, tmp_path: Path) -> None:
    """Not a crash with another status."""
    ran = run(launchers, tmp_path, "A=" + "(" * 60000 + "1" + ")" * 60000 + "\nB=" + "!" * 60000 + "1\n")
    assert ran.status == 75


# -- delivery ------------------------------------------------------------------------------


def test_a_lock_that_nobody_touches_is_taken_over(launchers: Path, tmp_path: Path) -> None:
    """LOCKTIMEOUT and LOCKSLEEP."""
    lock = tmp_path / "box.lock"
    lock.write_text("99999999\n")
    began = time.monotonic()
    ran = run(launchers, tmp_path, "LOCKTIMEOUT=0\nLOCKSLEEP=1\n" + 'to "box"\n')
    assert ran.status == 0
    assert time.monotonic() - began >= 1
    assert not lock.exists()
    assert (tmp_path / "box").read_bytes().count(b"\n>From here\n") == 1


def test_a_lock_is_kept_fresh(launchers: Path, tmp_path: Path) -> None:
    """LOCKREFRESH: whoever waits for the lock of a block whose program takes long does not take it over."""
    text = 'LOCKREFRESH=1\ndotlock "l" {\n system "./changed"\n}\nto "box"\n'
    script = '#!/bin/sh\nwas=`stat -c %z l`\nuntil test "`stat -c %z l`" != "$was"; do sleep 0.1; done\n'
    (tmp_path / "changed").write_text(script)
    (tmp_path / "changed").chmod(0o755)
    assert run(launchers, tmp_path, text) == Ran(0, "", "")
    assert not (tmp_path / "l").exists()


def test_many_writers_lose_nothing(launchers: Path, tmp_path: Path) -> None:
    """One mbox, eight at a time."""
    (tmp_path / "rc").write_text("LOCKSLEEP=1\n" + 'to "box"\n')
    (tmp_path / "rc").chmod(0o600)
    running = []
    for number in range(8):
        child = subprocess.Popen([launchers / "maildrop", "rc"], stdin=subprocess.PIPE, cwd=tmp_path)
        assert child.stdin
        child.stdin.write(b"Subject: %d\n\n" % number + b"x" * 20000 + b"\n")
        child.stdin.close()
        running.append(child)
    assert [child.wait(timeout=60) for child in running] == [0] * 8
    entries = (tmp_path / "box").read_bytes().split(b"\n\nFrom ")
    assert len(entries) == 8
    assert {entry.split(b"\n")[1] for entry in entries} == {b"Subject: %d" % number for number in range(8)}


def test_quota_of_a_maildir(launchers: Path, tmp_path: Path) -> None:
    """Counted in maildirsize; over it the mail stays with the mail server; a warning once a day."""
    box = maildir(tmp_path)
    (tmp_path / "full").write_text("Subject: nearly full\n\nremove something\n")
    text = f'MAILDIRQUOTA="{3 * len(MAIL)}S,9C"\nto "Maildir"\n'
    statuses = [run(launchers, tmp_path, text, "-w", "60", "-W", "full").status for _ in range(4)]
    assert statuses[0] == 0
    assert statuses[-1] == 75
    texts = [path.read_bytes() for path in (box / "new").iterdir()]
    assert texts.count(MAIL) == statuses.count(0)
    (warning,) = (path for path in (box / "new").iterdir() if b"nearly full" in path.read_bytes())
    assert re.match(rb"Date: .*\nMessage-Id: <\d+\.overquota@.*>\nSubject: nearly full\n\n", warning.read_bytes())
    assert warning.stat().st_mode & 0o777 == 0o640
    assert (box / "maildirsize").read_text().splitlines()[0] == f"{3 * len(MAIL)}S,9C"


def test_flags_and_keywords(launchers: Path, tmp_path: Path) -> None:
    """In cur, with Courier's file of keywords."""
    box = maildir(tmp_path)
    assert run(launchers, tmp_path, 'FLAGS="SF"\nKEYWORDS="work,bill"\nto "Maildir/"\n').status == 0
    (path,) = (box / "cur").iterdir()
    assert path.name.endswith(f",S={len(MAIL)}:2,FS")
    (keywords,) = (box / "courierimapkeywords").iterdir()
    assert keywords.read_text() == "work\nbill\n"


def test_root_becomes_the_user(launchers: Path, tmp_path: Path) -> None:
    """-d: home, filter and mailbox are the user's."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    assert program(launchers, tmp_path, "maildrop", "-d", "no-such-user").status == 67
    nobody = pwd.getpwnam("nobody")
    if Path(nobody.pw_dir).exists():
        pytest.skip("nobody has a home here")
    ran = program(launchers, tmp_path, "maildrop", "-d", "nobody")
    assert ran == Ran(75, "", "maildrop: Unable to change to home directory.\n")


# -- companions ----------------------------------------------------------------------------


def test_reformail_splits_for_maildrop(launchers: Path, tmp_path: Path) -> None:
    """`reformail -s maildrop rc`, as the manual shows it."""
    (tmp_path / "rc").write_text('to "|cat >>all; echo >>all"\n')
    (tmp_path / "rc").chmod(0o600)
    mailbox = (
        b"From a Thu Jan  1 00:00:00 2026\nSubject: 1\n\nx\n\nFrom b Thu Jan  1 00:00:00 2026\nSubject: 2\n\ny\n\n"
    )
    ran = program(launchers, tmp_path, "reformail", "-s", str(launchers / "maildrop"), "rc", mail=mailbox)
    assert ran.status == 0
    assert (tmp_path / "all").read_text().count("Subject: ") == 2


def test_lockmail_waits_for_nobody_who_is_gone(launchers: Path, tmp_path: Path) -> None:
    """A lock of a process that ended is removed."""
    (tmp_path / "box").touch()
    (tmp_path / "box.lock").write_text(f"99999999:{os.uname().nodename}\n")
    ran = program(launchers, tmp_path, "lockmail", "-t", "10", "box", "sh", "-c", "cat box.lock; exit 4")
    assert ran.status == 4
    assert ran.stdout.endswith(f":{os.uname().nodename}\n")
    assert not (tmp_path / "box.lock").exists()


def test_mailbot_answers_once(launchers: Path, tmp_path: Path) -> None:
    """-d: the same sender gets no second answer."""
    (tmp_path / "text").write_text("I am away.\n")
    arguments = ("-t", "text", "-d", "seen", "-A", "From: me@example.org", "cat")
    first = program(launchers, tmp_path, "mailbot", *arguments)
    assert "To: Joe <joe@example.com>" in first.stdout.splitlines()
    assert program(launchers, tmp_path, "mailbot", *arguments) == Ran(0, "", "")
    # Another week, for maildrop's own programs too: the database is theirs.
    senders = gdbm.Database(bytes(tmp_path / "seen.gdbm"), gdbm.WRITE, 0)
    assert len(senders.get(b"joe@example.com") or b"") == 8
    senders[b"joe@example.com"] = bytes(8)
    senders.close()
    assert program(launchers, tmp_path, "mailbot", *arguments).stdout == first.stdout


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("-T", "replydsn", "-M", "me@example.org"), ["text/plain", "message/delivery-status", "text/rfc822-headers"]),
        (("-T", "feedback", "-R", "abuse"), ["text/plain", "message/feedback-report", "text/rfc822-headers"]),
        (("-T", "replyfeedback", "-a"), ["text/plain", "message/feedback-report", "message/rfc822"]),
    ],
)
def test_mailbot_reports(launchers: Path, tmp_path: Path, arguments: tuple[str, ...], parts: list[str]) -> None:
    """Delivery and feedback reports, as a mail program reads them."""
    (tmp_path / "text").write_text("Thank you.\n")
    ran = program(launchers, tmp_path, "mailbot", *arguments, "-t", "text", "--feedback-incidents", "3", "-n")
    report = email.message_from_string(ran.stdout, policy=email.policy.default)
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == parts[1].partition("/")[2]
    assert [part.get_content_type() for part in report.iter_parts()] == parts
    said = ran.stdout.splitlines()
    if "-M" in arguments:
        assert "Final-Recipient: rfc822; me@example.org" in said
        assert "To: Joe <joe@example.com>" in said
    else:
        assert {"Feedback-Type: " + ("abuse" if "-R" in arguments else "other"), "Incidents: 3"} <= {*said}
        assert "Subject: invoice 17" in said


def test_gdbm_functions(launchers: Path, tmp_path: Path) -> None:
    """Stored, found again, and what is not there has its default; a file that is none is -1."""
    text = (
        'echo gdbmopen("db","N")\necho gdbmstore("a","1")\necho gdbmstore("x.org","2")\ngdbmclose\n'
        'echo gdbmopen("db")\nA=gdbmfetch("a")\nB=gdbmfetch("u@m.x.org","D")\necho "$A$B"\n'
        'echo gdbmfetch("b","","none")\n'
        'echo gdbmstore("a","3")\ngdbmclose\necho gdbmopen("rc")\nexit\n'
    )
    assert run(launchers, tmp_path, text) == Ran(0, "0\n0\n0\n0\n12\nnone\n-1\n-1\n", "")


def test_reformime_extracts_without_leaving_the_folder(launchers: Path, tmp_path: Path) -> None:
    """The name of an attachment is a stranger's."""
    mail = (
        b"Mime-Version: 1.0\nContent-Type: multipart/mixed; boundary=z\n\n--z\n\ntext\n--z\n"
        b'Content-Type: text/plain; name="../../a b"\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n--z--\n'
    )
    (tmp_path / "out").mkdir()
    assert program(launchers, tmp_path / "out", "reformime", "-x", mail=mail).status == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {"a_b": b"hello"}
    assert program(launchers, tmp_path, "reformime", mail=mail).stdout == "1\n1.1\n1.2\n"
    assert program(launchers, tmp_path, "reformime", "-s", "1.2", "-e", mail=mail).stdout == "hello"


def test_reformime_gives_sections_to_programs(launchers: Path, tmp_path: Path) -> None:
    """-X, with what the section is; a status ends it."""
    mail = (
        b"Mime-Version: 1.0\nContent-Type: multipart/mixed; boundary=z\n\n--z\n\ntext\n--z\nContent-Type: image/gif\n"
        b"Content-Disposition: attachment; filename*=utf-8''%C3%A9.gif\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n"
        b"--z--\n"
    )
    script = 'echo "$CONTENT_TYPE $FILENAME"; cat; exit 3'
    ran = program(launchers, tmp_path, "reformime", "-s", "1.2,1.1", "-X", "sh", "-c", script, mail=mail)
    assert ran == Ran(23, "image/gif \u00e9.gif\nhello", "")
    info = program(launchers, tmp_path, "reformime", "-i", "-s", "1.2", mail=mail).stdout.splitlines()
    assert info[:2] == ["section: 1.2", "content-type: image/gif"]
    assert {"content-disposition: attachment", "content-disposition-filename: \u00e9.gif"} <= {*info}
    missing = program(launchers, tmp_path, "reformime", "-s", "1.1,1.9", "-e", mail=mail)
    assert missing == Ran(1, "text", "reformime: MIME section 1.9 not found.\n")


def test_reformime_reads_delivery_reports(launchers: Path, tmp_path: Path) -> None:
    """-d and -D, of what mailbot makes too."""
    mail = (
        b"Mime-Version: 1.0\nContent-Type: multipart/report; boundary=z\n\n--z\n\ntext\n--z\n"
        b"Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\nFinal-Recipient: rfc822; joe@x\n"
        b"Original-Recipient: RFC822;postmaster@x\nAction: Failed\n\nFinal-Recipient: x400; j\nAction: failed\n--z--\n"
    )
    assert program(launchers, tmp_path, "reformime", "-d", mail=mail) == Ran(0, "failed joe@x\n", "")
    assert program(launchers, tmp_path, "reformime", "-D", mail=mail) == Ran(0, "failed postmaster@x\n", "")
    assert program(launchers, tmp_path, "reformime", "-d").status == 1
    (tmp_path / "text").write_text("Thank you.\n")
    report = program(launchers, tmp_path, "mailbot", "-T", "replydsn", "-M", "me@x", "-t", "text", "-n").stdout.encode()
    assert program(launchers, tmp_path, "reformime", "-d", mail=report) == Ran(0, "delivered me@x\n", "")


# -- side by side --------------------------------------------------------------------------


def test_both_languages_do_the_same_job(launchers: Path, tmp_path: Path) -> None:
    """examples/mailfilter: one job as rcfile and as filter file, on the same mails, into the same folders."""
    mails = [
        b"From: boss@example.com\nSubject: budget\n\nx\n",
        b"From: a@example.com\nList-Id: Talk <talk.example.org>\nSubject: hi\n\nx\n",
        b"From: a@example.com\nX-Spam-Level: *******\nSubject: win\n\nx\n",
        b"From: a@example.com\nSubject: invoice 17\n\nx\n",
        b"From: a@example.com\nSubject: hello\n\nx\n",
    ]
    found = []
    for name, rules in (("procmail", "sorting.rc"), ("maildrop", "sorting.mailfilter")):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(EXAMPLES / rules, folder / rules)
        (folder / rules).chmod(0o600)
        for mail in mails:
            arguments = ("-m", rules) if name == "procmail" else (rules,)
            assert program(launchers, folder, name, *arguments, mail=mail) == Ran(0, "", "")
        boxes = {
            str(path.relative_to(folder)): path.read_bytes().count(b"\nSubject:")
            for path in folder.rglob("*")
            if path.is_file() and path.suffix not in (".rc", ".mailfilter", ".log")
        }
        found.append(boxes)
    assert (
        found[0] == found[1] == {"boss": 1, "talk.example.org": 1, "spam": 1, "invoices-17": 1, "copies": 5, "inbox": 1}
    )


def test_a_delivery_imports_only_what_it_needs(launchers: Path, tmp_path: Path) -> None:
    """A mail server starts one process a message: with the program cached, nothing that is slow to import."""
    rules = tmp_path / "rc"
    rules.write_text('if (/^Subject:.*invoice/ && length($MATCH) > 3)\n cc "box"\nto "|cat >/dev/null"\n')
    rules.chmod(0o600)
    python = str(installation.interpreter())
    command = [python, "-I", "-X", "importtime", str(launchers / "maildrop"), "rc"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    # The cache does not trust a file of this moment.
    os.utime(rules, (time.time() - 100,) * 2)
    time.sleep(2.1)
    _, ran = [
        subprocess.run(command, input=MAIL, cwd=tmp_path, env=environment, capture_output=True, check=True)
        for _ in range(2)
    ]
    loaded = set(re.findall(r"(?m)^import time:\s*\d+ \|\s*\d+ \|\s*(\S+)$", ran.stderr.decode()))
    assert "pyprocmail.maildrop.interpreter" in loaded
    bare = subprocess.run([python, "-I", "-X", "importtime", "-c", ""], capture_output=True, check=True)
    loaded -= set(re.findall(r"(?m)\|\s*(\S+)$", bare.stderr.decode()))
    assert loaded & FORBIDDEN == set()


# -- mailboxes -----------------------------------------------------------------------------

TWO = b"From a Thu Jan  1 00:00:00 2026\nSubject: one\n\nx\n\nFrom b Thu Jan  1 00:00:00 2026\nSubject: two\n\nFrom y\n"
MAILBOX_RULES = """\
logfile "log"
if (/^List-Id:.*<([a-z0-9.-]+)/)
   to "list-$MATCH1"
if (/^Subject:.*(spam|free|money)/)
   to "spam"
if (/^From:.*@([a-z]+)\\.com/)
   cc "from-$MATCH1"
if (/unsubscribe/:b)
   to "Maildir"
cc "number-$FILENO"
to "rest"
"""


def run_mailbox(
    command: list[str | Path], folder: Path, text: str, mailbox: bytes = TWO
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command on a mailbox in a file."""
    (folder / "rc").write_text(text)
    (folder / "rc").chmod(0o600)
    (folder / "mailbox").write_bytes(mailbox)
    with (folder / "mailbox").open("rb") as stdin:
        environment = {"PATH": "/usr/bin:/bin", "TZ": "UTC"}
        return subprocess.run(
            command, stdin=stdin, cwd=folder, env=environment, capture_output=True, check=False, timeout=60
        )


def test_a_mailbox_goes_where_reformail_and_maildrop_put_it(launchers: Path, tmp_path: Path) -> None:
    """Two hundred real messages, byte for byte; the log too."""
    reformail, theirs = (shutil.which(name, path="/usr/bin:/bin") for name in ("reformail", "maildrop"))
    if not reformail or not theirs:
        pytest.skip("the reference maildrop is not installed (apt-get install maildrop)")
    mailbox = (ROOT / "examples" / "inbox.mbox").read_bytes()
    found = []
    for name, command in (
        ("theirs", [reformail, "-s", theirs, "rc"]),
        ("ours", [launchers / "pyprocmail", "maildrop", "rc"]),
    ):
        folder = tmp_path / name
        maildir(folder)
        done = run_mailbox([*command], folder, MAILBOX_RULES, mailbox)
        assert done.returncode == 0, done.stderr
        found.append(sorted(_stored(folder)))
    assert found[0] == found[1]
    assert len(found[0]) > 100


def _stored(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The files of the folder without the time of delivery; the names in a maildir are never the same."""
    stamp = re.compile(rb"(?m)^(From .* |Date: )\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d 20[2-9]\d$")
    for path in folder.rglob("*"):
        if path.is_file():
            name = path.name if path.parent == folder else path.parent.name
            yield name, stamp.sub(rb"\1", path.read_bytes())


def test_each_message_begins_anew(launchers: Path, tmp_path: Path) -> None:
    """Variables, EXITCODE and the directory do not leak; the From_ line is an ordinary line, as with reformail -s."""
    text = 'if (/^Subject: one/)\n{\n SEEN="yes"\n EXITCODE=7\n to "|cat >/dev/null; exit 7"\n}\nto "box$SEEN"\n'
    done = run_mailbox([launchers / "pyprocmail", "maildrop", "rc"], tmp_path, text)
    assert (done.returncode, done.stdout) == (7, b"")
    assert done.stderr == b"pyprocmail: 2 messages, 1 of them with an exit status, the first 7\n"
    _, rest = (tmp_path / "box").read_bytes().split(b"\n", 1)
    assert rest == b">From b Thu Jan  1 00:00:00 2026\nSubject: two\n\n>From y\n\n"


@pytest.mark.parametrize(
    ("command", "count"),
    [
        (["pyprocmail", "maildrop", "rc"], 2),
        (["pyprocmail", "maildrop", "--sync-each", "rc"], 2),
        (["pyprocmail", "maildrop", "--single", "rc"], 1),
        (["maildrop", "rc"], 1),
    ],
)
def test_only_a_file_given_to_pyprocmail_is_a_mailbox(
    launchers: Path, tmp_path: Path, command: list[str], count: int
) -> None:
    """A mail server's maildrop takes one message, whatever it looks like."""
    done = run_mailbox([launchers / command[0], *command[1:]], tmp_path, 'to "box"\n')
    assert done.returncode == 0
    assert done.stderr == (b"pyprocmail: 2 messages\n" if count == 2 else b"")
    assert len(re.findall(rb"(?m)^From MAILER", (tmp_path / "box").read_bytes())) == count


def test_a_pipe_is_a_mailbox_when_told_so(launchers: Path, tmp_path: Path) -> None:
    """And one message without --mbox."""
    for options, count in (([], 1), (["--mbox"], 2)):
        ran = run(launchers, tmp_path, 'to "box"\n', "maildrop", *options, name="pyprocmail", mail=TWO)
        assert ran == Ran(0, "", "pyprocmail: 2 messages\n" if count == 2 else "")
        assert len(re.findall(rb"(?m)^From MAILER", (tmp_path / "box").read_bytes())) == count
        (tmp_path / "box").unlink()


def test_a_mailbox_is_not_touched_when_the_filter_file_is_broken(launchers: Path, tmp_path: Path) -> None:
    """The fault is told once."""
    done = run_mailbox([launchers / "pyprocmail", "maildrop", "rc"], tmp_path, 'cc "box"\nto to\n')
    assert done.returncode == 75
    lines = done.stderr.decode().splitlines()
    assert lines[0] == "rc(2): Syntax error."
    assert lines[-1] == "pyprocmail: the filter file cannot be used, so no mail was touched"
    assert not (tmp_path / "box").exists()


def test_a_signal_ends_a_mailbox_run(launchers: Path, tmp_path: Path) -> None:
    """It says how far it came."""
    text = '`kill -TERM $PPID`\nto "box"\n'
    done = run_mailbox([launchers / "pyprocmail", "maildrop", "rc"], tmp_path, text)
    assert done.returncode == 75
    assert done.stderr == (
        b"maildrop: signal 0x0F\npyprocmail: 1 message, 1 of them with an exit status, the first 75, then a signal: "
        b"the rest of the mailbox is not delivered\n"
    )
    assert not (tmp_path / "box").exists()


def test_lines_counts_the_mail_and_not_what_is_added(launchers: Path, tmp_path: Path) -> None:
    """With -A, SIZE counts the header that is added and LINES does not: as maildrop has it."""
    arguments = ("-A", "X-One: 1", "-A", "X-Two: 2", "-V", "0")
    (tmp_path / "rc").write_text('echo "$SIZE $LINES"\nexit\n')
    (tmp_path / "rc").chmod(0o600)
    ran = program(launchers, tmp_path, "maildrop", *arguments, "rc", mail=b"Subject: a\n\nb\n")
    assert ran == Ran(0, "32 3\n", "")
