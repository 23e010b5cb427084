"""What rules decide about a mail that passes through: both languages, and the table of servers/outcome."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyprocmail.commands.compiler import compile_filter_here, compile_here
from pyprocmail.commands.toolbox import Toolbox
from pyprocmail.host import Host, User
from pyprocmail.maildrop import run as filters
from pyprocmail.procmail import run as rcfiles
from pyprocmail.servers.outcome import Kind, OnError, Outcome, Sending, after_error, reply_for
from pyprocmail.servers.policy import FilterFileRules, Question, RcfileRules, Rules

MAIL = b"Subject: hello\nFrom: a@example.org\n\nbody\nFrom the start\nend"
SENDER = b"a@example.org"


@pytest.fixture(autouse=True)
def same_folder() -> Iterator[None]:
    """A run leaves the process in the folder of its rules."""
    here = os.getcwd()
    yield
    os.chdir(here)


def rules_of(folder: Path, text: str, *, maildrop: bool = False) -> Rules:
    path = folder / "rules"
    path.write_text(text)
    path.chmod(0o600)
    host = Host()
    found = host.user_by_id(os.getuid())
    assert found is not None
    user = User(found.name, found.uid, found.gid, os.fsencode(folder), b"/bin/sh")
    if maildrop:
        given = {b"PATH": b"/usr/local/bin:/usr/bin:/bin"}
        return FilterFileRules(
            user, filters.Setup(host, b"test", given, compile_filter_here, lambda *_: None), os.fsencode(path)
        )
    setup = rcfiles.Setup(b"test", {}, compile_here, lambda *_: None, toolbox=Toolbox(), content_length=False)
    return RcfileRules(user, setup, os.fsencode(path))


def decide(folder: Path, text: str, *, maildrop: bool = False, mail: bytes = MAIL) -> Outcome:
    return rules_of(folder, text, maildrop=maildrop).decide(
        Question(SENDER, [b"x@example.net", b"y@example.net"], mail)
    )


PASSED = Sending(SENDER, None, MAIL)
TAGGED = MAIL.replace(b"\n\n", b"\nX-Tag: yes\n\n", 1)
RCFILES = {
    "": [PASSED],
    ":0\n$DEFAULT\n": [PASSED],
    ":0:\naccept\n": [PASSED],
    "DEFAULT=/var/mail/x\n": [PASSED],
    "MAILDIR=/tmp\n:0\n* ^From \n* ^Subject: hello\n/dev/null\n": [],
    ":0 c\n| cat > /dev/null\n": [PASSED],
    "HOST=another.machine\n": [],
    ":0\n! z@example.com, <w@example.com>\n": [Sending(SENDER, (b"z@example.com", b"w@example.com"), MAIL)],
    ":0 c\n! z@example.com\n": [Sending(SENDER, (b"z@example.com",), MAIL, copy=True), PASSED],
    ":0\n! -f other@example.com -oi z\n": [Sending(b"other@example.com", (b"z",), MAIL)],
    ":0\n! -f <> z\n": [Sending(b"", (b"z",), MAIL)],
    ':0\n! "$@"\n': [Sending(SENDER, (b"x@example.net", b"y@example.net"), MAIL)],
    "SENDER=new@example.com\n": [Sending(b"new@example.com", None, MAIL)],
    ":0 fhw\n| formail -I 'X-Tag: yes'\n": [Sending(SENDER, None, TAGGED)],
    ":0 fw\n| cat\n": [PASSED],
    ":0 fbw\n| tr b B\n": [Sending(SENDER, None, MAIL.replace(b"\nbody", b"\nBody") + b"\n")],
    ":0 fbw\n| false\n": [PASSED],
    # A clone goes its own way, and what it assigns is its own.
    ":0 c\n{\nSENDER=clone@example.com\nEXITCODE=77\n:0\n! z@example.com\n}\n": [
        Sending(b"clone@example.com", (b"z@example.com",), MAIL, copy=True),
        PASSED,
    ],
    ":0 c\n{\n:0\n/dev/null\n}\n": [PASSED],
    ":0 c\n{\n:0\n$DEFAULT\n}\n:0\n/dev/null\n": [Sending(SENDER, None, MAIL, copy=True)],
    'REPLY="550 no"\n': [PASSED],
}  # fmt: skip


@pytest.mark.parametrize("text", RCFILES)
def test_an_rcfile_passes_on(text: str, tmp_path: Path) -> None:
    """Where the mail goes, with what sender and text; nothing is a discard."""
    found = decide(tmp_path, text)
    assert list(found.sendings) == RCFILES[text]
    assert found.kind is (Kind.PASSED if RCFILES[text] else Kind.DISCARDED)
    assert found.faults == ()
    assert [path.name for path in tmp_path.iterdir()] == ["rules"]


FILTER_FILES = {
    "": [PASSED],
    'to "$DEFAULT"\n': [PASSED],
    'if (/^Subject: hello/)\n{\nto "/dev/null"\n}\n': [],
    "exit\n": [],
    'to "!z@example.com w@example.com"\n': [Sending(SENDER, (b"z@example.com", b"w@example.com"), MAIL)],
    'cc "!z@example.com"\n': [Sending(SENDER, (b"z@example.com",), MAIL, copy=True), PASSED],
    'SENDER="new@example.com"\n': [Sending(b"new@example.com", None, MAIL)],
    "xfilter \"sed 's/^body/Body/'\"\n": [Sending(SENDER, None, MAIL.replace(b"\nbody", b"\nBody"))],
    'xfilter "cat"\n': [PASSED],
    'cc "|cat > /dev/null"\n': [PASSED],
    'exception {\nto "! not-<an>-address"\n}\n': [PASSED],
}


@pytest.mark.parametrize("text", FILTER_FILES)
def test_a_filter_file_passes_on(text: str, tmp_path: Path) -> None:
    """The same in maildrop's language."""
    found = decide(tmp_path, text, maildrop=True)
    assert list(found.sendings) == FILTER_FILES[text]
    assert found.kind is (Kind.PASSED if FILTER_FILES[text] else Kind.DISCARDED)
    assert [path.name for path in tmp_path.iterdir()] == ["rules"]


