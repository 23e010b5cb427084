"""Launchers: scripts of three lines that start us under the name of another program.

An installer's own scripts import more than a delivery does; and `-I` keeps the caller's
environment and folder out of what Python imports.
"""

from __future__ import annotations

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
    text = f"#!{sys.executable} -I\nfrom pyprocmail.commands.main import main\nmain()\n"
    written = []
    for name in NAMES:
        path = folder / name
        temporary = folder / f".{name}.new"
        temporary.write_text(text)
        temporary.chmod(0o755)
        temporary.replace(path)
        written.append(path)
    return written
