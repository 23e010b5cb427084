"""`pyprocmail fmt`: one layout for rcfiles and filter files, which never changes what they mean."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from check_cases import ROOT, WILD
from hypothesis import given, settings
from hypothesis import strategies as st

from pyprocmail.maildrop.syntax import layout as maildrop_layout
from pyprocmail.maildrop.syntax.parse import parse as parse_filter
from pyprocmail.offline.listing import summary
from pyprocmail.offline.replay import Summary, outcomes
from pyprocmail.offline.rules import Setup
from pyprocmail.procmail.syntax import layout as procmail_layout

RCFILES = [
    *sorted(WILD.glob("*.rc")),
    *sorted((ROOT / "examples").glob("*.rc")),
    *sorted((ROOT / "tests" / "cases").rglob("*.rc")),
]
FILTERS = [*sorted(ROOT.rglob("examples/**/*mailfilter")), *sorted((ROOT / "tests" / "cases").rglob("*mailfilter"))]


def without_blanks(data: bytes) -> bytes:
    return re.sub(rb"[\s]+", b"", data)


def check_laws(arranged: Callable[[bytes], bytes], data: bytes) -> None:
    """Nothing but blanks changes, and nothing the second time."""
    once = arranged(data)
    assert without_blanks(once) == without_blanks(data)
    assert arranged(once) == once


@pytest.mark.parametrize("path", RCFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rcfiles(path: Path) -> None:
    check_laws(procmail_layout.arranged, path.read_bytes())


@pytest.mark.parametrize("path", [path for path in FILTERS if path.is_file()], ids=lambda path: str(path)[-40:])
def test_filter_files(path: Path) -> None:
    check_laws(maildrop_layout.arranged, path.read_bytes())


RC_LINES = st.sampled_from(
    [
        ":0", ":0 fhw", ":0E:", "  :0 c : x.lock  ", ":", ":2", ":0 $F", "* ^From:.*a", "*  ! ^To: b \\", "* 10^1   x",
        "{", "}", "\t{ A=b }", "{ :0", "inbox ", "a/ b/ # c", "| cat  ", "!  a@b", "A = 1  B=2", "A=\"x", "y\"  # z",
        "# comment  ", "", "", "   ", "X=| date", "A=`echo \\", "`", "junk text", "\\", "A", "a\\", "'", "${", "}#",
        "#",
    ]
)  # fmt: skip
FILTER_LINES = st.sampled_from(
    [
        "if (/^From:.*a/)", "{", "}", "else", "to \"x/\"", "  A=\"b\"", "# comment ", "", "   ", "echo \"a\\", "  b\"",
        "foreach /x/", "exception {", "cc 'y'", "A=1; B=2", "while ($A < 3) \\", "xfilter \"cat\"", "`date`",
        "{ exit; }",
    ]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(RC_LINES, max_size=12).map(lambda lines: "\n".join(lines).encode()) | st.binary(max_size=60))
def test_random_rcfiles(data: bytes) -> None:
    check_laws(procmail_layout.arranged, data)


@settings(max_examples=300, deadline=None)
@given(st.lists(FILTER_LINES, max_size=12).map("\n".join))
def test_random_filter_files(text: str) -> None:
    check_laws(maildrop_layout.arranged, text.encode())


def test_what_it_looks_like() -> None:
    """The canonical layout, both languages; what has a fault stays as it is."""
    rough = (
        b"\n\nA = b   # why\n\n\n\n\n:0fw : a.lock\n*   ! ^X:\n*  5^1 y\n{\n\n:0\n\tx/   # here\n:0\n{ B = c }\n }\n\n"
    )
    assert procmail_layout.arranged(rough) == (
        b"A=b   # why\n\n\n:0 fw: a.lock\n* ! ^X:\n*  5^1 y\n{\n    :0\n    x/   # here\n    :0\n    { B=c }\n}\n"
    )
    rough = b'if (/^A:/)\n{\nto "x"\n  # c \n}\n\n\n\n\nB="c" \\\n"d"\n'
    assert maildrop_layout.arranged(rough) == (b'if (/^A:/)\n{\n    to "x"\n    # c\n}\n\n\nB="c" \\\n    "d"\n')
    rough = b'if (/a/)\ncc "a"\nelse\n cc "b"\nif (/q/)\n if (/b/)\n{\ncc "c"\n}\nelse\ncc "d"\nto "x"\n'
    assert maildrop_layout.arranged(rough) == (
        b'if (/a/)\n    cc "a"\nelse\n    cc "b"\n'
        b'if (/q/)\n    if (/b/)\n    {\n        cc "c"\n    }\n    else\n        cc "d"\nto "x"\n'
    )
    # To maildrop nothing belongs to this `else`, so nothing is indented.
    assert maildrop_layout.arranged(b'if (/a/)\ncc "a"\nelse\n# c\ncc "b"\n') == (
        b'if (/a/)\n    cc "a"\nelse\n# c\ncc "b"\n'
    )
    faulty = b"if (/^A:/) {\n to x }\n"
    assert parse_filter(faulty)[1]
    assert maildrop_layout.arranged(faulty) == faulty


@pytest.mark.slow
def test_no_mail_goes_elsewhere(tmp_path: Path) -> None:
    """replay says the same of the file as it was and as it is laid out."""
    changed = 0
    for path in sorted(WILD.glob("*.rc"))[::2]:
        text = procmail_layout.arranged(path.read_bytes())
        if text != path.read_bytes():
            changed += 1
            fixed = tmp_path / path.name
            fixed.write_bytes(text)
            said = []
            for rcfile in (path, fixed):
                found = Summary()
                mails = (str(ROOT / "examples" / "inbox.mbox"),)
                for outcome in outcomes(Setup(str(rcfile), "", str(WILD / "home")), mails):
                    found.add(outcome)
                said.append(list(summary(found)))
            assert said[0] == said[1], path
    assert changed >= 10


def test_command(launchers: Path, tmp_path: Path) -> None:
    """--check and --diff tell and change nothing; without them the file is replaced; `-` goes to standard output."""
    rcfile = tmp_path / "a.rc"
    rcfile.write_bytes(b":0c\nx/\n")

    def fmt(*arguments: str, stdin: str = "") -> tuple[int, str]:
        done = subprocess.run(
            [launchers / "pyprocmail", "fmt", *arguments],
            cwd=tmp_path, env=os.environ, input=stdin, text=True, capture_output=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    assert fmt("--check", "a.rc") == (1, "a.rc\n")
    assert "+:0 c\n" in fmt("--diff", "a.rc")[1]
    assert rcfile.read_bytes() == b":0c\nx/\n"
    assert fmt("a.rc") == (0, "")
    assert rcfile.read_bytes() == b":0 c\nx/\n"
    assert fmt("--check", "a.rc") == (0, "")
    assert fmt("-", stdin=":0c\nx/\n") == (0, ":0 c\nx/\n")
    assert fmt("none.rc")[0] == 2
