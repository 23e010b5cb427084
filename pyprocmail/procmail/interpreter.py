"""The interpreter of procmail's programs: recipes, blocks, and rcfiles in rcfiles.

procmailrc(5).  The instructions are described in compiled/instructions.
"""

from __future__ import annotations

from pyprocmail.delivery.locks import LockHeldError
from pyprocmail.engine import programs
from pyprocmail.engine.trace import BLOCK, CANNOT_MATCH, CHAIN
from pyprocmail.exits import EX_NOINPUT
from pyprocmail.procmail import actions, effects, testing
from pyprocmail.procmail.compiled import instructions as op
from pyprocmail.procmail.compiled import start_line
from pyprocmail.procmail.expansion import LineTooLongError, Words, expand_list, expand_marked
from pyprocmail.signals import Interrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.engine.world import Clone
    from pyprocmail.procmail.compiled.instructions import (
        Assign,
        BlockAction,
        DynamicStart,
        Lock,
        Notes,
        Program,
        Recipe,
    )
    from pyprocmail.procmail.plan import Plan
    from pyprocmail.procmail.session import Session

FELL_OFF, DELIVERED, HOST_MISMATCH, LEFT, ABANDONED = "fell off", "delivered", "host mismatch", "left", "abandoned"
"""How an rcfile ended: at its end; with a delivery; because of HOST; in a child (DELIVERED=yes);
because a line of it was longer than LINEBUF."""
SWITCHED = "switched"
"""It was left for another one, by SWITCHRC."""

_NESTING = 128
"""How deep rcfiles may include each other."""

_CLONE = b"procmail"
_CLONE_DELAY_S = 0.02


def run(session: Session, program: Program, name: bytes) -> str:
    """Run an rcfile, and those that it includes; `name` is its `$_`.  Returns how it ended."""
    outer = session.rcfile
    try:
        return _Run(session, [_File(session, program, name)]).run()
    finally:
        session.rcfile = session.trace.rcfile = outer


class _File:
    """An rcfile that runs: the place in its program, and the state of A and E outside the open `blocks`."""

    __slots__ = ("name", "program", "plan", "at", "blocks")

    def __init__(self, session: Session, program: Program, name: bytes) -> None:
        self.name = name
        self.program = program
        self.plan: Plan | None = session.plans.of(program) if session.plans is not None else None
        self.at = 0
        self.blocks: list[tuple[bool, bool]] = []

    def copy(self, session: Session) -> _File:
        """The same place, for a clone that continues there."""
        other = _File(session, self.program, self.name)
        other.plan, other.at, other.blocks = self.plan, self.at, self.blocks.copy()
        return other


