"""Counters of a server, as a file in the text format of Prometheus, for the textfile collector of its node exporter."""

from __future__ import annotations

import os
from pathlib import Path


class Metrics:
    """Numbers with a name and a meaning: counters, which only grow, and gauges, which say what is now."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._help: dict[str, tuple[str, str]] = {}
        self._values: dict[str, float] = {}

    def counter(self, name: str, meaning: str) -> None:
        """Have a counter, 0 at first."""
        self._help[name] = ("counter", meaning)
        self._values[name] = 0

    def gauge(self, name: str, meaning: str) -> None:
        """Have a gauge, 0 at first."""
        self._help[name] = ("gauge", meaning)
        self._values[name] = 0

    def add(self, name: str, number: float = 1) -> None:
        """Count."""
        self._values[name] += number

    def set(self, name: str, number: float) -> None:
        """Say how much there is now."""
        self._values[name] = number

    def value(self, name: str) -> float:
        """The number as it stands."""
        return self._values[name]

    def text(self) -> str:
        """All of them."""
        lines = []
        for name, (kind, meaning) in self._help.items():
            full = f"{self._prefix}_{name}"
            lines += [f"# HELP {full} {meaning}", f"# TYPE {full} {kind}", f"{full} {self._values[name]:.15g}"]
        return "\n".join(lines) + "\n"

    def write(self, path: Path) -> None:
        """Put them into a file, which is there whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_text(self.text())
            temporary.chmod(0o644)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
