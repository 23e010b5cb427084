"""`pyprocmail check`: every code both ways, the rcfiles that people publish, and what mends."""

import json
import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import check_cases
import pytest
from check_cases import CASES, ROOT, WILD, Pat, found_in
from hypothesis import given, settings
from hypothesis import strategies as st

from pyprocmail.diagnostics import Severity, render
from pyprocmail.lint import around, formats
from pyprocmail.lint.finding import Check, Found
from pyprocmail.lint.mailfilter.view import FilterView
from pyprocmail.lint.mend import mended
from pyprocmail.lint.registry import BY_CODE, CHECKS, SYNTAX
from pyprocmail.lint.run import Selection, check_rcfile
from pyprocmail.lint.view import View
from pyprocmail.offline.listing import summary
from pyprocmail.offline.replay import Summary, outcomes
from pyprocmail.offline.rules import Setup

FOLDERS = sorted(CASES.glob("[MP][0-9]*"))
WILD_FILES = sorted(WILD.glob("*.rc"))


def shown(found: Sequence[Found]) -> str:
    return "".join(render(one.diagnostic, one.source) for one in found)


def compare(path: Path, text: str, *, update: bool) -> None:
    if update:
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_both_ways(folder: Path, update_cases: bool) -> None:
    """bad.rc has the finding, rendered as expected; its twin good.rc has none at all."""
    (bad,), (good,) = folder.glob("bad.*"), folder.glob("good.*")
    found = found_in(bad.name, bad.read_bytes())
    assert folder.name in {one.diagnostic.code for one in found}
    compare(folder / "expected.txt", shown(found), update=update_cases)
    assert shown(found_in(good.name, good.read_bytes())) == ""


def test_each_code_has_its_folder() -> None:
    """P806 is about the modes of files, which a repository does not keep; it has its own test."""
    assert {folder.name for folder in FOLDERS} == set(BY_CODE) | set(SYNTAX) - {"P806"}


@pytest.mark.parametrize("check", BY_CODE.values(), ids=lambda check: check.code)
def test_docstrings_tell_the_truth(check: Check[View] | Check[FilterView]) -> None:
    """The example has the finding, and what is to be written instead has none."""
    example, instead = (check.snippet(title).encode() for title in ("Example", "Instead"))
    name = "mailfilter" if check.code.startswith("M") else "rc"
    assert check.code in {one.diagnostic.code for one in found_in(name, example)}
    assert shown(found_in(name, instead)) == ""


OTHERS = [(title, row) for title, rows in check_cases.others().items() for row in rows]


@pytest.mark.parametrize(("title", "row"), OTHERS, ids=lambda value: value["id"] if isinstance(value, dict) else "")
def test_lists_of_other_checkers(title: str, row: dict[str, str]) -> None:
    """What docs/CHECKS.md says of each check of theirs: these codes find it here, or nothing does."""
    wanted = {code for code in row.get("codes", "").split(", ") if code}
    assert wanted or row["why"], title
    if "example" in row:
        found = {one.diagnostic.code for one in found_in("x.rc", row["example"].lstrip("\n").encode())}
        assert wanted <= found
        assert wanted or not found


def test_lists_of_other_checkers_are_whole() -> None:
    assert [row["id"] for title, row in OTHERS if title.startswith("tiny")] == [f"T{number}" for number in range(1, 69)]


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("**/*.rc")), ids=lambda path: path.name)
def test_no_false_alarm_on_examples(path: Path) -> None:
    assert shown(found_in(path.name, path.read_bytes())) == ""


@pytest.mark.parametrize(("name", "data"), check_cases.good_filters(), ids=lambda value: str(value)[-30:])
def test_no_false_alarm_on_filter_files(name: str, data: bytes) -> None:
    """examples/, and filter files in the styles that people publish."""
    assert shown(found_in(name, data)) == ""


