"""pyprocmail report: pages from the logs of the milter, whatever a mail's sender puts into them."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocmail.report import lines
from pyprocmail.report.pages import bars
from pyprocmail.webpage import amount

FIRST = (
    b"26-11-20 05:12\ttime=1795151572\tfrom=<alice@example.com>\tto=<bob@example.org>\tto=<carol@example.org>"
    b"\tsize=317\tsubject==?utf-8?B?SGVsbG8=?= two  folded\tfile=r\xc3\xa9port.pdf\tfile=a b.png\n"
)
NEXT_DAY = b"26-11-21 05:12\ttime=1795237972\tfrom=<>\tto=<bob@example.org>\tsize=1000\tsubject=\n"
EVIL = b"</title><script>alert(1)</script>\"'{{ 7*7 }}&amp;"
AS_JSON = (
    b'{"time": 1795151600, "from": "<dave@Example.COM>", "to": ["<bob@example.org>"], "size": 5, "subject": "s", '
    b'"files": ["x.zip"]}\n'
)


def report(launchers: Path, folder: Path, *words: str, status: int = 0) -> str:
    """Run the command; what it says."""
    command = [str(launchers / "pyprocmail"), "report", "-o", "out", *words]
    environment = {**os.environ, "TZ": "UTC"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def page(folder: Path, name: str) -> str:
    """A page."""
    return (folder / "out" / f"{name}.html").read_text()


class Tags(HTMLParser):
    """Which elements a page has, and what it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]


def test_what_a_line_says() -> None:
    """Both forms of a line."""
    assert lines.read(FIRST) == lines.Logged(
        1795151572, "alice@example.com", ["bob@example.org", "carol@example.org"], 317, "Hello two  folded",
        ["réport.pdf", "a b.png"],
    )  # fmt: skip
    assert lines.read(NEXT_DAY) == lines.Logged(1795237972, "bounce@returned", ["bob@example.org"], 1000, "", [])
    assert lines.read(b"05-01-02 03:04\tfrom=<a@b>\tbody=7\n") == lines.Logged(1104635040, "a@b", [], 7, "", [])
    found = lines.read(AS_JSON)
    assert found is not None
    assert (found.sender, found.size, found.files) == ("dave@Example.COM", 5, ["x.zip"])


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\n", b"x\ty\n", b"26-13-40 05:12\tfrom=<a>\n", b"26-11-20 05:12\n", b"26-11-20 05:12\tto=<a>\n", b"{\n",
        b"{}\n", b'{"from": "a", "time": -1, "size": 1}\n', b'{"from": "a", "time": 1e400, "size": 1}\n', b"[" * 5000,
        b"{" + b'"a":{' * 100_000 + b"\n",
    ],
)  # fmt: skip
def test_what_is_no_line(line: bytes) -> None:
    """It is passed over."""
    assert lines.read(line) is None


@given(st.binary(max_size=200))
def test_any_line(rest: bytes) -> None:
    """Numbers that a database takes, text without controls: whatever the line is."""
    for line in (rest, b"26-11-20 05:12\tfrom=<a>\tsize=" + rest, b"26-11-20 05:12\tfrom=<a>\ttime=" + rest):
        found = lines.read(line)
        if found is not None:
            assert 0 <= found.size < 1 << 63
            assert 0 <= found.time < 1 << 40
            assert not re.search("[\0-\x1f]", found.sender + found.subject + "".join(found.files))


def test_figures() -> None:
    """Bytes as people read them; a bar a day."""
    assert [amount(size) for size in (0, 999, 1000, 1_500_000, 10**15)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.5 MB",
        "1000.0 TB",
    ]
    one, two = bars([("2026-11-20", 1, 10), ("2026-11-21", 4, 10)])
    assert (one.height, two.height, two.y, two.x) == (40, 160, 0, 400)
    assert bars([]) == []


def test_pages(launchers: Path, tmp_path: Path) -> None:
    """Days, tables and the search have what the logs say; a page loads nothing and leads to others of these only."""
    (tmp_path / "log").write_bytes(FIRST + b"no line\n" + NEXT_DAY + AS_JSON)
    assert report(launchers, tmp_path, "log") == "3 new mails, 1 lines that are not log lines\n"
    assert re.findall(r'html">([-\d]+)</a></td><td class="n">(\d+)<', page(tmp_path, "index")) == [
        ("2026-11-21", "1"), ("2026-11-20", "2"),
    ]  # fmt: skip
    assert page(tmp_path, "index").count("<rect ") == 2
    assert '<td>bob@example.org</td><td class="n">3</td><td class="n">1.3 kB</td>' in page(tmp_path, "recipients")
    assert '<td>example.com</td><td class="n">2</td>' in page(tmp_path, "domains")
    assert "<td>bounce@returned</td>" in page(tmp_path, "senders")
    assert "<td>Hello two  folded</td>" in page(tmp_path, "subjects")
    assert "<td>x.zip</td>" in page(tmp_path, "attachments")
    assert "réport.pdf, a b.png" in page(tmp_path, "day-2026-11-20")
    assert page(tmp_path, "search").count("<tr><td>") == 3
    made = {path.name for path in (tmp_path / "out").iterdir()}
    for path in (tmp_path / "out").glob("*.html"):
        text = path.read_text()
        assert set(Tags(text).links) <= made
        assert "default-src 'none'" in text.replace("&#39;", "'")
    assert (tmp_path / "out" / ".report.sqlite").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "out").stat().st_mode & 0o007 == 0


