"""The user whom the doctor examines, and the user's permissions for files.  Nothing is changed."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from enum import Enum

READ, WRITE, SEARCH = 4, 2, 1


class Gravity(Enum):
    """The severity: with an error, mail stays in the queue, is lost, or does not reach the rcfile."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One sentence, and the command that mends it, if there is one."""

    gravity: Gravity
    sentence: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """A user, and the machine below the folder `root`, which is `/` except in tests."""

    name: str
    uid: int
    groups: tuple[int, ...]
    home: str
    shell: str = "/bin/sh"
    root: str = "/"

    def here(self, path: str) -> str:
        """The place of the machine's file `path` below the root."""
        return os.path.join(self.root, path.lstrip("/"))

    def status(self, path: str, *, follow: bool = True) -> os.stat_result | None:
        """The file's status by stat(2) or lstat(2); None if there is no such file."""
        try:
            return os.stat(self.here(path), follow_symlinks=follow)
        except OSError:
            return None

    def text(self, path: str, last: int = 1 << 20) -> str | None:
        """The last bytes of a regular file as text; None if it cannot be read."""
        status = self.status(path)
        if status is None or not stat.S_ISREG(status.st_mode):
            return None
        try:
            with open(self.here(path), "rb") as file:
                file.seek(max(0, status.st_size - last))
                return file.read(last).decode("utf-8", "replace")
        except OSError:
            return None

    def may(self, path: str, what: int) -> bool:
        """Whether the modes of the file let the user do all of `what` (READ, WRITE, SEARCH)."""
        status = self.status(path)
        if status is None:
            return False
        if self.uid == 0:
            return True
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid in self.groups else 0
        return (status.st_mode >> shift) & what == what

    def barrier(self, path: str) -> str:
        """The first folder on the way to `path` that the user may not search; an empty text if there is none."""
        folder = ""
        for name in os.path.dirname(path).strip("/").split("/"):
            folder = f"{folder}/{name}" if name else "/"
            if self.status(folder) is not None and not self.may(folder, SEARCH):
                return folder
        return ""
