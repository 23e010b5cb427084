"""Checks for mail that is lost, or of which only half is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyprocmail.diagnostics import Severity
from pyprocmail.lint.finding import Check, Edit, Finding
from pyprocmail.lint.view import Rule, View
from pyprocmail.procmail.compiled.conditions import PROGRAM
from pyprocmail.procmail.compiled.start_line import (
    FEED_BODY,
    FEED_HEAD,
    FILTER,
    IGNORE_WRITE_ERRORS,
    WAIT,
    WAIT_QUIET,
)
from pyprocmail.procmail.syntax.nodes import Assignment, Capture, Unset
from pyprocmail.source import Span


def add_flag(rule: Rule, flag: bytes) -> tuple[Edit, ...]:
    """The edit that adds a flag to the flags of a recipe."""
    raw = rule.recipe.start.raw
    end = raw.find(b":")
    at = rule.recipe.start.span.start + len(raw[: end if end >= 0 else len(raw)].rstrip())
    return (Edit(Span(at, at), flag),)


def filter_without_wait(view: View) -> Iterator[Finding]:
    """A filter (`f`) without `w` or `W`: the output of a program that fails replaces the mail.

    Without `w` the exit code of the program does not count.  If it dies in the middle, its output so far
    becomes the mail.  procmail does so even if there is no output; pyprocmail then keeps the mail.  With a lockfile
    procmail waits anyway.

    Example:
        :0 f
        | sed -e 's/a/b/'

    Instead:
        :0 fw
        | sed -e 's/a/b/'
    """
    for rule in view.rules:
        if rule.is_filter and rule.known and not _waits(rule):
            sentence = "this filter has no 'w': if its program fails, its output is used anyway"
            command = rule.command.text if rule.command is not None else b""
            edits = () if _FAILS_IN_EARNEST.search(command) else add_flag(rule, b"w")
            yield Finding(rule.start, sentence, "add 'w'", edits)


def _waits(rule: Rule) -> bool:
    """Whether procmail waits for the program and its exit code counts, as it always does with a lockfile."""
    return rule.has(WAIT, WAIT_QUIET) or rule.lock is not None


CACHE = re.compile(rb"\b(?i:formail)\}?\"?\s[^|;]*(?<=\s)-[rtkzcfqs]*D(?:\s|[0-9])")
"""`formail -D`, whose exit code shows whether a mail was seen before."""

_FAILS_IN_EARNEST = re.compile(rb"\b([ef]?grep|diff|cmp|bogofilter|exit|false|spamc\s+-[a-zA-Z]*[cE])\b")
"""Programs whose exit code may be other than 0 for a mail that is fine."""


def folder_ignores_errors(view: View) -> Iterator[Finding]:
    """`i` on a folder: a full disk counts as success.

    The flag means that write errors do not matter.  It is intended for programs that do not read all of their input.  A
    mail that cannot be written to a folder is lost.

    Example:
        :0 i:
        friends

    Instead:
        :0:
        friends
    """
    for rule, folder in view.folders():
        if rule.has(IGNORE_WRITE_ERRORS) and view.resolve(folder.words.pieces) != b"/dev/null":
            yield Finding(rule.start, "'i' on a folder: a mail that cannot be written is lost", "leave the 'i' out")


def delivery_without_wait(view: View) -> Iterator[Finding]:
    """A program that gets the mail for good, without `w` or `W`: its failure goes unseen.

    Without `w` the mail counts as delivered once the program has read it, whatever its exit code says.  With a lockfile
    procmail waits anyway.

    Example:
        :0
        | store-in-database

    Instead:
        :0 w
        | store-in-database
    """
    for rule, pipe in view.commands():
        if isinstance(rule.recipe.action, Capture) or not rule.delivers or not rule.known or _waits(rule):
            continue
        if CACHE.search(pipe.text):
            continue  # that is worse, and P211 reports it
        if not re.match(rb"\s*(:|true|cat\s*>+\s*/dev/null)\s*$", pipe.text):
            sentence = "the exit code of this program is ignored: if it fails, the mail is lost"
            yield Finding(rule.start, sentence, "add 'w'", add_flag(rule, b"w"))


def half_a_mail(view: View) -> Iterator[Finding]:
    """`h` or `b` alone on the final folder of a mail: the other half is lost.

    `h` gives the action the header only, `b` the body only.  On a carbon copy (`c`) that may be wanted.

    Example:
        :0 b:
        * ^Subject:.*report
        reports

    Instead:
        :0 B:
        * ^Subject:.*report
        reports
    """
    for rule, folder in view.folders():
        one = rule.has(FEED_HEAD) != rule.has(FEED_BODY)
        if one and rule.delivers and view.resolve(folder.words.pieces) != b"/dev/null":
            kept, gone = ("header", "body") if rule.has(FEED_HEAD) else ("body", "header")
            sentence = f"only the {kept} goes to this folder; the {gone} is lost"
            yield Finding(rule.start, sentence, "H and B choose what is searched")


def formail_to_nowhere(view: View) -> Iterator[Finding]:
    """`| formail` without `f`, and nothing that takes its output: the mail goes to the log.

    Only a filter uses the program's output.  Without `f` the recipe delivers: the changed mail is written to
    standard output and is lost.

    Example:
        :0 w
        | formail -I "X-Seen: yes"

    Instead:
        :0 fw
        | formail -I "X-Seen: yes"
    """
    for rule, pipe in view.commands():
        command = re.sub(rb"\"[^\"]*\"|'[^']*'", b"", pipe.text)
        alone = re.match(rb"\s*\$?\{?(?:\S*/)?(formail|FORMAIL)\}?\s", command + b" ") and not re.search(
            rb"[|>&;]|\s-[a-zA-Z]*[sD]|\\\n", command
        )
        if alone and rule.delivers and not isinstance(rule.recipe.action, Capture):
            yield Finding(pipe.span, "the output of this formail is lost, and the mail ends here", "add 'f'")


def everything_thrown_away(view: View) -> Iterator[Finding]:
    """Every mail that gets here goes to /dev/null.

    The recipe has no conditions and is not in a block.  A folder is safer: mail that no recipe expected is not always
    junk.

    Example:
        :0
        /dev/null

    Instead:
        :0
        * ^Subject:.*spam
        /dev/null
    """
    for rule, folder in view.folders():
        if (
            view.resolve(folder.words.pieces) == b"/dev/null"
            and rule.delivers
            and not rule.tests
            and not rule.chained
            and not any(parent.tests or parent.chained for parent in rule.parents)
        ):
            yield Finding(folder.span, "every mail that gets here is thrown away", "a folder keeps it")


def host_may_drop(view: View) -> Iterator[Finding]:
    """`HOST=name` ends the rcfile on any other machine, and the mail is dropped.

    procmailrc(5): if HOST is not the name of this machine, the rcfile ends; if no other one is left, the mail is
    silently discarded.  EXITCODE decides the status that the mail server then gets.

    Example:
        HOST=mail.example.org

    Instead:
        :0
        * HOST ?? mail\\.example\\.org
        here/
    """
    guarded = False
    for item, _, _, _ in view.items:
        if isinstance(item, Assignment) and item.name == b"EXITCODE":
            guarded = True
        elif isinstance(item, Assignment | Unset) and item.name == b"HOST" and not guarded:
            sentence = "on a machine with another name the rcfile ends here, and the mail is dropped"
            yield Finding(item.span, sentence, "EXITCODE=75 before it keeps the mail in the queue")


def pretended_delivery(view: View) -> Iterator[Finding]:
    """`DELIVERED=yes`: if no recipe below stores the mail, it is lost, and the mail server gets success.

    Example:
        DELIVERED=yes

    Instead:
        EXITCODE=75
    """
    for assignment, _ in view.assignments:
        if assignment.name == b"DELIVERED" and assignment.value.raw.strip(b"\"'").lower()[:1] in (b"y", b"1", b"t"):
            sentence = "the mail counts as delivered after this, even if no folder has it"
            yield Finding(assignment.span, sentence, "deliver it, or use EXITCODE")


def exit_code_is_no_number(view: View) -> Iterator[Finding]:
    """An EXITCODE that is not a number from 0 to 255: the mail server gets another status than you intended.

    Example:
        EXITCODE=bounce

    Instead:
        EXITCODE=77
    """
    for assignment, _ in view.assignments:
        if assignment.name == b"EXITCODE" and assignment.value.pieces:
            value = view.resolve(assignment.value.pieces)
            if value and not (value.isdigit() and int(value[:9]) < 256):
                yield Finding(assignment.value.span, "EXITCODE is not a number from 0 to 255", "75 asks to try again")


def program_missing(view: View) -> Iterator[Finding]:
    """A program that is not on the PATH that the rcfile sets.

    The recipe fails each time.  A filter leaves the mail as it is; any other mail falls through to the recipes below.

    Example:
        :0 fw
        | no-such-filter

    Instead:
        :0 fw
        | cat
    """
    path = view.machine.path if b"PATH" not in view.values else view.value(b"PATH")
    if path is None:
        return
    for rule in view.rules:
        commands = [(test.text, test.place()) for test in rule.tests if test.kind == 2]
        if rule.command is not None:
            commands.append((rule.command.text, rule.command.span))
        for text, span in commands:
            word = re.match(rb"\s*([A-Za-z0-9_./+-]+)(?=\s|$)", text)
            if word and not _INSIDE.match(text) and not view.machine.has_program(word[1], path):
                name = word[1].decode()
                yield Finding(span, f"there is no program '{name}' in {path.decode(errors='replace')}", "see PATH")


def duplicates_not_told(view: View) -> Iterator[Finding]:
    """`formail -D` whose result is ignored: without `w` or `W`, as a filter, or without the header.

    It answers with its exit code: 0 for a mail that it has seen before.  Without `w`, `W` or a lockfile each mail
    counts as delivered, and none is kept.  As a filter (`f`) it empties duplicates.  With `b` it sees no Message-ID.

    Example:
        LOCKFILE=msgid.lock
        :0 h
        | formail -D 8192 msgid.cache

    Instead:
        :0 Wh: msgid.lock
        | formail -D 8192 msgid.cache
    """
    for rule, pipe in view.commands():
        if not rule.known or isinstance(rule.recipe.action, Capture) or not CACHE.search(pipe.text):
            continue
        if rule.has(FILTER):
            sentence = "as a filter, formail -D makes an empty mail of a duplicate"
            yield Finding(rule.start, sentence, "leave the 'f' out")
        elif rule.has(FEED_BODY) and not rule.has(FEED_HEAD):
            yield Finding(rule.start, "formail -D gets no header here, and finds no duplicate", "h, not b")
        elif rule.delivers and not _waits(rule) and not re.search(rb"[|&;]", pipe.text):
            sentence = "the answer of formail -D is ignored: each mail counts as delivered, and is lost"
            yield Finding(rule.start, sentence, "add 'W'", add_flag(rule, b"W"))


def trap_not_heard(view: View) -> Iterator[Finding]:
    """A TRAP that exits with its own status, which does not count.

    procmailrc(5): the exit code of TRAP is taken only if EXITCODE is set to nothing.

    Example:
        TRAP="rm -f $HOME/.busy; exit 75"

    Instead:
        EXITCODE=
        TRAP="rm -f $HOME/.busy; exit 75"
    """
    heard = any(
        isinstance(item, Assignment | Unset) and item.name == b"EXITCODE" and not _raw(item).strip(b"\"'")
        for item, _, _, _ in view.items
    )
    for assignment, _ in view.assignments:
        if assignment.name == b"TRAP" and not heard and re.search(rb"\bexit\s+[1-9$]", assignment.value.raw):
            sentence = "this exit status is ignored: EXITCODE is not empty"
            yield Finding(assignment.value.span, sentence, "EXITCODE= without a value")


def _raw(item: Assignment | Unset) -> bytes:
    return item.value.raw if isinstance(item, Assignment) else b""


def shell_word_without_shell(view: View) -> Iterator[Finding]:
    """A command that only a shell has, where procmail starts no shell: `exit`, `cd`, `export`, `if`.

    procmail starts a program itself if none of the characters of SHELLMETAS is in the command, and there is no program
    of that name.  A `;` at the end calls the shell.

    Example:
        :0 w
        * ^Subject:.*stop
        | exit 67

    Instead:
        :0 w
        * ^Subject:.*stop
        | exit 67;
    """
    if b"SHELLMETAS" in view.values:
        return
    commands = [(pipe.text, pipe.span) for _, pipe in view.commands()]
    commands += [(test.text, test.place()) for _, test in view.tests(PROGRAM)]
    commands += [
        (a.value.raw.strip(b"\"'"), a.value.span) for a, _ in view.assignments if a.name == b"TRAP" and a.value.raw
    ]
    for text, span in commands:
        word = re.match(rb"\s*(exit|cd|export|eval|set|umask|ulimit|trap|return|shift)(?=\s|$)", text)
        if word and not re.search(rb"[&|<>~;?*\[]", text):
            name = word[1].decode()
            yield Finding(span, f"no shell runs this, and there is no program '{name}'", "';' at the end")


_BUILT_IN = frozenset(
    b": test [ exit cd true false echo exec eval read set if for while case trap umask ulimit "
    b"formail lockfile export . { ( !".split()
)
_INSIDE = re.compile(
    rb"\s*(?:%b|pyprocmail\s+(?:vacation|duplicate|mime))(?=\s|$)" % b"|".join(map(re.escape, _BUILT_IN))
)
"""Commands that a shell or pyprocmail runs without a program of that name."""

CHECKS = (
    Check("P201", Severity.ERROR, filter_without_wait, safe=True),
    Check("P202", Severity.ERROR, folder_ignores_errors),
    Check("P203", Severity.WARNING, delivery_without_wait),
    Check("P204", Severity.ERROR, half_a_mail),
    Check("P205", Severity.ERROR, formail_to_nowhere),
    Check("P206", Severity.WARNING, everything_thrown_away),
    Check("P207", Severity.WARNING, host_may_drop),
    Check("P208", Severity.WARNING, pretended_delivery),
    Check("P209", Severity.ERROR, exit_code_is_no_number),
    Check("P210", Severity.WARNING, program_missing),
    Check("P211", Severity.ERROR, duplicates_not_told),
    Check("P212", Severity.WARNING, trap_not_heard),
    Check("P213", Severity.ERROR, shell_word_without_shell),
)