REFUSALS = {
    (75, b""): b"451 4.3.0 Exit status 75",
    (67, b""): b"550 5.1.1 Exit status 67",
    (77, b"not you"): b"550 5.7.1 not you",
    (1, b"550 5.7.1 no such\nthing \xff"): b"550 5.7.1 no such thing ?",
    (77, b"451 4.7.1 later"): b"451 4.7.1 later",
    (77, b"551 moved"): b"551 5.7.1 moved",
    (77, b"554"): b"554 5.7.1 Exit status 77",
    (77, b"250 2.0.0 fine"): b"550 5.7.1 250 2.0.0 fine",
    (200, b""): b"451 4.3.0 Exit status 200",
    (99, b""): b"554 5.3.0 Exit status 99",
}


@pytest.mark.parametrize(("status", "reply"), REFUSALS)
def test_replies(status: int, reply: bytes) -> None:
    """EXITCODE and REPLY make the reply."""
    assert reply_for(status, reply) == REFUSALS[status, reply]


@pytest.mark.parametrize("maildrop", [False, True])
def test_a_refusal(maildrop: bool, tmp_path: Path) -> None:
    """EXITCODE refuses, and takes back a copy that was sent before."""
    copy = 'cc "!z@example.com"\n' if maildrop else ":0 c\n! z@example.com\n"
    found = decide(tmp_path, copy + 'EXITCODE="77"\nREPLY="550 5.7.1 no"\n', maildrop=maildrop)
    assert (found.kind, found.reply, found.sendings) == (Kind.REFUSED, b"550 5.7.1 no", ())


def test_trap_decides(tmp_path: Path) -> None:
    """The status of TRAP is the rules' word, too."""
    found = decide(tmp_path, "EXITCODE=\nTRAP='true; exit 77'\n")
    assert (found.kind, found.reply) == (Kind.REFUSED, b"550 5.7.1 Exit status 77")


@pytest.mark.parametrize("maildrop", [False, True])
def test_quarantine_and_folders(maildrop: bool, tmp_path: Path) -> None:
    """A quarantine has its reason; any other folder is a fault, and the mail goes on; nothing is written there."""

    def to(folder: str, *, copy: bool = False) -> str:
        if maildrop:
            return f'{"cc" if copy else "to"} "{folder}"\n'
        return f":0{' c' if copy else ''}\n{folder}\n"

    held = decide(tmp_path, to("quarantine:looks-bad"), maildrop=maildrop)
    assert (held.kind, held.reason, held.sendings) == (Kind.QUARANTINED, b"looks-bad", (PASSED,))
    program = decide(tmp_path, to("|cat > /dev/null"), maildrop=maildrop)
    assert (program.kind, program.sendings, program.faults) == (Kind.DISCARDED, (), ())
    for copy in (False, True):
        stray = decide(tmp_path, to(f"{tmp_path}/box/", copy=copy), maildrop=maildrop)
        assert (stray.kind, stray.sendings) == (Kind.PASSED, (PASSED,))
        assert [b"/box/" in fault for fault in stray.faults] == [True]
    assert [path.name for path in tmp_path.iterdir()] == ["rules"]


