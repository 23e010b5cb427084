"""Self-contained pages: everything in them is escaped, and they may load nothing.

Style and script are part of the page; its content security policy allows exactly these.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


class WebPages:
    """The templates of a folder, with its style.css and the file `script`."""

    def __init__(self, folder: Path, script: str) -> None:
        self._style = (folder / "style.css").read_text()
        self._script = (folder / script).read_text()
        self._templates = Environment(
            loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._templates.filters["amount"] = amount

    def render(self, template: str, **values: object) -> str:
        """The template filled in as a page."""
        text: str = self._templates.get_template(template).render(
            style=self._style, script=self._script, policy=self._policy(), **values
        )
        return text

    def _policy(self) -> str:
        return (
            f"default-src 'none'; style-src {_digest(self._style)}; script-src {_digest(self._script)}; "
            "base-uri 'none'; form-action 'none'"
        )


def amount(size: int) -> str:
    """A number of bytes with a unit, for display."""
    number = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
