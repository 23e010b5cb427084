"""Metrics of a server, as a file in Prometheus' text format, for the textfile collector of the node exporter."""

from __future__ import annotations

import os
from pathlib import Path


class Metrics:
    """Named numbers with a help text: counters, which only grow, and gauges, which are present values."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._help: dict[str, tuple[str, str]] = {}
        self._values: dict[str, float] = {}

    def counter(self, name: str, meaning: str) -> None:
        """Add a counter, which starts at 0."""
        self._help[name] = ("counter", meaning)
        self._values[name] = 0

    def gauge(self, name: str, meaning: str) -> None:
        """Add a gauge, which starts at 0."""
        self._help[name] = ("gauge", meaning)
        self._values[name] = 0

    def add(self, name: str, number: float = 1) -> None:
        """Add `number` to the counter."""
        self._values[name] += number

    def set(self, name: str, number: float) -> None:
        """Set the gauge to `number`."""
        self._values[name] = number

    def value(self, name: str) -> float:
        """The present value."""
        return self._values[name]

    def text(self) -> str:
        """All metrics in Prometheus' text format."""
        lines = []
        for name, (kind, meaning) in self._help.items():
            full = f"{self._prefix}_{name}"
            lines += [f"# HELP {full} {meaning}", f"# TYPE {full} {kind}", f"{full} {self._values[name]:.15g}"]
        return "\n".join(lines) + "\n"

    def write(self, path: Path) -> None:
        """Write the metrics to the file, atomically.

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