def test_an_address_that_is_none_falls_through(tmp_path: Path) -> None:
    """`!` that names nobody is not taken for a delivery: the next recipe has the mail."""
    for line in ("! -t", "! a<b", '! "-oi"'):
        found = decide(tmp_path, f":0\n{line}\n")
        assert (found.kind, found.sendings) == (Kind.PASSED, (PASSED,)), line
        assert len(found.faults) == 1


def test_a_clone_leaves_the_rest_alone(tmp_path: Path) -> None:
    """The folder and the umask of a clone are its own."""
    (tmp_path / "sub").mkdir()
    found = decide(tmp_path, ":0 c\n{\nUMASK=0\nMAILDIR=sub\n:0\n/dev/null\n}\n:0\n* ? touch here\n{ }\n")
    assert found.kind is Kind.PASSED
    assert (tmp_path / "here").stat().st_mode & 0o777 == 0o600


def test_rules_that_are_given_up_have_failed(tmp_path: Path) -> None:
    """A start line that is longer than LINEBUF once it is expanded."""
    found = decide(tmp_path, "A=" + "x" * 100 + "\nLINEBUF=128\n:0 $A$A\n* ^Subject\n/dev/null\n")
    assert found.kind is Kind.FAILED


@pytest.mark.parametrize("maildrop", [False, True])
@pytest.mark.parametrize("text", ["a@b> RET=FULL", "a b", "a@b\tc", "<a@b>,<c@d>"])
def test_a_sender_that_is_no_address(text: str, maildrop: bool, tmp_path: Path) -> None:
    """Rules that take a sender from the mail cannot put commands into the dialogue with the next server."""
    found = decide(tmp_path, f'SENDER="{text}"\n', maildrop=maildrop)
    assert [(sending.sender, sending.recipients) for sending in found.sendings] == [(SENDER, None)]
    assert len(found.faults) == 1


def test_the_envelope_is_no_program_text(tmp_path: Path) -> None:
    """What a stranger says in the envelope is a value, whatever is in it."""
    rules = rules_of(
        tmp_path, ":0\n* SENDER ?? `\n* RECIPIENTS ?? ^..touch\n* CLIENT ?? ^\\$\\(touch\n{ EXITCODE=77 }\n"
    )
    found = rules.decide(Question(b"`touch made`", [b"$(touch made)"], MAIL, {b"CLIENT": b"$(touch made)"}))
    assert found.kind is Kind.REFUSED
    assert not (tmp_path / "made").exists()
    # A condition that is expanded does not become a program by what a stranger says.
    expanding = rules_of(tmp_path, ":0\n* $ $CLIENT\n{ EXITCODE=77 }\n")
    expanding.decide(Question(b"", [b"x"], MAIL, {b"CLIENT": b"? touch made"}))
    assert not (tmp_path / "made").exists()
    rules = rules_of(tmp_path, "X=y\n")
    again = rules.decide(Question(b"", [b"x"], MAIL))
    assert again.sendings == (Sending(b"", None, MAIL),)


@pytest.mark.parametrize("maildrop", [False, True])
def test_what_fails(maildrop: bool, tmp_path: Path) -> None:
    """Rules that are not there have failed, and --on-error says what that is."""
    rules = rules_of(tmp_path, "", maildrop=maildrop)
    (tmp_path / "rules").unlink()
    failed = rules.decide(Question(SENDER, [b"x"], MAIL))
    assert (failed.kind, failed.sendings) == (Kind.FAILED, ())
    assert failed.reason
    passed = after_error(failed, OnError.ACCEPT, PASSED)
    assert (passed.kind, passed.sendings) == (Kind.PASSED, (PASSED,))
    assert after_error(failed, OnError.TEMPFAIL, PASSED).reply == b"451 4.3.0 The rules failed"
    assert after_error(failed, OnError.REJECT, PASSED).reply == b"554 5.3.0 The rules failed"
    assert after_error(passed, OnError.REJECT, PASSED) is passed


@pytest.mark.parametrize("maildrop", [False, True])
@pytest.mark.parametrize(
    "mail", [b"", b"\n", b"\nbody", b"Subject: x\n", b"Subject: x\n\n", MAIL + b"\n\n", b"\xff\n\n\r\0"]
)
def test_bytes_stay(mail: bytes, maildrop: bool, tmp_path: Path) -> None:
    """A mail that rules leave alone is the same bytes afterwards."""
    found = decide(tmp_path, "X=y\n" if not maildrop else 'X="y"\n', maildrop=maildrop, mail=mail)
    assert found.sendings == (Sending(SENDER, None, mail),)
