"""The interpreter of procmail's programs: recipes, blocks, and rcfiles in rcfiles.

procmailrc(5).  The instructions are described in program/instructions.
"""

from __future__ import annotations

from pyprocmail.delivery.locks import LockHeldError
from pyprocmail.engine import actions, conditions, variables
from pyprocmail.engine.expansion import LineTooLongError, Words, expand_list, expand_marked
from pyprocmail.exits import EX_NOINPUT
from pyprocmail.program import instructions as op
from pyprocmail.program import start_line
from pyprocmail.signals import SIGTERM, Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyprocmail.engine.plan import Plan
    from pyprocmail.engine.session import Session
    from pyprocmail.program.instructions import Program

    Instruction = tuple[Any, ...]

FELL_OFF, DELIVERED, HOST_MISMATCH, LEFT, ABANDONED = "fell off", "delivered", "host mismatch", "left", "abandoned"
"""How an rcfile ended: at its end; with a delivery; because of HOST; in a child (DELIVERED=yes);
because a line of it was longer than LINEBUF."""

_NESTING = 128
"""How deep rcfiles may include each other."""

_CLONE = b"procmail"
_CLONE_DELAY_S = 0.02


def run(session: Session, program: Program, name: bytes, depth: int = 0) -> str:
    """Run an rcfile; `name` is what `$_` is in it."""
    outer = session.rcfile, session.trace.rcfile
    run_of_file = _Run(session, program, name, depth)
    try:
        return run_of_file.run()
    finally:
        session.rcfile, session.trace.rcfile = outer


