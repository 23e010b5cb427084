"""RE2 without its Python wrapper, whose imports cost more than a delivery.

The compiled core of google-re2 does not need the package around it, so it is loaded from its file;
if that fails, through the package.  Nothing is loaded before the first `compile`.
"""

from __future__ import annotations

import _imp
import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import ExtensionFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class _Options(Protocol):
        case_sensitive: bool
        encoding: object
        log_errors: bool
        longest_match: bool
        max_mem: int
        never_capture: bool

    class _Compiled(Protocol):
        def ok(self) -> bool: ...

        def Match(self, anchor: object, text: bytes | memoryview, start: int, end: int) -> list[tuple[int, int]]: ...

    class _Encoding(Protocol):
        LATIN1: object
        UTF8: object

    class _OptionsClass(Protocol):
        Encoding: _Encoding

        def __call__(self) -> _Options: ...

    class _Anchor(Protocol):
        ANCHOR_START: object
        UNANCHORED: object

    class _RE2Class(Protocol):
        Options: _OptionsClass
        Anchor: _Anchor

        def __call__(self, pattern: bytes, options: _Options) -> _Compiled: ...

    class _CompiledSet(Protocol):
        def Add(self, pattern: bytes) -> int: ...

        def Compile(self) -> bool: ...

        def Match(self, text: bytes | memoryview) -> list[int]: ...

    class _SetClass(Protocol):
        def __call__(self, anchor: object, options: _Options) -> _CompiledSet: ...

    class _Core(Protocol):
        RE2: _RE2Class
        Set: _SetClass


class Expression:
    """A pattern that RE2 has compiled; nothing is logged."""

    __slots__ = ("_match", "_anchor")

    def __init__(self, compiled: _Compiled, anchor: object) -> None:
        self._match = compiled.Match
        self._anchor = anchor

    def begins(self, text: bytes | memoryview) -> int:
        """Where the leftmost match starts; -1 if there is none."""
        return self._match(self._anchor, text, 0, len(text))[0][0]

    def span(self, text: bytes | memoryview, start: int, until: int | None = None) -> tuple[int, int]:
        """The span of the leftmost match between `start` and `until`; (-1, -1) if there is none."""
        return self._match(self._anchor, text, start, len(text) if until is None else until)[0]

    def spans(self, text: bytes | memoryview, start: int) -> list[tuple[int, int]]:
        """The spans of the leftmost match from `start` on and of its groups; (-1, -1) for a group that took no part."""
        return self._match(self._anchor, text, start, len(text))


def compile(
    pattern: bytes, *, fold: bool, capture: bool = False, utf8: bool = False, longest_at_start: bool = False
) -> Expression | None:
    """Compile a pattern in RE2's syntax; None if RE2 refuses it because of its size or depth.

    The text is Latin-1, or UTF-8 with `utf8`; groups are captured only with `capture`.  `longest_at_start`: a match
    begins where the search begins, and is the longest one.
    """
    re2 = _load().RE2
    options = re2.Options()
    options.encoding = re2.Options.Encoding.UTF8 if utf8 else re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.never_capture = not capture
    options.case_sensitive = not fold
    options.longest_match = longest_at_start
    anchor = re2.Anchor.ANCHOR_START if longest_at_start else re2.Anchor.UNANCHORED
    compiled = re2(pattern, options)
    return Expression(compiled, anchor) if compiled.ok() else None


class Set:
    """Patterns that RE2 searches for in one pass."""

    __slots__ = ("_match",)

    def __init__(self, compiled: _CompiledSet) -> None:
        self._match = compiled.Match

    def matching(self, text: bytes | memoryview) -> list[int] | None:
        """The numbers of the patterns that match; empty also if RE2 ran out of memory."""
        return self._match(text)


def compile_set(patterns: list[bytes], *, fold: bool, memory: int) -> Set | None:
    """Compile a set of patterns in RE2's syntax; None if they do not fit into `memory` bytes."""
    core = _load()
    options = core.RE2.Options()
    options.encoding = core.RE2.Options.Encoding.LATIN1
    options.log_errors = False
    options.never_capture = True
    options.case_sensitive = not fold
    options.max_mem = memory
    compiled = core.Set(core.RE2.Anchor.UNANCHORED, options)
    for pattern in patterns:
        if compiled.Add(pattern) < 0:
            return None
    return Set(compiled) if compiled.Compile() else None


def _load() -> _Core:
    """The module `_re2`, from its file beside the package if possible."""
    name = "re2._re2"
    core: _Core
    if name in sys.modules:
        core = sys.modules[name]
        return core
    for folder in sys.path:
        for suffix in _imp.extension_suffixes():
            path = f"{folder}/re2/_re2{suffix}"
            try:
                os.stat(path)
                spec = ModuleSpec(name, ExtensionFileLoader(name, path), origin=path)
                module = _imp.create_dynamic(spec)
                # Some builds of RE2 read it while they are executed.
                module.__spec__ = spec
                _imp.exec_dynamic(module)
            except (OSError, ImportError):
                continue
            sys.modules[name] = module
            core = module
            return core
    # The slow way, for an importer without such a file.
    from re2 import _re2  # type: ignore[import-untyped]  # the package has no types

    core = _re2
    return core
