"""An installation of this checkout that every user of the machine can run.

Tests that change identity need one.  The environment that the tests run in will do, unless its interpreter or its
packages lie where other users cannot go, such as root's home.  Then an environment of its own is made once a run,
by an interpreter that others can run.
"""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
VARIABLE = "PYPROCMAIL_TEST_INSTALLATION"
"""The folder for what is made: set by the process that starts the tests, for those that it starts."""

_CANDIDATES = ("/usr/bin/python3", "/usr/local/bin/python3")
_OLDEST = (3, 11)
_WAY_OUT = (
    "other users cannot run this Python, and no other one was found that they can: "
    "run the tests with `make test PYTHON=/usr/bin/python3` (Debian: apt-get install python3-venv), from a folder that "
    "other users can read"
)


def begin() -> Path:
    """Make the folder for what `interpreter` makes; the caller removes it when the tests are over."""
    folder = Path(tempfile.mkdtemp(prefix="pyprocmail-tests."))
    folder.chmod(0o755)
    os.environ[VARIABLE] = str(folder)
    return folder


def is_open(path: Path) -> bool:
    """Whether every user can read `path`, and go there."""
    path = path.resolve()
    if not path.stat().st_mode & stat.S_IROTH:
        return False
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)


@cache
def interpreter() -> Path:
    """The Python of an environment with this package, which every user can run; skips the test if there is none."""
    if os.geteuid() != 0 or _here_is_open():
        return Path(sys.executable)
    made = Path(os.environ[VARIABLE]) / "venv"
    with open(made.with_name("lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refusal = made.with_name("refusal")
        if not (made / "complete").exists() and not refusal.exists():
            try:
                _make(made)
            except (OSError, subprocess.CalledProcessError) as error:
                said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
                refusal.write_text(said)
    if refusal.exists():
        pytest.skip(f"{_WAY_OUT} ({refusal.read_text().strip()})")
    return made / "bin" / "python"


def launchers(folder: Path) -> None:
    """Write launchers that every user can run into `folder`."""
    script = interpreter().with_name("pyprocmail")
    subprocess.run([script, "links", folder], check=True, capture_output=True)


def _here_is_open() -> bool:
    """Whether others can run the Python that runs the tests, and read what it imports."""
    places = [Path(sys.executable), Path(os.__file__), ROOT / "pyprocmail" / "__init__.py"]
    for name in ("pyprocmail", "re2", "lark"):
        spec = find_spec(name)
        places += [Path(spec.origin)] if spec is not None and spec.origin else []
    return all(is_open(place) for place in places)


def _make(folder: Path) -> None:
    """Install the checkout, as it is now, into an environment in `folder`."""
    found = next((path for path in map(Path, _CANDIDATES) if path.exists() and _will_do(path)), None)
    if found is None:
        raise FileNotFoundError(f"none of {', '.join(_CANDIDATES)} is a Python {_OLDEST[0]}.{_OLDEST[1]} with venv")
    run = subprocess.run
    before = os.umask(0o022)
    try:
        run([found, "-m", "venv", folder], check=True, capture_output=True, text=True)
        pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet"]
        pip += ["install", f"{ROOT}[report]"]
        run(pip, check=True, capture_output=True, text=True)
    finally:
        os.umask(before)
    (folder / "complete").touch()


def _will_do(python: Path) -> bool:
    if not is_open(python):
        return False
    check = f"import sys, venv, ensurepip; sys.exit(sys.version_info < {_OLDEST})"
    return subprocess.run([python, "-I", "-c", check], capture_output=True, check=False).returncode == 0
