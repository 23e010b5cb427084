"""Decoded areas: what a mail says to its reader, and rules over it.

tests/cases/decoded has mails, and beside each the areas that it has; `--update-cases` writes these anew.
"""

from __future__ import annotations

import lzma
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT
from decoded import differences, messages
from hypothesis import given
from hypothesis import strategies as st

from pyprocmail.maildrop import areas as maildrop_areas
from pyprocmail.message import charsets, html_text, parameters, structure, transfer, words
from pyprocmail.message.decoded import AREAS, Decoded
from pyprocmail.message.model import Message
from pyprocmail.procmail import areas

CASES = sorted((ROOT / "tests" / "cases" / "decoded").glob("*.eml"))
TRUSTED = (b"mx.example.net",)


def read(mail: bytes, said: list[str] | None = None) -> Decoded:
    """The areas of a mail."""
    return Decoded(mail, Message(mail).split, TRUSTED, (said if said is not None else []).append)


def shown(mail: bytes) -> str:
    """All areas of a mail, as the expectations have them."""
    decoded = read(mail)
    return "\n".join(f"== {name.decode()}\n{decoded.text(name).decode()}" for name in AREAS)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_areas(path: Path, update_cases: bool) -> None:
    """Every area of the mails of cases/decoded."""
    found = shown(path.read_bytes())
    expected = path.with_suffix(".areas")
    if update_cases:
        expected.write_text(found)
    assert found == expected.read_text()


def test_the_names_are_the_same() -> None:
    """Those that rules may search are those that are made."""
    assert tuple(AREAS) == areas.DECODED


# -- beside the standard library -----------------------------------------------------------------


@pytest.mark.parametrize("path", ["examples/inbox.mbox", "tests/corpus/more.mbox.xz"])
def test_real_mail_is_what_email_makes_of_it(path: str) -> None:
    """Fields, structure and decoded bodies of 300 real mails."""
    data = (ROOT / path).read_bytes()
    mails = list(messages(lzma.decompress(data) if path.endswith(".xz") else data))
    assert len(mails) > 90
    assert [found for mail in mails for found in differences(mail)] == []


BOUNDARIES = st.sampled_from([b"b", b"bb", b"b--", b"c"])
LINES = st.sampled_from(
    [
        b"--b", b"--b--", b"--bb", b"--c", b"--c--", b"", b"x", b"Content-Type: text/plain", b"--", b"--b ",
        b"Content-Type: multipart/mixed; boundary=b", b"Content-Type: multipart/mixed; boundary=c",
        b"Content-Type: message/rfc822", b" boundary=bb", b"Content-Transfer-Encoding: base64", b"QUJD", b"Q", b"=41=",
    ]
)  # fmt: skip


@given(st.lists(LINES, max_size=30), st.booleans())
def test_whatever_the_structure(lines: list[bytes], carriage: bool) -> None:
    """Any lines: the parts lie in one another and none overlaps; nothing raises."""
    mail = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"\n".join(lines)
    mail = mail.replace(b"\n", b"\r\n") if carriage else mail
    root = structure.parse(mail, Message(mail).split).root
    for part in root.walk():
        assert 0 <= part.begin <= part.start <= part.end <= len(mail)
        at = part.start
        for child in part.children:
            assert at <= child.begin
            assert child.end <= part.end
            at = child.end
    shown(mail)


