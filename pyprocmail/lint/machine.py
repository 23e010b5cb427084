"""The machine as checks see it: which files, folders and programs exist.  Nothing is changed."""

from __future__ import annotations

import os
import stat

_LONGEST = 8 << 20


class Machine:
    """The machine on which this process runs; `home` is the home of the rcfile's user."""

    def __init__(self, home: bytes, path: bytes = b"/usr/local/bin:/usr/bin:/bin") -> None:
        self.home = home
        self.path = path

    def is_directory(self, path: bytes) -> bool:
        """Whether `path` is a directory."""
        return os.path.isdir(path)

    def read(self, path: bytes) -> bytes | None:
        """The bytes of a regular file; None if it cannot be read."""
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                return None
            with open(path, "rb") as file:
                return file.read(_LONGEST)
        except OSError:
            return None

    def has_program(self, name: bytes, path: bytes) -> bool:
        """Whether a program of that name is on `path`, or at its own path."""
        places = [name] if b"/" in name else [os.path.join(folder, name) for folder in path.split(b":") if folder]
        return any(os.access(place, os.X_OK) and not os.path.isdir(place) for place in places)

    def writers(self, path: bytes) -> str:
        """Who may write to `path` apart from the owner and root: `group`, `others` or ``."""
        try:
            mode = os.stat(path).st_mode
        except OSError:
            return ""
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return "others"
        return "group" if mode & stat.S_IWGRP and not mode & stat.S_ISVTX else ""


class NoMachine(Machine):
    """No machine: every folder is a mailbox, every program exists, and no other file does."""

    def __init__(self) -> None:
        super().__init__(b"")

    def is_directory(self, path: bytes) -> bool:
        return False

    def read(self, path: bytes) -> bytes | None:
        return None

    def has_program(self, name: bytes, path: bytes) -> bool:
        return True

    def writers(self, path: bytes) -> str:
        return ""
