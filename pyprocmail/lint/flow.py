"""Checks for the way through an rcfile: recipes that no mail reaches, and missing files."""

from __future__ import annotations

from collections.abc import Iterator

from pyprocmail.diagnostics import Severity
from pyprocmail.lint.finding import Check, Finding
from pyprocmail.lint.view import Rule, View
from pyprocmail.procmail.compiled.conditions import REGEX
from pyprocmail.procmail.compiled.start_line import BODY, DISTINGUISH_CASE, ELSE, HEAD
from pyprocmail.procmail.syntax.nodes import Assignment, Block, Forward, Item, Pipe, Recipe, Unset


def never_reached(view: View) -> Iterator[Finding]:
    """A recipe with conditions after one that takes every mail.

    A recipe without conditions that delivers ends the rcfile.  The recipes after it run only if the delivery fails, so
    they sort nothing.  A last recipe without conditions may be intended, and is not reported.  With `E` it never
    runs at all.

    Example:
        :0:
        inbox
        :0:
        * ^Subject:.*spam
        spam

    Instead:
        :0:
        * ^Subject:.*spam
        spam
        :0:
        inbox
    """
    by_recipe = {id(rule.recipe): rule for rule in view.rules}
    for rule in view.rules:
        if not rule.delivers or rule.tests or rule.chained or not rule.known:
            continue
        if isinstance(rule.recipe.action, Pipe) and b"exit" in rule.recipe.action.text:
            continue
        for item in rule.siblings[rule.index + 1 :]:
            after = by_recipe.get(id(item))
            if after is None:
                continue
            if (after.tests and not after.chained) or after.has(ELSE):
                line = view.data.count(b"\n", 0, rule.recipe.span.start) + 1
                yield Finding(after.start, f"no mail gets here: the recipe of line {line} takes each one")
            break


def shadowed(view: View) -> Iterator[Finding]:
    """A recipe with all the conditions of one before it, which delivers: no mail gets this far.

    Example:
        :0:
        * ^Subject:.*spam
        spam
        :0:
        * ^Subject:.*spam
        junk

    Instead:
        :0:
        * ^Subject:.*spam
        spam
        :0:
        * ^Subject:.*junk
        junk
    """
    seen: dict[tuple[int, int, object], list[tuple[frozenset[object], Rule]]] = {}
    for rule in view.rules:
        plain = all(test.kind == REGEX and not test.area and not test.weighted for test in rule.tests)
        if rule.is_filter:
            seen.clear()  # the filter may change the mail
        if not rule.tests or not plain or not rule.known or rule.chained:
            continue
        tests = frozenset((test.negated, test.text) for test in rule.tests)
        key = (id(rule.siblings), rule.flags & (HEAD | BODY | DISTINGUISH_CASE))
        before = (pair for test in tests for pair in seen.get((*key, test), ()))
        first = next((one for fewer, one in before if fewer <= tests), None)
        if first is not None:
            line = view.data.count(b"\n", 0, first.recipe.span.start) + 1
            what = (
                "the same conditions" if len(first.tests) == len(rule.tests) else "fewer conditions, all of them here"
            )
            yield Finding(rule.start, f"no mail gets here: the recipe of line {line} has {what}")
        elif rule.delivers:
            seen.setdefault((*key, next(iter(tests))), []).append((tests, rule))


def missing_include(view: View) -> Iterator[Finding]:
    """An INCLUDERC or SWITCHRC that cannot be read.

    procmail continues without it, with a line in the log: the recipes in it do not run.  The check reports it where
    the name can be known.

    Example:
        INCLUDERC=/no/such/file.rc

    Instead:
        MAILDIR=$HOME/Mail
    """
    for assignment, _ in view.assignments:
        if assignment.name in (b"INCLUDERC", b"SWITCHRC") and assignment.value.raw:
            path = view.resolve(assignment.value.pieces)
            if path and view.machine.read(view.full(path)) is None:
                shown = view.full(path).decode(errors="replace")
                yield Finding(assignment.span, f"'{shown}' cannot be read: its recipes do not run")


def block_without_effect(view: View) -> Iterator[Finding]:
    """An empty block, and no recipe after it that depends on it (E, e, A, a).

    Example:
        :0
        * ^Subject:.*x
        { }
        :0
        rest/

    Instead:
        :0
        * ^Subject:.*x
        { }
        :0 E
        rest/
    """
    by_recipe = {id(rule.recipe): rule for rule in view.rules}
    for rule in view.rules:
        action = rule.recipe.action
        if not isinstance(action, Block) or any(_acts(item) for item in action.items):
            continue
        after = next((by_recipe[id(i)] for i in rule.siblings[rule.index + 1 :] if isinstance(i, Recipe)), None)
        matches = any(b"\\/" in test.text or test.weighted or test.kind == 2 for test in rule.tests)
        if (after is None or not after.chained) and not matches:
            yield Finding(rule.start, "this block does nothing", "E on the recipe after it?")


def _acts(item: Item) -> bool:
    return isinstance(item, Assignment | Unset | Recipe)


def forward_to_nobody(view: View) -> Iterator[Finding]:
    """A `!` without an address: the mail goes to the addresses in its To: and Cc: fields, or fails.

    Example:
        :0 c
        * ! ^X-Loop:
        !

    Instead:
        :0 c
        * ! ^X-Loop:
        ! anna@home.example
    """
    for rule in view.rules:
        action = rule.recipe.action
        if isinstance(action, Forward) and not action.text.strip():
            yield Finding(action.span, "this forward has no address")


def no_such_folder(view: View) -> Iterator[Finding]:
    """A MAILDIR that does not exist, or a folder in a directory that does not: procmail makes only the folder itself.

    Mail for it goes to DEFAULT, or bounces.  The check reports it on the machine whose HOME has the folders.

    Example:
        MAILDIR=$HOME/NoSuchMail

    Instead:
        MAILDIR=$HOME/Mail
    """
    machine = view.machine
    makes = any(b"mkdir" in pipe.text for _, pipe in view.commands()) or b"mkdir" in view.data
    if makes or not machine.home or not machine.is_directory(machine.home):
        return
    for assignment, _ in view.assignments:
        path = view.resolve(assignment.value.pieces) if assignment.name == b"MAILDIR" else None
        if path and path.startswith(b"/") and not machine.is_directory(path):
            shown = path.decode(errors="replace")
            yield Finding(assignment.value.span, f"there is no directory '{shown}': folders are looked for elsewhere")
    if view.values.get(b"MAILDIR") and not machine.is_directory(view.full(b".")):
        return
    for _, folder in view.folders():
        name = view.resolve(folder.words.pieces)
        known = name is not None and (name.startswith(b"/") or b"MAILDIR" in view.values)
        if name and known and name != b"/dev/null" and not any(byte in name for byte in b" \t\n"):
            around = view.full(name.rstrip(b"/.")).rpartition(b"/")[0]
            if around.startswith(machine.home) and not machine.is_directory(around):
                yield Finding(folder.span, f"there is no directory '{around.decode(errors='replace')}' for this folder")


CHECKS = (
    Check("P901", Severity.WARNING, never_reached),
    Check("P902", Severity.WARNING, shadowed),
    Check("P903", Severity.WARNING, missing_include),
    Check("P904", Severity.INFO, block_without_effect),
    Check("P905", Severity.ERROR, forward_to_nobody),
    Check("P906", Severity.WARNING, no_such_folder),
)