def test_wild_rcfiles(update_cases: bool) -> None:
    """What is found in the rcfiles of tests/wild; each of these was read, and is right."""
    found = [one for path in WILD_FILES for one in found_in(path.name, path.read_bytes())]
    compare(CASES / "wild.txt", formats.concise(found), update=update_cases)


@pytest.mark.parametrize("path", [*WILD_FILES, *sorted(CASES.glob("*/bad.rc"))], ids=lambda path: str(path)[-25:])
def test_mended_is_clean(path: Path) -> None:
    """After --fix nothing is left that --fix mends, nothing new is found, and a second run changes nothing."""

    def check(text: bytes) -> list[Found]:
        return found_in(path.name, text)

    for unsafe in (False, True):
        data = path.read_bytes()
        text, count = mended(data, check, unsafe=unsafe)
        assert bool(count) == (text != data)
        assert not [one for one in check(text) if one.edits and (one.safe or unsafe)]
        assert {one.diagnostic.code for one in check(text)} <= {one.diagnostic.code for one in check(data)}
        assert mended(text, check, unsafe=unsafe) == (text, 0)


@pytest.mark.slow
def test_fix_changes_no_outcome(tmp_path: Path) -> None:
    """What replay says of the example mails is the same for a file and the mended file."""
    changed = 0
    for path in WILD_FILES:
        text, count = mended(path.read_bytes(), lambda text: found_in("x.rc", text), unsafe=False)
        if count:
            changed += 1
            home = str(WILD / "home")
            fixed = tmp_path / path.name
            fixed.write_bytes(text)
            said = []
            for rcfile in (path, fixed):
                found = Summary()
                for outcome in outcomes(Setup(str(rcfile), "", home), (str(ROOT / "examples" / "inbox.mbox"),)):
                    found.add(outcome)
                said.append([re.sub(str(tmp_path), "", line) for line in summary(found)])
            assert said[0] == said[1], path
    assert changed >= 5


STARTS = [":0 f", ":0 fh", ":0", ":0:", ":0 c", ":0 c:", ":0 B", ":0 fw:", ":0 W", ":0 E", ":0 A: a.lock", ":0 D:"]
TESTS = ["* ^Subject:.*", "* ^(To|Cc):.*debian.*", "* ! ^List-Id:.*", "* < 5000", "* B ?? the.*", "* ^Subject:.*a.*"]
ACTIONS = ["folder", "dir/", "mh/.", "/dev/null", "| sed -e s/a/b/", "| cat >> all", "WHEN=| date", "! me@x.example"]


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(STARTS),
            st.lists(st.sampled_from(TESTS), max_size=2),
            st.sampled_from(ACTIONS),
            st.booleans(),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_fix_never_changes_an_outcome(
    tmp_path_factory: pytest.TempPathFactory, recipes: list[tuple[str, list[str], str, bool]]
) -> None:
    """With rcfiles at random, each mail of tests/wild has the same fates before and after --fix, which mends all."""
    lines = ["MAILDIR=$HOME/Mail"]
    for start, conditions, action, block in recipes:
        inner = ["{", ":0", "inner", ":0 fw", "| cat", "}"] if block and "f" not in start else [action]
        lines += [start, *conditions, *inner]
    data = "".join(line + "\n" for line in lines).encode()
    text, count = mended(data, lambda text: found_in("x.rc", text), unsafe=False)
    assert not [one for one in found_in("x.rc", text) if one.edits and one.safe]
    if count:
        rcfile = tmp_path_factory.mktemp("fix") / "x.rc"
        mails = tuple(str(path) for path in sorted((WILD / "mails").glob("*.eml")))
        fates = []
        for version in (data, text):
            rcfile.write_bytes(version)
            done = outcomes(Setup(str(rcfile), "", str(WILD / "home")), mails)
            fates.append([([replace(fate, conditions=()) for fate in one.fates], one.falls_through) for one in done])
        assert len(fates[0]) == len(mails)
        assert fates[0] == fates[1]


