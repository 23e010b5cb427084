"""Checks for harm by a stranger's mail or by another user of the machine."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyprocmail.diagnostics import Severity
from pyprocmail.lint.finding import Check, Finding
from pyprocmail.lint.view import NAME, SINGLE, Rule, Test, View
from pyprocmail.procmail.compiled.conditions import EXPAND, PROGRAM
from pyprocmail.procmail.compiled.pieces import BACKQUOTE, VARIABLE
from pyprocmail.source import Span

_FROM_MAIL = re.compile(rb"(?i:formail)\S*\s+[^|;`]*-[a-zA-Z]*[xX]|\bgrep\b.*\^(From|Subject|To)")


def foreign(view: View) -> set[bytes]:
    """The variables that contain text of the mail: MATCH, those set from it, and those set from `formail -x`."""
    found = {b"MATCH"} if b"MATCH" not in view.values else set[bytes]()
    grows = True
    while grows:
        grows = False
        for name, values in view.values.items():
            if name in found:
                continue
            for pieces in values:
                for piece in pieces or ():
                    if not isinstance(piece, tuple) or len(piece) < 2 or not isinstance(piece[1], bytes):
                        continue
                    taken = piece[0] == VARIABLE and piece[1] in found
                    if taken or (piece[0] == BACKQUOTE and _FROM_MAIL.search(piece[1])):
                        found.add(name)
                        grows = True
    return found


def _harmless(view: View, rule: Rule, name: bytes, bad: bytes) -> bool:
    """Whether conditions keep every byte of `bad` out of the variable: the part after `\\/`, or a test of its value."""
    tests = [test for one in (*rule.parents, rule) for test in one.tests]
    for test in tests:
        if test.area != name:
            continue
        if test.negated and re.search(rb"\[", test.text):
            return True
        if test.text.startswith(b"^^") and test.text.endswith(b"^^") and _is_narrow(test.text[2:-2], bad):
            return True
    origins = [rule.parents + (rule,)] if name == b"MATCH" else _origins(view, name)
    return bool(origins) and all(_is_set_narrowly(view, rules, rule.recipe.span.start, bad) for rules in origins)


def _origins(view: View, name: bytes) -> list[tuple[Rule, ...]]:
    """The blocks in which the variable is set from MATCH; none if it is also set from something else."""
    found: list[tuple[Rule, ...]] = []
    for assignment, parents in view.assignments:
        if assignment.name == name and assignment.value.pieces:
            if not any(
                isinstance(piece, tuple) and piece[:2] == (VARIABLE, b"MATCH") for piece in assignment.value.pieces
            ):
                return []
            found.append(parents)
    return found


def _is_set_narrowly(view: View, rules: tuple[Rule, ...], before: int, bad: bytes) -> bool:
    """Whether MATCH, in the innermost of `rules`, cannot contain a byte of `bad`."""
    for rule in reversed(rules):
        setting = [test for test in rule.tests if b"\\/" in test.text and not test.negated]
        if setting:
            return _is_narrow(setting[-1].text.rpartition(b"\\/")[2], bad)
    earlier = [test for _, test in view.patterns() if b"\\/" in test.text and test.at < before]
    return bool(earlier) and all(_is_narrow(test.text.rpartition(b"\\/")[2], bad) for test in earlier)


def _is_narrow(pattern: bytes, bad: bytes) -> bool:
    """Whether the pattern, which makes MATCH, cannot match a byte of `bad`."""
    for found in re.finditer(rb"\[(\^?)(\]?[^]]*)\]", pattern):
        members = found[2]
        if found[1] and any(bytes([byte]) not in members for byte in bad):
            return False
        if not found[1] and any(bytes([byte]) in members for byte in bad):
            return False
    rest = re.sub(rb"\[\^?\]?[^]]*\]", b"", pattern).replace(b"\\.", b"")
    return b"." not in rest and not any(bytes([byte]) in rest for byte in bad)


def stranger_in_path(view: View) -> Iterator[Finding]:
    """Text of the mail in a folder's name or in INCLUDERC, where it can contain `/`.

    The sender chooses the file: `../../.procmailrc`, for instance.

    Example:
        :0:
        * ^Subject:.*\\[\\/.*
        lists/$MATCH

    Instead:
        :0:
        * ^Subject:.*\\[\\/[a-z0-9-]+
        lists/$MATCH
    """
    strange = foreign(view)
    for rule, folder in view.folders():
        for found in NAME.finditer(folder.words.raw):
            if found[1] in strange and not _harmless(view, rule, found[1], b"/"):
                at = folder.words.span.start
                name = found[1].decode()
                sentence = f"the sender of a mail chooses this path: {name} may contain '/'"
                yield Finding(Span(at + found.start(), at + found.end()), sentence, "let a pattern keep '/' out")
    for assignment, parents in view.assignments:
        if assignment.name in (b"INCLUDERC", b"SWITCHRC", b"LOGFILE", b"LOCKFILE", b"MAILDIR"):
            for found in NAME.finditer(assignment.value.raw):
                guarded = parents and _harmless(view, parents[-1], found[1], b"/")
                if found[1] in strange and not guarded:
                    at = assignment.value.span.start
                    sentence = f"the sender of a mail chooses this path: {found[1].decode()} may contain '/'"
                    yield Finding(Span(at + found.start(), at + found.end()), sentence, "let a pattern keep '/' out")


def stranger_in_command(view: View) -> Iterator[Finding]:
    """Text of the mail in a command, not in double quotes: the shell splits it and looks for file names in it.

    Its first letter may be a `-`, which makes an option of it.  With `eval` or in backquotes it is run.

    Example:
        SUBJECT=`formail -xSubject:`
        :0 wc
        | log-it $SUBJECT

    Instead:
        SUBJECT=`formail -xSubject:`
        :0 wc
        | log-it "$SUBJECT"
    """
    strange = foreign(view)
    for _, test in view.tests(EXPAND):
        for name in {found[1] for found in NAME.finditer(test.text)} & strange if _runs(test) else ():
            sentence = f"{name.decode()} is text of the mail, and becomes part of the command"
            yield Finding(test.node.span, sentence, "no '$' at the beginning: the shell expands it")
    for rule in view.rules:
        texts = [
            (test.node.raw, test.node.span.end - len(test.node.raw)) for test in rule.tests if test.kind == PROGRAM
        ]
        if rule.command is not None:
            texts.append((rule.command.raw, rule.command.span.start + 1))
        for text, start in texts:
            hidden = re.sub(rb"\"(?:\\.|[^\"\\])*\"", lambda quoted: b"x" * len(quoted[0]), _without_single(text))
            if re.search(rb"\beval\b", text):
                hidden = text
            for found in NAME.finditer(hidden):
                if found[1] in strange and not _harmless(view, rule, found[1], b" ;"):
                    name = found[1].decode()
                    place = Span(start + found.start(), start + found.end())
                    yield Finding(place, f"{name} is text of the mail, and is not quoted", f'"${name}"')
                    break


def _without_single(text: bytes) -> bytes:
    return SINGLE.sub(lambda quoted: b"x" * len(quoted[0]), text) if b"'" in text else text


def stranger_in_pattern(view: View) -> Iterator[Finding]:
    """Text of the mail in a `$` condition, as a pattern: `$MATCH` where `$\\MATCH` is meant.

    The sender writes a part of the pattern.  `$\\NAME` matches the text literally.

    Example:
        :0
        * ^From:.*\\/[^ ]+
        * $ ^To:.*$MATCH
        self/

    Instead:
        :0
        * ^From:.*\\/[^ ]+
        * $ ^To:.*$\\MATCH
        self/
    """
    strange = foreign(view)
    for rule, test in view.tests(EXPAND):
        if _runs(test):
            continue
        begins = test.node.span.end - len(test.node.raw)
        for found in NAME.finditer(test.node.raw):
            if (
                found[1] in strange
                and not found[0].startswith(b"$\\")
                and not _is_area(test.node.raw, found.end())
                and not _harmless(view, rule, found[1], b".*[(|")
            ):
                place = Span(begins + found.start(), begins + found.end())
                name = found[1].decode()
                yield Finding(place, f"{name} is text of the mail, and a pattern here", f"$\\{name}")
                break


def files_in_tmp(view: View) -> Iterator[Finding]:
    """A lockfile, log or folder in /tmp or /var/tmp: any user can create it first, or put a link there.

    Example:
        LOCKFILE=/tmp/procmail.lock

    Instead:
        LOCKFILE=$HOME/.procmail.lock
    """
    for assignment, _ in view.assignments:
        if assignment.name in (b"LOCKFILE", b"LOGFILE", b"MAILDIR", b"DEFAULT", b"INCLUDERC", b"SWITCHRC"):
            value = view.resolve(assignment.value.pieces) or b""
            if _is_shared(view, value):
                yield Finding(assignment.value.span, "any user of this machine can make this file first", "$HOME")
    for rule in view.rules:
        if rule.lock and _is_shared(view, rule.lock):
            place = Span(rule.colon, rule.start.end)
            yield Finding(place, "any user of this machine can hold this lock", "$HOME")
    for _, folder in view.folders():
        if _is_shared(view, view.resolve(folder.words.pieces) or b""):
            yield Finding(folder.span, "any user of this machine can make this folder first", "$HOME")


def _is_shared(view: View, path: bytes) -> bool:
    """Whether the path is in a folder where every user may make files; a home in it does not count."""
    home = view.machine.home
    return path.startswith((b"/tmp/", b"/var/tmp/")) and not (home and path.startswith(home + b"/"))


def open_umask(view: View) -> Iterator[Finding]:
    """A UMASK that lets others write to the mail: folders and lockfiles are made with it.

    Example:
        UMASK=000

    Instead:
        UMASK=077
    """
    for assignment, _ in view.assignments:
        if assignment.name == b"UMASK":
            value = view.resolve(assignment.value.pieces) or b""
            if re.fullmatch(rb"[0-7]{1,4}", value) and not int(value, 8) & 0o002:
                yield Finding(assignment.value.span, "others may write to folders made after this line", "077")


def _is_area(text: bytes, end: int) -> bool:
    """Whether the variable that ends at `end` is followed by `??`."""
    return text[end:].lstrip(b" }").startswith(b"??")


def _runs(test: Test) -> bool:
    """Whether a `$` condition becomes a command."""
    return test.text.lstrip(b"! \t").startswith(b"?")


CHECKS = (
    Check("P801", Severity.WARNING, stranger_in_path),
    Check("P802", Severity.WARNING, stranger_in_command),
    Check("P803", Severity.WARNING, stranger_in_pattern),
    Check("P804", Severity.WARNING, files_in_tmp),
    Check("P805", Severity.WARNING, open_umask),
)
