"""What a delivery imports.  A mail server starts one process a message: every import costs each mail.

tests/startup-modules.txt lists the modules that a delivery with a cached program may load on top of
a bare interpreter; add to it only what a measurement justifies.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import installation
import pytest
from conftest import ROOT

FORBIDDEN = {
    "argparse", "asyncio", "click", "collections", "dataclasses", "email", "enum", "functools", "inspect", "lark",
    "logging", "pathlib", "re", "re2", "signal", "socket", "struct", "subprocess", "tempfile", "traceback", "typing",
}  # fmt: skip

MESSAGE = (
    b"From alice@example.com Thu Jan  1 00:00:00 2026\n"
    b"From: alice@example.com\nTo: bob@example.net\nSubject: invoice 17\n\nDear Bob,\n\nit is due.\n"
)

# What a usual rcfile does: assignments, patterns with MATCH, a block, a filter, a score, folders of two kinds.
RCFILE = """\
MAILDIR=.
DEFAULT=inbox
PATH=/usr/bin:/bin
:0 c
copies/
:0 fhw
| cat
:0
* ^Subject: *invoice \\/[0-9]+
* 1^0 B ?? due
{
    NUMBER=$MATCH
    :0:
    * < 100000
    invoices
}
"""


def modules(*arguments: str | Path, directory: Path, stdin: bytes = b"") -> set[str]:
    """The names of all modules that the launchers' interpreter, isolated, imports while it runs."""
    run = subprocess.run(
        [installation.interpreter(), "-I", "-X", "importtime", *arguments],
        input=stdin, cwd=directory, capture_output=True, check=True,
    )  # fmt: skip
    return set(re.findall(r"(?m)^import time:\s*\d+ \|\s*\d+ \|\s*(\S+)$", run.stderr.decode("latin-1")))


def test_a_delivery_imports_only_what_is_listed(launchers: Path, tmp_path: Path) -> None:
    """The launcher, run as a mail server would, after a first run that filled the program cache."""
    (tmp_path / "rc").write_text(RCFILE)
    launcher = launchers / "procmail"
    time.sleep(2.1)  # a program is cached when its rcfile has been left alone for two seconds
    modules(launcher, "-m", "rc", directory=tmp_path, stdin=MESSAGE)
    loaded = modules(launcher, "-m", "rc", directory=tmp_path, stdin=MESSAGE)
    assert (tmp_path / "invoices").read_bytes().count(b"Dear Bob") == 2
    loaded -= modules("-c", "pass", directory=tmp_path)
    listed = set((ROOT / "tests" / "startup-modules.txt").read_text().split())
    assert loaded & FORBIDDEN == set()
    assert loaded - listed == set(), "imported, but not listed"
    assert {name for name in listed - loaded if name.startswith("pyprocmail")} == set(), "listed, but not imported"


# -- what goes wrong before a delivery can begin ---------------------------------------------------


@pytest.fixture
def moved(launchers: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A launcher of a copy of the package, and the copy, to be damaged."""
    place = tmp_path / "site"
    shutil.copytree(
        ROOT / "pyprocmail", place / "pyprocmail", ignore=shutil.ignore_patterns("__pycache__", "*.bundle*")
    )
    launcher = tmp_path / "procmail"
    text = (launchers / "procmail").read_text()
    found = re.search(r"(?m)^sys.path \+= (\[.*\])$", text)
    assert found
    shutil.copytree(ROOT / "grammar", place / "pyprocmail" / "grammar")
    for folder in map(Path, ast.literal_eval(found[1])):
        for name in ("re2", "lark", "click"):
            if (folder / name).exists():
                (place / name).symlink_to(folder / name)
    launcher.write_text(text.replace(found[1], repr([str(place)])))
    launcher.chmod(0o755)
    return launcher, place / "pyprocmail"


def status(launcher: Path, folder: Path, limits: str = ":") -> int:
    """The exit status of a delivery under a limit that the shell sets."""
    (folder / "rc").write_text(f":0\n{folder}/box\n")
    (folder / "mail").write_bytes(MESSAGE)
    command = ["/bin/bash", "-c", f'{limits}; exec "{launcher}" -m "{folder}/rc"']
    with (folder / "mail").open("rb") as mail:
        return subprocess.run(command, stdin=mail, capture_output=True, check=False, timeout=60).returncode


DAMAGES: dict[str, Callable[[Path], object]] = {
    "the package is gone": lambda package: shutil.rmtree(package),
    "half a package": lambda package: shutil.rmtree(package / "delivery"),
    "an empty module": lambda package: (package / "commands" / "main.py").write_text(""),
    "half a module": lambda package: (package / "procmail" / "session.py").write_text("class Session:\n    def"),
    "bytes that are no text": lambda package: (package / "host.py").write_bytes(b"\0\xff\n"),
    "an endless import": lambda package: (package / "exits.py").write_text("def f():\n    return f()\nf()\n"),
    "a module that exits": lambda package: (package / "host.py").write_text("raise KeyboardInterrupt\n"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_launcher_that_cannot_start_keeps_the_mail(moved: tuple[Path, Path], tmp_path: Path, damage: str) -> None:
    launcher, package = moved
    assert status(launcher, tmp_path) == 0
    DAMAGES[damage](package)
    assert status(launcher, tmp_path) == 75


@pytest.mark.parametrize("limit", ["ulimit -n 4", "ulimit -n 5", "ulimit -v 15000", "ulimit -v 18000"])
def test_too_little_of_something_keeps_the_mail(launchers: Path, tmp_path: Path, limit: str) -> None:
    """Too few descriptors or too little memory to import us: 75.  Python itself could start."""
    found = status(launchers / "procmail", tmp_path, limit)
    if found in (1, 127, 139):
        bare = subprocess.run(["/bin/bash", "-c", f'{limit}; exec "{sys.executable}" -IS -c pass'], check=False)
        assert bare.returncode == found, "Python could start"
        pytest.skip("Python itself does not start")
    assert found == 75


@pytest.mark.parametrize("variable", ["PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__", "PYTHONHOME", "PYTHONPATH"])
def test_the_environment_does_not_decide_what_is_imported(launchers: Path, tmp_path: Path, variable: str) -> None:
    """A caller's library, in whatever variable, is not loaded."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = tmp_path / "lib" / version
    shutil.copytree(Path(os.__file__).parent / "encodings", library / "encodings")
    for module in Path(os.__file__).parent.glob("*.py"):
        shutil.copy(module, library)
    (library / "lib-dynload").mkdir()
    proof = tmp_path / "proof"
    with (library / "encodings" / "__init__.py").open("a") as file:
        file.write(f"\nimport posix\nposix.close(posix.open({str(proof)!r}, 0o101))\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "pyvenv.cfg").write_text(f"home = {tmp_path}/bin\n")
    shutil.copy(Path(sys.executable).resolve(), tmp_path / "bin" / "python3")
    value = (
        library if variable == "PYTHONPATH" else tmp_path if variable == "PYTHONHOME" else tmp_path / "bin" / "python3"
    )
    environment = {"PATH": "/usr/bin:/bin", variable: str(value)}
    done = subprocess.run([launchers / "procmail", "-v"], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not proof.exists()