def test_planted_faults_are_found() -> None:
    """Nine in ten of the faults, and some of each kind."""
    for counts, wanted in (
        (check_cases.planted(), check_cases.PLANTED),
        (check_cases.planted_in_filters(), check_cases.PLANTED_IN_FILTERS),
    ):
        total, hits = (sum(column) for column in zip(*counts.values(), strict=True))
        assert total == wanted
        assert hits >= total * 0.9, counts
        assert all(found for _, found in counts.values()), counts


def test_documents_are_up_to_date() -> None:
    """docs/CHECKS.md and the manual page are what the docstrings say: `make checks`.

    How many planted faults are found may differ by a few: it changes with every file of examples/.
    """
    there, made = (re.sub(r"\| [0-9]+ \| [0-9]+ \|", "| |", text) for text in (
        check_cases.DOCUMENT.read_text(), check_cases.document()
    ))  # fmt: skip
    assert there == made
    assert check_cases.PAGE.read_text() == check_cases.page()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.text(":0fwhc \n*^$TO_{}|!\\/\"'`[]()=AB.?>#", max_size=200).map(str.encode))
def test_no_text_breaks_a_check(data: bytes) -> None:
    check_rcfile("x", data, Pat(), Selection())


def test_comments_silence() -> None:
    """On the line itself, before the statement, inside the recipe; only their codes; never what follows."""
    lock = b"# pyprocmail: ignore[P301] so it is\n"

    def codes(data: bytes) -> list[str]:
        return [one.diagnostic.code for one in found_in("x", data)]

    assert codes(lock + b":0\na\n") == []
    assert codes(lock + b"\n:0\na\n") == []
    assert codes(lock + b":0\na\n:0\nb\n") == ["P301"]
    assert codes(b"# pyprocmail: ignore[P302]\n:0\na\n") == ["P001", "P301"]
    assert codes(b"# pyprocmail: ignore[P301,P204]\n:0 h\n* ^Subject:.*x\na\n") == []
    assert codes(b":0 " + lock + b"a\n") == []
    assert codes(b"MAILDIR=~/x # pyprocmail: ignore[P601]\n") == []
    block = b":0\n* ^Subject:.*x\n{\n:0\na\n}\n"
    assert codes(lock + block) == ["P001", "P301"]


def test_comments_silence_in_filter_files() -> None:
    """On the line itself, or for the statement after it; of an `if` that is the condition, not what is in it."""
    silent = b"# pyprocmail: ignore[M404] it may stand anywhere\n"

    def codes(data: bytes) -> list[str]:
        return [one.diagnostic.code for one in found_in("mailfilter", data)]

    faulty = b'if (/From: anna/)\n{\n    to "~/anna"\n}\n'
    assert codes(faulty) == ["M404", "M601"]
    assert codes(silent + faulty) == ["M601"]
    assert codes(silent + b"\n" + faulty) == ["M601"]
    assert codes(faulty.replace(b"anna/)", b"anna/) # pyprocmail: ignore[M404]")) == ["M601"]
    assert codes(faulty.replace(b'/anna"', b'/anna" # pyprocmail: ignore[M601]')) == ["M404"]
    assert codes(silent.replace(b"M404", b"M601") + faulty) == ["P001", "M404", "M601"]
    assert codes(b'A="# pyprocmail: ignore[M404]"\n' + faulty) == ["M404", "M601"]


def test_filter_files_follow_includes(program: Path, tmp_path: Path) -> None:
    """What `include` names is checked, and knows the variables of the file that names it; a circle ends."""
    (tmp_path / ".mailfilter").write_text('FRIENDS="friends"\ninclude "sub"\nto "inbox"\n')
    (tmp_path / "sub").write_text('include ".mailfilter"\nif (/From: anna/)\n    to "$FRIENDS"\n')
    done = run(program, ".mailfilter", folder=tmp_path)
    assert [line.split(": ")[1] for line in done.stdout.splitlines() if "[" in line] == ["warning[M404]"]
    assert f"{tmp_path}/sub:2:6" in done.stdout
    assert run(program, "--no-follow", ".mailfilter", folder=tmp_path).returncode == 0
    (tmp_path / "sub").unlink()
    assert "error[M903]" in run(program, ".mailfilter", folder=tmp_path).stdout