class _Run:
    """An rcfile being run.  `blocks` holds what A and E looked like outside the open blocks."""

    __slots__ = ("session", "program", "plan", "depth", "blocks", "at", "ending")

    def __init__(self, session: Session, program: Program, name: bytes, depth: int) -> None:
        self.session = session
        self.depth = depth
        self.blocks: list[tuple[bool, bool]] = []
        self.ending: str | None = None
        self._open(program, name)

    def _open(self, program: Program, name: bytes) -> None:
        plans = self.session.plans
        self.program = program
        self.plan = plans.of(program) if plans is not None else None
        self.at = 0
        self.session.rcfile = self.session.trace.rcfile = name

    def run(self) -> str:
        session = self.session
        trace = session.trace
        check_signals = session.host.check_signals
        while self.at < len(self.program):
            instruction: Instruction = self.program[self.at]
            self.at += 1
            kind = instruction[0]
            trace.offset = instruction[1]
            check_signals()
            # The lockfile of a recipe is held until the next statement, which is not there when
            # the file ends with the recipe.
            if session.local_lock is not None and kind != op.END_OF_FILE:
                session.release_local_lock()
            if kind == op.RECIPE:
                if self.plan is None or not self._skip(self.plan):
                    self._recipe(instruction)
            elif kind == op.ASSIGN:
                self._assign(instruction)
            elif kind == op.UNSET:
                self._go_on(session.unset(instruction[2]), b"")
            elif kind == op.NOTE:
                session.note_pair(instruction[2:4])
            elif kind == op.CLOSE:
                session.fate.previous, session.fate.last = self.blocks.pop()
            else:
                if instruction[2]:
                    session.note("missing-closing-brace")
                    self.blocks.clear()
                if not instruction[3]:
                    session.release_local_lock()
            if self.ending is not None:
                return self.ending
        if self.blocks:
            # The end of the file was passed over with a block in them.
            session.note("missing-closing-brace")
        self.blocks.clear()
        return FELL_OFF

    # -- assignments -----------------------------------------------------------------------

    def _assign(self, instruction: Instruction) -> None:
        _, _, name, word, notes, _ = instruction
        session = self.session
        if len(name) >= session.linebuf:
            session.exceeded_linebuf()
            self.ending = ABANDONED
            return
        taken = len(name) + 1
        value: bytes | None
        foreign: int | None = None
        try:
            if isinstance(word, bytes):
                value = word
            else:
                value, foreign = expand_marked(session, word, taken)
        except LineTooLongError:
            value = None
        for note in notes:
            session.note_pair(note)
        if value is None or taken + len(value) > session.linebuf:
            session.exceeded_linebuf()
            return
        if foreign is None:
            session.foreign.discard(name)
        else:
            session.foreign.add(name)
        self._go_on(session.set(name, value), value)

    def _go_on(self, control: int, value: bytes) -> None:
        """What follows from the assignment of a special variable."""
        if control == variables.INCLUDE:
            self._include(value)
        elif control == variables.SWITCH:
            self._switch(value)
        elif control == variables.END_RCFILES:
            self.ending = HOST_MISMATCH
        elif control == variables.LEAVE and not leave_to_child(self.session):
            self.ending = LEFT

    def _include(self, path: bytes) -> None:
        session = self.session
        program = session.load(path) if self.depth < _NESTING else None
        if program is None:
            session.note("couldnt-read", path)
            return
        ending = run(session, program, name_as_opened(session, path), self.depth + 1)
        if ending != FELL_OFF:
            self.ending = ending

    def _switch(self, path: bytes) -> None:
        """SWITCHRC: the other file in the place of this one; without a name this one just ends."""
        session = self.session
        program = session.load(path) if path else ()
        if program is None:
            session.note("couldnt-read", path)
            return
        self.blocks.clear()
        self._open(program, name_as_opened(session, path))

    def _skip(self, plan: Plan) -> bool:
        """Go to the next recipe that may match, if nobody wants to hear of those between."""
        session = self.session
        if session.trace.is_heard or plan.longest >= session.linebuf or (plan.splits and session.identity.strict):
            return False
        at = self.at - 1
        candidate = plan.next_candidate(session, at)
        if candidate == at:
            return False
        self.at = candidate
        session.score = 0
        session.fate.last = session.fate.previous = False
        return True

    def _read_on(self, offset: int, beginning: bytes = b"", *, passing: bool = False) -> bool:
        """Go on with what procmail reads from `offset` on, when that is not what was read before anything ran.

        That is so with PYPROCMAIL_STRICT only; elsewhere what a line is does not depend on values.  `beginning` stands
        before the rest of the file; `passing` as for Session.reread, of the next instruction.
        """
        end_of_file: Instruction = self.program[-1]
        source, depth = end_of_file[4], len(self.blocks)
        if not source or self.session.reread is None:
            return False
        text = b":0\n{\n" * depth + beginning + source[offset:]
        self.program = self.session.reread(text, depth if passing else None)
        self.plan = None
        self.at = depth
        return True

    # -- recipes ---------------------------------------------------------------------------

    def _recipe(self, instruction: Instruction) -> None:
        session, fate = self.session, self.session.fate
        start = instruction[2]
        if start[0] == op.DYNAMIC:
            program = self.program
            line = self._start_line(start)
            if line is None:
                self.ending = ABANDONED
                return
            flags, lock, skipped = line.flags, line.lock, line.skipped
            if self.program is not program:
                instruction = self.program[self.at]
                self.at += 1
        else:
            flags, lock, skipped = start
        if isinstance(lock, tuple) and len(lock[0]) >= session.linebuf:
            session.exceeded_linebuf()
            self.ending = ABANDONED
            return
        if skipped:
            session.note("skipped", skipped)
        for name in start_line.conflicting(flags):
            session.note("conflicting", name)
            flags &= ~(start_line.ELSE | start_line.ALSO_SUCCEEDED)
        _, _, _, entries, action, end, notes, unmatched, _, _ = instruction
        at = self.at
        kind = action[0]
        matched = self._may_run(flags)
        if matched:
            matched = conditions.hold(session, entries, flags)
        else:
            session.score = 0
            conditions.pass_over(session, entries)
        self.at = end
        if kind == op.MISSING:
            for note in unmatched:
                session.note_pair(note)
            # The next recipe finds a recipe that did not match; at the end of a file, one that did.
            matched = matched and (b"incomplete-recipe", b"") in unmatched
        if not flags & (start_line.ALSO | start_line.ALSO_SUCCEEDED):
            fate.last = matched
        if not fate.previous or not flags & start_line.ELSE:
            fate.previous = matched
        if kind == op.MISSING:
            return
        for name in start_line.extraneous(flags, kind, locked=lock is not None):
            session.note("extraneous", name)
        if not matched:
            self._pass_over(instruction, at)
            return
        session.header_joined = False
        if kind == op.BLOCK:
            self._block(at, flags, lock, instruction)
        else:
            self._act(flags, lock, action, notes)
            if session.comment_end >= 0:
                self._read_on(session.comment_end)

    def _start_line(self, start: tuple[Any, ...]) -> start_line.StartLine | None:
        """A start line that is to be expanded; None if it is too long."""
        session = self.session
        _, pieces, unterminated, count, end = start
        words: Words | None = None
        try:
            words = expand_list(session, pieces)
        except LineTooLongError:
            pass
        commented = words is not None and words.comment_end is not None
        if unterminated and not (commented and session.identity.strict):
            session.note("unexpected-eol")
        if words is None:
            session.exceeded_linebuf()
            return None
        line = start_line.read(tuple(words.words))
        end_found = end if words.comment_end is None else words.comment_end
        if (line.count, end_found) != (count, end):
            self._read_on(end_found, b":%d " % line.count)
        return line

    def _may_run(self, flags: int) -> bool:
        """Whether A, a, E and e let the conditions be looked at."""
        fate = self.session.fate
        if flags & start_line.ELSE_FAILED and (not fate.previous or fate.succeeded):
            return False
        if flags & start_line.ELSE and fate.previous:
            return False
        if flags & start_line.ALSO_SUCCEEDED and not (fate.last and fate.succeeded):
            return False
        return not (flags & start_line.ALSO and not fate.last)

    def _pass_over(self, instruction: Instruction, at: int) -> None:
        """A recipe that is not executed: what procmail says while it reads on to its end."""
        session = self.session
        action = instruction[4]
        for note in instruction[7]:
            session.note_pair(note)
        if action[0] == op.BLOCK:
            self._pass_over_block(instruction, at)
        elif instruction[8]:
            self._read_on(instruction[8])

    def _pass_over_block(self, instruction: Instruction, at: int) -> None:
        session = self.session
        action, end, elsewhere = instruction[4], instruction[5], instruction[8]
        if action[2]:
            session.score = 0
        if elsewhere and self._read_on(elsewhere, b":0\n{", passing=True):
            at = self.at + 1
            recipe: Instruction = self.program[self.at]
            action = recipe[4]
            self.at = end = recipe[5]
        if not action[3] or action[4] > session.linebuf:
            block: tuple[Instruction, ...] = self.program[at:end]
            for inner in block:
                if inner[0] == op.NOTE:
                    session.note_pair(inner[2:4])
                elif inner[0] in (op.ASSIGN, op.RECIPE):
                    for note in inner[-1]:
                        session.note_pair(note)

    def _block(self, at: int, flags: int, lock: actions.LockName, instruction: Instruction) -> None:
        session = self.session
        end = self.at
        try:
            actions.take_local_lock(session, lock, session.setting(b"LOCKEXT"))
        except LockHeldError:
            session.fate.succeeded = False
            session.temporary = True
            return
        if flags & start_line.CARBON_COPY and not self._clone(flags, lock is not None):
            self.at = end
            session.release_local_lock()
            self._pass_over_block(instruction, at)
            return
        self.at = at
        fate = session.fate
        self.blocks.append((fate.previous, fate.last))
        fate.previous = fate.last = fate.succeeded = True

    def _is_there(self) -> bool:
        """Whether the rcfile has still its name: procmail's clones open it again, after MAILDIR in vain."""
        try:
            self.session.host.stat(self.session.rcfile)
        except OSError:
            return False
        return True

    def _clone(self, flags: int, locked: bool) -> bool:
        """Fork; true in the clone, which runs the block and the rest of the rcfile."""
        session = self.session
        session.note("forking", _CLONE)
        waited = bool(flags & (start_line.WAIT | start_line.WAIT_QUIET)) or locked
        pid = session.host.fork()
        if not pid:
            session.become_clone()
            if session.identity.strict and not self._is_there():
                session.note("lost", session.rcfile)
                session.host.exit_now(EX_NOINPUT)
            if not waited:
                # As procmail's clones do, let the parent go first: their logs stay in order.
                session.host.sleep(_CLONE_DELAY_S)
            return True
        session.fate.succeeded = True
        if waited:
            status = self._wait_for_clone(pid)
            session.status = status
            if status:
                session.note("program-failure" if actions.is_told(flags) else "non-zero-exitcode", status, _CLONE)
                session.fate.succeeded = False
        else:
            session.unwaited.append(pid)
        return False

    def _wait_for_clone(self, pid: int) -> int:
        """The exit status of a clone, which TIMEOUT ends like any other program."""
        session = self.session
        host = session.host
        try:
            status = host.wait(pid, session.deadline())
            if status is None:
                session.note("timeout-terminating", _CLONE)
                host.kill(pid, SIGTERM)
                status = host.wait(pid, None)
        except Interrupted:
            # The mail is tried again: the clone would only have it twice.
            host.kill(pid, SIGTERM)
            raise
        return status or 0

    def _act(self, flags: int, lock: actions.LockName, action: Instruction, notes: Any) -> None:
        session = self.session
        session.comment_end = -1
        try:
            outcome = actions.perform(session, flags, lock, action, notes)
        except LockHeldError:
            session.temporary = True
            outcome = actions.FAILED
        session.fate.succeeded = outcome.succeeded
        if outcome.delivered:
            self.ending = DELIVERED
        elif outcome.control:
            self._go_on(outcome.control, session.environment.get(action[2], b""))


def leave_to_child(session: Session) -> bool:
    """DELIVERED=yes: true in the child that goes on; whoever called us is told of success."""
    if session.host.fork():
        return False
    session.reported_delivered = session.clone = True
    return True


def name_as_opened(session: Session, path: bytes) -> bytes:
    """What `$_` is in an rcfile that was named relative to MAILDIR."""
    maildir = session.environment.get(b"MAILDIR", b"")
    return maildir + b"/" + path if maildir[:1] == b"/" and path[:1] != b"/" else path
