"""The report for an issue "an rcfile behaves otherwise than with procmail", with private data replaced.

The rules run twice, both times as under `explain`: the originals, and the versions in the report, in a scratch folder.
The report describes only the second run.  So no output of a run brings private data into it, and the report tells
whether the replacement changed the behaviour of the rules.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from pyprocmail import __version__
from pyprocmail.doctor import reference
from pyprocmail.doctor.disguise import HOME, LOGIN, Disguise, Person
from pyprocmail.lint.machine import Machine
from pyprocmail.lint.run import sources
from pyprocmail.message.model import Message
from pyprocmail.offline import explain
from pyprocmail.offline.outcome import open_rules
from pyprocmail.offline.rules import MAILDROP, PROCMAIL, Setup
from pyprocmail.offline.sources import Mail

_MAILDIR = ("cur", "new", "tmp")
_DEEPEST = 4
_SYSTEM_RCFILE = "/etc/procmailrc"
_LIBRARIES = ("google-re2", "pcre2", "lark", "click")

_TOP = """\
# An rcfile does something else than with procmail

**Read this report before you send it, then delete this paragraph.** It should hold no private data, but only you can
tell.

- Replaced, the same everywhere: logins and local parts of addresses (usra, usrb, ...), names of hosts (hsta) and people
  (prsa), what looks like a password (pwda), IP addresses, home folders.
- Masked with x: comments, and words of the mail that are not in the rcfiles.
- Left as they are: other words of the rcfiles, and names of header fields. **Look at patterns, folder names, commands
  and LOG texts.** Names of mailing lists stay readable if a pattern has them.
- Not in the report: the body of the mail.

`--hide WORD` replaces a word that you find. Nothing was sent or delivered.

## What I expected, and what happened instead

(please write)
"""


@dataclass(frozen=True, slots=True)
class Complaint:
    """The subject of a report.  `mail` is None if there is no mail; `rcfile` is "" for the person's usual one."""

    person: Person
    rcfile: str
    mail: bytes | None
    language: str
    hidden: Sequence[bytes] = ()
    allow: bool = False
    with_reference: bool = False


@dataclass(frozen=True, slots=True)
class _Scene:
    """The rules as the report shows them: the files by the names shown, and the folder in which they run."""

    disguise: Disguise
    files: dict[bytes, bytes]
    main: bytes
    before: bytes
    mail: bytes
    places: tuple[bytes, ...]

    def write(self, root: Path, *, whole: bool) -> None:
        """Put files and folders below the root; `whole`: the paths in the rules begin with the root.

        Files that are not rcfiles are empty.
        """
        for place in (HOME + b"/", *self.places):
            path = self.at(root, place)
            if place.endswith(b"/"):
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        for name, text in self.files.items():
            path = self.at(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.placed(text, root) if whole else text)
            path.chmod(0o600)

    def placed(self, text: bytes, root: Path) -> bytes:
        """The text with each path of the scene moved below the root."""
        for path in (HOME, *(name for name in self.files if not name.startswith(HOME + b"/"))):
            text = text.replace(path, os.fsencode(root) + path)
        return text

    @staticmethod
    def at(root: Path, path: bytes) -> Path:
        return root / os.fsdecode(path.lstrip(b"/"))


def written(complaint: Complaint) -> str:
    """The report.

    Raises:
        OSError: the rcfile cannot be read.
        RulesError: the rules cannot be tried.
    """
    with tempfile.TemporaryDirectory(prefix="pyprocmail.") as folder:
        return "\n".join(_sections(complaint, Path(folder)))


def _sections(complaint: Complaint, folder: Path) -> Iterator[str]:
    texts = dict(_texts(complaint))
    private = None
    if complaint.mail is not None:
        setup = Setup(_rcfile(complaint), home=os.fsdecode(complaint.person.home), before=_before(complaint))
        private, read = _explained(replace(setup, allow=complaint.allow, language=complaint.language), complaint.mail)
        texts |= read
    scene = _scene(complaint, texts)
    yield _TOP
    yield "## Versions\n"
    yield "\n".join(f"- {line}" for line in _versions()) + "\n"
    for name, text in scene.files.items():
        yield f"## {_text(name)}\n"
        yield _fenced(text)
    if private is None:
        return
    message = Message(scene.mail)
    yield f"## The mail: {len(scene.mail):,} bytes, {len(message.head):,} of them header\n"
    yield _fenced(message.head)
    yield "## What pyprocmail does\n"
    yield from _of_ours(complaint, scene, folder / "ours", private)
    if complaint.with_reference:
        program = MAILDROP if complaint.language == MAILDROP else PROCMAIL
        yield f"## What the installed {program} does\n"
        yield from _of_reference(complaint, scene, folder / "reference", program)


def _rcfile(complaint: Complaint) -> str:
    usual = ".mailfilter" if complaint.language == MAILDROP else ".procmailrc"
    return os.path.abspath(complaint.rcfile or os.path.join(os.fsdecode(complaint.person.home), usual))


def _before(complaint: Complaint) -> str:
    """The machine's rcfile, which runs before the person's own."""
    usual = not complaint.rcfile and complaint.language != MAILDROP
    return _SYSTEM_RCFILE if usual and os.path.isfile(_SYSTEM_RCFILE) else ""


def _texts(complaint: Complaint) -> Iterator[tuple[bytes, bytes]]:
    """The rcfiles and those that they include, if the names are known without a mail."""
    machine = Machine(complaint.person.home)
    for path in filter(None, (_before(complaint), _rcfile(complaint))):
        data = Path(path).read_bytes()
        for source in sources(path, data, machine, filters=complaint.language == MAILDROP):
            yield os.path.normpath(os.fsencode(source.name)), source.data