TERMINALS = [
    *(
        "if (",
        "/^From:(.*)/",
        ":h",
        ") ",
        "{",
        "}",
        "\n",
        ";",
        "to ",
        "cc ",
        "exit",
        '"',
        " ",
        "'",
        "`",
        "$MATCH1",
        "A=",
    ),
    *(
        "$A",
        "==",
        "=~",
        "!",
        "||",
        "~/",
        "foreach ",
        "xfilter ",
        "include ",
        "dotlock ",
        "exception ",
        "else",
        "#",
        "\\\n",
    ),
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(TERMINALS), max_size=40).map(lambda parts: "".join(parts).encode()))
def test_no_text_breaks_a_check_of_filter_files(data: bytes) -> None:
    found_in("mailfilter", data)


def test_a_block_that_can_fail() -> None:
    """`e` after a clone's block, or after an `E` that a failed recipe left out, may run; procmail does so."""
    tail = b"{ A=b }\n:0 e\nfailed/\n"
    assert [one.diagnostic.code for one in found_in("x", b":0\n* ^Subject:.*x\n" + tail)] == ["P507"]
    assert found_in("x", b":0 cw\n* ^Subject:.*x\n" + tail) == []
    assert found_in("x", b":0 w\n* ^To:.*x\n| cat\n:0 E\n" + tail) == []
    codes = [one.diagnostic.code for one in found_in("x", b":0 w\n* ^To:.*x\n| cat\n:0 a\n" + tail)]
    assert codes == ["P507"]


def test_the_rules_of_a_milter() -> None:
    """Their folders are answers, and a forward sends nothing; a variable of one's own does not make a policy."""
    rules = b":0\n* LOGIN ?? .\naccept\n:0\n* ^To:.*x\n! anna@home.example\n"
    assert found_in("x", rules) == []
    codes = [one.diagnostic.code for one in found_in("x", b"LOGIN=pat\n" + rules)]
    assert codes == ["P301", "P701"]


def test_sizes_are_expanded() -> None:
    """A size in quotes or from a command is no mistake."""
    assert found_in("x", b':0\n* > "31"\n* < `echo 31`\n* > $N\nN/\n'.replace(b"$N", b"$LINEBUF")) == []


def test_selection() -> None:
    data = b":0 i\na\n"

    def codes(*arguments: tuple[str, ...]) -> list[str]:
        return [one.diagnostic.code for one in check_rcfile("x", data, Pat(), Selection(*arguments))]

    assert codes() == ["P202", "P301"]
    assert codes(("P2",)) == ["P202"]
    assert codes((), ("P202",)) == ["P301"]


def test_thousand_recipes_take_less_than_their_share() -> None:
    """Twice the recipes take about twice the processor time."""
    recipe = b":0:\n* ^From:.*anna%d@friends\\.example\n* ! ^Subject:.*\\<re\\>\nfriends-%d\n\n"

    def seconds(count: int) -> float:
        data = b"MAILDIR=$HOME/Mail\n" + b"".join(recipe % (number, number) for number in range(count))
        times = []
        for _ in range(3):
            before = time.process_time()
            assert found_in("x", data) == []
            times.append(time.process_time() - before)
        return min(times)

    seconds(10)
    assert seconds(800) < 8 * seconds(200)


# The command


@pytest.fixture(scope="module")
def program(launchers: Path) -> Path:
    return launchers / "pyprocmail"


def run(program: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(folder)}
    return subprocess.run(
        [program, "check", *arguments], cwd=folder, env=environment, text=True, capture_output=True, check=False
    )


