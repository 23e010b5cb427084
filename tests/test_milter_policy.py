"""The milter whose rules decide: each answer as the packets that a mail server gets."""

from __future__ import annotations

import asyncio
import marshal
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import signing
from hypothesis import given
from hypothesis import strategies as st
from test_milter import Client, running

from pyprocmail.commands import policy as policies
from pyprocmail.commands.milter import _counters as milter_counters
from pyprocmail.servers.milter import codec, edits
from pyprocmail.servers.milter import server as milter_server
from pyprocmail.servers.milter.deciding import Decision
from pyprocmail.servers.milter.policy import Policy, Stage
from pyprocmail.servers.outcome import OnError

FINAL = b"cartdy"
HEADER = ((b"From", b"a@b"), (b"Subject", b"hello"), (b"To", b"x@y"))


class Server(Client):
    """A mail server that understands the answers."""

    def begin(self, protocol: int = 0x1FFFFF) -> tuple[int, int]:
        """Negotiate; the actions and the steps that the milter wants."""
        self.send(b"O" + struct.pack(">III", 6, 0x1FF, protocol))
        _, actions, self.steps = struct.unpack(">III", self.reply()[1:])
        return actions, self.steps

    def hear(self) -> list[bytes]:
        """All packets up to the answer, without the requests for patience."""
        found: list[bytes] = []
        while not found or found[-1][:1] not in [bytes([letter]) for letter in FINAL]:
            packet = self.reply()
            if packet != b"p":
                found.append(packet)
        return found

    def mail(  # type: ignore[override]  # it says more, and hears more
        self,
        header: Sequence[tuple[bytes, bytes]] = HEADER,
        body: bytes = b"text\r\n",
        sender: bytes = b"<a@b>",
        to: Sequence[bytes] = (b"<x@y>",),
        chunk: int = 65535,
    ) -> list[bytes]:
        """One mail; what is said to it.  Only what the milter wants to hear is sent."""
        self.send(b"M" + sender + b"\0")
        for one in to:
            self.send(b"R" + one + b"\0")
            if not self.steps & codec.NO_REPLY_RECIPIENT:
                answer = self.hear()
                if answer != [b"c"] and len(to) == 1:
                    self.send(b"A")
                    return answer
        if not self.steps & codec.NO_DATA:
            self.send(b"T")
            if not self.steps & codec.NO_REPLY_DATA and (answer := self.hear()) != [b"c"]:
                return [b"at data", *answer]
        if not self.steps & codec.NO_HEADERS:
            self.send(*[b"L" + name + b"\0" + value + b"\0" for name, value in header])
        if not self.steps & codec.NO_END_OF_HEADERS:
            self.send(b"N")
            if not self.steps & codec.NO_REPLY_END_OF_HEADERS and (answer := self.hear()) != [b"c"]:
                return [b"at header", *answer]
        if not self.steps & codec.NO_BODY:
            self.send(*[b"B" + body[at : at + chunk] for at in range(0, len(body), chunk)])
        self.send(b"E")
        return self.hear()


@contextmanager
def connected(folder: Path) -> Iterator[Server]:
    """A connection to the milter in that folder."""
    server = Server(folder / "milter.sock")
    try:
        server.begin()
        yield server
    finally:
        server.socket.close()


