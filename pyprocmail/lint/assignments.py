"""Checks for the lines between recipes: words alone, a missing `$`, variables that are set too late."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyprocmail.diagnostics import Severity
from pyprocmail.lint.finding import Check, Finding
from pyprocmail.lint.variables import SPECIAL
from pyprocmail.lint.view import View
from pyprocmail.procmail.syntax.nodes import Assignment, Blank, Capture, Condition, Item, Unset
from pyprocmail.source import Span

_PATHS = frozenset(b"HOME MAILDIR DEFAULT ORGMAIL LOGFILE LASTFOLDER SENDMAIL SHELL PATH FORMAIL PMDIR".split())
_LINEBUF = 2048


def name_without_dollar(view: View) -> Iterator[Finding]:
    """A path that begins with the name of a variable: its `$` is missing.

    `HOME/Mail` is the folder Mail in a folder HOME.

    Example:
        MAILDIR=HOME/Mail

    Instead:
        MAILDIR=$HOME/Mail
    """
    known = _PATHS | {name for name in view.values if len(name) > 2}
    words = [(folder.words, b"") for _, folder in view.folders()]
    words += [(assignment.value, assignment.name) for assignment, _ in view.assignments]
    for word, target in words:
        found = re.match(rb"[\"']?([A-Z_]{3,})(/|[\"']?\s|[\"']?$)", word.raw)
        path = found is not None and (not target or found[2] == b"/" or target in _PATHS)
        if found and path and found[1] in known and found[1] != target:
            place = Span(word.span.start + found.start(1), word.span.start + found.end(1))
            name = found[1].decode()
            yield Finding(place, f"this is the word {name}, not the value of the variable", f"${name}")


def words_alone(view: View) -> Iterator[Finding]:
    """Several words on a line, and no `=`: procmail unsets each as a variable.

    Example:
        VERBOSE yes

    Instead:
        VERBOSE=yes
    """
    for item, siblings, index, _ in view.items:
        if not isinstance(item, Unset) or _on_this_line(siblings, index, -1):
            continue
        after = _on_this_line(siblings, index, 1)
        names = [item.name] + [other.name for other in after if isinstance(other, Unset)]
        if (
            after
            and len(names) == len(after) + 1
            and not all(name in view.values and _set(view, name) for name in names)
        ):
            hint = f"{item.name.decode()}={names[1].decode()}" if item.name in SPECIAL else "a comment begins with '#'"
            yield Finding(Span(item.span.start, after[-1].span.end), "these words are read as variables to unset", hint)


def _set(view: View, name: bytes) -> bool:
    return any(assignment.name == name for assignment, _ in view.assignments)


def _on_this_line(siblings: tuple[Item, ...], index: int, step: int) -> list[Assignment | Unset]:
    """The assignments beside an item on its line, before or after it."""
    found: list[Assignment | Unset] = []
    at = index + step
    while 0 <= at < len(siblings):
        item = siblings[at]
        if isinstance(item, Assignment | Unset):
            found.append(item)
        elif not isinstance(item, Blank) or b"\n" in item.raw:
            break
        at += step
    return found


def set_too_late(view: View) -> Iterator[Finding]:
    """A variable that is used before it is set: it is still empty there.

    Example:
        DEFAULT=$FOLDERS/inbox
        FOLDERS=$HOME/Mail

    Instead:
        FOLDERS=$HOME/Mail
        DEFAULT=$FOLDERS/inbox
    """
    if not view.is_main or any(a.name in (b"INCLUDERC", b"SWITCHRC") for a, _ in view.assignments):
        return
    first: dict[bytes, int] = {}
    for item, _, _, _ in view.items:
        if isinstance(item, Assignment | Unset):
            first.setdefault(item.name, item.span.end)
    for rule in view.rules:
        action = rule.recipe.action
        if isinstance(action, Capture):
            first[action.name] = min(first.get(action.name, action.span.end), action.span.end)
    seen: set[bytes] = set()
    for use in view.uses():
        at = first.get(use.name, 0)
        if use.span.end < at and not use.excused and use.name not in SPECIAL and use.name not in seen:
            seen.add(use.name)
            if _begins(view, use.name) > use.span.end:
                line = view.data.count(b"\n", 0, _begins(view, use.name)) + 1
                sentence = f"{use.name.decode()} is set in line {line}, and empty here"
                yield Finding(use.span, sentence, "set it before")


def _begins(view: View, name: bytes) -> int:
    """Where the first assignment of the variable begins."""
    places = [
        item.span.start for item, _, _, _ in view.items if isinstance(item, Assignment | Unset) and item.name == name
    ]
    places += [
        rule.recipe.action.span.start
        for rule in view.rules
        if isinstance(rule.recipe.action, Capture) and rule.recipe.action.name == name
    ]
    return min(places)


def longer_than_linebuf(view: View) -> Iterator[Finding]:
    """A value, a condition or a command that is longer than LINEBUF, which is 2048 unless you set it.

    procmail sets PROCMAIL_OVERFLOW and skips it: the recipe does not run.

    Example:
        LINEBUF=128
        :0
        * ^Subject:.*(cheap|free|offer|winner|prize|lottery|casino|credit|loan|\\
          mortgage|diploma|degree|pills|watches|software|invoice|urgent)
        spam/

    Instead:
        LINEBUF=4096
        :0
        * ^Subject:.*(cheap|free|offer|winner|prize|lottery|casino|credit|loan|\\
          mortgage|diploma|degree|pills|watches|software|invoice|urgent)
        spam/
    """
    sizes = [
        (a.span.end, int(a.value.raw)) for a, _ in view.assignments if a.name == b"LINEBUF" and a.value.raw.isdigit()
    ]
    parts = [(assignment.value.raw, assignment.value.span) for assignment, _ in view.assignments]
    parts += [(pipe.raw, pipe.span) for _, pipe in view.commands()]
    for rule in view.rules:
        parts += [(part.raw, part.span) for part in rule.recipe.conditions if isinstance(part, Condition)]
    for raw, span in parts:
        room = next((size for end, size in reversed(sizes) if end <= span.start), _LINEBUF)
        if len(raw) >= room:
            sentence = f"this has {len(raw)} bytes, and LINEBUF is {room}: procmail leaves it out"
            yield Finding(Span(span.start, span.start + 1), sentence, f"LINEBUF={len(raw) * 2} before it")


def unclosed_backquote(view: View) -> Iterator[Finding]:
    """A backquote that is never closed: the rest of the file belongs to the command.

    Example:
        NOW=`date'
        :0:
        inbox

    Instead:
        NOW=`date`
        :0:
        inbox
    """
    for assignment, _ in view.assignments:
        raw = re.sub(rb"\\.", b"xx", assignment.value.raw)
        if raw.count(b"`") % 2 and assignment.value.span.end >= len(view.data.rstrip()):
            at = assignment.value.span.start + raw.rfind(b"`")
            yield Finding(Span(at, at + 1), "this backquote is never closed", "all that follows belongs to it")


CHECKS = (
    Check("P611", Severity.WARNING, name_without_dollar),
    Check("P612", Severity.WARNING, words_alone),
    Check("P613", Severity.WARNING, set_too_late),
    Check("P614", Severity.WARNING, longer_than_linebuf),
    Check("P615", Severity.ERROR, unclosed_backquote),
)