@given(st.binary(max_size=200))
def test_whatever_the_bytes(data: bytes) -> None:
    """No bytes make anything raise, and every area is UTF-8."""
    shown(data)
    transfer.decode(data, b"x-uuencode")
    words.decode(b"=?utf-8?q?" + data + b"?= =?" + data)
    parameters.parameters(b"x; " + data)
    html_text.text_of(data.decode("latin-1"))
    for name in (b"utf-7", b"hz", b"iso-2022-kr", b"punycode", b"rot13", b"zlib", data[:20]):
        charsets.decode(data, name)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a<br>b", "a\nb"),
        ("1 < 2 &amp;&lt; 3&nbsp;&euro; &#x41;&#66; &#150; &nothing; &#0;", "1 < 2 &< 3 € AB \u2013 &nothing;"),
        ("<a title='>' href='x'>y</a>", "y\n<x>"),
        ("<a href=x y", "<x>"),
        ("<script>if (a<b) c</SCRIPT>d", "d"),
        ("<style>x", ""),
        ("<!-- > -->a<!--b", "a"),
        ("<p>one</p>\n\n <p> two</p>", "one\ntwo"),
        ("<td>a</td><td>b</td>", "a b"),
        ('<a "b>c" <i>d', "d"),
        ("x" * 10 + "<" * 10, "x" * 10 + "<" * 10),
    ],
)
def test_html(html: str, text: str) -> None:
    """What people read of it."""
    assert html_text.text_of(html).strip() == text.strip()


# -- bounds ------------------------------------------------------------------------------------


def test_no_more_parts_than_there_may_be() -> None:
    """What is beyond a bound is left out, and that is said."""
    said: list[str] = []
    mail = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * (structure.MOST_PARTS + 5)
    assert read(mail, said).text(b"MIME_TEXT").count(b"x") == structure.MOST_PARTS - 1
    assert said == ["parts after 10000"]


def test_no_deeper_than_it_may_be() -> None:
    """A thousand levels are read, and no more; the innermost is text as it stands."""
    for depth, expected in ((990, []), (1010, ["parts that are nested deeper than 1000"])):
        said: list[str] = []
        levels = b"".join(b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (n, n + 1) for n in range(depth))
        mail = b"Content-Type: multipart/mixed; boundary=b0\n\n" + levels + b"--b%d\n\nfound\n" % depth
        assert b"found\n" in read(mail, said).text(b"MIME_TEXT")
        assert said == expected


