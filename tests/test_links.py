"""The documents of the repository: links in them lead somewhere, and the site has all of them."""

import importlib.util
import re
from collections import Counter
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT

DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    *sorted((ROOT / ".github").rglob("*.md")),
]
CODE = re.compile(r"(?ms)^ *(```|~~~).*?^ *\1 *$|`[^`\n]+`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@cache
def anchors(path: Path) -> set[str]:
    """The places of a document that links can name: its headings, as GitHub names them, and what has an id."""
    text = path.read_text()
    found = set(re.findall(r'id="([^"]+)"', text))
    seen: Counter[str] = Counter()
    for title in re.findall(r"(?m)^#+ +(.*?) *$", re.sub(r"(?ms)^(```|~~~).*?^\1", "", text)):
        name = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """To a file of the repository and a place in it; links to other hosts are not followed."""
    for target in LINK.findall(CODE.sub("", path.read_text())):
        name, _, anchor = target.partition("#")
        if not re.match(r"[a-z]+:", target):
            there = path.parent / name if name else path
            assert there.exists(), target
            assert not anchor or anchor in anchors(there.resolve()), target


def site() -> ModuleType:
    """docs/assemble.py."""
    spec = importlib.util.spec_from_file_location("assemble", ROOT / "docs" / "assemble.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_site_has_every_document(tmp_path: Path) -> None:
    """Each file of docs/ and of examples/integration has its page, and each page its file."""
    assemble = site()
    assert assemble.unplaced() == []
    assemble.assemble(tmp_path, manuals=False)
    assert (tmp_path / "index.md").read_text().count("```{toctree}") == len(assemble.PAGES)
    assert "how-to/postfix.md#postfix-virtual-lmtpcf" in (tmp_path / "index.md").read_text()
    assert 'mailbox_command = /usr/local/bin/procmail -a "$EXTENSION"' in (tmp_path / "how-to/postfix.md").read_text()
