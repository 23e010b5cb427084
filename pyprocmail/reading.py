"""Reads an rcfile or filter file for tools: source, tree, diagnostics and program, from one call for each language.

Deliveries do not use this module: they load programs (procmail/rcfiles, maildrop/files).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pyprocmail.diagnostics import Diagnostic
from pyprocmail.maildrop.syntax import lower as maildrop_lower
from pyprocmail.maildrop.syntax import nodes as maildrop_nodes
from pyprocmail.maildrop.syntax import parse as maildrop_parse
from pyprocmail.procmail.syntax import lower, nodes, parse
from pyprocmail.source import Source

if TYPE_CHECKING:
    from pyprocmail.maildrop.instructions import Program as FilterProgram
    from pyprocmail.procmail.compiled.instructions import Program


@dataclass(frozen=True, slots=True)
class Rcfile:
    """An rcfile that was read."""

    source: Source
    tree: nodes.Rcfile
    diagnostics: tuple[Diagnostic, ...]

    @property
    def program(self) -> Program:
        """The program that a delivery runs; every text has one.  Made anew at each call."""
        return lower.lower(self.tree)


@dataclass(frozen=True, slots=True)
class FilterFile:
    """A filter file that was read; after a syntax error, the rest too."""

    source: Source
    tree: maildrop_nodes.FilterFile
    diagnostics: tuple[Diagnostic, ...]

    @property
    def program(self) -> FilterProgram | None:
        """The program that a delivery runs; None after an error: maildrop refuses the file.  Made anew at each call."""
        return None if self.diagnostics else maildrop_lower.lower(self.tree)


def rcfile(name: str, data: bytes) -> Rcfile:
    """The rcfile `data`, called `name` in messages."""
    tree, diagnostics = parse.parse(data)
    return Rcfile(Source(name, data), tree, tuple(diagnostics))


def filter_file(name: str, data: bytes) -> FilterFile:
    """The filter file `data`, called `name` in messages."""
    tree, diagnostics = maildrop_parse.parse(data)
    return FilterFile(Source(name, data), tree, tuple(diagnostics))


def read_rcfile(path: Path) -> Rcfile:
    """The rcfile at `path`.

    Raises:
        OSError: it cannot be read.
    """
    return rcfile(os.fspath(path), path.read_bytes())


def read_filter_file(path: Path) -> FilterFile:
    """The filter file at `path`.

    Raises:
        OSError: it cannot be read.
    """
    return filter_file(os.fspath(path), path.read_bytes())