class _Run:
    """The running rcfiles, each included by the one before it."""

    __slots__ = ("session", "files", "file", "ending")

    def __init__(self, session: Session, files: list[_File]) -> None:
        self.session = session
        self.files = files
        self.file = files[-1]
        self.ending: str | None = None

    def run(self) -> str:
        self._enter(self.file)
        while True:
            ending = self._run_file()
            for hear in self.session.trace.left:
                hear(self.file.name, ending)
            if ending != FELL_OFF or len(self.files) == 1:
                return ending
            self.files.pop()
            self.file = self.files[-1]
            self.session.rcfile = self.session.trace.rcfile = self.file.name

    def _enter(self, file: _File) -> None:
        self.file = file
        self.session.rcfile = self.session.trace.rcfile = file.name
        for hear in self.session.trace.entered:
            hear(file.name)

    def _run_file(self) -> str:
        session = self.session
        trace = session.trace
        check_signals = session.host.check_signals
        while self.file.at < len(self.file.program):
            file = self.file
            instruction = file.program[file.at]
            file.at += 1
            trace.offset = instruction[1]
            check_signals()
            # The lockfile of a recipe is held until the next statement; there is no such statement if
            # the file ends with the recipe.
            if session.locks.local is not None and instruction[0] != op.END_OF_FILE:
                session.locks.release_local()
            if instruction[0] == op.RECIPE:
                if file.plan is None or not self._skip(file.plan):
                    self._recipe(instruction)
            elif instruction[0] == op.ASSIGN:
                self._assign(instruction)
            elif instruction[0] == op.UNSET:
                _, _, name = instruction
                self._go_on(session.unset(name), b"")
            elif instruction[0] == op.NOTE:
                _, _, note, text = instruction
                session.note_pair((note, text))
            elif instruction[0] == op.CLOSE:
                session.fate.previous, session.fate.last = file.blocks.pop()
            else:
                _, end, unclosed, holds, _ = instruction
                if unclosed:
                    self._release_empty_block(end)
                    session.note("missing-closing-brace")
                    file.blocks.clear()
                if not holds:
                    session.locks.release_local()
            if self.ending is not None:
                return self.ending
        if self.file.blocks:
            # A block that was passed over reached the end of the file.
            session.note("missing-closing-brace")
        self.file.blocks.clear()
        return FELL_OFF

    def _release_empty_block(self, end: int) -> None:
        """If only blanks and comments follow a block that begins last in the file, its lockfile is released.

        `end` is the offset of the end of the file.  If the line of the brace is the last one, the lock is still held.
        """
        before = self.file.program[self.file.at - 2] if self.file.at > 1 else None
        if before is None or before[0] != op.RECIPE:
            return
        kind, brace, *_ = before[4]
        if kind == op.BLOCK and end > brace + len(b"{\n"):
            self.session.locks.release_local()

    # -- assignments -----------------------------------------------------------------------

    def _assign(self, instruction: Assign) -> None:
        _, _, name, word, notes, _ = instruction
        session = self.session
        variables = session.variables
        if len(name) >= variables.linebuf:
            session.exceeded_linebuf()
            self.ending = ABANDONED
            return
        taken = len(name) + 1
        value: bytes | None
        foreign: int | None = None
        if isinstance(word, bytes):
            value = word
        else:
            try:
                value, foreign = expand_marked(session, word, taken)
            except LineTooLongError:
                value = None
        for note in notes:
            session.note_pair(note)
        if value is None or taken + len(value) > variables.linebuf:
            session.exceeded_linebuf()
            return
        if foreign is None:
            variables.foreign.discard(name)
        else:
            variables.foreign.add(name)
        control = session.set(name, value)
        if control != effects.GO_ON:
            self._go_on(control, value)

    def _go_on(self, control: int, value: bytes) -> None:
        """Do what the assignment of a special variable requires."""
        if control == effects.INCLUDE:
            self._include(value)
        elif control == effects.SWITCH:
            self._switch(value)
        elif control == effects.END_RCFILES:
            self.ending = HOST_MISMATCH
        elif control == effects.LEAVE and not leave_to_child(self.session):
            self.ending = LEFT

    def _include(self, path: bytes) -> None:
        session = self.session
        program = session.load(path) if len(self.files) <= _NESTING else None
        if program is None:
            session.note("couldnt-read", path)
            return
        self.files.append(_File(session, program, name_as_opened(session, path)))
        self._enter(self.files[-1])

    def _switch(self, path: bytes) -> None:
        """SWITCHRC: run another file instead of this one; without a name this one just ends."""
        session = self.session
        program = session.load(path) if path else ()
        if program is None:
            session.note("couldnt-read", path)
            return
        for hear in session.trace.left:
            hear(self.file.name, SWITCHED)
        self.files[-1] = _File(session, program, name_as_opened(session, path))
        self._enter(self.files[-1])

    def _skip(self, plan: Plan) -> bool:
        """Go to the next recipe that may match, unless the log shows each one in between."""
        session, file = self.session, self.file
        trace = session.trace
        at = file.at - 1
        if (
            at not in plan.rows
            or trace.verbose
            or plan.longest >= session.variables.linebuf
            or (plan.splits and session.identity.strict)
        ):
            return False
        candidate = plan.next_candidate(session, at)
        if candidate == at:
            return False
        for hear in trace.passed:
            hear(trace.place, self._offset_at(candidate), CANNOT_MATCH)
        file.at = candidate
        session.fate.score = 0
        session.fate.last = session.fate.previous = False
        return True

    def _read_on(self, offset: int, beginning: bytes = b"", *, passing: bool = False) -> bool:
        """Compile the rest of the file from `offset` again, if a value has changed where its lines begin.

        That happens only with PYPROCMAIL_STRICT; otherwise the lines do not depend on values.  `beginning` is put
        before the rest of the file; `passing`: the next instruction is passed over, as in Session.reread.
        """
        file = self.file
        end_of_file, depth = file.program[-1], len(file.blocks)
        assert end_of_file[0] == op.END_OF_FILE
        _, _, _, _, source = end_of_file
        if not source or self.session.reread is None:
            return False
        text = b":0\n{\n" * depth + beginning + source[offset:]
        file.program = self.session.reread(text, depth if passing else None)
        file.plan = None
        file.at = depth
        return True

    # -- recipes ---------------------------------------------------------------------------

    def _recipe(self, recipe: Recipe) -> None:
        session, fate = self.session, self.session.fate
        start = recipe[2]
        if len(start) == 5:
            program = self.file.program
            line = self._start_line(start)
            if line is None:
                self.ending = ABANDONED
                return
            flags, lock, skipped = line.flags, line.lock, line.skipped
            if self.file.program is not program:
                recipe = self._next_recipe()
        else:
            flags, lock, skipped = start
        if isinstance(lock, tuple) and len(lock[0]) >= session.variables.linebuf:
            session.exceeded_linebuf()
            self.ending = ABANDONED
            return
        if skipped:
            session.note("skipped", skipped)
        for name in start_line.conflicting(flags):
            session.note("conflicting", name)
            flags &= ~(start_line.ELSE | start_line.ALSO_SUCCEEDED)
        _, _, _, _, action, end, notes, unmatched, _, _ = recipe
        at = self.file.at
        matched = self._matches(recipe, flags)
        self.file.at = end
        if action[0] == op.MISSING:
            for note in unmatched:
                session.note_pair(note)
            # To the next recipe this one did not match; at the end of a file, it did.
            matched = matched and (b"incomplete-recipe", b"") in unmatched
        if not flags & (start_line.ALSO | start_line.ALSO_SUCCEEDED):
            fate.last = matched
        if not fate.previous or not flags & start_line.ELSE:
            fate.previous = matched
        if action[0] == op.MISSING:
            return
        for name in start_line.extraneous(flags, action[0], locked=lock is not None):
            session.note("extraneous", name)
        session.trace.offset = action[1]
        if not matched:
            self._pass_over(recipe, at)
            return
        session.mail.header_joined = False
        if action[0] == op.BLOCK:
            self._block(at, flags, lock, recipe)
            return
        session.comment_end = -1
        self._act(flags, lock, action, notes)
        if session.comment_end >= 0:
            self._read_on(session.comment_end)

    def _offset_at(self, at: int) -> int:
        """The offset of the instruction in the rcfile, or the end of the file."""
        program = self.file.program
        return program[min(at, len(program) - 1)][1]

    def _next_recipe(self) -> Recipe:
        """The recipe that is now at the present place, after the file was read again from elsewhere."""
        recipe = self.file.program[self.file.at]
        assert recipe[0] == op.RECIPE
        self.file.at += 1
        return recipe

    def _matches(self, recipe: Recipe, flags: int) -> bool:
        """Whether to execute the recipe."""
        session = self.session
        trace = session.trace
        _, _, _, conditions, _, end, *_ = recipe
        if self._may_run(flags):
            for hear in trace.begun:
                hear(trace.place, flags)
            return testing.hold(session, conditions, flags)
        for hear_passed in trace.passed:
            hear_passed(trace.place, self._offset_at(end), CHAIN)
        session.fate.score = 0
        testing.pass_over(session, conditions)
        return False

    def _start_line(self, start: DynamicStart) -> start_line.StartLine | None:
        """Read a start line that has expansions; None if it is too long."""
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
        """Whether A, a, E and e allow the conditions to be tested."""
        fate = self.session.fate
        if flags & start_line.ELSE_FAILED and (not fate.previous or fate.succeeded):
            return False
        if flags & start_line.ELSE and fate.previous:
            return False
        if flags & start_line.ALSO_SUCCEEDED and not (fate.last and fate.succeeded):
            return False
        return not (flags & start_line.ALSO and not fate.last)

    def _pass_over(self, recipe: Recipe, at: int) -> None:
        """Pass over a recipe that is not executed: log what procmail logs while it reads on to its end."""
        session = self.session
        _, _, _, _, action, _, _, unmatched, elsewhere, _ = recipe
        for note in unmatched:
            session.note_pair(note)
        if action[0] == op.BLOCK:
            self._pass_over_block(recipe, action, at)
        elif elsewhere:
            self._read_on(elsewhere)

    def _pass_over_block(self, recipe: Recipe, action: BlockAction, at: int) -> None:
        session, file = self.session, self.file
        trace = session.trace
        _, _, _, _, _, end, _, _, elsewhere, _ = recipe
        _, _, recipes, quiet, longest = action
        for hear in trace.passed:
            hear(trace.place, self._offset_at(end), BLOCK)
        if recipes:
            session.fate.score = 0
        if elsewhere and self._read_on(elsewhere, b":0\n{", passing=True):
            at = file.at + 1
            _, _, _, _, read_again, end, _, _, _, _ = self._next_recipe()
            assert read_again[0] == op.BLOCK
            _, _, _, quiet, longest = read_again
            file.at = end
        if not quiet or longest > session.variables.linebuf:
            for inner in file.program[at:end]:
                if inner[0] == op.NOTE:
                    _, _, kind, text = inner
                    session.note_pair((kind, text))
                elif inner[0] == op.ASSIGN or inner[0] == op.RECIPE:
                    for note in inner[-1]:
                        session.note_pair(note)

    def _block(self, at: int, flags: int, lock: Lock, recipe: Recipe) -> None:
        session = self.session
        _, _, _, _, action, *_ = recipe
        assert action[0] == op.BLOCK
        try:
            actions.take_local_lock(session, lock, actions.lock_extension(session))
        except LockHeldError:
            session.fate.succeeded = False
            session.fate.temporary = True
            return
        if flags & start_line.CARBON_COPY and not self._clone(at, flags, lock is not None):
            session.locks.release_local()
            self._pass_over_block(recipe, action, at)
            return
        self._open_block(at)

    def _open_block(self, at: int) -> None:
        fate = self.session.fate
        self.file.at = at
        self.file.blocks.append((fate.previous, fate.last))
        fate.previous = fate.last = fate.succeeded = True

    def _clone(self, at: int, flags: int, locked: bool) -> bool:
        """Split the run; true in the clone, which runs the block at `at` and the rest of the rcfile."""
        session = self.session
        session.note("forking", _CLONE)
        waited = bool(flags & (start_line.WAIT | start_line.WAIT_QUIET)) or locked
        for hear in session.trace.cloned:
            hear(session.trace.place, waited)
        try:
            clone = programs.patiently(session, lambda: session.world.clone(lambda: self._run_clone(at)))
        except OSError:
            session.note("failed-forking", _CLONE)
            raise
        if clone is None:
            session.become_clone()
            # procmail's clones open the rcfile again, and fail if its path was relative to a former MAILDIR.
            if session.identity.strict and not session.world.exists(session.rcfile):
                session.note("lost", session.rcfile)
                session.world.leave(EX_NOINPUT)
            if not waited:
                # As in procmail, the clone lets the parent go first: this keeps the logs in order.
                session.host.sleep(_CLONE_DELAY_S)
            return True
        session.fate.succeeded = True
        if waited:
            status = self._wait_for_clone(clone)
            session.status = status
            if status:
                session.note("program-failure" if actions.is_told(flags) else "non-zero-exitcode", status, _CLONE)
                session.fate.succeeded = False
        elif clone.pid:
            session.unwaited.append(clone.pid)
        return False

    def _run_clone(self, at: int) -> int:
        """Run a copy of the session from the block at `at` to its end, in a world that does not fork."""
        session = self.session
        copy = session.copy()
        copy.become_clone()
        trace = session.trace
        place, verbose = trace.place, trace.verbose
        run = _Run(copy, [file.copy(copy) for file in self.files])
        run._open_block(at)
        try:
            return copy.complete(copy, run.run())
        finally:
            (trace.rcfile, trace.offset), trace.verbose = place, verbose

    def _wait_for_clone(self, clone: Clone) -> int:
        """The exit status of a clone, which TIMEOUT ends like any other program."""
        session = self.session
        try:
            status = clone.wait(session.deadline())
            if status is None:
                session.note("timeout-terminating", _CLONE)
                clone.end()
                status = clone.wait(None)
        except Interrupted:
            # The mail is tried again; the clone would only deliver it twice.
            clone.end()
            raise
        return status or 0

    def _act(self, flags: int, lock: Lock, action: op.Action, notes: Notes) -> None:
        session = self.session
        try:
            outcome = actions.perform(session, flags, lock, action, notes)
        except LockHeldError:
            session.fate.temporary = True
            outcome = actions.FAILED
        session.fate.succeeded = outcome.succeeded
        if outcome.delivered:
            self.ending = DELIVERED
        elif outcome.control and action[0] == op.CAPTURE:
            _, _, name, _ = action
            self._go_on(outcome.control, session.environment.get(name, b""))


def leave_to_child(session: Session) -> bool:
    """DELIVERED=yes: report success to the caller, and continue in a child; true in the child."""
    if not session.world.detach():
        return False
    session.fate.reported_delivered = session.clone = True
    return True


def name_as_opened(session: Session, path: bytes) -> bytes:
    """The value of `$_` in an rcfile whose name is relative to MAILDIR."""
    maildir = session.environment.get(b"MAILDIR", b"")
    return maildir + b"/" + path if maildir[:1] == b"/" and path[:1] != b"/" else path
