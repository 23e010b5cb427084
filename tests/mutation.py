"""Small faults put into the package on purpose: a test has to notice each of them.

A mutant is a module, a text that stands in it once, another text for its place, and the tests that must turn red.  They
run in a scratch copy of the checkout, with an environment of its own that finds the copy first.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import installation
from conftest import ROOT

DATA = ROOT / "tests" / "mutants.toml"
_COPIED = ("pyprocmail", "grammar", "man", "examples", "tests", "pyproject.toml")
_PATIENCE_S = 600
RED = 1
"""pytest's exit status when tests ran and failed; a test that is not found, or cannot be loaded, is another one."""


class StaleMutantError(Exception):
    """The code has moved: the text is not, or not just once, in the module."""


@dataclass(frozen=True)
class Mutant:
    """One fault; `needs_root`: only root can run the tests that notice it."""

    name: str
    module: str
    old: str
    new: str
    tests: tuple[str, ...]
    needs_root: bool

    def apply(self, text: str) -> str:
        """The text of the module with the fault in it.

        Raises:
            StaleMutantError: `old` is not there once.
        """
        count = text.count(self.old)
        if count != 1:
            raise StaleMutantError(f"{self.name}: its text is {count} times in {self.module}, not once:\n{self.old}")
        return text.replace(self.old, self.new)


def mutants() -> list[Mutant]:
    """What mutants.toml lists."""
    return [
        Mutant(name, entry["module"], entry["old"], entry["new"], tuple(entry["tests"]), entry.get("root", False))
        for name, entry in tomllib.loads(DATA.read_text()).items()
    ]


def source(mutant: Mutant) -> str:
    """The module of the mutant, as it is in the checkout."""
    return (ROOT / "pyprocmail" / mutant.module).read_text()


class Workshop:
    """A copy of the checkout in `folder`, in which mutants are tried one after the other."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "checkout"
        self._python = folder / "venv" / "bin" / "python"
        self._changes = 0
        folder.chmod(0o755)
        self._root.mkdir(mode=0o755)
        for name in _COPIED:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", ".hypothesis", "*.bundle*")
                shutil.copytree(ROOT / name, self._root / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, self._root)
        self._make_environment(folder / "venv")

    def _make_environment(self, folder: Path) -> None:
        """An environment with the packages of ours, which finds the copy before anything that is installed."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, capture_output=True)
        packages = next(folder.glob("lib/python*/site-packages"))
        (packages / "copy.pth").write_text(f"{self._root}\n{sysconfig.get_path('purelib')}\n")
        script = self._python.with_name("pyprocmail")
        script.write_text(f"#!{self._python}\nfrom pyprocmail.commands.main import main\nmain()\n")
        script.chmod(0o755)

    def try_out(self, mutant: Mutant) -> subprocess.CompletedProcess[str]:
        """Run the tests of the mutant, with its fault in the copy, until one fails."""
        path = self._root / "pyprocmail" / mutant.module
        before = path.read_text()
        try:
            self._write(path, mutant.apply(before))
            return self.run(mutant.tests)
        finally:
            self._write(path, before)

    def _write(self, path: Path, text: str) -> None:
        """Write a module so that no compiled form of it looks current: its time is one that it never had."""
        path.write_text(text)
        self._changes += 1
        os.utime(path, (self._changes, self._changes))

    def run(self, tests: Iterable[str]) -> subprocess.CompletedProcess[str]:
        """Run tests of the copy until one fails.

        Raises:
            TimeoutExpired: they did not come to an end; whatever they started is ended.
        """
        command = [
            str(self._python),
            "-P",
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            *tests,
        ]
        environment = {
            name: value
            for name, value in os.environ.items()
            if name != installation.VARIABLE and not name.startswith(("PYTEST_", "PYTHON"))
        }
        process = subprocess.Popen(
            command,
            cwd=self._root / "tests",
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        return subprocess.CompletedProcess(command, process.returncode, output)
