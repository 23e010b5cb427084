"""Launchers: scripts of a few lines that start us under the name of another program.

An installer's own scripts import more than a delivery does; `-I` keeps the caller's environment and
folder out of what Python imports, and `-S` saves looking for packages at each start: the launcher
knows where they were when it was written.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from pyprocmail.commands.main import PROGRAMS

NAMES = ("pyprocmail", "procmail", *(name.decode() for name in PROGRAMS))


def write(folder: Path) -> list[Path]:
    """Write the launchers into `folder`, which is made; existing ones are replaced at once.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = _launcher()
    written = []
    for name in NAMES:
        path = folder / name
        temporary = folder / f".{name}.new"
        temporary.write_text(text)
        temporary.chmod(0o755)
        temporary.replace(path)
        written.append(path)
    return written


_START = "from pyprocmail.commands.main import main\nmain()\n"


def _launcher() -> str:
    """The script: without looking for packages, if we are found that way too."""
    usual, bare = _search_path("-I"), _search_path("-IS")
    quick = f"import sys\nsys.path += {[folder for folder in usual if folder not in bare]!r}\n"
    check = [sys.executable, "-IS", "-c", f"{quick}import pyprocmail, lark\nfrom re2 import _re2"]
    if subprocess.run(check, capture_output=True, check=False).returncode == 0:  # noqa: S603  our own interpreter
        return f"#!{sys.executable} -IS\n{quick}{_START}"
    return f"#!{sys.executable} -I\n{_START}"


def _search_path(options: str) -> list[str]:
    """Where Python looks for modules when it is started with the options."""
    command = [sys.executable, options, "-c", "import sys; print(sys.path)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  our own interpreter
    found = ast.literal_eval(done.stdout)
    assert isinstance(found, list)
    return found