def _scene(complaint: Complaint, texts: Mapping[bytes, bytes]) -> _Scene:
    main, before = os.fsencode(_rcfile(complaint)), os.fsencode(_before(complaint))
    mail = complaint.mail or b""
    disguise = Disguise(complaint.person, (*texts.values(), *texts), mail, complaint.hidden)
    files = {disguise.rcfile(path): disguise.rcfile(text) for path, text in texts.items()}
    places = tuple(places_in_home(complaint.person.home, b"\n".join(texts.values()), disguise))
    return _Scene(disguise, files, disguise.rcfile(main), disguise.rcfile(before), disguise.mail(mail), places)


def places_in_home(home: bytes, rules: bytes, disguise: Disguise) -> Iterator[bytes]:
    """Files, and folders with a final slash, in the home that the rules name: they affect what happens to a mail."""
    top = os.fsdecode(home).rstrip("/")
    for place, names, files in os.walk(top):
        deep = place.count("/") - top.count("/")
        names[:] = [name for name in names if os.fsencode(name) in rules or name in _MAILDIR] if deep < _DEEPEST else []
        for name in (*(f"{name}/" for name in names), *(name for name in files if os.fsencode(name) in rules)):
            yield HOME + disguise.shown(os.fsencode(os.path.join(place, name)[len(top) :]))


def _versions() -> Iterator[str]:
    """Versions of programs, libraries and the system."""
    libraries = []
    for name in _LIBRARIES:
        try:
            libraries.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            libraries.append(f"{name} missing")
    yield f"pyprocmail {__version__}, Python {sys.version.split()[0]}, {', '.join(libraries)}"
    release = platform.freedesktop_os_release().get("PRETTY_NAME", "") if Path("/etc/os-release").exists() else ""
    yield f"{platform.system()} {platform.release()} {platform.machine()}, {release}"
    for name, path in reference.installed():
        yield f"{name}: {reference.version(path) or 'no version'} ({path})"
    if os.environ.get("PYPROCMAIL_STRICT"):
        yield f"PYPROCMAIL_STRICT={os.environ['PYPROCMAIL_STRICT']}"


def _explained(setup: Setup, mail: bytes) -> tuple[explain.Explained, dict[bytes, bytes]]:
    """The way of the mail through the rules, and the text of each file that they read, by its path."""
    with open_rules(setup, told=True) as rules:
        return explain.explain(rules, Mail("mail", mail)), {
            os.path.normpath(path): text for path, text in rules.sources.items()
        }


def _of_ours(complaint: Complaint, scene: _Scene, root: Path, private: explain.Explained) -> Iterator[str]:
    scene.write(root, whole=True)
    before = str(scene.at(root, scene.before)) if scene.before else ""
    setup = Setup(str(scene.at(root, scene.main)), home=str(scene.at(root, HOME)), before=before)
    found, _ = _explained(replace(setup, allow=complaint.allow, language=complaint.language), scene.mail)
    yield _same(private, found) + "\n"
    lines = "\n".join(explain.lines(found, everything=True, recipe=0)).encode("utf-8", "surrogateescape")
    yield _fenced(scene.disguise.shown(lines.replace(os.fsencode(root), b"")))


def _same(private: explain.Explained, found: explain.Explained) -> str:
    """Whether the rules take the same steps with the replaced data as with the real data, by kind, line and answer."""
    pairs = [
        [(step.kind, step.line[1], step.held) for step in one.steps] + [("end", one.outcome.status, None)]
        for one in (private, found)
    ]
    if pairs[0] == pairs[1]:
        return f"With the real data it takes the same {len(found.steps)} steps."
    at = next(
        (at for at, (one, other) in enumerate(zip(*pairs, strict=False)) if one != other), min(map(len, pairs)) - 1
    )
    kind, line, _ = pairs[0][at]
    return f"**With the real data it goes another way from line {line} ({kind}) on: replacing them changed something.**"


def _of_reference(complaint: Complaint, scene: _Scene, root: Path, program: str) -> Iterator[str]:
    path = dict(reference.installed()).get(program)
    if path is None:
        yield f"It is not installed here: {program} is missing, or it is this program.\n"
        return
    scene.write(root, whole=False)
    arguments = [b"-V", b"5", scene.main] if program == MAILDROP else [b"VERBOSE=yes"]
    if program != MAILDROP and complaint.rcfile:
        arguments.append(scene.main)
    ran = reference.run(path, arguments, scene.mail, root, (LOGIN.decode(), HOME.decode()), allow=complaint.allow)
    if ran.status is None:
        yield f"No answer: {ran.reason}.\n"
        return
    programs = "Rules could start programs." if complaint.allow else "Rules could start no program (--allow-commands)."
    yield f"Its exit status is {ran.status}. {programs} It ran as the user {LOGIN.decode()} in a folder of its own.\n"
    yield _fenced(scene.disguise.shown(ran.said))
    for name, data in (ran.files or {}).items():
        log = data.startswith(b"procmail: ") or b"\nprocmail: " in data
        yield f"{_text(scene.disguise.shown(name))}: {len(data):,} bytes\n"
        if log:
            yield _fenced(scene.disguise.shown(data))


def _text(data: bytes) -> str:
    text = data.decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() or one in "\n\t" else f"\\x{ord(one):02x}" for one in text)


def _fenced(data: bytes) -> str:
    text = _text(data).rstrip("\n")
    fence = "~~~"
    while fence in text:
        fence += "~"
    return f"{fence}\n{text}\n{fence}\n"
