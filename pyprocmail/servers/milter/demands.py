"""An analysis of a policy's rcfile: how much of a mail its rules look at, and which actions are not a valid answer.

If that is unknown before the rules run (an included file whose name is computed, a program that may read the mail), the
milter waits for the whole mail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyprocmail.delivery.folder import NULL_DEVICE
from pyprocmail.procmail.compiled import conditions
from pyprocmail.procmail.compiled import instructions as op
from pyprocmail.procmail.compiled.pieces import BACKQUOTE, VARIABLE, literal
from pyprocmail.procmail.compiled.start_line import BODY, FEED_BODY, FEED_HEAD
from pyprocmail.servers.milter.policy import Stage
from pyprocmail.servers.outcome import ACCEPT, QUARANTINE

if TYPE_CHECKING:
    from pyprocmail.procmail.compiled.pieces import Piece, Pieces

Compile = Callable[[bytes], "op.Program"]

_READ_NOTHING = frozenset(
    b"[ basename date dirname echo expr false hostname mkdir printf rm rmdir sleep test touch true".split()
)
"""Programs that do not read their input."""
_READS_HEADER = re.compile(rb"formail(\s+-[cz]*[xX]\s*\S+|\s+-[cz]+|\s+-D\s+\S+\s+\S+|\s+-r)+\s*")
"""Calls of formail whose result depends on the header only."""
_SHELL = re.compile(rb"[|;&<>`()]")
_NAMED_AREA = re.compile(rb"!?\s*([A-Za-z_][A-Za-z0-9_]*)\s*\?\?")
_OPENING = re.compile(rb"!?\s*[\^\\(./A-Za-z0-9]")
_MOST_FILES = 50
_PLACES = {b"H": Stage.HEADER, b"B": Stage.BODY, b"HB": Stage.BODY, b"BH": Stage.BODY}


@dataclass(slots=True)
class Demands:
    """`stage` is when the milter has all that the rules look at; `reason` is the line that requires it, or empty.

    `faults` are actions that are not a valid answer; `searches` are conditions that search the mail itself.  `files`
    are the rcfile and those that it includes.
    """

    stage: Stage = Stage.ENVELOPE
    reason: str = ""
    faults: list[str] = field(default_factory=list)
    searches: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def need(self, stage: Stage, reason: str) -> None:
        """Record that the rules look at the mail up to `stage`."""
        if stage.depth > self.stage.depth:
            self.stage, self.reason = stage, reason


def of_rcfile(path: str, read: Callable[[str], bytes], compile: Compile) -> Demands:
    """The demands of an rcfile and of those that it includes by an absolute path.

    Raises:
        OSError: the rcfile cannot be read.
    """
    found = Demands()
    defaults: set[bytes] = set()
    todo, seen = [path], {path}
    while todo:
        name = todo.pop(0)
        found.files.append(name)
        try:
            source = read(name)
        except OSError:
            if name == path:
                raise
            found.need(Stage.BODY, f"{name} cannot be read yet")
            continue
        for included in _Walk(name, source, compile(source), found, defaults).run():
            if included not in seen and len(seen) < _MOST_FILES:
                seen.add(included)
                todo.append(included)
    return found


class _Walk:
    """The analysis of one rcfile."""

    def __init__(self, name: str, source: bytes, program: op.Program, found: Demands, defaults: set[bytes]) -> None:
        self._name = name
        self._source = source
        self._program = program
        self._found = found
        self._defaults = defaults

    def run(self) -> Iterator[str]:
        """Analyse the rcfile; yields the files that it includes."""
        for instruction in self._program:
            if instruction[0] == op.ASSIGN:
                yield from self._assignment(instruction)
            elif instruction[0] == op.RECIPE:
                self._recipe(instruction)

    def _line(self, offset: int) -> str:
        number = self._source.count(b"\n", 0, offset) + 1
        return f"{self._name}:{number}"

    def _need(self, stage: Stage, offset: int, why: str) -> None:
        self._found.need(stage, f"{self._line(offset)}: {why}")

    # -- assignments -----------------------------------------------------------------------

    def _assignment(self, instruction: op.Assign) -> Iterator[str]:
        _, offset, name, word, _, _ = instruction
        text = word if isinstance(word, bytes) else literal(word)
        if not isinstance(word, bytes):
            self._pieces(word, offset)
        if name in (b"INCLUDERC", b"SWITCHRC") and text != b"":
            if text is not None and text.startswith(b"/"):
                yield text.decode("utf-8", "surrogateescape")
            else:
                self._need(Stage.BODY, offset, "which file is included is not known before it runs")
        elif name == b"TRAP" and text != b"":
            self._need(self._reading(text or b"`"), offset, "TRAP may read the mail")
        elif name == b"DEFAULT" and text:
            self._defaults.add(text)

    def _pieces(self, pieces: Pieces, offset: int) -> None:
        """Record the demands of commands in backquotes."""
        for piece in pieces:
            if not isinstance(piece, bytes) and piece[0] == BACKQUOTE:
                assert isinstance(piece[1], bytes)
                self._need(self._reading(piece[1]), offset, "a command in backquotes may read the mail")

    def _reading(self, command: bytes) -> Stage:
        """How much of the mail a command may look at."""
        words = command.split()
        if not words or _SHELL.search(command):
            return Stage.BODY
        if words[0].rpartition(b"/")[2] in _READ_NOTHING:
            return Stage.ENVELOPE
        return Stage.HEADER if _READS_HEADER.fullmatch(command.strip()) else Stage.BODY

    # -- recipes ---------------------------------------------------------------------------

    def _recipe(self, recipe: op.Recipe) -> None:
        _, offset, start, entries, action, *_ = recipe
        if len(start) == 5:
            self._need(Stage.BODY, offset, "the flags of the recipe are not known before it runs")
            flags = 0
        else:
            flags = start[0]
        for place, _, condition, _ in entries:
            stage = self._condition(condition, flags)
            if stage != Stage.ENVELOPE:
                self._need(stage, place, f"a condition looks at the {'header' if stage == Stage.HEADER else 'body'}")
                if condition[conditions.KIND] != conditions.PROGRAM:
                    self._found.searches.append(f"{self._line(place)}: there is no mail yet that could be searched")
        self._action(action, flags)

    def _condition(self, condition: conditions.Condition, flags: int) -> Stage:
        kind, _, _, area, _, text = condition
        usual = Stage.BODY if flags & BODY else Stage.HEADER
        if area is not None:
            usual = _PLACES.get(area, Stage.ENVELOPE)
        if kind == conditions.REGEX:
            return usual if text else Stage.ENVELOPE
        if b"`" in text:
            return Stage.BODY
        if kind == conditions.PROGRAM:
            return min(usual, self._reading(text), key=_depth)
        if kind == conditions.EXPAND:
            named = _NAMED_AREA.match(text)
            if named:
                return _PLACES.get(named[1], Stage.ENVELOPE)
            return usual if _OPENING.match(text) and b"??" not in text else Stage.BODY
        return usual if area is not None else Stage.BODY

    def _action(self, action: op.Action, flags: int) -> None:
        if action[0] == op.FOLDER:
            self._pieces(action[2], action[1])
            if not self._may_be_answer(action[2]):
                shown = b"".join(piece if isinstance(piece, bytes) else b"..." for piece in action[2])
                self._fault(action[1], f"the folder {shown.decode(errors='replace')} is no answer to a mail server")
        elif action[0] == op.FORWARD:
            if b"`" in action[2]:
                self._need(Stage.BODY, action[1], "a command in backquotes may read the mail")
        elif action[0] == op.PIPE:
            if action[2].strip(b" \t\n"):
                self._need(_fed(flags), action[1], "a program gets the mail")
        elif action[0] == op.CAPTURE:
            self._need(min(_fed(flags), self._reading(action[3]), key=_depth), action[1], "a program may read the mail")

    def _may_be_answer(self, pieces: Pieces) -> bool:
        first: Piece = pieces[0] if pieces else b""
        if not isinstance(first, bytes):
            return first[0] == VARIABLE and (len(pieces) == 1 or not isinstance(pieces[1], bytes))
        whole = literal(pieces)
        if first.startswith(QUARANTINE):
            return True
        return whole is not None and (whole in (ACCEPT, NULL_DEVICE) or whole in self._defaults)

    def _fault(self, offset: int, text: str) -> None:
        self._found.faults.append(f"{self._line(offset)}: {text}")


def _fed(flags: int) -> Stage:
    """How much of the mail an action gets."""
    return Stage.HEADER if flags & FEED_HEAD and not flags & FEED_BODY else Stage.BODY


def _depth(stage: Stage) -> int:
    return stage.depth
