"""The bundle of start-up modules: what is believed, and that without it everything works.

A bundle in which one module is another than its file shows by a proof, which that module writes, whether it was used.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

import installation
import pytest
from conftest import ROOT

from pyprocmail.commands import bundle

MAIL = b"From a@b Thu Jan  1 00:00:00 2026\nSubject: one\n\nbody\n\n"

POISON = """\
import sys
sys.path.insert(0, {place!r})
from pyprocmail.commands import bundle
whole = bundle._compiled
def compiled(file):
    if file != "/exits.py":
        return whole(file)
    text = open(bundle.HOME + file).read() + "\\nimport posix\\nposix.close(posix.open({proof!r}, 0o101))\\n"
    return compile(text, file, "exec")
bundle._compiled = compiled
assert bundle.write()
"""


@dataclass(frozen=True)
class Place:
    """A package of its own with its bundle, and a launcher that uses both."""

    folder: Path
    package: Path
    bundle: Path
    launcher: Path
    proof: Path

    def run(self) -> subprocess.CompletedProcess[bytes]:
        """Deliver a mail."""
        (self.folder / "rc").write_text(f":0\n{self.folder}/box\n")
        command: list[str | Path] = [self.launcher, "-m", self.folder / "rc"]
        return subprocess.run(command, input=MAIL, capture_output=True, check=False, timeout=60)

    def is_used(self) -> bool:
        """Whether a delivery, which succeeds, takes its modules from the poisoned bundle."""
        self.proof.unlink(missing_ok=True)
        (self.folder / "box").unlink(missing_ok=True)
        done = self.run()
        assert done.stderr == b""
        assert done.returncode == 0
        assert (self.folder / "box").read_bytes() == MAIL
        return self.proof.exists()


@pytest.fixture
def place(tmp_path: Path, launchers: Path) -> Place:
    """A copy whose bundle is believed, as a first run shows, and was written an hour ago."""
    site = tmp_path / "site"
    ignored = shutil.ignore_patterns("__pycache__", "*.bundle*")
    shutil.copytree(ROOT / "pyprocmail", site / "pyprocmail", ignore=ignored)
    shutil.copytree(ROOT / "grammar", site / "pyprocmail" / "grammar")
    text = (launchers / "procmail").read_text()
    (home,) = re.findall(r"stat\('(.*)'\)\.st_uid", text)
    (folders,) = re.findall(r"(?m)^sys.path \+= (\[.*\])$", text)
    first = [str(site), *ast.literal_eval(folders)]
    launcher = tmp_path / "procmail"
    launcher.write_text(text.replace(home, str(site / "pyprocmail")).replace(folders, repr(first)))
    launcher.chmod(0o755)
    proof = tmp_path / "proof"
    python("-c", POISON.format(place=str(site), proof=str(proof)))
    (path,) = (site / "pyprocmail").glob("*.bundle")
    made = Place(tmp_path, site / "pyprocmail", path, launcher, proof)
    assert made.is_used()
    os.utime(path, (1, 1))
    return made


def python(*arguments: str) -> None:
    """Run a script by the Python of the launchers."""
    subprocess.run([installation.interpreter(), "-I", *arguments], check=True, capture_output=True)


def edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a file in place."""
    path.write_bytes(change(path.read_bytes()))


def replaced_by_a_link(place: Place) -> None:
    """The same bytes, reached through a link."""
    place.bundle.rename(place.folder / "elsewhere")
    place.bundle.symlink_to(place.folder / "elsewhere")


def edited_without_a_trace(place: Place) -> None:
    """Another text of the same size and time."""
    path = place.package / "delivery" / "mbox.py"
    before = path.stat()
    edit(path, lambda text: text.replace(b"Appending", b"Attaching"))
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def another_python(text: bytes) -> bytes:
    """As if another release had written it."""
    return re.sub(rb"\A(\D+\d+ )(\d+)", lambda found: found[1] + b"%d" % (int(found[2]) + 1), text)


def another_tag(text: bytes) -> bytes:
    """As if another implementation had written it."""
    return re.sub(rb"\A(\D+\d+ \d+ )\S+", rb"\1cpython-399", text)


def garbled(text: bytes) -> bytes:
    """The right length, and nothing in it."""
    end = text.index(b"\n") + 1
    return text[:end] + b"\xff" * (len(text) - end)


