"""Making a case that disagrees as small as it can be and still disagree."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from differential.cases import Case, File

_TOKENS = re.compile(rb"\s+|\w+|[^\w\s]")
_SECONDS = 20.0


def shrink(case: Case, still: Callable[[Case], bool]) -> Case:
    """The smallest case for which `still` holds that is found in a while."""
    deadline = time.monotonic() + _SECONDS
    progress = True
    while progress:
        progress = False
        for smaller in _smaller(case):
            if time.monotonic() > deadline:
                return case
            if still(smaller):
                case, progress = smaller, True
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    """Cases with less in them, those with much less first."""
    if len(case.argv) > 2:
        yield replace(case, argv=case.argv[:-1])
    for text in _without_lines(case.rcfile):
        yield replace(case, rcfile=text)
    for name, file in case.files.items():
        for text in _without_lines(file.data):
            yield replace(case, files={**case.files, name: File(text, file.mode)})
    for text in _without_lines(case.mail):
        yield replace(case, mail=text)
    for text in _without_tokens(case.rcfile):
        yield replace(case, rcfile=text)
    # Files last: without its mailbox the reference sleeps for a second.
    for name in case.files:
        yield replace(case, files={n: f for n, f in case.files.items() if n != name})
    for name in case.dirs:
        yield replace(case, dirs={n: m for n, m in case.dirs.items() if n != name})


def _without_lines(text: bytes) -> Iterator[bytes]:
    lines = text.splitlines(keepends=True)
    size = len(lines) // 2
    while size:
        for at in range(0, len(lines), size):
            yield b"".join(lines[:at] + lines[at + size :])
        size //= 2
    if len(lines) == 1:
        yield b""


def _without_tokens(text: bytes) -> Iterator[bytes]:
    tokens = [match[0] for match in _TOKENS.finditer(text)]
    for at in range(len(tokens)):
        yield b"".join(tokens[:at] + tokens[at + 1 :])