def test_everything_is_escaped(launchers: Path, tmp_path: Path) -> None:
    """What a stranger wrote is text, in each place."""
    evil = b"26-11-20 05:12\tfrom=<" + EVIL + b">\tto=<" + EVIL + b">\tsubject=" + EVIL + b"\tfile=" + EVIL + b"\n"
    (tmp_path / "log").write_bytes(FIRST)
    report(launchers, tmp_path, "log")
    plain = {path.name: Tags(path.read_text()).tags for path in (tmp_path / "out").glob("*.html")}
    (tmp_path / "other").write_bytes(evil)
    report(launchers, tmp_path, "other")
    for name in ("senders", "recipients", "domains", "subjects", "attachments", "search", "day-2026-11-20"):
        text = page(tmp_path, name)
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text, name
        assert "{{ 7*7 }}" in text
        tags = Tags(text).tags
        assert set(tags) <= {*plain[f"{name}.html"]}
        assert tags.count("script") == (name == "search")


def test_hourly_runs(launchers: Path, tmp_path: Path) -> None:
    """What is new only: after a rotation, a compression, half a line, and under other names."""
    log = tmp_path / "log"
    log.write_bytes(FIRST + NEXT_DAY[:30])
    assert report(launchers, tmp_path, "log") == "1 new mails\n"
    day = tmp_path / "out" / "day-2026-11-20.html"
    before = day.stat().st_mtime_ns
    with log.open("ab") as file:
        file.write(NEXT_DAY[30:])
    assert report(launchers, tmp_path, "log") == "1 new mails\n"
    assert day.stat().st_mtime_ns == before
    assert report(launchers, tmp_path, "log") == "0 new mails\n"
    (tmp_path / "log.2.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.rename(tmp_path / "log.1")
    log.write_bytes(AS_JSON)
    assert report(launchers, tmp_path, "log", "log.1", "log.2.gz") == "1 new mails\n"
    assert day.stat().st_mtime_ns > before
    assert page(tmp_path, "search").count("<tr><td>") == 3
    report(launchers, tmp_path, "--days", "1", "log")
    assert not day.exists()
    assert page(tmp_path, "search").count("<tr><td>") == 1


@pytest.mark.slow
def test_in_a_browser(launchers: Path, tmp_path: Path) -> None:
    """The policy of a page lets its own style and script through; the search finds."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    evil = FIRST.replace(b"Hello", EVIL) + NEXT_DAY + b"26-11-20 05:12\tfrom=<a@b>\tsubject=" + EVIL + b"\n"
    (tmp_path / "log").write_bytes(evil)
    report(launchers, tmp_path, "log")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
    options += [f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=5000", "--dump-dom"]
    for name, count in (("search.html#words=alice+317", 1), ("search.html", 3), ("index.html", 0), ("senders.html", 0)):
        place = f"{(tmp_path / 'out').as_uri()}/{name}"
        done = subprocess.run([browser, *options, place], capture_output=True, text=True, check=True, timeout=120)
        assert "Content Security Policy" not in done.stderr, done.stderr
        assert ":CONSOLE" not in done.stderr, done.stderr
        if count:
            assert f'<span id="found">{count}</span>' in done.stdout
            assert done.stdout.count('hidden=""') == 3 - count
        else:
            assert "<table>" in done.stdout


@pytest.mark.parametrize("bad", ["missing", "torn.gz", "database"])
def test_what_cannot_be_read(bad: str, launchers: Path, tmp_path: Path) -> None:
    """One line says so; nothing of that log is taken."""
    (tmp_path / "log").write_bytes(FIRST)
    (tmp_path / "torn.gz").write_bytes(gzip.compress(FIRST * 100)[:-20])
    if bad == "database":
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / ".report.sqlite").write_bytes(b"no database\n" * 100)
        assert "not a database" in report(launchers, tmp_path, "log", status=75)
    elif bad == "missing":
        assert "does not exist" in report(launchers, tmp_path, "missing", status=2)
    else:
        assert report(launchers, tmp_path, "torn.gz", status=75).startswith("pyprocmail report: ")
        assert report(launchers, tmp_path, "log") == "1 new mails\n"