def test_command_reports_and_mends(program: Path, tmp_path: Path) -> None:
    """Exit 1 with findings, 0 when --fix has mended them, the mode of the file stays; 2 for what cannot be read."""
    rcfile = tmp_path / ".procmailrc"
    rcfile.write_text(":0 f\n| sed -e s/a/b/\n")
    rcfile.chmod(0o600)
    first = run(program, folder=tmp_path)
    assert first.returncode == 1
    assert ":1:1: error[P201]" in first.stdout
    assert "+:0 fw" in run(program, "--diff", folder=tmp_path).stdout
    assert "fw" not in rcfile.read_text()
    again = run(program, "--fix", ".procmailrc", folder=tmp_path)
    assert (again.returncode, again.stdout) == (0, "")
    assert rcfile.read_text() == ":0 fw\n| sed -e s/a/b/\n"
    assert rcfile.stat().st_mode & 0o777 == 0o600
    assert run(program, "none.rc", folder=tmp_path).returncode == 2
    assert run(program, "--bad-option", folder=tmp_path).returncode == 2
    assert run(program, "--explain", "P999", folder=tmp_path).returncode == 2
    assert "Instead:" in run(program, "--explain", "p201", folder=tmp_path).stdout


def test_filter_files_are_mended(program: Path, tmp_path: Path) -> None:
    """By their name, by their statements or by --language; what may change where mail goes, only when asked."""
    text = 'if (/From:.*anna@/)\n    to "anna"\n'
    (tmp_path / "mailfilter").write_text(text)
    assert run(program, "--fix", "mailfilter", folder=tmp_path).returncode == 1
    assert (tmp_path / "mailfilter").read_text() == text
    assert run(program, "--fix", "--unsafe-fixes", "mailfilter", folder=tmp_path).returncode == 0
    assert (tmp_path / "mailfilter").read_text() == text.replace("/From", "/^From")
    (tmp_path / "other").write_text("if (/x/) {\n")
    assert "M101" in run(program, "--language", "maildrop", "other", folder=tmp_path).stdout
    assert "M101" in run(program, "other", folder=tmp_path).stdout
    assert "P101" in run(program, "--language", "procmail", "other", folder=tmp_path).stdout


