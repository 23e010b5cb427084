"""Write docs/MODULES.md: a table for each folder of the package, from the docstrings of the modules.

`python docs/modules.py`, or `make modules`.  With `-` the page goes to standard output.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pyprocmail"
DOCUMENT = ROOT / "docs" / "MODULES.md"
HEAD = """\
# Modules

A table for each folder: the module, its subject, and its largest type. `make modules` writes this page from
the first line of each module's docstring. [ARCHITECTURE.md](../ARCHITECTURE.md) tells how the folders work together.
"""


def document() -> str:
    """The page as it is to be."""
    parts = [HEAD]
    folders = sorted({path.parent for path in PACKAGE.rglob("*.py")})
    for folder in folders:
        modules = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
        if modules:
            parts.append(f"\n## {folder.relative_to(ROOT)}\n\n| module | subject | main type |\n|---|---|---|\n")
            parts += [_row(path) for path in modules]
    return "".join(parts)


def _row(path: Path) -> str:
    tree = ast.parse(path.read_bytes())
    subject = (ast.get_docstring(tree) or "").partition("\n")[0].replace("|", "\\|")
    types = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    types = [node for node in types if not node.name.endswith("Error")]
    largest = max(types, key=lambda node: (node.end_lineno or 0) - node.lineno, default=None)
    return f"| `{path.stem}` | {subject} | {f'`{largest.name}`' if largest else ''} |\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["-"]:
        sys.stdout.buffer.write(document().encode())
    else:
        DOCUMENT.write_text(document())
