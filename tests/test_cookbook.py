"""pyprocmail-cookbook(7) and pyprocmail-procmail(7): what they show are the files that are tried here.

`--update-cases` writes the listings and tables into the pages anew.
"""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from check_cases import Pat
from conftest import ROOT

from pyprocmail.lint.finding import Found
from pyprocmail.lint.run import Selection, check_filter, check_rcfile
from pyprocmail.offline.ruletests import Case, Result, cases, results, share_of

COOKBOOK = ROOT / "examples" / "cookbook"
RECIPES = sorted(path.name for path in COOKBOOK.glob("*.rc") if path.name != "start.rc")
FILTERS = sorted(path.name for path in COOKBOOK.glob("*.mailfilter") if path.name != "start.mailfilter")
PAGE = ROOT / "man" / "pyprocmail-cookbook.7"
COMING = ROOT / "man" / "pyprocmail-procmail.7"
ROWS = ROOT / "tests" / "cases" / "coming-from"
LISTING = re.compile(r"(?ms)^\.Pa (\S+) :\n\.Bd -literal -offset indent\n.*?^\.Ed\n")
TABLE = re.compile(r'(?ms)^\.\\" (\S+\.toml)\n\.Bl .*?^\.El\n')
ESCAPES = {"\\": "\\e", "^": "\\(ha", "'": "\\(aq", '"': "\\(dq", "`": "\\(ga", "~": "\\(ti", "-": "\\-"}


class Home(Pat):
    """A machine with every program, on which the home is that of the cookbook."""

    def _here(self, path: bytes) -> Path:
        return COOKBOOK / "home" / path.removeprefix(self.home).decode().lstrip("/")


def mdoc(text: str) -> str:
    """The text in mdoc(7), so that what is copied from a page is ASCII."""
    return re.sub(r"(?m)^\.", r"\\&.", "".join(ESCAPES.get(each, each) for each in text))


def compare(page: Path, wanted: str, *, update: bool) -> None:
    """The page is what it should be, or becomes that."""
    if update:
        page.write_text(wanted)
    assert page.read_text() == wanted


def failures(found: list[Result]) -> list[str]:
    """What pyprocmail test would say."""
    return [f"{one.case.path}:{one.case.line}: {each}" for one in found for each in one.failures]


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the cookbook: its home may belong to somebody else."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "inbox.mbox").symlink_to(ROOT / "examples" / "inbox.mbox")
    return Path(shutil.copytree(COOKBOOK, folder / "cookbook"))


def test_the_page_shows_the_files(update_cases: bool) -> None:
    """Every file once, with all that is in it; forty recipes."""

    def listing(match: re.Match[str]) -> str:
        text = mdoc((COOKBOOK / match[1]).read_text())
        return f".Pa {match[1]} :\n.Bd -literal -offset indent\n{text}.Ed\n"

    page = PAGE.read_text()
    compare(PAGE, LISTING.sub(listing, page), update=update_cases)
    shown = [match[1] for match in LISTING.finditer(page)]
    assert sorted(shown) == sorted([*RECIPES, *FILTERS, "start.rc", "start.mailfilter"])
    assert len(RECIPES) == len(re.findall(r"(?m)^\.Ss ", page)) == 40
    assert not re.findall(r"(?m)^\.Ss [A-Z][a-z] .*", page), "a word of two letters may be a macro"


@pytest.mark.parametrize("name", RECIPES + FILTERS)
def test_recipe(book: Path, name: str) -> None:
    """Its mails end where they should, each of its recipes takes one, not all end alike; check finds nothing at all."""
    found = list(results(cases(str(book / f"{name.removesuffix('.rc')}.toml")), counted=True))
    assert not failures(found)
    assert share_of(found) == 100
    assert len({one.case.expected for one in found}) > 1
    assert not findings(name)