def test_no_more_text_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is left out, at the beginning of a letter."""
    monkeypatch.setattr("pyprocmail.message.decoded.TEXT_BYTES", 7)
    said: list[str] = []
    mail = "Content-Type: text/plain; charset=utf-8\n\näöüä\n".encode()
    assert read(mail, said).text(b"MIME_TEXT").decode() == "äöü\n"
    assert said == ["text after 7 bytes"]


# -- in rules ----------------------------------------------------------------------------------

MAIL = (
    b"From a@b Thu Jan  1 00:00:00 2026\nFrom: =?utf-8?Q?J=C3=BCrgen?= <j@x.example>\nTo: me@y.example\n"
    b"Subject: =?utf-8?B?R3LDvMOfZSBhdXMgS8O2bG4=?=\nList-Id: <dev.x.example>\n"
    b"Authentication-Results: mx.y.example; spf=pass smtp.mailfrom=x.example\nMIME-Version: 1.0\n"
    b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
    b"w5xiZXJyYXNjaHVuZyDDvGJlcmFsbAo=\n\n"
)

Run = Callable[..., tuple[list[str], str]]


@pytest.fixture
def run(launchers: Path, tmp_path: Path) -> Run:
    """Run rules on MAIL; the folders that were made, and what was logged."""

    def run(
        rules: str, *, mail: bytes = MAIL, options: tuple[str, ...] = (), name: str = "procmail"
    ) -> tuple[list[str], str]:
        (tmp_path / "rc").write_text(f"MAILDIR={tmp_path}/f\nDEFAULT=rest\nSHELL=/bin/sh\n{rules}", encoding="utf-8")
        (tmp_path / "f").mkdir(exist_ok=True)
        done = subprocess.run(
            [launchers / name, *options, "-m", tmp_path / "rc"],
            input=mail,
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return sorted(path.name for path in (tmp_path / "f").iterdir()), done.stderr.decode()

    return run


@pytest.mark.parametrize(
    "condition",
    [
        "MIME_HEADER ?? ^Subject: GRÜSSE|^subject: grÜße aus köln$",
        "MIME_HEADER ?? ^From: jÜrgen <",
        "MIME_TEXT ?? überraschung ÜBER",
        "MIME_TEXT ?? < 40",
        "! MIME_TEXT ?? w5xi",
        "FROM_ADDRESS ?? ^^j@x\\.example$",
        "TO_ADDRESSES ?? ^me@",
        "LIST_ID ?? ^dev\\.x\\.example$",
        "! ATTACHMENTS ?? .",
        "MIME_TEXT ?? ? grep -q Überraschung",
        "-1^0\n* 1^1 MIME_TEXT ?? ü",
        "AUTH_RESULTS ?? ^spf=pass ",
    ],
)
def test_conditions(run: Run, condition: str) -> None:
    """Patterns, sizes, programs and scores on decoded areas."""
    assert run(f"AUTHSERV_ID='other.example mx.y.example'\n:0\n* {condition}\nhit\n")[0] == ["hit"]


def test_results_of_a_stranger_do_not_count(run: Run) -> None:
    """Only a server that the rcfile names."""
    assert run(":0\n* AUTH_RESULTS ?? .\nhit\n")[0] == ["rest"]


def test_match(run: Run) -> None:
    """MATCH is whole letters, and is not expanded."""
    rules = ':0\n* MIME_HEADER ?? ^Subject: \\/[^ ]+.aus K.\n{ LOG="<$MATCH>" }\n'
    assert "<Grüße aus Kö>" in run(rules)[1]


def test_a_variable_of_that_name_is_one(run: Run) -> None:
    """Whoever has assigned one in an old rcfile gets what procmail gives."""
    assert run("FROM_ADDRESS=somebody\n:0\n* FROM_ADDRESS ?? ^^somebody^^\nhit\n")[0] == ["hit"]


def test_strictly_they_are_not_there(run: Run) -> None:
    """PYPROCMAIL_STRICT=yes is procmail, to which they are unset variables."""
    rules = ":0\n* ! MIME_HEADER ?? .\nhit\n"
    assert run("PYPROCMAIL_STRICT=yes\n" + rules)[0] == ["hit"]


def test_no_variable_has_them(run: Run) -> None:
    """A stranger's text does not get into commands by their names."""
    assert "<>" in run('LOG="<$MIME_TEXT$FROM_ADDRESS>"\n')[1]


@pytest.mark.usefixtures("reference")
def test_procmail_reads_the_same_file(reference: Path, tmp_path: Path) -> None:
    """The real program takes such conditions for variables without a value, and complains of nothing."""
    names = [name.decode() for name in areas.DECODED]
    (tmp_path / "rc").write_text(
        f"MAILDIR={tmp_path}\nDEFAULT=rest\n" + "".join(f":0\n* {name} ?? .\nhit\n" for name in names)
    )
    done = subprocess.run([reference / "procmail", "-m", tmp_path / "rc"], input=MAIL, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "rest").exists()


def test_after_a_filter_the_areas_are_those_of_the_new_mail(run: Run) -> None:
    """And the flags that say what a filter gets change nothing."""
    rules = ":0\n* MIME_TEXT ?? ü\n{\n:0 fbw\n| echo plain\n:0\n* ! MIME_TEXT ?? ü\nhit\n}\n"
    assert run(rules)[0] == ["hit"]


def test_what_is_not_searched_is_logged(run: Run) -> None:
    """Once a mail."""
    mail = b"From a@b Thu Jan  1 00:00:00 2026\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 10_010
    rules = ":0\n* MIME_TEXT ?? q\nhit\n:0\n* ATTACHMENTS ?? q\nhit\n"
    assert run(rules, mail=mail)[1].count("procmail: Not searched: parts after 10000") == 1


