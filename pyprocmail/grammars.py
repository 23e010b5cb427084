"""The grammar files: in the package when it is installed, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path


def load(name: str) -> str:
    """The text of the grammar `name`, such as "procmailrc".

    Raises:
        FileNotFoundError: the installation is not complete.
    """
    package = Path(__file__).parent
    installed = package / "grammar" / f"{name}.lark"
    if installed.is_file():
        return installed.read_text("utf-8")
    return (package.parent / "grammar" / f"{name}.lark").read_text("utf-8")