def findings(name: str) -> list[Found]:
    """What check says of a file behind the lines that every rcfile begins with."""
    check, start = (check_rcfile, "start.rc") if name in RECIPES else (check_filter, "start.mailfilter")
    text = (COOKBOOK / start).read_bytes() + b"\n" + (COOKBOOK / name).read_bytes()
    return check(name, text, Home(), Selection())


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a table of pyprocmail-procmail(7)."""
    table = tomllib.loads((ROWS / name).read_text())["row"]
    assert isinstance(table, list)
    return table


def test_the_tables_are_the_rows(update_cases: bool) -> None:
    """Each row, in order."""

    def table(match: re.Match[str]) -> str:
        text = "".join(
            f'.It Li "{mdoc(row["other"])}"\n.Bd -literal -compact\n{mdoc(row["rcfile"].strip())}\n.Ed\n'
            for row in rows(match[1])
        )
        return f'.\\" {match[1]}\n.Bl -tag -width Ds\n{text}.El\n'

    page = COMING.read_text()
    compare(COMING, TABLE.sub(table, page), update=update_cases)
    assert [match[1] for match in TABLE.finditer(page)] == ["maildrop.toml", "sieve.toml"]


def written(folder: Path, name: str, text: str, tests: str) -> list[Case]:
    """The tests of a row, for a file that holds `text`."""
    (folder / name).write_text(text)
    language = "maildrop" if name.endswith("mailfilter") else "procmail"
    head = f'rcfile = "{name}"\nlanguage = "{language}"\nset = ["DEFAULT=inbox"]\nhome = "."\n'
    (folder / f"{name}.toml").write_text(head + tests)
    return cases(str(folder / f"{name}.toml"))


def test_tables(tmp_path: Path) -> None:
    """What a row shows in an rcfile, and what it shows of maildrop, does to mail what is written beside it."""
    (tmp_path / "lists.rc").write_text(":0:\n* ^List-Id:\nlists\n")
    (tmp_path / "lists.mailfilter").write_text("if (/^List-Id:/)\n   to lists\n")
    found: list[Case] = []
    for name in ("maildrop.toml", "sieve.toml"):
        for number, row in enumerate(rows(name)):
            text = row["rcfile"].strip()
            text = f":0:\n{text}\nyes\n" if text.startswith("*") else f"{text}\n"
            found += written(tmp_path, f"{name}.{number}.rc", text, row["tests"])
            if name == "maildrop.toml":
                condition = row["rcfile"].startswith("*")
                text = row.get("filter") or (f"if ({row['other']})\n   to yes\n" if condition else f"{row['other']}\n")
                found += written(tmp_path, f"{number}.mailfilter", f"DEFAULT=inbox\n{text}", row["tests"])
    assert not failures(list(results(found)))


def test_commands(launchers: Path, tmp_path: Path) -> None:
    """The commands that pyprocmail-procmail(7) gives, in a home with an rcfile and mail."""
    folder = tmp_path / "Mail"
    folder.mkdir()
    (tmp_path / ".procmailrc").write_text(f"MAILDIR='{folder}'\nDEFAULT=inbox\n\n:0:\n* ^Subject:.*\\<news\\>\nnews\n")
    (tmp_path / "new.rc").write_text((tmp_path / ".procmailrc").read_text())
    mails = "".join(
        f"From a@b.example Thu Jan  1 00:00:00 2026\nSubject: {each}\n\ntext\n\n" for each in ("news", "old")
    )
    (folder / "box").write_text(mails)
    (tmp_path / "message.eml").write_text("Subject: news\n\ntext\n")
    commands = [plain(line) for line in re.findall(r"(?m)^\.Dl \$ (.*)$", COMING.read_text())]
    script = "set -e\n" + "\n".join(commands)
    environment = {"HOME": str(tmp_path), "PATH": f"{launchers}:/usr/bin:/bin"}
    done = subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(commands) == 5
    assert (folder / "news").read_text().count("\nSubject: news\n") == 1


def plain(line: str) -> str:
    """A line of mdoc(7) as a reader sees it."""
    for each, escape in ESCAPES.items():
        line = line.replace(escape, each) if each != "\\" else line
    return line.replace("\\e", "\\")
