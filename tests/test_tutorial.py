"""docs/TRYING-RULES.md shows what its commands print; `--update-cases` writes it."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

PAGE = ROOT / "docs" / "TRYING-RULES.md"
BLOCK = re.compile(r"(?ms)^```\n(.*?)^```$")


def commands(block: str) -> list[tuple[str, list[str]]]:
    """Each command of a block with the lines of its input, which begin with `>`."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith(">") and found and "cat > " in found[-1][0]:
            found[-1][1].append(line[2:])
    return found


def said(launchers: Path, folder: Path, command: str, given: list[str]) -> str:
    """What the command prints, with its errors."""
    environment = {**os.environ, "PATH": f"{launchers}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} 2>&1"], input="".join(f"{line}\n" for line in given), cwd=folder,
        env=environment, text=True, capture_output=True, check=False,
    )  # fmt: skip
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def test_the_tutorial_is_what_is_printed(launchers: Path, tmp_path: Path, update_cases: bool) -> None:
    """Every command of the page in turn, in a folder with the examples."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")

    def made(match: re.Match[str]) -> str:
        text = "```\n"
        for command, given in commands(match[1]):
            text += f"$ {command}\n" + "".join(f"> {line}".rstrip() + "\n" for line in given)
            text += said(launchers, tmp_path, command, given)
        return text + "```"

    page = BLOCK.sub(made, PAGE.read_text())
    if update_cases:
        PAGE.write_text(page)
    assert PAGE.read_text() == page
    assert page.count("$ pyprocmail") > 7


@pytest.mark.parametrize("name", ["replay", "explain", "diff", "coverage", "test", "refile"])
def test_every_command_has_a_page_and_a_screen(launchers: Path, name: str) -> None:
    """Every option of the screen is in the manual page, but those that the page leaves to replay's."""
    done = subprocess.run([launchers / "pyprocmail", name, "--help"], capture_output=True, text=True, check=True)
    page = (ROOT / "man" / f"pyprocmail-{name}.1").read_text().replace("\\&", "")
    shared = ("allow-commands", "before", "canned", "date", "home", "language", "set", "user", "help")
    for option in re.findall(r"--([a-z][a-z-]+)", done.stdout.split("Options:")[1]):
        assert f"-{option}" in page or option in shared, option
    for option in re.findall(r"(?m)^  -([a-z])[ ,]", done.stdout):
        assert f"Fl {option}" in page or option in "afmh", option
