"""One call for a file of rules: its source, its tree, what is wrong with it, its program."""

from __future__ import annotations

from pathlib import Path

from pyprocmail import reading
from pyprocmail.maildrop.syntax.compiled import compile_filter
from pyprocmail.procmail.syntax.lower import compile_rcfile


def test_an_rcfile(tmp_path: Path) -> None:
    """Also one with a mistake has a program."""
    path = tmp_path / "a.rc"
    path.write_bytes(b"A=b\n:0 x\ninbox\n")
    read = reading.read_rcfile(path)
    assert read.program == compile_rcfile(path.read_bytes())
    assert (read.source.name, read.source.data) == (str(path), path.read_bytes())
    assert [diagnostic.code for diagnostic in read.diagnostics] == ["P104"]
    assert read.source.position(read.tree.items[-2].span.start) == (2, 1)


def test_a_filter_file(tmp_path: Path) -> None:
    """One with a fault has a tree, and no program."""
    path = tmp_path / "mailfilter"
    path.write_bytes(b'A="b"\nto "inbox"\n')
    read = reading.read_filter_file(path)
    assert read.program == compile_filter(path.read_bytes(), b"").program
    assert not read.diagnostics
    path.write_bytes(b'A=)\nto "inbox"\n')
    read = reading.read_filter_file(path)
    assert read.program is None
    assert [type(statement).__name__ for statement in read.tree.statements] == ["Faulty", "Command"]
