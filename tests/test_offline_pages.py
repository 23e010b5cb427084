"""replay --html and diff --html: one file, whatever a mail says is text in it, and a browser can use it."""

import re
from collections import Counter
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path

import browser
import pytest
from test_replay import INBOX, RULES, mail, run

from pyprocmail.offline.pages import bars

EVIL = "</title><script>document.title='won'</script><img src=x onerror=\"document.title='won'\">&amp;'"
POSTMARK = "From a@b.example Thu Jan  1 00:00:00 2026\n"


class Tags(HTMLParser):
    """Every tag of a page, with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.found.append((tag, dict(attributes)))


def hostile(home: Path) -> Path:
    """Rules whose folders a mail names, and mails whose every part is markup."""
    (home / "Mail").mkdir(parents=True)
    (home / "rc").write_text(
        "MAILDIR=$HOME/Mail\nDEFAULT=inbox\n# <script>alert(1)</script>\n"
        ":0\n* ^X-Folder: \\/.*\n$MATCH\n\n:0:\n* ^Subject:.*&amp;\nevil\n"
    )
    box = home / "box"
    texts = [
        f"{POSTMARK}{mail(EVIL, EVIL + chr(10), EVIL)}\n",
        f"{POSTMARK}X-Folder: <b>x\nDate: Thu, 1 Jan 2026 00:00:00 +0000\n{mail('second')}\n",
        f"{POSTMARK}Date: {EVIL}\n{mail('third &lt;')}\n",
    ]
    box.write_text("".join(texts))
    return box


def test_hostile_mail_is_text(launchers: Path, tmp_path: Path) -> None:
    """No element and no attribute comes from a mail, a folder or an rcfile; the policy lets nothing be loaded."""
    box = hostile(tmp_path)
    run(launchers, "replay", "--home", tmp_path, "--html", "page.html", "rc", box, cwd=tmp_path)
    (tmp_path / "new").write_text((tmp_path / "rc").read_text().replace("\nevil", "\n<i>evil"))
    run(launchers, "diff", "--home", tmp_path, "--html", "diff.html", "rc", "new", box, cwd=tmp_path, status=1)
    for name in ("page.html", "diff.html"):
        text = (tmp_path / name).read_text()
        tags = Tags(text).found
        kinds = Counter(tag for tag, _ in tags)
        assert kinds["script"] == 1
        assert not set(kinds) & {"img", "b", "i", "iframe", "link", "object", "a"}, kinds
        assert not any(key.startswith("on") or key in ("src", "href") for _, held in tags for key in held)
        assert 'content="default-src &#39;none&#39;; style-src &#39;sha256-' in text
        assert "&lt;img src=x onerror=" in text
    assert not list(tmp_path.glob("*.html.*"))


def test_a_page_replaces_files_only(launchers: Path, tmp_path: Path) -> None:
    """A device stays one and its error is told; a link stays a link, and what it names is the page."""
    (tmp_path / "Mail").mkdir()
    (tmp_path / "full").symlink_to("/dev/full")
    (tmp_path / "link").symlink_to("page.html")
    words: list[str | Path] = ["replay", "--home", tmp_path, RULES, INBOX, "--html"]
    run(launchers, *words, tmp_path / "full", status=64)
    assert (tmp_path / "full").is_char_device()
    run(launchers, *words, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert "<html" in (tmp_path / "page.html").read_text()
    assert not list(tmp_path.glob("*.html.*"))


def test_what_is_on_the_page(launchers: Path, tmp_path: Path) -> None:
    """Numbers, folders with their mails and reasons, hits beside the source; what is printed is the same."""
    (tmp_path / "Mail").mkdir()
    words: list[str | Path] = ["replay", "--home", tmp_path, RULES, INBOX]
    plain = run(launchers, *words)
    assert run(launchers, *words, "--html", tmp_path / "page.html") == plain
    text = (tmp_path / "page.html").read_text()
    assert "<p>200 mails, 863,062 bytes: 204 deliveries into 49 folders, 4 as a copy</p>" in text
    assert re.search(r"<summary>Mail/talk: 8 mails, 36.2 kB\n<svg", text)
    assert "Daniel Quinlan &lt;quinlan@pathname.com&gt;  Re: [SAdev] fully-public corpus of mail available" in text
    assert '<td class="n">63</td><td class="n">1</td><td><pre class="hit">:0:</pre>' in text
    assert '<td class="n">64</td><td class="n"></td><td><pre>* ^TO_spambayes@</pre>' in text
    assert text.count("<rect x=") > 20
    bare = tmp_path / "bare.html"
    run(launchers, *words, "--html", bare, "--no-subjects")
    assert "fully-public corpus" not in bare.read_text()
    run(launchers, *words, "--html", tmp_path / "no" / "folder.html", status=64)


@pytest.mark.parametrize(
    ("days", "step", "count"), [(0, "day", 1), (99, "day", 100), (400, "month", 14), (9000, "year", 25)]
)
def test_bars(days: int, step: str, count: int) -> None:
    """Every time between the first and the last mail has its bar, and there are not too many."""
    first = date(2001, 1, 1)
    name, drawn = bars(Counter({first: 2, first + timedelta(days): 1}))
    assert (name, len(drawn)) == (step, count)
    assert drawn[0].text.endswith(": 2 mails") or not days
    assert bars(Counter()) == ("day", [])


@pytest.mark.slow
def test_in_a_browser(launchers: Path, tmp_path: Path) -> None:
    """Folder, mail, reason by clicks; the search shows what it finds and opens it; nothing is loaded, nothing fails."""
    box = hostile(tmp_path)
    box.write_text(box.read_text() + "".join(f"{POSTMARK}{mail(f'number {n}')}\n" for n in range(30)))
    run(launchers, "replay", "--home", tmp_path, "--html", "page.html", "rc", box, cwd=tmp_path)
    place = (tmp_path / "page.html").as_uri()
    with browser.page(place, tmp_path / "profile") as page:
        assert page.value("document.title") == "Replay of rc"
        assert page.value("document.getElementById('found').textContent") == "33"
        assert page.value("document.querySelectorAll('.group[open]').length") == 0
        visible = "Array.from(document.querySelectorAll('.mail')).filter(e => e.checkVisibility()).length"
        assert page.value(visible) == 0
        page.click(".group > summary")
        assert page.value("document.querySelector('.group').open") is True
        assert page.value(visible) == 31
        assert page.value("document.querySelector('.mail .why').checkVisibility()") is False
        page.click(".mail > summary")
        assert page.value("document.querySelector('.mail .why').checkVisibility()") is True
        assert page.value("document.querySelector('.mail .why').textContent") == "no recipe delivered it: DEFAULT"
        page.click("#words")
        page.type("onerror ^subject:")
        assert page.value("document.getElementById('found').textContent") == "1"
        assert page.value(visible) == 1
        assert "* ^Subject:.*&amp;" in str(page.value("document.querySelector('.mail:not([hidden])').textContent"))
        page.type(" nothing-of-that")
        assert page.value("document.getElementById('found').textContent") == "0"
        assert page.messages == []
        assert page.requests == [place]
        assert page.value("document.title") == "Replay of rc"
