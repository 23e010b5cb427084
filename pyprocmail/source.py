"""The text of a file, and places in it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The bytes from offset `start` up to `end`."""

    start: int
    end: int


class Source:
    """A file's name, as messages show it, and its bytes."""

    __slots__ = ("data", "name", "starts")

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.data = data
        self.starts = [0]
        at = data.find(b"\n")
        while at >= 0:
            self.starts.append(at + 1)
            at = data.find(b"\n", at + 1)

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of `offset`, both counted from 1; the column in bytes."""
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1

    def line(self, number: int) -> bytes:
        """Line `number`, from 1, without its line end."""
        start = self.starts[number - 1]
        end = self.starts[number] - 1 if number < len(self.starts) else len(self.data)
        return self.data[start:end].removesuffix(b"\r")
