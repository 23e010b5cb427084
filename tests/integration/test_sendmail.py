"""Sendmail with FEATURE(local_procmail), FEATURE(local_lmtp) and the milter, as in examples/integration."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from integration import lmtp, scenes
from integration.conftest import SNIPPETS, User, listens, wait_for

pytestmark = pytest.mark.integration

LOG = Path("/var/log/sendmail.log")
MC = """\
divert(-1)
include(`/usr/share/sendmail/cf/m4/cf.m4')
divert(0)
VERSIONID(`test')
OSTYPE(`linux')dnl
define(`confQUEUE_LA', `1000')dnl
define(`confREFUSE_LA', `1000')dnl
define(`confDOMAIN_NAME', `machine.example')dnl
define(`confMIN_QUEUE_AGE', `0')dnl
define(`confSERVICE_SWITCH_FILE', `/etc/mail/service.switch')dnl
define(`ALIAS_FILE', `')dnl
undefine(`ALIAS_FILE')dnl
define(`confCW_FILE', `/etc/mail/local-host-names')dnl
FEATURE(`use_cw_file')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
{snippet}
MAILER(`local')dnl
MAILER(`smtp')dnl
"""


class Sendmail:
    """Sendmail, without a daemon: each mail is tried when it is submitted."""

    domain = "machine.example"

    def __init__(self, *snippets: str, local: str = "sendmail.mc") -> None:
        folder = Path("/etc/mail")
        folder.mkdir(exist_ok=True)
        (folder / "local-host-names").write_text("machine.example\n")
        # There is no name server to be asked.
        (folder / "service.switch").write_text("hosts files\n")
        text = "".join((SNIPPETS / name).read_text() for name in (local, *snippets))
        (folder / "sendmail.mc").write_text(MC.replace("{snippet}", text))
        made = subprocess.run(["m4", folder / "sendmail.mc"], capture_output=True, check=True).stdout
        (folder / "sendmail.cf").write_bytes(made)
        Path("/var/spool/mqueue").mkdir(exist_ok=True, mode=0o700)
        self.program = "/usr/libexec/sendmail/sendmail"
        link = Path("/usr/sbin/sendmail")
        link.unlink(missing_ok=True)
        link.symlink_to(self.program)
        # What the package's installation does: the submission of users goes to the queue of the server itself.
        Path(self.program).chmod(0o4755)
        self.sent = 0

    def _run(self, *arguments: str, mail: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [self.program, "-C/etc/mail/sendmail.cf", f"-X{LOG}", "-O", "SuperSafe=True", *arguments]
        return subprocess.run(command, input=mail, capture_output=True, check=False, timeout=60)

    def send(self, *recipients: str, body: bytes = b"hello\n") -> str:
        self.sent += 1
        mail = b"Subject: number %d.\n\n%b" % (self.sent, body)
        self._run("-Am", "-odi", "-i", "-f", "sender@elsewhere.example", *recipients, mail=mail)
        return f"number {self.sent}."

    def converse(self, *lines: bytes) -> list[bytes]:
        """Speak SMTP with it; the last line of each reply.  Milters hear of nothing else."""
        command = [self.program, "-C/etc/mail/sendmail.cf", "-bs", "-O", "DeliveryMode=i", "-O", "SuperSafe=True"]
        replies = []
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            for line in (b"", *lines):
                server.stdin.write(line)
                server.stdin.flush()
                reply = b"   -"
                while reply[3:4] == b"-":
                    reply = server.stdout.readline()
                replies.append(reply)
        return replies[1:]

    def retry(self) -> None:
        self._run("-q")
        # It forks, and the queue is run in the child.
        wait_for(lambda: not self._waiting(), "the queue to be run")

    def _waiting(self) -> list[str]:
        """The recipients in the queue, but those of our own bounces."""
        return re.findall(r"(?m)^R[A-Z]*:?<?([^<>\s]+@machine\.example)", "\n".join(self._control_files()))

    @staticmethod
    def _control_files() -> list[str]:
        """The texts of the queue's control files; one that Sendmail removes meanwhile is no longer in the queue."""
        texts = []
        for path in Path("/var/spool/mqueue").glob("qf*"):
            with contextlib.suppress(FileNotFoundError):
                texts.append(path.read_text("latin-1"))
        return texts

    def queued(self) -> int:
        return len(self._waiting())

    def bounced(self) -> int:
        """Bounces to the sender stay in the queue, since there is no network."""
        return sum("elsewhere.example" in re.sub(r"(?m)^[^R].*$", "", text) for text in self._control_files())

    def empty(self) -> None:
        """Delete what is queued."""
        for path in Path("/var/spool/mqueue").iterdir():
            path.unlink(missing_ok=True)


@pytest.mark.parametrize("scene", scenes.ALL, ids=lambda scene: scene.__name__)
def test_scene(scene: scenes.Scene, users: dict[str, User], tell: Callable[[str], None]) -> None:
    sendmail = Sendmail()
    sendmail.empty()
    tell(scene(sendmail, users))
    assert os.path.exists("/etc/mail/sendmail.cf")


@pytest.mark.parametrize("scene", scenes.OF_FATES, ids=lambda scene: scene.__name__)
def test_lmtp(scene: scenes.Scene, users: dict[str, User], tell: Callable[[str], None]) -> None:
    sendmail = Sendmail(local="sendmail-lmtp.mc")
    sendmail.empty()
    with lmtp.serving(Path("/run/pyprocmail/lmtp.sock")):
        tell(scene(sendmail, users))


RULES = """\
MAILDIR={home}
LOGFILE=rules.log
:0
* ? while test ! -e {home}/go; do sleep 0.1; done
archive/
"""


def test_milter(users: dict[str, User], tell: Callable[[str], None]) -> None:
    """Mails are taken, logged and delivered while the rules of the milter sleep; later the rules have them all."""
    alice, home = users["alice"], Path("/var/spool/milter")
    alice.put(".procmailrc", "DEFAULT=$HOME/inbox\n")
    home.mkdir(mode=0o700)
    socket_folder = Path("/run/pyprocmail")
    socket_folder.mkdir(mode=0o755, exist_ok=True)
    (home / "rc").write_text(RULES.format(home=home))
    sendmail = Sendmail("sendmail-milter.mc")
    sendmail.empty()
    command = ["pyprocmail", "milter", "-p", "unix:/run/pyprocmail/milter.sock", "-f", str(home / "log")]
    command += ["--rules", str(home / "rc"), "--spool", str(home / "spool")]
    with subprocess.Popen(command, cwd="/") as milter:
        try:
            wait_for((home / "spool" / "failed").exists, "the milter to start")
            said = sendmail.converse(
                b"EHLO client.example\r\n",
                *[
                    line % number if b"%d" in line else line
                    for number in range(3)
                    for line in (
                        b"MAIL FROM:<sender@elsewhere.example>\r\n",
                        b"RCPT TO:<alice@machine.example>\r\n",
                        b"DATA\r\n",
                        b"Subject: milter %d\r\n\r\nhello\r\n.\r\n",
                    )
                ],
                b"QUIT\r\n",
            )
            assert [reply[:3] for reply in said] == [b"250", *[b"250", b"250", b"354", b"250"] * 3, b"221"]
            assert alice.stored("inbox").count(b"Subject: milter") == 3
            lines = (home / "log").read_text().splitlines()
            assert [line.partition("from=")[2] for line in lines] == [
                f"<sender@elsewhere.example>\tto=<alice@machine.example>\tsize=7\tsubject=milter {number}"
                for number in range(3)
            ]
            assert not list(home.glob("archive/new/*"))
            (home / "go").touch()
            wait_for(lambda: len(list(home.glob("archive/new/*"))) == 3, "the archive")
            wait_for(lambda: not list((home / "spool" / "new").iterdir()), "an empty spool")
        finally:
            milter.terminate()
    assert milter.returncode == 0
    tell("sent, while the rules slept")


def test_mailertable(users: dict[str, User], tell: Callable[[str], None], tmp_path: Path) -> None:
    """MAILER(pyprocmail) for the domains of a mailertable: through the gateway as a user of its own, and on."""
    shutil.copy(SNIPPETS / "pyprocmail.m4", "/usr/share/sendmail/cf/mailer/pyprocmail.m4")
    folder = Path("/etc/pyprocmail")
    folder.mkdir(exist_ok=True)
    shutil.copy(SNIPPETS / "gateway-table", folder / "gateway")
    tag = ':0 fhw\n| formail -I "X-Rules: $SENDER $RECIPIENT" -I "X-By: `id -un`"\n'
    (folder / "gateway.rc").write_text(f":0\n* ^Subject: number 2\n{{ EXITCODE=67 }}\n{tag}")
    sendmail = Sendmail("sendmail-gateway.mc")
    subprocess.run(
        ["/usr/libexec/sendmail/makemap", "hash", "/etc/mail/mailertable"],
        input=b"routed.example\tpyprocmail:/etc/pyprocmail/gateway\n",
        check=True,
    )
    sendmail.empty()
    store = tmp_path / "hop"
    store.mkdir()
    with subprocess.Popen([sys.executable, "-P", Path(__file__).with_name("durable_hop.py"), "10026", store]) as hop:
        try:
            wait_for(lambda: listens(10026), "the next hop to listen")
            subject = sendmail.send("x@routed.example", "y@routed.example").encode()
            mails = sorted(path.read_bytes() for path in store.glob("*.mail"))
            assert [subject in mail for mail in mails] == [True, True], LOG.read_text("latin-1")[-3000:]
            fields = [f"X-Rules: sender@elsewhere.example {name}@routed.example\r\n".encode() for name in "xy"]
            assert all(any(field in mail for mail in mails) for field in fields)
            assert all(b"X-By: filter\r\n" in mail for mail in mails)
            sendmail.send("x@routed.example")
            assert len(list(store.glob("*.mail"))) == 2
            assert sendmail.bounced() == 1
        finally:
            hop.kill()
    assert users["filter"].stored("inbox") == b""
    tell("sent, sent, bounced")


POLICY = """\
MAILDIR={home}
:0
* ^Subject: reject
{
    EXITCODE=77
    REPLY="550 5.7.1 100% unwanted"
}
:0
* ^Subject: discard
/dev/null
:0
* ^Subject: redirect
! bob@machine.example
:0 fhw
* ^Subject: order
| sed -e '/^X-First/i X-Before: 1' -e '/^X-Second/d' -e 's/^X-Third: .*/X-Third: changed/' -e '$i X-Last: 1'
:0 fbw
* ^Subject: body
| sed s/hello/goodbye/
"""
AT_RCPT = """\
:0
* RECIPIENT ?? ^dave@
{
    EXITCODE=67
    REPLY="551 5.1.6 dave has moved"
}
"""


def test_policy(users: dict[str, User], tell: Callable[[str], None]) -> None:
    """Refused at RCPT and at the end; discarded, redirected; fields in their order, another body."""
    alice, bob, home = users["alice"], users["bob"], Path("/var/spool/policy")
    for user in (alice, bob):
        user.put(".procmailrc", "DEFAULT=$HOME/inbox/\n")
    home.mkdir(mode=0o700)
    socket_folder = Path("/run/pyprocmail")
    socket_folder.mkdir(mode=0o755, exist_ok=True)
    (home / "policy.rc").write_text(POLICY.replace("{home}", str(home)))
    (home / "rcpt.rc").write_text(AT_RCPT)
    sendmail = Sendmail("sendmail-policy.mc")
    sendmail.empty()
    command = ["pyprocmail", "milter", "-p", "unix:/run/pyprocmail/policy.sock", "--policy", str(home / "policy.rc")]
    command += ["--at-rcpt", str(home / "rcpt.rc"), "--metrics", str(home / "m")]

    def submit(to: bytes, subject: bytes, fields: bytes = b"") -> list[bytes]:
        mail = b"%bSubject: %b\r\n\r\nhello\r\n.\r\n" % (fields, subject)
        lines = [b"EHLO x\r\n", b"MAIL FROM:<s@elsewhere.example>\r\n", b"RCPT TO:<%b@machine.example>\r\n" % to]
        return sendmail.converse(*lines, *([b"DATA\r\n", mail] if subject else []), b"QUIT\r\n")

    def stored(user: User, subject: bytes) -> list[bytes]:
        texts = [path.read_bytes() for path in user.home.glob("inbox/new/*")]
        return [text for text in texts if b"\nSubject: %b\n" % subject in text]

    with subprocess.Popen(command, cwd="/") as milter:
        try:
            wait_for((home / "m").exists, "the milter to start")
            assert submit(b"dave", b"")[2] == b"551 5.1.6 dave has moved\r\n"
            assert submit(b"alice", b"reject")[-2] == b"550 5.7.1 100% unwanted\r\n"
            added = b"X-First: 1\r\nX-Second: 1\r\nX-Third: 1\r\n"
            said = [submit(b"alice", subject, added)[-2] for subject in (b"discard", b"redirect", b"order", b"body")]
            assert [reply[:3] for reply in said] == [b"250"] * 4
        finally:
            milter.terminate()
    socket_folder.rmdir()
    assert milter.returncode == 0
    assert stored(alice, b"discard") == stored(alice, b"redirect") == []
    # Sendmail leaves a recipient that a milter has added to the next run of its queue.
    sendmail.retry()
    assert len(stored(bob, b"redirect")) == 1
    (order,) = stored(alice, b"order")
    lines = order.partition(b"\n\n")[0].split(b"\n")
    fields = [line for line in lines if line.startswith((b"X-", b"Subject"))]
    assert fields == [b"X-Before: 1", b"X-First: 1", b"X-Third: changed", b"Subject: order", b"X-Last: 1"]
    (body,) = stored(alice, b"body")
    assert body.partition(b"\n\n")[2].startswith(b"goodbye\n")
    tell("refused, discarded, redirected, changed")
