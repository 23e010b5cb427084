"""What a differential case is, and its form as a file for conformance/conform.py."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field

DIR = b"@DIR@"
"""Stands for the directory of the case, in every text of it."""


@dataclass(frozen=True)
class File:
    """A file that is there before the program starts."""

    data: bytes
    mode: int = 0o644


@dataclass(frozen=True)
class Case:
    """One call of procmail in a directory of its own.

    The rcfile is the file `rc`.  `age_s` is how many seconds ago a file of `files` was last written to.
    """

    rcfile: bytes
    mail: bytes
    argv: tuple[bytes, ...] = (b"-m", b"rc")
    files: dict[str, File] = field(default_factory=dict)
    dirs: dict[str, int] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    age_s: dict[str, int] = field(default_factory=dict)


Value = str | dict[str, str | int]


def _value(data: bytes, mode: int = 0o644, age_s: int | None = None) -> Value:
    value: dict[str, str | int]
    if data.isascii() and b"\r" not in data and b"\0" not in data:
        value = {"text": data.decode()}
    else:
        value = {"b64": base64.b64encode(data).decode()}
    if mode != 0o644:
        value["mode"] = f"{mode:04o}"
    if age_s is not None:
        value["age"] = age_s
    return str(value["text"]) if [*value] == ["text"] else value


def as_json(case: Case, name: str, about: str) -> str:
    """The case for conform.py, without its expectation.

    Raises:
        ValueError: it has what such a file cannot say.
    """
    if case.links or any(mode != 0o755 for mode in case.dirs.values()):
        raise ValueError("conform.py knows neither symbolic links nor modes of directories")
    files = {"rc": _value(case.rcfile)}
    for path, file in case.files.items():
        files[path] = _value(file.data, file.mode, case.age_s.get(path))
    return json.dumps(
        {
            "name": name,
            "about": about,
            "program": "procmail",
            "argv": [argument.decode("utf-8", "surrogateescape") for argument in case.argv],
            "env": case.environment,
            "dirs": [*case.dirs],
            "files": files,
            "stdin": _value(case.mail),
        },
        indent=1,
    )
