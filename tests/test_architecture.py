"""Which part of the package may import which, held by reading the imports; ARCHITECTURE.md names what is there.

A part is a folder or a module directly under pyprocmail/.  Imports under TYPE_CHECKING and inside
functions count.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "pyprocmail"

# Part -> the parts that it may import; it may import what those may, too.  A part with a dot is a folder in one.
TABLE = {
    "servers": {"procmail", "procmail.syntax", "maildrop", "maildrop.syntax", "tools"},
    "offline": {"procmail", "procmail.syntax", "maildrop", "maildrop.syntax", "tools", "webpage"},
    "report": {"message", "webpage"},
    "webpage": set[str](),
    "procmail": {"engine", "procmail.compiled"},
    "procmail.syntax": {"procmail.compiled", "matching", "grammars", "diagnostics"},
    "procmail.compiled": {"numerals"},
    "maildrop": {"engine", "maildrop.instructions"},
    "maildrop.syntax": {"maildrop.instructions", "message", "grammars", "diagnostics"},
    "maildrop.instructions": set[str](),
    "lint": {"reading", "matching"},
    "reading": {"procmail.syntax", "maildrop.syntax"},
    "doctor": {"lint", "offline"},
    "editor": {"lint"},
    "tools": {"delivery", "message", "host"},
    "engine": {"delivery", "matching", "message", "host"},
    "delivery": {"message", "host"},
    "matching": {"exits"},
    "message": {"exits", "numerals"},
    "diagnostics": {"source"},
    "grammars": {"exits"},
    "source": set[str](),
    "host": {"signals"},
    "signals": {"numerals"},
    "numerals": set[str](),
    "exits": set[str](),
}
# Import everything, and are imported by nobody.
EDGES = {"commands", "__main__"}


def reachable(part: str) -> set[str]:
    """Everything that `part` may import."""
    seen: set[str] = set()
    todo = [part]
    while todo:
        new = TABLE[todo.pop()] - seen
        seen |= new
        todo += new
    return seen


def part_of(names: Sequence[str]) -> str:
    """The part in which a module lies: the one with a dot if the table has it."""
    inner = ".".join(names[:2])
    return inner if inner in TABLE else names[0]


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """The parts of pyprocmail that the file imports, each with its line."""
    package = ["pyprocmail", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_bytes())):
        names: list[list[str]] = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base += node.module.split(".") if node.module else []
            names = [[*base, alias.name] for alias in node.names]
        for name in names:
            if name[0] == "pyprocmail" and len(name) > 1 and not name[1].startswith("__version"):
                yield getattr(node, "lineno", 0), part_of(name[1:])


def files() -> list[Path]:
    """The modules of the package, without its own __init__.py, which has only the version."""
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_table(path: Path) -> None:
    """A module imports its own part and what the table gives it, nothing else of ours."""
    part = part_of(path.relative_to(PACKAGE).with_suffix("").parts)
    assert part in TABLE or part in EDGES, f"{part} is not in the table"
    if part not in EDGES:
        allowed = reachable(part) | {part}
        wrong = [f"{path}:{line}: {part} imports {name}" for line, name in imported(path) if name not in allowed]
        assert not wrong, "\n".join(wrong)


def test_the_table_has_no_cycle() -> None:
    """No part may, over others, import itself."""
    assert [part for part in TABLE if part in reachable(part)] == []


def test_the_reader_of_imports_sees_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute, relative, inside functions and under TYPE_CHECKING."""
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    (tmp_path / "engine").mkdir()
    module = tmp_path / "engine" / "session.py"
    module.write_text(
        "import os, pyprocmail.host\n"
        "from pyprocmail import __version__, exits\n"
        "from .. import lint\n"
        "from ..delivery.mbox import append\n"
        "from . import log\n"
        "if TYPE_CHECKING:\n    from pyprocmail.tools import formail\n"
        "def f():\n    import pyprocmail.servers.lmtp\n"
    )
    assert {name for _, name in imported(module)} == {
        "host", "exits", "lint", "delivery", "engine", "tools", "servers",
    }  # fmt: skip


# -- the documents -------------------------------------------------------------------------------


def classes(path: Path) -> set[str]:
    """The names of classes and of type aliases in a module."""
    names = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def test_the_map_names_what_is_there() -> None:
    """Each row: its folders, the types in them, and the modules to begin reading at."""
    rows = re.findall(r"(?m)^\| `(.*)` \| .* \| (.*) \| (.*) \|$", (ROOT / "ARCHITECTURE.md").read_text())
    assert len(rows) > 15
    for folders, types, modules in rows:
        paths = [PACKAGE / folder for folder in folders.split("`, `")]
        assert all(path.is_dir() for path in paths), folders
        found = {name for path in paths for module in path.rglob("*.py") for name in classes(module)}
        assert set(re.findall(r"`(\w+)`", types)) <= found, folders
        for module in re.findall(r"`([\w/]+)`", modules):
            assert any((path / f"{module}.py").is_file() for path in paths), (folders, module)


def test_modules_are_listed() -> None:
    """docs/MODULES.md is what the docstrings say: `make modules`."""
    written = subprocess.run([sys.executable, ROOT / "docs" / "modules.py", "-"], capture_output=True, check=True)
    assert written.stdout.decode() == (ROOT / "docs" / "MODULES.md").read_text()