@pytest.mark.slow
def test_many_recipes_at_once(launchers: Path, tmp_path: Path) -> None:
    """The prefilter and -j find what each recipe finds alone."""
    chosen = ["Re:", "ü", "razor", "linux", "^Subject:.*\\[.*\\]", "free", "[^ -~]", "spam\\/.", "^From:.*@", "perl"]
    lines = []
    for number in range(60):
        area = areas.DECODED[number % 6].decode()
        lines.append(
            f":0 c\n* {area} ?? {chosen[number % 10]}\nfolder{number}\nX=$MATCH\n:0\n* {area} ?? zzz{number}\nno\n"
        )
    found = []
    for verbose, options in (("yes", ()), ("no", ()), ("no", ("-j", "2"))):
        folders = tmp_path / (verbose + str(len(options)))
        folders.mkdir()
        (tmp_path / "rc").write_text(
            f"MAILDIR={folders}\nDEFAULT=rest\nLOGFILE=/dev/null\nVERBOSE={verbose}\n" + "".join(lines),
            encoding="utf-8",
        )
        with (ROOT / "examples" / "inbox.mbox").open("rb") as stdin:
            subprocess.run(
                [launchers / "pyprocmail", *options, "-m", tmp_path / "rc"],
                stdin=stdin,
                check=True,
                capture_output=True,
            )
        found.append({path.name: path.read_bytes() for path in folders.iterdir()})
    assert len(found[0]) > 10
    assert found[0] == found[1]
    assert found[0] == found[2]


# -- in filter files ---------------------------------------------------------------------------


def filtered(launchers: Path, tmp_path: Path, text: str) -> tuple[list[str], str]:
    """Run a filter file on MAIL; the folders that were made, and what it said."""
    (tmp_path / "rules").write_text(text, encoding="utf-8")
    (tmp_path / "rules").chmod(0o600)
    done = subprocess.run(
        [launchers / "maildrop", "./rules"], input=MAIL, capture_output=True, check=False, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return sorted(path.name for path in tmp_path.iterdir() if path.name != "rules"), done.stderr.decode()


@pytest.mark.parametrize(
    "condition",
    [
        "$MIME_HEADER =~ /^subject: grüße AUS köln$/",
        "$MIME_TEXT =~ /^ÜBERRASCHUNG/",
        "!($MIME_TEXT =~ /w5xi/)",
        "$FROM_ADDRESS =~ /^j@x.example$/",
        "$LIST_ID =~ /^dev\\./",
        "$AUTH_RESULTS =~ /^spf=pass/",
        "$MIME_TEXT =~ /über/:D,1,1",
        '"<$MIME_TEXT>" eq "<>"',
    ],
)
def test_conditions_of_filter_files(launchers: Path, tmp_path: Path, condition: str) -> None:
    """The areas stand on the left of `=~`, and nowhere else."""
    rules = f'AUTHSERV_ID="mx.y.example"\nif ({condition})\n{{\n to "./hit"\n}}\nto "./rest"\n'
    assert filtered(launchers, tmp_path, rules)[0] == ["hit"]


def test_foreach_of_an_area(launchers: Path, tmp_path: Path) -> None:
    """Each line in which the pattern matches; a variable of that name hides the area."""
    rules = 'foreach $MIME_HEADER =~ /^[a-z]+: .*[üö].*/\n{\n echo "<$MATCH>"\n}\n'
    rules += 'FROM_ADDRESS="x"\nif ($FROM_ADDRESS =~ /^x$/)\n echo "hidden"\nto "./rest"\n'
    said = filtered(launchers, tmp_path, rules.replace("echo", "log"))
    (tmp_path / "rest").unlink()
    assert said[0] == ["rest"]
    found = filtered(launchers, tmp_path, 'logfile "./log"\n' + rules.replace("echo", "log"))
    assert found[0] == ["log", "rest"]
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "<From: Jürgen <j@x.example>>\n<Subject: Grüße aus Köln>\nhidden\n" in log


def test_the_names_are_the_same_in_filter_files() -> None:
    """Both languages know the same areas."""
    assert tuple(AREAS) == maildrop_areas.NAMES
