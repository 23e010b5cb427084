"""pyprocmail replay: where the mails of mailboxes of all kinds would go, from outside as a user runs it."""

import json
import os
import pickle
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import installation
import pytest
from conftest import ROOT

from pyprocmail.offline.dates import moment_of, told
from pyprocmail.offline.sources import NoMailError, Part, kind_of, mails, parts

INBOX = ROOT / "examples" / "inbox.mbox"
RULES = ROOT / "examples" / "rules.rc"


def mail(subject: str, body: str = "text\n", sender: str = "ann@example.org") -> str:
    """A mail without From_ line."""
    return f"From: {sender}\nSubject: {subject}\n\n{body}"


def run(
    launchers: Path, *words: str | Path, status: int = 0, given: str = "", cwd: Path = ROOT, home: Path | None = None
) -> str:
    """Call pyprocmail, and say what it prints."""
    environment = {**os.environ, **({"HOME": str(home)} if home else {})}
    done = subprocess.run(
        [launchers / "pyprocmail", *words], input=given, capture_output=True, text=True, cwd=cwd, env=environment,
        check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout or done.stderr


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All files with their times and bytes."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Rules with a copy, a throw-away, a forward, a program and a default."""
    rcfile = tmp_path / "rules.rc"
    rcfile.write_text(
        "MAILDIR=$HOME/Mail\nDEFAULT=inbox\nLOGFILE=log\n"
        ":0 c\n* ^Subject:.*copy\ncopies/\n\n"
        ":0\n* ^Subject:.*junk\n/dev/null\n\n"
        ":0\n* ^Subject:.*there\n! bob@example.org\n\n"
        ":0 w\n* ^Subject:.*program\n| /no/such/program --keep\n\n"
        ":0:\n* ^Subject:.*list\n* > 10\nlists\n"
    )
    (tmp_path / "Mail").mkdir()
    return rcfile


def call(launchers: Path, rules: Path, *words: str | Path, given: str = "", status: int = 0) -> str:
    """Replay with the home in which the rules lie."""
    return run(launchers, "replay", "--home", rules.parent, *words, given=given, status=status, cwd=rules.parent)


def test_the_example_is_what_the_real_run_makes(launchers: Path, tmp_path: Path) -> None:
    """The folders and numbers of `make demo`, and a mailbox that is as it was."""
    before = INBOX.stat().st_mtime_ns, INBOX.read_bytes()
    said = run(launchers, "replay", "-m", "--set", f"FOLDERS={tmp_path}", RULES, INBOX)
    assert "200 mails, 863,062 bytes: 204 deliveries into 49 folders, 4 as a copy" in said
    assert f"    12      45,159  {tmp_path}/irish\n" in said
    assert (INBOX.stat().st_mtime_ns, INBOX.read_bytes()) == before
    assert not list(tmp_path.iterdir())


def test_every_kind_of_fate(launchers: Path, rules: Path) -> None:
    """Copies, what is thrown away, forwards, programs and what no recipe wants."""
    box = rules.parent / "box"
    subjects = ("copy", "junk", "go there", "a program", "the list", "else")
    box.write_text("".join(f"From a@b.example Thu Jan  1 00:00:00 2026\n{mail(text)}\n" for text in subjects))
    before = tree(rules.parent)
    said = call(launchers, rules, rules, box)
    assert said.split("\n")[:4] == [
        " mails       bytes  folder",
        "     1          43  Mail/copies/",
        "     2         170  Mail/inbox",
        "     1          89  Mail/lists",
    ]
    assert "     1  /dev/null" in said
    assert "sendmail -oi bob@example.org" in said
    assert "     1  /no/such/program --keep" in said
    assert "6 mails, 523 bytes: 4 deliveries into 3 folders, 1 as a copy\n2 mails delivered by no recipe\n" in said
    assert tree(rules.parent) == before


def test_list_says_why(launchers: Path, rules: Path) -> None:
    """The sender, the subject, the recipe and its conditions; and of DEFAULT that there is none."""
    said = call(launchers, rules, "--list", "Mail/lists", "rules.rc", given=mail("=?utf-8?q?list_=C3=A4?="))
    assert said == "ann@example.org  list ä\n    rules.rc:20: * ^Subject:.*list  * > 10\n"
    assert "no recipe delivered it: DEFAULT" in call(
        launchers, rules, "--list", "Mail/inbox", rules, given=mail("nothing")
    )


def test_mistakes_in_the_rules_are_told(launchers: Path, rules: Path) -> None:
    """What the log would say, and nobody reads: here with how many mails met it."""
    wrong = rules.parent / "wrong.rc"
    wrong.write_text("MAILDIR=$HOME/Mial\nDEFAULT=inbox\nINCLUDERC=$HOME/none.rc\n:0\n* (open\nx\n")
    said = call(launchers, rules, wrong, given=mail("x"))
    for text in (
        f"MAILDIR cannot be entered: {rules.parent}/Mial",
        f"{rules.parent}/none.rc",
        "invalid pattern: (open",
    ):
        assert f"     1  {text}" in said.replace("an rcfile cannot be read: ", ""), said
    said = run(launchers, "explain", "--home", rules.parent, wrong, given=mail("x"), cwd=rules.parent)
    assert f"Wrong in the rules: MAILDIR cannot be entered: {rules.parent}/Mial" in said


def test_hostile_text_stays_text(launchers: Path, rules: Path) -> None:
    """Escape sequences in a subject do not reach a terminal."""
    said = call(launchers, rules, "--list", "Mail/lists", rules, given=mail("list \x1b[31m\x07red"))
    assert "\x1b" not in said
    assert "\x07" not in said


def test_json_has_a_schema(launchers: Path, rules: Path) -> None:
    """Each mail with its fates, and the sums."""
    found = json.loads(call(launchers, rules, "--json", "rules.rc", given=mail("the list")))
    assert (found["schema"], found["version"]) == ("pyprocmail-replay", 1)
    (fate,) = found["mails"][0]["fates"]
    assert (fate["kind"], fate["where"], fate["recipe"]) == ("folder", "Mail/lists", {"rcfile": "rules.rc", "line": 20})
    assert fate["conditions"] == ["^Subject:.*list", "> 10"]
    assert found["summary"]["folders"] == {"Mail/lists": {"mails": 1, "bytes": fate["bytes"]}}


def test_the_status_says_whether_all_would_be_delivered(launchers: Path, rules: Path) -> None:
    """1 if a mail stays with the mail server; 64 for what is wrong on the command line."""
    bad = rules.parent / "bad.rc"
    bad.write_text("MAILDIR=$HOME/Mail\nDEFAULT=none/such/folder\nORGMAIL=none/either/folder\n")
    assert "1 mail would end with an exit status" in call(launchers, rules, bad, given=mail("x"), status=1)
    for words in (["none.rc"], ["--no-such-option"], [rules, "none.mbox"], [rules, "-j", "0"]):
        call(launchers, rules, *words, status=64)
    for words in (["--set", "x"], ["--set", "="], ["--set", "1x=y"]):
        assert "is not NAME=VALUE" in call(launchers, rules, *words, rules, status=64)


FILTER = 'DEFAULT="Mail/inbox"\nxfilter "mark"\nif (/^X-Mark: yes/)\n{\n  cc "Mail/copies"\n  to "Mail/x"\n}\n'


def test_filter_files_of_maildrop(launchers: Path, rules: Path) -> None:
    """Copies, the statement that decides, and DEFAULT; nothing is changed."""
    (rules.parent / "filter").write_text(FILTER)
    before = tree(rules.parent)
    said = call(launchers, rules, "--list", "Mail/inbox", "filter", given=mail("x"))
    assert said == "ann@example.org  x\n    no recipe delivered it: DEFAULT\n"
    table = rules.parent / "answers.toml"
    table.write_text('[[program]]\nline = "mark"\noutput = "X-Mark: yes\\n\\n"\n')
    said = call(launchers, rules, "--canned", table, "--list", "Mail/x", "filter", given=mail("x"))
    assert said == "ann@example.org  x\n    filter:3: if (/^X-Mark: yes/)\n"
    assert "     1  mark" in call(launchers, rules, "filter", given=mail("x"))
    table.unlink()
    assert tree(rules.parent) == before


def test_a_filter_file_does_what_maildrop_does(launchers: Path, tmp_path: Path) -> None:
    """Each folder gets as many bytes as replay says, with the example and the whole inbox."""
    filter_file = ROOT / "examples" / "mailfilter" / "sorting.mailfilter"
    found = json.loads(run(launchers, "replay", "--json", "-m", filter_file, INBOX, cwd=tmp_path))
    assert not list(tmp_path.iterdir())
    with INBOX.open("rb") as box:
        words: list[str | Path] = [launchers / "pyprocmail", "maildrop", filter_file]
        subprocess.run(words, stdin=box, cwd=tmp_path, check=True, stderr=subprocess.DEVNULL)
    real = {str(path): path.stat().st_size for path in tmp_path.iterdir() if path.name != "sorting.log"}
    assert {name: folder["bytes"] for name, folder in found["summary"]["folders"].items()} == real
    assert len(real) == 26


def test_what_maildrop_cannot_read_is_64(launchers: Path, rules: Path) -> None:
    """A fault in a filter file."""
    (rules.parent / "filter").write_text('if (/^Subject: x/\n{\n  to "Mail/x"\n}\n')
    assert "filter" in call(launchers, rules, "filter", status=64)


def test_folders_of_folders(tmp_path: Path) -> None:
    """An mbox, a Maildir with one inside, an MH folder and a single mail; locks and hidden files are none."""
    (tmp_path / "box").write_text(f"From a@b.example Thu Jan  1 00:00:00 2026\n{mail('one')}\n")
    (tmp_path / "box.lock").write_text("0")
    (tmp_path / ".hidden").write_text(mail("hidden"))
    (tmp_path / "notes.txt").write_text("no mail\n")
    for name in ("dir/cur", "dir/new", "dir/tmp", "dir/.inner/cur", "mh"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "dir/cur/1:2,S").write_text(mail("two"))
    (tmp_path / "dir/new/2").write_text(mail("three"))
    (tmp_path / "dir/tmp/3").write_text(mail("not yet there"))
    (tmp_path / "dir/.inner/cur/1").write_text(mail("four"))
    (tmp_path / "mh/10").write_text(mail("six"))
    (tmp_path / "mh/9").write_text(mail("five"))
    (tmp_path / "mh/,8").write_text(mail("removed"))
    (tmp_path / "single.eml").write_text(mail("seven"))
    (tmp_path / "loop").symlink_to(tmp_path)
    found = [mail.data.split(b"Subject: ")[1].split(b"\n")[0] for mail in mails([str(tmp_path)])]
    assert found == [b"one", b"two", b"three", b"four", b"five", b"six", b"seven"]
    kinds = [kind_of(tmp_path / name) for name in ("box", "dir", "mh", "single.eml", "notes.txt", ".")]
    assert kinds == ["mbox", "maildir", "mh", "mail", "", "folder"]


def test_a_pipe_with_a_name(launchers: Path, rules: Path) -> None:
    """As the <(...) of a shell."""
    words = f"<(cat '{INBOX}') <(echo)"
    command = f"'{launchers}/pyprocmail' replay --home '{rules.parent}' '{rules}' {words}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert "\n201 mails, 863,063 bytes" in done.stdout


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The file in the folder, also where a worker met it."""
    for part in ("cur", "new", "tmp"):
        (tmp_path / "dir" / part).mkdir(parents=True)
    loop = tmp_path / "dir" / "cur" / "1"
    loop.symlink_to(loop)
    with pytest.raises(NoMailError, match=f"^{re.escape(str(loop))}: Too many levels"):
        list(mails([str(tmp_path)]))
    with pytest.raises(NoMailError, match="/cur/1: Too many levels"):
        list(Part("dir", (str(loop),)).mails())
    assert str(pickle.loads(pickle.dumps(NoMailError("box", "gone")))) == "box: gone"  # noqa: S301  our own


@pytest.mark.parametrize("size", [1, 5_000, 100_000, 10_000_000])
def test_parts_are_the_whole(size: int) -> None:
    """However an mbox is cut, its mails are the same."""
    whole = [mail.data for mail in Part(str(INBOX)).mails()]
    pieces = list(parts([str(INBOX)], size))
    assert [mail.data for part in pieces for mail in part.mails()] == whole
    assert len(whole) == 200
    assert (len(pieces) > 1) == (size < INBOX.stat().st_size)


@pytest.mark.slow
def test_several_processes_say_the_same(launchers: Path, tmp_path: Path, rules: Path) -> None:
    """To the byte, whatever programs there are; rules that remember mails are run by one process."""
    plain = rules.parent / "plain.rc"
    plain.write_text(
        "MAILDIR=$HOME/Mail\nDEFAULT=inbox\n:0 fw\n* ^X-None:\n| sed p\n\n"
        ":0\n* ^From:.*rssfeeds\n! bob@example.org\n\n:0:\n* ^List-Id:.*<\\/[a-z0-9-]+\nlist-$MATCH\n"
    )
    big = tmp_path / "big"
    big.write_bytes(INBOX.read_bytes() * 12)
    one, two = (call(launchers, rules, "--json", "-j", number, plain, big) for number in ("1", "2"))
    assert one == two
    assert '"mails": 2400' in one
    once = rules.parent / "once.rc"
    once.write_text((ROOT / "examples" / "duplicates.rc").read_text())
    assert "-j is ignored" in _errors(launchers, rules, "-j", "2", once, INBOX)
    assert "-j is ignored" in _errors(launchers, rules, "-j", "2", "--allow-commands", rules, INBOX)
    plain.write_text("INCLUDERC=once.rc\n")
    said = _errors(launchers, rules, "-j", "2", plain, big, status=64)
    assert said == "pyprocmail: plain.rc: a program of these rules remembers mails: run them without -j\n"


def _errors(launchers: Path, rules: Path, *words: str | Path, status: int = 0) -> str:
    names = [word.name if isinstance(word, Path) and word.parent == rules.parent else word for word in words]
    command: Sequence[str | Path] = [launchers / "pyprocmail", "replay", "--home", rules.parent, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=rules.parent)
    assert done.returncode == status, done.stderr
    return done.stderr


def test_programs_are_answered_from_a_table_or_run(launchers: Path, rules: Path) -> None:
    """By default they are taken to succeed, which is told; a program that keeps the mail never runs."""
    kept = rules.parent / "kept"
    asking = rules.parent / "asking.rc"
    asking.write_text(
        "MAILDIR=$HOME/Mail\nDEFAULT=inbox\nSHELL=/bin/sh\n"
        ":0 fw\n| sed -e s/plain/marked/\n\n"
        f":0 wc\n| cat > {kept}\n\n"
        ":0\n* ^Subject: marked\nmarked\n"
    )
    assert "     1  sed -e s/plain/marked/" in call(launchers, rules, asking, given=mail("plain"))
    assert "Mail/marked" in call(launchers, rules, "--allow-commands", asking, given=mail("plain"))
    table = rules.parent / "answers.toml"
    table.write_text('[[program]]\nline = "sed *"\noutput = "Subject: marked\\n\\n"\n')
    said = call(launchers, rules, "--canned", table, asking, given=mail("plain"))
    assert "Mail/marked" in said
    assert "not run" not in said
    assert not kept.exists()
    table.write_text("[[program]]\nlines = 1\n")
    call(launchers, rules, "--canned", table, asking, given=mail("plain"), status=64)


def test_the_cache_of_formail_is_seen_and_not_changed(launchers: Path, rules: Path) -> None:
    """The second of two mails with one Message-ID is a duplicate, in this run and in the next."""
    box = rules.parent / "box"
    text = "From a@b.example Thu Jan  1 00:00:00 2026\nMessage-ID: <1@b.example>\nSubject: x\n\ntext\n\n"
    box.write_text(text * 2)
    (rules.parent / "once.rc").write_text((ROOT / "examples" / "duplicates.rc").read_text())
    for _ in range(2):
        said = call(launchers, rules, "once.rc", box)
        assert "     1          86  Mail/duplicates" in said
        assert "     1          86  Mail/inbox" in said
    assert not (rules.parent / "Mail" / "duplicates.cache").exists()


def test_an_rcfile_before(launchers: Path, rules: Path) -> None:
    """What it delivers does not come to the rules; its variables do, but for PATH; 64 if it is not there."""
    first = rules.parent / "first.rc"
    first.write_text("MAILDIR=$HOME/Mail\nWORD=from-first\nPATH=/none\n:0:\n* ^Subject: early\nearly\n")
    second = rules.parent / "second.rc"
    second.write_text(
        "MAILDIR=$HOME/Mail\nDEFAULT=inbox\n:0\n* PATH ?? ^^/none^^\nwrong\n:0:\n* ^Subject: late\n$WORD\n"
    )
    words = ("--before", first, second)
    assert "Mail/early" in call(launchers, rules, *words, given=mail("early"))
    assert "Mail/from-first" in call(launchers, rules, *words, given=mail("late"))
    said = call(launchers, rules, "--list", "Mail/early", *words, given=mail("early"))
    assert said.endswith("    first.rc:4: * ^Subject: early\n")
    call(launchers, rules, "--before", "none.rc", second, given=mail("x"), status=64)
    run(launchers, "refile", *words, "box", status=64, cwd=rules.parent)


def test_who_it_is_for(launchers: Path, rules: Path) -> None:
    """$1, the sender and assignments reach the rules."""
    asking = rules.parent / "asking.rc"
    asking.write_text("MAILDIR=$HOME/Mail\nARG=$1\n:0\n* ^From me@example\n* ARG ?? ^^work^^\n$FOLDER\n")
    words = ("-a", "work", "-f", "me@example.org", "--set", "FOLDER=found", asking)
    assert "Mail/found" in call(launchers, rules, *words, given=mail("x"))


def test_when_it_is_for(launchers: Path, rules: Path) -> None:
    """date answers with the time that was said, in both languages; so does what else looks at the clock."""
    dated = rules.parent / "dated.rc"
    dated.write_text("MAILDIR=$HOME/Mail\nMONTH=`date +%Y-%m`\n:0\n* ^From me@.* 2024$\n$MONTH\n")
    words = ("--date", "2024-02-29T12:00", "-f", "me@example.org")
    assert "Mail/2024-02\n" in call(launchers, rules, *words, dated, given=mail("x"))
    (rules.parent / "filter").write_text("DAY=`date '+%d %b'`\nNOW=time\nto \"Mail/$DAY-$NOW\"\n")
    said = call(launchers, rules, "--date", "2024-02-29T12:00Z", "filter", given=mail("x"))
    assert "Mail/29 Feb-1709208000\n" in said
    assert "not run" not in said
    assert "--date soon: this is not a date" in call(launchers, rules, "--date", "soon", dated, status=64)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("date +%F", "2024-02-29\n"),
        ("/bin/date -u '+%d %b, week %V'", "29 Feb, week 09\n"),
        ('date "+%-d.%-m."', "29.2.\n"),
        ("date +%d %b", None),
        ("date +%N", None),
        ("date -d yesterday +%F", None),
        ("date", None),
        ("date +%F; rm x", None),
        ('date "+$(rm x)"', None),
        ("~/bin/date +%F", None),
    ],
)
def test_dates(line: str, said: str | None) -> None:
    """Only what does nothing but print a date is answered."""
    assert told(line.encode(), moment_of("2024-02-29T12:00")) == (None if said is None else said.encode())


@pytest.mark.slow
def test_memory_is_flat(rules: Path) -> None:
    """A mailbox of 256 MB costs no more than one of 8 MB."""
    plain = rules.parent / "plain.rc"
    plain.write_text("MAILDIR=$HOME/Mail\nDEFAULT=inbox\n:0:\n* ^List-Id:.*<\\/[a-z0-9-]+\nlist-$MATCH\n")
    box = rules.parent / "box"
    peaks = []
    for count in (10, 300):
        with box.open("wb") as file:
            for _ in range(count):
                file.write(INBOX.read_bytes())
        code = (
            "import resource, sys; from pyprocmail.commands.main import run; run([b'pyprocmail', *map(str.encode,"
            " sys.argv[1:])]); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
        )
        done = subprocess.run(
            [str(installation.interpreter()), "-c", code, "replay", "--home", str(rules.parent), str(plain), str(box)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(done.stderr.split()[-1]))
    assert peaks[1] < peaks[0] * 1.2, peaks
