"""Build the documentation as a site: `python docs/assemble.py FOLDER`.

The pages are files that the repository has anyway: README, docs/, man/ (through mandoc), examples/integration.  They
are written below FOLDER/pages with their links turned, and Sphinx makes FOLDER/site of them.  It is an error if a link
leads nowhere, or a page loads something from another host.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INTEGRATION = "examples/integration"

# Section -> title -> file of the repository.
PAGES = {
    "Start": {"pyprocmail": "README.md", "Changes": "CHANGELOG.md"},
    "Tutorial": {"Trying rules": "docs/TRYING-RULES.md", "Examples": "examples/README.md"},
    "How to": {"Decoded areas": "docs/DECODED.md", "Editors": "docs/EDITORS.md"},
    "Reference": {"Checks": "docs/CHECKS.md"},
    "Explanation": {
        "How it works": "ARCHITECTURE.md",
        "Modules": "docs/MODULES.md",
        "What is the same as in procmail": "docs/COMPATIBILITY.md",
        "Security": "SECURITY.md",
        "Contributing": "CONTRIBUTING.md",
    },
    "Performance": {"Measurements": "docs/PERFORMANCE.md", "Very many mails": "docs/SCALE.md"},
    "Reliability": {"What happens when something fails": "docs/RELIABILITY.md"},
}

# A page for each mail server: what the files of examples/integration are for, in this order.
SERVERS = {
    "Postfix": {
        "LMTP, for users of the machine": ("postfix-lmtp.cf", "pyprocmail-lmtp.service", "pyprocmail-lmtp.socket"),
        "LMTP, for addresses without accounts": ("postfix-virtual-lmtp.cf",),
        "A process for each mail": ("postfix-main.cf", "forward"),
        "One rcfile for mail that is routed to it": ("postfix-master.cf",),
        "A log of all mail": (
            "postfix-milter.cf",
            "pyprocmail-milter.service",
            "pyprocmail-milter.socket",
            "logrotate-milter",
        ),
        "Rules that decide": ("postfix-policy.cf",),
        "A gateway": (
            "postfix-gateway-main.cf",
            "postfix-gateway-master.cf",
            "gateway-table",
            "pyprocmail-gateway.service",
        ),
    },
    "Exim": {"LMTP": ("exim-lmtp.conf",), "A process for each mail": ("exim.conf",)},
    "Sendmail": {
        "LMTP": ("sendmail-lmtp.mc",),
        "A process for each mail": ("sendmail.mc", "forward"),
        "A log of all mail": ("sendmail-milter.mc",),
        "Rules that decide": ("sendmail-policy.mc",),
        "A gateway": ("sendmail-gateway.mc", "pyprocmail.m4"),
    },
    "fetchmail and getmail": {
        "fetchmail": ("fetchmailrc", "fetchmailrc-lmtp"),
        "getmail": ("getmailrc", "getmailrc-lmtp"),
    },
    "qmail": {"A process for each mail": ("qmail",)},
}
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
_CODE = re.compile(r"(?ms)^(```|~~~).*?^\1$|`[^`\n]+`")
_LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"(?:https?:)?//|<link\b(?![^>]*canonical)[^>]*href=\"(?:https?:)?//"
)


def page_of(path: str) -> str:
    """The page that a file of the repository becomes; an empty text for none."""
    if path == "README.md":
        return "index.md"
    for section, pages in PAGES.items():
        if path in pages.values():
            name = Path(path).parent.name if Path(path).stem == "README" else Path(path).stem
            return f"{section.lower().replace(' ', '-')}/{name.lower()}.md"
    if path.startswith("man/"):
        return f"reference/{path.removeprefix('man/')}.md"
    for server, parts in SERVERS.items():
        if any(path == f"{INTEGRATION}/{name}" for files in parts.values() for name in files):
            return _server_page(server)
    return _server_page("Postfix") if path == INTEGRATION else ""


def _server_page(server: str) -> str:
    return f"how-to/{server.split()[0].lower()}.md"


def turned(text: str, path: str, pages: Path) -> str:
    """A text with links to files turned into links to pages; files without a page are copied beside the pages."""
    here = posixpath.dirname(page_of(path))

    def turn(match: re.Match[str]) -> str:
        target, hash_, anchor = match[2].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        name = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        page = page_of(name)
        if not page:
            if not (ROOT / name).is_file():
                raise SystemExit(f"{path}: {match[2]} is not there")
            page = f"files/{name}"
            (pages / page).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, pages / page)
        elif name.startswith(f"{INTEGRATION}/"):
            hash_, anchor = "#", _anchor(posixpath.basename(name))
        return f"[{match[1]}]({posixpath.relpath(page, here)}{hash_}{anchor})"

    text = re.sub(r'<a id="([^"]+)"></a>([\w-]+)', r"[\2]{#\1}", text)
    made, at = "", 0
    for code in _CODE.finditer(text):
        made += _LINK.sub(turn, text[at : code.start()]) + code[0]
        at = code.end()
    return made + _LINK.sub(turn, text[at:])


def _anchor(title: str) -> str:
    """The anchor that mkdocs gives a title."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower())


