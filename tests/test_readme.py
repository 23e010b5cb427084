"""The README shows the snippets that the mail servers are tested with, and output that is ours."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"(?ms)^```\n(.*?)^```$", README)
SHOWN = ("postfix-lmtp.cf", "postfix-main.cf", "forward", "exim.conf", "sendmail.mc", "fetchmailrc")


def without_comments(text: str) -> str:
    """The lines of a snippet that are no comments."""
    return "".join(line for line in text.splitlines(keepends=True) if not re.match(r"#|dnl ", line))


@pytest.mark.parametrize("name", SHOWN)
def test_snippets_are_those_that_are_tested(name: str) -> None:
    assert without_comments((ROOT / "examples" / "integration" / name).read_text()) in BLOCKS


def test_the_sample_is_what_is_printed(launchers: Path, tmp_path: Path) -> None:
    """The commands of the first screen, and their output."""
    (sample,) = (block for block in BLOCKS if block.startswith("$ "))
    commands = [line[2:] for line in sample.splitlines() if line.startswith("$ ")]
    expected = [line for line in sample.splitlines() if not line.startswith("$ ")]
    for name in ("examples", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    environment = {**os.environ, "PATH": f"{launchers}:{os.environ['PATH']}"}
    said = ""
    for command in commands:
        done = subprocess.run(
            ["/bin/sh", "-c", f"{command} 2>&1"],
            cwd=tmp_path,
            env=environment,
            text=True,
            capture_output=True,
            check=True,
        )
        said += done.stdout
    assert said.splitlines() == expected