@pytest.fixture(scope="module")
def milter(launchers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a running milter; `policy.rc` in it may be changed."""
    folder = tmp_path_factory.mktemp("milter")
    (folder / "policy.rc").write_text("")
    with running(launchers, folder, "--policy", "policy.rc", "--workers", "1"):
        yield folder


def change(folder: Path, rcfile: str) -> None:
    """Have another policy."""
    (folder / "new.rc").write_text(rcfile)
    (folder / "new.rc").rename(folder / "policy.rc")


FULL = ":0 fw\n* ^Subject: never\n| cat\n"
"""A recipe that has the whole mail waited for, and does nothing."""


@pytest.mark.parametrize(
    ("rcfile", "packets"),
    [
        pytest.param("", [b"c"], id="falls off"),
        pytest.param(":0\n$DEFAULT\n", [b"c"], id="DEFAULT"),
        pytest.param("DEFAULT=/var/mail/x\n:0:\n$DEFAULT\n", [b"c"], id="own DEFAULT"),
        pytest.param(":0\n/dev/null\n", [b"d"], id="discard"),
        pytest.param("EXITCODE=77\n", [b"y550 5.7.1 Exit status 77\0"], id="77"),
        pytest.param("EXITCODE=67\n", [b"y550 5.1.1 Exit status 67\0"], id="67"),
        pytest.param("EXITCODE=75\n", [b"y451 4.3.0 Exit status 75\0"], id="75"),
        pytest.param("EXITCODE=99\n", [b"y554 5.3.0 Exit status 99\0"], id="other"),
        pytest.param('EXITCODE=77\nREPLY="550 5.7.1 100% spam"\n', [b"y550 5.7.1 100%% spam\0"], id="reply"),
        pytest.param('EXITCODE=77\nREPLY="go away"\n', [b"y550 5.7.1 go away\0"], id="text"),
        pytest.param('REPLY="550 no"\n', [b"c"], id="reply alone"),
        pytest.param("EXITCODE=77\n:0\n/dev/null\n", [b"y550 5.7.1 Exit status 77\0"], id="not discarded"),
        pytest.param(":0\nquarantine:links\n", [b"qlinks\0", b"c"], id="held"),
        pytest.param(':0\n"quarantine:many links"\n', [b"qmany links\0", b"c"], id="held, quoted"),
        pytest.param(":0\n| cat > /dev/null\n", [b"d"], id="a program has it"),
        pytest.param(":0 c\n! c@d\n", [b"+<c@d>\0", b"c"], id="copy"),
        pytest.param(":0\n! c@d e@f\n", [b"-<x@y>\0", b"+<c@d>\0", b"+<e@f>\0", b"c"], id="others"),
        pytest.param(":0\n! x@y c@d\n", [b"+<c@d>\0", b"c"], id="others and the same"),
        pytest.param("SENDER=new@b\n", [b"e<new@b>\0", b"c"], id="sender"),
        pytest.param(":0 c\n{\n:0\n! c@d\n}\n", [b"+<c@d>\0", b"c"], id="clone forwards"),
        pytest.param(":0 c\n{\nEXITCODE=77\nSENDER=z\n:0\n/dev/null\n}\n", [b"c"], id="clone discards its copy"),
        pytest.param(":0 fhw\n| formail -A 'X: 1'\n", [b"hX\x001\0", b"c"], id="added field"),
        pytest.param(
            ":0 fhw\n| formail -I 'Subject: new'\n", [b"hSubject\0new\0", b"m\0\0\0\1Subject\0\0", b"c"], id="-I"
        ),
        pytest.param(":0 fhw\n| sed 's/hello/new/'\n", [b"m\0\0\0\1Subject\0new\0", b"c"], id="changed field"),
        pytest.param(":0 fhw\n| sed '/^Subject/d'\n", [b"m\0\0\0\1Subject\0\0", b"c"], id="deleted field"),
        pytest.param(":0 fhw\n| sed '/^Subject/i X: 1'\n", [b"i\0\0\0\2X\x001\0", b"c"], id="inserted field"),
        pytest.param(":0 fbw\n| sed s/text/other/\n", [b"bother\r\n", b"c"], id="body"),
        pytest.param(":0 fw\n| cat\n", [b"c"], id="a filter that changes nothing"),
        pytest.param(
            ":0\n* SENDER ?? ^a@b$\n* RECIPIENTS ?? ^x@y$\n* HELO ?? ^^^^\n/dev/null\n", [b"d"], id="variables"
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("early", [True, False], ids=["early", "at the end"])
def test_answers(milter: Path, rcfile: str, packets: list[bytes], early: bool) -> None:
    """Each outcome of the rules, whether or not they wait for the whole mail."""
    change(milter, rcfile if early else FULL + rcfile)
    with connected(milter) as server:
        found = server.mail()
        if early and found[0].startswith(b"at "):
            found = [b"c" if one == b"a" else one for one in found[1:]]
        assert found == packets


@pytest.mark.parametrize(
    ("rcfile", "wanted", "answer"),
    [
        pytest.param("EXITCODE=77\n", codec.NO_HEADERS | codec.NO_BODY, b"at data", id="envelope"),
        pytest.param(":0\n* SENDER ?? a@b\n/dev/null\n", codec.NO_HEADERS | codec.NO_BODY, b"at data", id="variable"),
        pytest.param(":0\n* ? test -n x\n/dev/null\n", codec.NO_HEADERS | codec.NO_BODY, b"at data", id="test(1)"),
        pytest.param(":0\n* ^Subject: hello\n/dev/null\n", codec.NO_BODY, b"at header", id="header"),
        pytest.param(":0\n* ? cat\n/dev/null\n", codec.NO_BODY, b"at header", id="program with the header"),
        pytest.param(":0\n* B ?? text\n/dev/null\n", 0, b"d", id="body"),
        pytest.param(":0 B\n* text\n/dev/null\n", 0, b"d", id="flag B"),
        pytest.param(":0\n* > 1\n/dev/null\n", 0, b"d", id="size"),
        pytest.param("X=`cat`\n:0\n/dev/null\n", 0, b"d", id="backquotes"),
        pytest.param("X=`date`\n:0\n/dev/null\n", codec.NO_HEADERS | codec.NO_BODY, b"at data", id="date"),
        pytest.param("X=`formail -xTo:`\n:0\n* X ?? x@y\n/dev/null\n", codec.NO_BODY, b"at header", id="formail"),
    ],
)
def test_rules_decide_as_early_as_they_can(milter: Path, rcfile: str, wanted: int, answer: bytes) -> None:
    """What they do not look at is not even sent."""
    change(milter, rcfile)
    with connected(milter) as server:
        left_out = codec.NO_HEADERS | codec.NO_BODY
        assert server.steps & left_out == wanted
        assert server.mail()[0] == answer


def test_rules_that_change_while_a_mail_comes(milter: Path) -> None:
    """They look at what this connection left out: the mail is to come again, and the next connection has it."""
    change(milter, ":0\n* ^Subject: never\n/dev/null\n")
    with connected(milter) as server:
        assert server.mail() == [b"at header", b"a"]
        change(milter, ":0\n* B ?? text\n/dev/null\n")
        assert server.mail() == [b"at header", b"y451 4.3.0 The rules failed\0"]
    with connected(milter) as server:
        assert server.mail() == [b"d"]


def test_what_rules_know(milter: Path) -> None:
    """Client, HELO, TLS, login, queue id and any macro; a stranger's text runs nothing."""
    names = (
        "SENDER", "RECIPIENT", "RECIPIENTS", "MAIL_PARAMETERS", "CLIENT_NAME", "CLIENT_ADDRESS", "CLIENT_PORT", "HELO",
        "QUEUE_ID", "LOGIN", "LOGIN_METHOD", "TLS_VERSION", "TLS_CIPHER", "MILTER_DAEMON_NAME", "MILTER_I",
    )  # fmt: skip
    told = "|".join(f"${name}" for name in names)
    marker = milter / "marker"
    change(milter, f':0\n* $ ${{HELO}}\n{{ X=1 }}\nEXITCODE=77\nREPLY="550 {told}|$1|$2"\n')
    with connected(milter) as server:
        server.send(
            b"DCj\0host\0{daemon_name}\0smtpd\0", b"Cclient.example\x004" + struct.pack(">H", 99) + b"10.0.0.1\0"
        )
        server.send(b"DH{tls_version}\0TLSv1.3\0{cipher}\0AES\0", b"H? touch %b\0" % str(marker).encode())
        server.send(b"DMi\0QUEUE\0{auth_authen}\0alice\0{auth_type}\0PLAIN\0", b"M<a@b>\0SIZE=9\0BODY=8BITMIME\0")
        server.send(b"R<c@d>\0", b"R<e@f>\0", b"LSubject\0x\0", b"E")
        (said,) = server.hear()
    words = [
        "a@b", "", "c@d e@f", "SIZE=9 BODY=8BITMIME", "client.example", "10.0.0.1", "99", f"? touch {marker}",
        "QUEUE", "alice", "PLAIN", "TLSv1.3", "AES", "smtpd", "QUEUE", "c@d", "e@f",
    ]  # fmt: skip
    assert said == b"y550 5.7.1 %b\0" % "|".join(words).encode()
    assert not marker.exists()


def test_what_is_no_answer_at_run_time(launchers: Path, tmp_path: Path) -> None:
    """A folder whose name is made up: the mail is accepted, nothing is written, and a line says so once a minute."""
    (tmp_path / "policy.rc").write_text("X=some\n:0\n$X\n")
    with running(launchers, tmp_path, "--policy", "policy.rc") as milter:
        with connected(tmp_path) as server:
            assert [server.mail() for _ in range(3)] == [[b"at data", b"a"]] * 3
        milter.terminate()
        said = milter.stderr.read().decode() if milter.stderr else ""
    assert said.count("the rules name the folder some, but a policy stores no mail: the mail is passed on") == 1
    assert not (tmp_path / "some").exists()


@pytest.mark.parametrize(
    ("rcfile", "fault"),
    [
        (":0\nfolder\n", "policy.rc:2: the folder folder is no answer"),
        (":0:\n$HOME/Mail/x\n", "policy.rc:2: the folder .../Mail/x is no answer"),
        (":0 c\n| program\n:0 c\n{\n:0\n| program\n}\nX=y\n:0\n$DEFAULT\n", ""),
    ],
)
def test_what_is_no_answer_is_said_at_the_start(launchers: Path, tmp_path: Path, rcfile: str, fault: str) -> None:
    """And then nothing is begun."""
    (tmp_path / "policy.rc").write_text(rcfile)
    command = [str(launchers / "pyprocmail"), "milter", "-p", "unix:s", "--check", "--policy", "policy.rc"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert fault in done.stderr
    assert done.returncode == (65 if fault else 0)
    assert ("policy.rc decides at the end of the mail, because of" in done.stdout) == (not fault)


LONG = "LINEBUF=128\nX=" + "x" * 200 + "\n" + "Y" * 300 + "=1\n"


@pytest.mark.parametrize(
    ("choice", "answer"),
    [
        pytest.param("accept", b"a", marks=pytest.mark.slow),
        pytest.param("tempfail", b"y451 4.3.0 The rules failed\0", marks=pytest.mark.slow),
        pytest.param("reject", b"y554 5.3.0 The rules failed\0", marks=pytest.mark.slow),
    ],
)
def test_rules_that_decide_nothing(launchers: Path, tmp_path: Path, choice: str, answer: bytes) -> None:
    """They take too long, are killed, are gone, or have a line that is not read: --on-error says what becomes of it."""
    (tmp_path / "policy.rc").write_text("")
    options = ("--policy", "policy.rc", "--on-error", choice, "--time-limit", "6", "--metrics", "m.prom")
    with running(launchers, tmp_path, *options) as milter:
        for rcfile in (":0\n* ? sleep 60\n/dev/null\n", ":0\n* ? kill -9 $PPID;\n/dev/null\n", LONG, None):
            if rcfile is None:
                (tmp_path / "policy.rc").unlink()
            else:
                change(tmp_path, rcfile)
            with connected(tmp_path) as server:
                # What is not accepted early is accepted at the end: a file that is gone may look at all.
                assert server.mail()[-1] in ([answer, b"c"] if answer == b"a" else [answer]), rcfile
        milter.terminate()
        said = milter.stderr.read().decode() if milter.stderr else ""
    for why in ("longer than --time-limit", "the worker ended", "longer than LINEBUF", "cannot be read"):
        assert why in said
    assert "pyprocmail_milter_policy_failures_total 4\n" in (tmp_path / "m.prom").read_text()


BODIES = [
    b"text\r\n",
    b"no newline",
    b"",
    b"\r\n\r\n",
    b"bare\nnewline and\rreturn\r\n",
    b"From the start\r\n.\r\n  \r\n\xff\xfe 8bit\r\n\r\n\r\n",
    b"x" * 3000 + b"\r\n" + b"line\r\n" * 30_000,
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("flags", ["fhw", "fw"])
def test_bodies_that_rules_leave_alone(milter: Path, flags: str, body: bytes) -> None:
    """Not a byte of them is sent back, so that they are what they were, and a signature made before still holds."""
    change(milter, f":0 {flags}\n| formail -I 'X-Tag: yes'\n")
    header = [b"From: a@example.com", b"To: x@y", b"Subject: hello"]
    before = signing.signed(b"\r\n".join(header) + b"\r\n\r\n" + body)
    head = before.partition(b"\r\n\r\n")[0].replace(b"\r\n\t", b"\n\t").replace(b"\r\n ", b"\n ")
    fields = head.split(b"\r\n")
    with connected(milter) as server:
        parted = (one.partition(b":") for one in fields)
        said = server.mail([(name, value.removeprefix(b" ")) for name, _, value in parted], body)
    assert said == [b"hX-Tag\0yes\0", b"c"]
    tagged = applied([codec.packet(one[:1], one[1:]) for one in said[:-1]], fields)
    after = b"\r\n".join(tagged).replace(b"\n\t", b"\r\n\t").replace(b"\n ", b"\r\n ").replace(b"\r\r", b"\r")
    assert signing.is_genuine(after + b"\r\n\r\n" + body)
    assert not signing.is_genuine(after + b"\r\n\r\n!" + body)


MILTERTEST = """
mt.set_timeout(60)
local function mail(subject, check)
  local conn = mt.connect(socket)
  mt.conninfo(conn, "localhost", "127.0.0.1")
  mt.helo(conn, "client.example.com")
  mt.mailfrom(conn, "<a@b>")
  mt.rcptto(conn, "<x@y>")
  mt.header(conn, "Subject", subject)
  mt.header(conn, "X-Old", "1")
  mt.bodystring(conn, "text\\r\\n")
  mt.eom(conn)
  local answer = string.char(math.floor(mt.getreply(conn)))
  mt.echo(subject .. " " .. answer .. " " .. tostring(check == nil or check(conn)))
  mt.disconnect(conn)
end
mail("accept")
mail("refuse", function(conn) return mt.eom_check(conn, MT_SMTPREPLY, "550", "5.7.1", "No") end)
mail("discard")
mail("hold", function(conn) return mt.eom_check(conn, MT_QUARANTINE, "why") end)
mail("add", function(conn) return mt.eom_check(conn, MT_HDRADD, "X-New", "1") end)
mail("insert", function(conn) return mt.eom_check(conn, MT_HDRINSERT, "X-New", "1", 2) end)
mail("change", function(conn) return mt.eom_check(conn, MT_HDRCHANGE, "X-Old", "2") end)
mail("delete", function(conn) return mt.eom_check(conn, MT_HDRDELETE, "X-Old") end)
mail("body", function(conn) return mt.eom_check(conn, MT_BODYCHANGE, "other\\r\\n") end)
mail("copy", function(conn)
  return mt.eom_check(conn, MT_RCPTADD, "<c@d>") and not mt.eom_check(conn, MT_RCPTDELETE, "<x@y>")
end)
mail("redirect", function(conn)
  return mt.eom_check(conn, MT_RCPTADD, "<c@d>") and mt.eom_check(conn, MT_RCPTDELETE, "<x@y>")
end)
"""
ACTIONS = """\
:0
* ^Subject: refuse
{
    EXITCODE=77
    REPLY="550 5.7.1 No"
}
:0
* ^Subject: discard
/dev/null
:0
* ^Subject: hold
quarantine:why
:0 fhw
* ^Subject: add
| formail -A "X-New: 1"
:0 fhw
* ^Subject: insert
| sed "/^X-Old/i X-New: 1"
:0 fhw
* ^Subject: change
| sed "s/^X-Old: 1/X-Old: 2/"
:0 fhw
* ^Subject: delete
| sed /^X-Old/d
:0 fbw
* ^Subject: body
| sed s/text/other/
:0 c
* ^Subject: copy
! c@d
:0
* ^Subject: redirect
! c@d
"""


def test_miltertest(milter: Path) -> None:
    """Each action as another implementation of the mail server's side reads it."""
    program = shutil.which("miltertest")
    if program is None:
        pytest.skip("miltertest is not installed (apt-get install miltertest)")
    change(milter, ACTIONS)
    (milter / "steps.lua").write_text(MILTERTEST)
    command = [program, "-D", f"socket=unix:{milter}/milter.sock", "-s", "steps.lua"]
    done = subprocess.run(command, cwd=milter, capture_output=True, text=True, check=False, timeout=120)
    wanted = {
        "accept": "c", "refuse": "y", "discard": "d", "hold": "c", "add": "c", "insert": "c", "change": "c",
        "delete": "c", "body": "c", "copy": "c", "redirect": "c",
    }  # fmt: skip
    assert done.stdout.splitlines() == [f"{name} {answer} true" for name, answer in wanted.items()], done.stderr


# -- recipients --------------------------------------------------------------------------------

AT_RCPT = """\
:0
* RECIPIENT ?? ^new-
{
    :0
    ! ann@b bob@b
}
:0
* RECIPIENT ?? ^none@
/dev/null
:0 c
* RECIPIENT ?? ^copied@
! archive@b
:0
* RECIPIENT ?? ^gone@
{
    EXITCODE=67
    REPLY="551 5.1.6 $RECIPIENT has moved"
}
"""


@pytest.mark.parametrize(
    ("to", "packets"),
    [
        ([b"<gone@b>"], [b"y551 5.1.6 gone@b has moved\0"]),
        ([b"<x@b>"], [b"c"]),
        ([b"<new-1@b>"], [b"-<new-1@b>\0", b"+<ann@b>\0", b"+<bob@b>\0", b"c"]),
        ([b"<copied@b>"], [b"+<archive@b>\0", b"c"]),
        ([b"<none@b>"], [b"d"]),
        ([b"<none@b>", b"<x@b>", b"<gone@b>"], [b"-<none@b>\0", b"c"]),
        ([b"<new-1@b>", b"<new-2@b>"], [b"-<new-1@b>\0", b"-<new-2@b>\0", b"+<ann@b>\0", b"+<bob@b>\0", b"c"]),
    ],
)  # fmt: skip
def test_each_recipient(at_rcpt: Path, to: list[bytes], packets: list[bytes]) -> None:
    """Refused at once; rewritten, copied and dropped at the end."""
    with connected(at_rcpt) as server:
        assert server.steps & (codec.NO_HEADERS | codec.NO_BODY) == codec.NO_HEADERS | codec.NO_BODY
        assert server.mail(to=to) == packets
        assert server.mail(to=[b"<x@b>"]) == [b"c"]


@pytest.fixture(scope="module")
def at_rcpt(launchers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A milter that is asked about recipients only."""
    folder = tmp_path_factory.mktemp("rcpt")
    (folder / "rcpt.rc").write_text(AT_RCPT)
    with running(launchers, folder, "--at-rcpt", "rcpt.rc", "--workers", "1"):
        yield folder


def test_recipients_are_no_mail(launchers: Path, tmp_path: Path) -> None:
    """A condition that searches a mail there is a fault."""
    (tmp_path / "rcpt.rc").write_text(":0\n* ^Subject: x\n/dev/null\n")
    command = [str(launchers / "pyprocmail"), "milter", "-p", "unix:s", "--check", "--at-rcpt", "rcpt.rc"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "rcpt.rc:2: there is no mail yet" in done.stderr) == (65, True)


# -- filter files ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "packets"),
    [
        pytest.param("", [b"c"], id="falls off"),
        pytest.param('to "/dev/null"\n', [b"d"], id="discard"),
        pytest.param("EXITCODE=77\nexit\n", [b"y550 5.7.1 Exit status 77\0"], id="77"),
        pytest.param('EXITCODE=75\nREPLY="450 4.7.1 Later"\nexit\n', [b"y450 4.7.1 Later\0"], id="reply"),
        pytest.param("EXITCODE=0\nexit\n", [b"d"], id="0"),
        pytest.param('if (/^Subject: hello/)\n{\n  to "quarantine:links"\n}\n', [b"qlinks\0", b"c"], id="held"),
        pytest.param('cc "!c@d"\n', [b"+<c@d>\0", b"c"], id="copy"),
        pytest.param('to "! c@d e@f"\n', [b"-<x@y>\0", b"+<c@d>\0", b"+<e@f>\0", b"c"], id="others"),
        pytest.param('SENDER="new@b"\n', [b"e<new@b>\0", b"c"], id="sender"),
        pytest.param("xfilter \"reformail -A 'X: 1'\"\n", [b"hX\x001\0", b"c"], id="added field"),
        pytest.param('xfilter "sed s/text/other/"\n', [b"bother\r\n", b"c"], id="body"),
        pytest.param('if ($HELO eq "" && $RECIPIENTS eq "x@y")\n  to "/dev/null"\n', [b"d"], id="variables"),
        pytest.param('to "folder"\n', [b"c"], id="no answer"),
        pytest.param("to\n", [b"y451 4.3.0 The rules failed\0"], id="fault"),
    ],
)
def test_filter_files(mailfilter: Path, rules: str, packets: list[bytes]) -> None:
    """The same in maildrop's language."""
    (mailfilter / "new.rc").write_text(rules)
    (mailfilter / "new.rc").chmod(0o600)
    (mailfilter / "new.rc").rename(mailfilter / "policy.rc")
    with connected(mailfilter) as server:
        assert server.mail() == packets


@pytest.fixture(scope="module")
def mailfilter(launchers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a milter with a filter file."""
    folder = tmp_path_factory.mktemp("mailfilter")
    (folder / "policy.rc").write_text("")
    with running(launchers, folder, "--policy", "policy.rc", "--language", "maildrop", "--workers", "1"):
        yield folder


# -- what it is made of ------------------------------------------------------------------------

FIELDS = st.lists(
    st.builds(
        lambda name, value: name + b": " + value, st.sampled_from([b"A", b"B", b"C"]), st.sampled_from([b"1", b"2"])
    ),
    max_size=7,
)


def applied(packets: list[bytes], fields: list[bytes]) -> list[bytes]:
    """What a mail server makes of its header, where the first field of all is its own."""
    header = [b"Received: x", *fields]
    for packet in packets:
        letter, data = packet[4:5], packet[5:]
        if letter == b"h":
            name, value, _ = data.split(b"\0")
            header.append(name + b": " + value)
        elif letter == b"i":
            name, value, _ = data[4:].split(b"\0")
            header.insert(int.from_bytes(data[:4], "big"), name + b": " + value)
        else:
            name, value, _ = data[4:].split(b"\0")
            places = [at for at, field in enumerate(header) if field.startswith(name + b":")]
            at = places[int.from_bytes(data[:4], "big") - 1]
            header[at : at + 1] = [name + b": " + value] if value else []
    return header[1:]


@given(FIELDS, FIELDS)
def test_any_header_becomes_any_other(before: list[bytes], after: list[bytes]) -> None:
    """In its order, and with no packet where nothing has changed."""
    packets = edits.of_header(before, after)
    assert applied(packets, before) == after
    assert bool(packets) == (before != after)


def test_a_mail_server_that_waits_is_asked_for_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """While rules work on a whole mail."""
    monkeypatch.setattr(milter_server, "PROGRESS_S", 0.05)

    async def slow() -> bytes:
        loop = asyncio.get_running_loop()
        due: list[tuple[asyncio.Future[bytes], bytes]] = []

        class Slow:
            def ask(self, payload: bytes, fd: int = -1) -> asyncio.Future[bytes]:
                body, case = marshal.loads(payload)  # noqa: S302  ours
                decision = Decision(refusal=b"550 5.7.1 No").pack()
                os.pwrite(fd, decision, body + case)
                answer: asyncio.Future[bytes] = loop.create_future()
                due.append((answer, b"%d" % len(decision)))
                return answer

        counters = milter_counters()
        policies.count(counters)
        policy = Policy(Slow(), None, lambda: Stage.BODY, OnError.TEMPFAIL, counters, print, None)
        taken = milter_server.Server(policy.converse, print, counters)
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        await loop.create_connection(lambda: milter_server.Connection(taken), sock=ours)
        said = b""
        with theirs:
            packets = [b"O" + struct.pack(">III", 6, 0x1FF, 0x1FFFFF), b"M<a@b>\0", b"R<c@d>\0", b"Bx", b"E"]
            await loop.sock_sendall(theirs, b"".join(struct.pack(">I", len(one)) + one for one in packets))
            while not said.endswith(b"No\0"):
                said += await asyncio.wait_for(loop.sock_recv(theirs, 1000), 30)
                if due and said.count(codec.PROGRESS) >= 3:
                    answer, size = due.pop()
                    answer.set_result(size)
        return said[17:]

    said = asyncio.run(slow())
    patience = said.count(codec.PROGRESS)
    assert patience >= 3
    assert said == codec.PROGRESS * patience + codec.reply(b"550 5.7.1 No")