def test_what_is_too_large_for_rules_is_refused(program: Path, tmp_path: Path) -> None:
    """A device without an end is no reason to fill the memory."""
    done = run(program, "/dev/zero", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "/dev/zero: more than 8388608 bytes, too many for an rcfile" in done.stderr


def test_formats_and_baseline(program: Path, tmp_path: Path) -> None:
    """Every format is what its readers expect; what a baseline has is left out, wherever its line is now."""
    (tmp_path / "a.rc").write_text(":0\na\n")
    found = json.loads(run(program, "--output-format", "json", "a.rc", folder=tmp_path).stdout)
    (one,) = found["findings"]
    assert (one["code"], one["line"], one["column"], one["severity"]) == ("P301", 1, 1, "warning")
    sarif = json.loads(run(program, "--output-format", "sarif", "a.rc", folder=tmp_path).stdout)
    assert sarif["version"] == "2.1.0"
    assert sarif["runs"][0]["results"][0]["ruleId"] == "P301"
    github = run(program, "--output-format", "github", "a.rc", folder=tmp_path).stdout
    assert github == "::warning file=a.rc,line=1,col=1,title=P301::this mailbox has no lockfile\n"
    assert run(program, "--output-format", "concise", "a.rc", folder=tmp_path).stdout.startswith(
        "a.rc:1:1: warning[P301]: "
    )
    assert "     1  P301  " in run(program, "--statistics", "a.rc", folder=tmp_path).stdout
    (tmp_path / "base.json").write_text(json.dumps(found))
    (tmp_path / "a.rc").write_text("# moved\n\n:0\na\n")
    assert run(program, "--baseline", "base.json", "a.rc", folder=tmp_path).returncode == 0
    (tmp_path / "a.rc").write_text("# moved\n\n:0\na\n:0\nb\n")
    assert run(program, "--baseline", "base.json", "a.rc", folder=tmp_path).stdout.count("P301") == 1
    (tmp_path / "base.json").write_text("[]")
    assert run(program, "--baseline", "base.json", "a.rc", folder=tmp_path).returncode == 2


def test_readme_shows_what_is_printed(program: Path, tmp_path: Path) -> None:
    (tmp_path / "old.rc").write_text(":0 f\n| sed -e s/a/b/\n\n:0\n* ^From:.*@list.example.com\nlists\n")
    assert f"```\n{run(program, 'old.rc', folder=tmp_path).stdout}```\n" in (ROOT / "README.md").read_text()


def test_includes_are_followed_and_shown(program: Path, tmp_path: Path) -> None:
    """What INCLUDERC names is checked, and knows the variables; --show has it in place; a circle ends."""
    (tmp_path / "Mail").mkdir()
    (tmp_path / "main.rc").write_text("MAILDIR=$HOME/Mail\nWHO=anna\nINCLUDERC=$HOME/sub.rc\n:0:\nrest\n")
    (tmp_path / "sub.rc").write_text(":0\n* $ ^From:.*$WHO\nfriends\nINCLUDERC=$HOME/main.rc\n")
    done = run(program, "main.rc", folder=tmp_path)
    assert [line.split(": ")[1] for line in done.stdout.splitlines() if "[" in line] == ["warning[P301]"]
    assert f"{tmp_path}/sub.rc:1:1" in done.stdout
    assert run(program, "--no-follow", "main.rc", folder=tmp_path).returncode == 0
    (tmp_path / "sub.rc").write_text(":0:\nfriends\n")
    lines = run(program, "--show", "main.rc", folder=tmp_path).stdout.splitlines()
    assert [line.split(": ")[0].rpartition("/")[2] for line in lines] == [
        "main.rc:1", "main.rc:2", "main.rc:3", "sub.rc:1", "sub.rc:2", "main.rc:4", "main.rc:5",
    ]  # fmt: skip


def test_filter_files_are_shown_and_looked_at(program: Path, tmp_path: Path) -> None:
    """--show has the lines of what `include` names in place, --permissions tells who may write to it."""
    (tmp_path / ".mailfilter").write_text('include "sub"\nto "inbox"\n')
    (tmp_path / "sub").write_text('A="b"\n')
    tmp_path.chmod(0o700)
    lines = run(program, "--show", ".mailfilter", folder=tmp_path).stdout.splitlines()
    assert [line.split(": ")[0].rpartition("/")[2] for line in lines] == [".mailfilter:1", "sub:1", ".mailfilter:2"]
    assert run(program, "--permissions", ".mailfilter", folder=tmp_path).returncode == 0
    (tmp_path / "sub").chmod(0o666)
    done = run(program, "--permissions", ".mailfilter", folder=tmp_path)
    assert f"error[P806]: everybody may write to {tmp_path}/sub" in done.stdout


def test_permissions(program: Path, tmp_path: Path) -> None:
    """--permissions tells who else may write, and how that is mended."""
    rcfile = tmp_path / "a.rc"
    rcfile.write_text("MAILDIR=$HOME/Mail\n:0:\na\n")
    (tmp_path / "Mail").mkdir(mode=0o700)
    tmp_path.chmod(0o700)
    assert run(program, "--permissions", "a.rc", folder=tmp_path).returncode == 0
    rcfile.chmod(0o666)
    (tmp_path / "Mail").chmod(0o770)
    done = run(program, "--permissions", "a.rc", folder=tmp_path)
    assert f"error[P806]: everybody may write to {rcfile}" in done.stdout
    assert f"warning[P806]: the group may write to {tmp_path}/Mail" in done.stdout
    assert list(around.permissions("x", b"", Pat())) == []
    assert {check.severity for check in CHECKS} == set(Severity)
