"""Mails that rules cannot tell apart share one run: what is said of each is what a run of its own says."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from conftest import ROOT
from test_offline_equal import RCFILES, corpus

from pyprocmail.message.model import Message
from pyprocmail.offline import alike
from pyprocmail.offline.outcome import Outcome, judge, open_rules
from pyprocmail.offline.rules import Rules, Setup
from pyprocmail.offline.sources import mails

INBOX = str(ROOT / "examples" / "inbox.mbox")
RULES = {
    "sizes": ":0\n* < 200\nsmall\n\n:0\n* B ?? > 100\n* ^Subject:.*\\/[a-z]+\n$MATCH/\n",
    "scores": ":0\n* -1^0\n* 1^1 B ?? a\nmany\n",
    "decoded": ":0\n* MIME_HEADER ?? ^Subject:.*größe\nsizes\n",
    "value": ":0\n* ^Subject:.*\\/[a-z]+\n{\n  WORD=$MATCH\n  :0\n  * WORD ?? ^^(hello|bye)^^\n  greeted\n}\n",
    "order": ":0 c\n* ^Subject:.*hello\nsub/box\n\n:0\n* ^Subject:.*bye\nsub/\n",
    "program": "WORD=`formail -zxSubject:`\n:0\nto-$WORD\n",
    "last folder": ":0 c\ncopies/\n\n:0\n* ^Subject:.*hello\nto-$LASTFOLDER\n",
    "filter": ":0 fh\n* ^Subject:.*hello\n| formail -I 'X-New: yes'\n\n:0\n* ^X-New\nnew\n",
    "copies": ":0 c\n{\n  :0 b\n  bodies/.\n}\n:0 h\n* ^From a@\nheads\n",
    "strict": "PYPROCMAIL_STRICT=yes\n:0\n* ^Subject:.*hello\nx\n",
    "without": "DEFAULT=none/such\nORGMAIL=none/either\n",
}


def written() -> list[bytes]:
    """Mails that these rules tell apart, some of them twice."""
    subjects = ("hello", "bye", "hello", "Re: hello", "=?utf-8?q?gr=C3=B6=C3=9Fe?=", "hel\0lo", "bye")
    texts = [
        b"Subject: %b\n\n%b\nFrom here on\n" % (word.encode(), b"ab" * size) for word in subjects for size in (1, 200)
    ]
    return [text for text in texts for text in (text, b"From a@b.example Thu Jan  1 00:00:00 2026\n" + text)]


def outcomes(setup: Setup, texts: list[bytes], *, shared: bool) -> tuple[list[Outcome], int]:
    """What becomes of the mails, and how many were run."""
    runs = 0
    with open_rules(setup) as rules:
        assert isinstance(rules, Rules)
        if not shared:
            rules.alike = None
        really = rules.run_message

        def count(message: Message, listen: object) -> int:
            nonlocal runs
            runs += 1
            return really(message, listen)  # type: ignore[arg-type]  # as it came

        rules.run_message = count  # type: ignore[method-assign]  # for the count
        return [judge(rules, "box", text, headed=False, digests=True) for text in texts], runs


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path) -> Iterator[None]:
    """Be in an empty folder."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield
    os.chdir(before)


@pytest.mark.parametrize("name", RULES)
def test_what_tells_mails_apart(tmp_path: Path, name: str) -> None:
    """Each thing that a run may see of a mail, and folders that earlier mails have made."""
    (tmp_path / "rc").write_text("DEFAULT=rest\n" + RULES[name])
    setup = Setup("rc", home=str(tmp_path), mail_filter=True, date="2026-01-31")
    texts = written() * 2
    assert outcomes(setup, texts, shared=True)[0] == outcomes(setup, texts, shared=False)[0]


def test_what_is_kept_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many answers there are."""
    monkeypatch.setattr(alike, "MOST_ANSWERS", 5)
    (tmp_path / "rc").write_text(":0\n* ^Subject:.*\\/[a-z]+\n$MATCH\n")
    setup = Setup("rc", home=str(tmp_path), mail_filter=True)
    texts = [b"Subject: %b\n\n" % bytes([97 + number % 26]) for number in range(60)]
    found, runs = outcomes(setup, texts, shared=True)
    assert [outcome.fates[0].where for outcome in found] == [chr(97 + number % 26) for number in range(60)]
    assert runs > 26


@pytest.mark.parametrize("rcfile", RCFILES, ids=lambda path: path.stem)
def test_real_rules(tmp_path: Path, rcfile: Path) -> None:
    """The examples and those of tests/wild, with some of the public mails, each twice."""
    words = (f"HOME={tmp_path}", f"FOLDERS={tmp_path}", f"SENDMAIL={tmp_path}/none", "ADDRESS=me@example.com")
    setup = Setup(str(rcfile), home=str(tmp_path), mail_filter=True, assignments=words, date="2026-01-31")
    texts = list(islice(corpus(25), 12)) * 2
    assert outcomes(setup, texts, shared=True)[0] == outcomes(setup, texts, shared=False)[0]


def test_one_run_is_enough(tmp_path: Path) -> None:
    """Two hundred mails by four patterns: not even a run for each of their combinations."""
    names = ("exmh", "spam", "linux", "irish")
    recipes = "".join(f":0\n* ^Subject:.*{name}\n{name}\n\n" for name in names)
    (tmp_path / "rc").write_text(recipes + ":0\nrest\n")
    texts = [mail.data for mail in mails([INBOX])]
    found, runs = outcomes(Setup("rc", home=str(tmp_path), mail_filter=True), texts, shared=True)
    assert len(found) == 200
    assert runs <= 16