WRONG: dict[str, Callable[[Place], object]] = {
    "its group can write to it": lambda place: place.bundle.chmod(0o664),
    "others can write to it": lambda place: place.bundle.chmod(0o646),
    "a link": replaced_by_a_link,
    "a module was edited": lambda place: edit(place.package / "host.py", lambda text: text + b"\n"),
    "a module was touched": lambda place: (place.package / "host.py").touch(),
    "a module was edited without a trace": edited_without_a_trace,
    "half of it": lambda place: edit(place.bundle, lambda text: text[: len(text) // 2]),
    "only its first line": lambda place: edit(place.bundle, lambda text: text[: text.index(b"\n") + 1]),
    "nothing in it": lambda place: edit(place.bundle, lambda _: b""),
    "garbled": lambda place: edit(place.bundle, garbled),
    "more than all of it": lambda place: edit(place.bundle, lambda text: text + b"x"),
    "of another Python": lambda place: edit(place.bundle, another_python),
    "of another implementation": lambda place: edit(place.bundle, another_tag),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_not_as_it_should_be_is_not_used(place: Place, wrong: str) -> None:
    """The mail is delivered all the same, and the next one with a bundle that is as it should be."""
    WRONG[wrong](place)
    if not place.bundle.is_symlink():
        os.utime(place.bundle, (1, 1))
    assert not place.is_used()
    if wrong == "garbled":
        return  # it seems to be current, until somebody writes launchers again
    if wrong == "a link":
        return  # who put it there has a reason
    assert place.bundle.stat().st_mtime > 1, "written anew"
    assert place.bundle.stat().st_mode & 0o777 == 0o644
    assert not place.is_used(), "without the poison"
    assert list(place.package.glob("*.new")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_one_of_somebody_else_is_not_used(place: Place) -> None:
    os.chown(place.bundle, 54321, -1)
    assert not place.is_used()
    assert place.bundle.stat().st_uid == place.package.stat().st_uid, "written anew"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_whoever_does_not_own_the_package_writes_none(place: Place) -> None:
    """Not even root: it would not be believed."""
    os.chown(place.package, 54321, -1)
    before = place.bundle.read_bytes()
    assert not place.is_used()
    assert place.bundle.read_bytes() == before
    os.chown(place.bundle, 54321, -1)
    assert place.is_used(), "it is as trusted as the package"


def test_without_one_nothing_changes(place: Place) -> None:
    place.bundle.unlink()
    assert not place.is_used()
    assert not place.bundle.exists(), "who removes it wants none"


def test_another_package_that_is_found_first(place: Place) -> None:
    """Its modules are used, and not those of the bundle."""
    first = place.folder / "first"
    shutil.copytree(place.package, first / "pyprocmail", ignore=shutil.ignore_patterns("*.bundle*"))
    text = place.launcher.read_text()
    place.launcher.write_text(text.replace("sys.path += [", f"sys.path += [{str(first)!r}, ", 1))
    assert not place.is_used()


def test_one_that_has_just_been_written_is_left_alone(place: Place) -> None:
    """A file system whose times are never the same must not cost every mail a new bundle."""
    os.utime(place.bundle)
    (place.package / "host.py").touch()
    before = place.bundle.stat()
    assert not place.is_used()
    assert place.bundle.stat().st_ino == before.st_ino


def test_a_writer_that_was_killed_is_in_nobodys_way(place: Place) -> None:
    """What it left is removed when it is old; meanwhile nobody writes."""
    left = place.bundle.with_name(place.bundle.name + ".new")
    left.write_bytes(b"half")
    (place.package / "host.py").touch()
    assert not place.is_used()
    assert left.exists()
    os.utime(left, (1, 1))
    assert not place.is_used()
    assert not left.exists()
    assert not place.is_used()
    assert place.bundle.stat().st_mtime > 1


def test_a_broken_module_is_as_broken_as_without(place: Place) -> None:
    """75: the bundle does not hide what is wrong with the package."""
    (place.package / "host.py").write_text("def")
    assert place.run().returncode == 75


def lines(code: CodeType) -> dict[str, int]:
    """Where each function of a module begins."""
    found = {code.co_qualname: code.co_firstlineno}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found.update(lines(constant))
    return found


def test_a_traceback_names_file_and_line() -> None:
    """Whatever is left out of the code."""
    path = ROOT / "pyprocmail" / "procmail" / "run.py"
    code = bundle._compiled("/procmail/run.py")
    assert code.co_filename == bundle.HOME + "/procmail/run.py"
    assert lines(code) == lines(compile(path.read_text(), "x", "exec"))