def manual_page(path: Path) -> str:
    """A manual page as Markdown, one level below its title, with links to the other pages."""
    done = subprocess.run(["mandoc", "-T", "markdown", path], capture_output=True, text=True, check=True)
    title = f"{path.stem}({path.suffix[1:]})"
    lines = done.stdout.splitlines()[1:-1]  # without mandoc's own first and last
    text = "\n".join(f"#{line}" if line.startswith("#") else line for line in lines)
    known = {page.name: f"{page.stem}({page.suffix[1:]})" for page in (ROOT / "man").iterdir()}
    for name, shown in known.items():
        if name != path.name:
            escaped = re.escape(shown)
            text = re.sub(rf"(?m)^(?!#|    )(.*?)(?<![\w\[-]){escaped}", rf"\1[{shown}]({name}.md)", text)
    return f"# {title}\n{text}\n"


def server_page(server: str, parts: dict[str, tuple[str, ...]]) -> str:
    """The page of a mail server, with the files that the tests run it with."""
    text = (
        f"# {server}\n\n`make test-integration` runs {server} with these files.\n" if server != "qmail" else "# qmail\n"
    )
    for title, names in parts.items():
        text += f"\n## {title}\n"
        for name in names:
            content = (ROOT / INTEGRATION / name).read_text().rstrip("\n")
            text += f"\n### {name}\n\n~~~\n{content}\n~~~\n"
    return text


def unplaced() -> list[str]:
    """The documents and the files of mail servers that have no page yet."""
    files = [*(ROOT / "docs").glob("*.md"), *(ROOT / INTEGRATION).iterdir()]
    return sorted(name for name in (str(path.relative_to(ROOT)) for path in files) if not page_of(name))


def assemble(pages: Path, *, manuals: bool = True) -> None:
    """Write all pages, and the navigation at the end of the first one; `manuals`: manual pages, too."""
    navigation = ""
    for section, titles in PAGES.items():
        entries = list(servers(pages)) if section == "How to" else []
        for title, path in titles.items():
            write(pages / page_of(path), turned((ROOT / path).read_text(), path, pages))
            if path != "README.md":
                entries.append(f"{title} <{page_of(path).removesuffix('.md')}>")
        if section == "Reference" and manuals:
            entries += manual_pages(pages)
        navigation += f"\n```{{toctree}}\n:hidden:\n:caption: {section}\n\n" + "\n".join(entries) + "\n```\n"
    with (pages / "index.md").open("a") as index:
        index.write(navigation)


def servers(pages: Path) -> Iterator[str]:
    """Write the pages of the mail servers; their places in the navigation."""
    for server, parts in SERVERS.items():
        write(pages / _server_page(server), server_page(server, parts))
        yield f"{server} <{_server_page(server).removesuffix('.md')}>"


def manual_pages(pages: Path) -> Iterator[str]:
    """Write the manual pages; their places in the navigation."""
    for path in sorted((ROOT / "man").iterdir()):
        write(pages / page_of(f"man/{path.name}"), manual_page(path))
        yield f"reference/{path.name}"


def write(path: Path, text: str) -> None:
    """Write a page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def main(folder: Path) -> None:
    """Assemble, build, and look at what pages load."""
    pages, site = folder / "pages", folder / "site"
    for old in (pages, site, folder / "doctrees"):
        shutil.rmtree(old, ignore_errors=True)
    if unplaced():
        raise SystemExit(f"docs/assemble.py: {', '.join(unplaced())} has no place in PAGES or SERVERS")
    assemble(pages)
    shutil.copy(ROOT / "docs/conf.py", pages)
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-j",
        "auto",
        "-b",
        "html",
        "-d",
        folder / "doctrees",
        pages,
        site,
    ]
    if subprocess.run(command, check=False, cwd=ROOT).returncode:
        raise SystemExit(1)
    foreign = [f"{page}: {match[0]}" for page in site.rglob("*.html") for match in _LOADED.finditer(page.read_text())]
    if foreign:
        raise SystemExit("\n".join(["pages load from other hosts:", *foreign]))


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
