"""The runs: an rcfile, a mail and the home directory as a Case of the differential test."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from differential.cases import DIR, Case, File

HERE = Path(__file__).parent
INBOX = HERE.parent.parent / "examples" / "inbox.mbox"
PICKED = (0, 1, 2, 6, 7, 20, 25, 30, 45, 54, 136, 144, 151, 174, 193)
"""Mails of the inbox: lists of several kinds, signed, long, with attachments, unreadable, spam."""

PATH = b"/usr/bin:/bin"
FOLDERS = dict.fromkeys(
    ("Maildir", "Maildir/.unsure", "Mail/archive", "Mail/groups", "Mail/backup", "Mail/news", "Mail/dir"),
    0o755,
)


@dataclass(frozen=True)
class Run:
    """`name` is rcfile/mail."""

    name: str
    case: Case


def mails() -> dict[str, bytes]:
    """The mails by their names."""
    inbox = re.split(rb"(?<=\n)\n(?=From \S+ +\w{3} )", INBOX.read_bytes())
    written = {path.stem: path.read_bytes() for path in sorted((HERE / "mails").glob("*.eml"))}
    return written | {f"inbox-{number}": inbox[number] for number in PICKED}


def home() -> dict[str, File]:
    """The files of the home directory."""
    top = HERE / "home"
    paths = [path for path in sorted(top.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(top)): File(path.read_bytes(), 0o755 if path.parent.name == "bin" else 0o644)
        for path in paths
    }


def rcfiles() -> list[Path]:
    """The rcfiles in their order."""
    return sorted(HERE.glob("*.rc"))


def runs(names: list[str], *, every: int = 1) -> Iterator[Run]:
    """The rcfiles with those names, or all, each with every mail or with one of so many, not the same ones for all."""
    files, texts = home(), mails()
    arguments = tomllib.loads((HERE / "wild.toml").read_text())["arguments"]
    for first, rcfile in enumerate(rcfiles()):
        if names and rcfile.stem not in names:
            continue
        further = arguments.get(rcfile.stem, [[]])
        for number, (mail, text) in enumerate(texts.items()):
            if (first + number) % every == 0:
                argv = _argv(further[number % len(further)])
                case = Case(rcfile.read_bytes(), text, argv, files, FOLDERS)
                yield Run(f"{rcfile.stem}/{mail}", case)


def _argv(further: list[str]) -> tuple[bytes, ...]:
    """HOME is the password entry's until it is assigned to; no real MTA is ever started."""
    assignments = (b"HOME=" + DIR, b"SENDMAIL=" + DIR + b"/bin/sendmail", b"PATH=" + DIR + b"/bin:" + PATH)
    return (*(word.encode() for word in further), b"-m", *assignments, DIR + b"/rc")
