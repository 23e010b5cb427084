"""Checks for lockfiles: missing, needless or ignored ones, and ones that block."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyprocmail.diagnostics import Severity
from pyprocmail.lint.finding import Check, Edit, Finding
from pyprocmail.lint.lost import CACHE
from pyprocmail.lint.view import View
from pyprocmail.procmail.compiled.start_line import CARBON_COPY
from pyprocmail.procmail.syntax.nodes import Block, Capture
from pyprocmail.source import Span


def mailbox_without_lock(view: View) -> Iterator[Finding]:
    """An mbox file without a lockfile: two mails that arrive at once can mix.

    Example:
        :0
        * ^From:.*anna
        friends

    Instead:
        :0:
        * ^From:.*anna
        friends
    """
    if b"LOCKFILE" in view.values or view.is_policy:
        return
    for rule, folder in view.folders():
        held = any(parent.lock is not None and parent.has(CARBON_COPY) for parent in rule.parents)
        if rule.known and rule.lock is None and not held and view.is_mailbox(folder.words):
            edits = (Edit(Span(rule.start.end, rule.start.end), b":"),)
            yield Finding(rule.start, "this mailbox has no lockfile", "add a second ':'", edits)


def needless_lock(view: View) -> Iterator[Finding]:
    """A lockfile for a Maildir, an MH folder or /dev/null, which need none.

    Each mail there is a separate file, or nothing at all.  The lock only makes mails wait for each other, and a
    lockfile that a crash leaves stops them for LOCKTIMEOUT seconds.

    Example:
        :0:
        * ^List-Id:
        lists/

    Instead:
        :0
        * ^List-Id:
        lists/
    """
    for rule, folder in view.folders():
        end = view.ending(folder.words.pieces) or b""
        one = not folder.words.raw.strip().count(b" ")
        if rule.known and rule.lock == b"" and one and (end.endswith((b"/", b"/.")) or end == b"/dev/null"):
            edits = (Edit(Span(rule.colon, rule.start.end), b""),)
            yield Finding(Span(rule.colon, rule.colon + 1), "this folder needs no lockfile", "leave it out", edits)


def lock_on_block(view: View) -> Iterator[Finding]:
    """A lockfile on a block without `c`: it is ignored.

    Only a block that runs in a clone (`c`) can hold a lock.  Set LOCKFILE inside the block instead.

    Example:
        :0 : cache.lock
        * ^Subject:.*count
        {
            :0 w
            | count-it
        }

    Instead:
        :0
        * ^Subject:.*count
        {
            :0 w: cache.lock
            | count-it
        }
    """
    for rule in view.rules:
        if isinstance(rule.recipe.action, Block) and rule.lock is not None and not rule.has(CARBON_COPY):
            edits = (Edit(Span(rule.colon, rule.start.end), b""),)
            place = Span(rule.colon, rule.start.end)
            yield Finding(place, "the lockfile of a block without 'c' is ignored", "lock inside the block", edits)


def flags_as_lock(view: View) -> Iterator[Finding]:
    """Flags after the second colon: procmail uses them as the name of the lockfile.

    Example:
        :0 : c
        backup

    Instead:
        :0 c:
        backup
    """
    for rule in view.rules:
        if rule.lock and re.fullmatch(rb"[HBDAaEehbfcwWir]{1,4}", rule.lock):
            place = Span(rule.colon + 1, rule.start.end)
            sentence = f"'{rule.lock.decode()}' is read as the name of the lockfile"
            yield Finding(place, sentence, "flags come before the second ':'")


def append_without_lock(view: View) -> Iterator[Finding]:
    """A command that appends to a file (`>>`) without a lockfile.

    Two mails at once write into each other.  A bare second colon is enough: procmail takes the name after `>>`.

    Example:
        :0 wc
        | cat >> all-mail

    Instead:
        :0 wc:
        | cat >> all-mail
    """
    if b"LOCKFILE" in view.values:
        return
    for rule, pipe in view.commands():
        text = re.sub(rb"\"[^\"]*\"|'[^']*'", b"", pipe.text)
        appends = re.search(rb">>\s*(?!/dev/)\S", text)
        if appends and rule.known and rule.lock is None and not any(p.lock is not None for p in rule.parents):
            edits = (Edit(Span(rule.start.end, rule.start.end), b":"),)
            yield Finding(pipe.span, "two mails at once append to this file", "add a second ':'", edits)


def cache_without_lock(view: View) -> Iterator[Finding]:
    """`formail -D` without a lockfile: two mails at once spoil its cache.

    Example:
        :0 Wh
        | formail -D 8192 msgid.cache

    Instead:
        :0 Wh: msgid.lock
        | formail -D 8192 msgid.cache
    """
    if b"LOCKFILE" in view.values:
        return
    for rule, pipe in view.commands():
        text = re.sub(rb"\"[^\"]*\"|'[^']*'", b"", pipe.text)
        if CACHE.search(text) and rule.known and not rule.lock:
            yield Finding(pipe.span, "the cache of 'formail -D' has no lockfile", "name one after a second ':'")


def empty_lock_extension(view: View) -> Iterator[Finding]:
    """An empty LOCKEXT: the lockfile of a folder has the name of the folder itself.

    procmail removes an old folder as a stale lockfile, and a new one when it gives the lock back after the delivery:
    all mail in it is lost, with exit code 0.  (pyprocmail uses `.lock` then.)

    Example:
        LOCKEXT=

    Instead:
        LOCKEXT=.lock
    """
    for assignment, _ in view.assignments:
        if assignment.name == b"LOCKEXT" and view.resolve(assignment.value.pieces) == b"":
            yield Finding(assignment.span, "each lockfile has the name of its folder now", "LOCKEXT=.lock")


def deadlock(view: View) -> Iterator[Finding]:
    """A lockfile that is already held: by LOCKFILE, or by the clone that runs this block.

    The recipe waits for itself until LOCKTIMEOUT has passed.

    Example:
        LOCKFILE=$HOME/.lock
        :0: $HOME/.lock
        inbox

    Instead:
        LOCKFILE=$HOME/.lock
        :0
        inbox
    """
    held = {a.value.raw.strip(b"\"'") for a, _ in view.assignments if a.name == b"LOCKFILE"} - {b""}
    for rule in view.rules:
        around = {parent.lock for parent in rule.parents if parent.lock and parent.has(CARBON_COPY)}
        lock = rule.recipe.start.raw.partition(b":")[2].strip().strip(b"\"'")
        if lock and lock in held | around:
            yield Finding(Span(rule.colon, rule.start.end), "this lockfile is held already", "leave it out")


def lock_of_capture(view: View) -> Iterator[Finding]:
    """A lockfile without a name on `VARIABLE=| program`: there is no folder to name it after, so nothing is locked.

    Example:
        :0 w:
        WHEN=| date

    Instead:
        :0 w
        WHEN=| date
    """
    for rule in view.rules:
        if (
            isinstance(rule.recipe.action, Capture)
            and rule.lock == b""
            and rule.known
            and b">>" not in rule.recipe.action.pipe.text
        ):
            edits = (Edit(Span(rule.colon, rule.start.end), b""),)
            place = Span(rule.colon, rule.colon + 1)
            yield Finding(place, "nothing gives this lockfile a name", "leave it out, or name it", edits)


CHECKS = (
    Check("P301", Severity.WARNING, mailbox_without_lock, safe=True),
    Check("P302", Severity.INFO, needless_lock, safe=True),
    Check("P303", Severity.WARNING, lock_on_block, safe=True),
    Check("P304", Severity.WARNING, flags_as_lock),
    Check("P305", Severity.WARNING, append_without_lock, safe=True),
    Check("P306", Severity.WARNING, cache_without_lock),
    Check("P307", Severity.ERROR, empty_lock_extension),
    Check("P308", Severity.ERROR, deadlock),
    Check("P309", Severity.INFO, lock_of_capture, safe=True),
)
