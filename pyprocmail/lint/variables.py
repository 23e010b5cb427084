"""Checks for variables: never set, misspelt, cut off, or with a value that procmail cannot use."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from pyprocmail.diagnostics import Severity
from pyprocmail.lint.finding import Check, Finding
from pyprocmail.lint.view import View
from pyprocmail.procmail.compiled.variables import TABLE
from pyprocmail.procmail.syntax.nodes import Assignment, Blank, Forward, Unset
from pyprocmail.source import Span

_FROM_OUTSIDE = (
    b"ABSTRACT HOME LOGNAME PATH TERM TZ EXTENSION RECIPIENT SENDER USER LOCAL DOMAIN ORIGINAL_RECIPIENT "
    b"CLIENT_ADDRESS CLIENT_HOSTNAME CLIENT_HELO LANG LC_ALL PYTHONPATH SHLVL TMPDIR LOCKREFRESH "
    b"RECIPIENTS REPLY MAIL_PARAMETERS CLIENT_NAME CLIENT_PORT HELO QUEUE_ID TLS_VERSION TLS_CIPHER TLS_SUBJECT "
    b"TLS_ISSUER LOGIN LOGIN_METHOD"
)
SPECIAL = frozenset(name for name, *_ in TABLE) | frozenset(_FROM_OUTSIDE.split())
"""Variables that procmail, a mail server or the system sets or reads."""

_NUMBERS = frozenset(
    b"LINEBUF LOCKSLEEP LOCKTIMEOUT TIMEOUT SUSPEND NORESRETRY SHIFT LOGFILE_KEEP UMASK".split()
)  # fmt: skip


_NAME = re.compile(rb"[A-Za-z]\w+")


def tilde_is_not_home(view: View) -> Iterator[Finding]:
    """`~` at the beginning of a path: procmail does not expand it.

    The folder `~/Mail/x` is in a directory that is named `~`.

    Example:
        MAILDIR=~/Mail

    Instead:
        MAILDIR=$HOME/Mail
    """
    for assignment, _ in view.assignments:
        if re.match(rb"[\"']?~(/|$)", assignment.value.raw):
            yield Finding(assignment.value.span, "'~' is not expanded here", "$HOME")
    for _, folder in view.folders():
        if re.match(rb"[\"']?~/", folder.words.raw):
            yield Finding(folder.span, "'~' is not expanded here", "$HOME")


def value_cut_off(view: View) -> Iterator[Finding]:
    """More than one word after `NAME=`: the value is the first one, and procmail unsets the next as a variable.

    Example:
        LOG=hello world

    Instead:
        LOG="hello world"
    """
    for item, siblings, index, _ in view.items:
        if not isinstance(item, Unset) or index < 2 or item.name in SPECIAL:
            continue
        blank, before = siblings[index - 1], siblings[index - 2]
        if isinstance(blank, Blank) and b"\n" not in blank.raw and isinstance(before, Assignment):
            name = before.name.decode()
            yield Finding(item.span, f"this is no longer part of the value of {name}", "quote the value")


def never_set(view: View) -> Iterator[Finding]:
    """A variable that nothing sets: it expands to nothing.

    The check knows the assignments of this file and of the files that it includes, and the variables of procmail and of
    mail servers.  If a file is included whose name it cannot know, it reports only names similar to a known one.

    Example:
        FRIENDS=anna
        :0
        * $ ^From:.*$FRIEND
        friends/

    Instead:
        FRIENDS=anna
        :0
        * $ ^From:.*$FRIENDS
        friends/
    """
    known = view.values.keys() | view.others | SPECIAL
    matched = any(b"\\/" in test.node.raw for _, test in view.patterns())
    seen: set[bytes] = set()
    for use in view.uses():
        if (
            use.name in seen
            or use.excused
            or not _NAME.fullmatch(use.name)
            or (use.name in known and use.name != b"MATCH")
        ):
            continue
        seen.add(use.name)
        name = use.name.decode()
        if use.name == b"MATCH":
            if not matched and view.is_main and b"MATCH" not in view.others:
                yield Finding(use.span, "no pattern here has a '\\/' that would set MATCH")
            continue
        near = _nearest(use.name, known)
        if near or (view.is_main and not _shell_only(view, use.name)):
            yield Finding(use.span, f"nothing sets {name}", f"do you mean {near}?" if near else "it expands to nothing")


def _shell_only(view: View, name: bytes) -> bool:
    """Whether a command itself sets the variable: `for x in ...`, `x=...`, `read x`."""
    text = b"\n".join(pipe.text for _, pipe in view.commands()) + b"\n".join(
        test.text for _, test in view.tests(2)
    )  # 2 is a program
    backquoted = b"\n".join(a.value.raw for a, _ in view.assignments if b"`" in a.value.raw)
    return bool(re.search(rb"\b(?:for|read)\s+" + name + rb"\b|\b" + name + rb"=", text + backquoted))


def _nearest(name: bytes, known: set[bytes]) -> str:
    if len(name) < 4:
        return ""
    near = difflib.get_close_matches(name.decode(), [word.decode() for word in known if len(word) > 3], 1, 0.85)
    return near[0] if near else ""


def misspelt_setting(view: View) -> Iterator[Finding]:
    """An assignment to a name that nothing uses and that is one letter away from a variable of procmail's.

    Example:
        LOGFLIE=$HOME/log

    Instead:
        LOGFILE=$HOME/log
    """
    used: set[bytes] | None = None
    for assignment, _ in view.assignments:
        name = assignment.name
        if name in SPECIAL or len(name) < 5:
            continue
        near = difflib.get_close_matches(name.decode(), [word.decode() for word in SPECIAL if len(word) > 4], 1, 0.83)
        if near:
            if used is None:
                used = {use.name for use in view.uses()} | {test.area for _, test in view.tests() if test.area}
            if name not in used and name.upper() == name:
                yield Finding(assignment.span, f"nothing uses {name.decode()}", f"do you mean {near[0]}?")


def unusable_shell(view: View) -> Iterator[Finding]:
    """A SHELL that is not like sh(1): commands with quotes, pipes or redirections fail in it.

    procmail inherits the login shell.  With csh, fish or nologin, recipes with `>` or `|` do not work.

    Example:
        SHELL=/bin/tcsh

    Instead:
        SHELL=/bin/sh
    """
    for assignment, _ in view.assignments:
        if assignment.name == b"SHELL" and re.search(rb"(csh|fish|nologin|false|nu)[\"']?$", assignment.value.raw):
            yield Finding(assignment.value.span, "commands are written for sh(1)", "SHELL=/bin/sh")


def not_a_number(view: View) -> Iterator[Finding]:
    """A setting that needs a number has another value: the setting stays as it was.

    Example:
        LOCKTIMEOUT=5min

    Instead:
        LOCKTIMEOUT=300
    """
    for assignment, _ in view.assignments:
        if assignment.name in _NUMBERS and assignment.value.pieces:
            value = view.resolve(assignment.value.pieces)
            if value and not re.fullmatch(rb"\s*-?[0-9]+\s*", value):
                yield Finding(assignment.value.span, f"{assignment.name.decode()} is a number", "in seconds, or bytes")


def odd_folder(view: View) -> Iterator[Finding]:
    """A folder name that looks like something else: a condition without its `*`, a block without its blank, a command.

    procmail uses any text after the conditions as the name of a folder, and makes the folder.

    Example:
        :0:
        ^Subject:.*spam
        spam

    Instead:
        :0:
        * ^Subject:.*spam
        spam
    """
    for _, folder in view.folders():
        raw = folder.words.raw
        first = raw[:1]
        if first in (b"^", b"(", b"{", b"}", b"?", b"<", b">", b"*", b"\\", b")"):
            hint = "a blank after the '{'" if first == b"{" else "a '*' before it?"
            yield Finding(folder.span, f"'{first.decode()}' begins the name of a folder here", hint)
        elif re.match(rb"[A-Z][A-Za-z-]*:", raw) or re.match(rb"[A-Za-z_]\w*[ \t]*=", raw):
            yield Finding(folder.span, "this is read as the name of a folder", "the action is missing before it?")
        elif re.match(rb"(formail|sed|cat|spamc|grep|/usr/s?bin/\S+)[ \t]+-", raw):
            yield Finding(folder.span, "this is read as the name of a folder", "a '|' before it?")


def comma_between_addresses(view: View) -> Iterator[Finding]:
    """A comma after an address of `!`: the mail program gets it as a part of the address, and some reject that.

    Example:
        :0 c
        * ! ^X-Loop: me
        ! anna@home.example, bert@home.example

    Instead:
        :0 c
        * ! ^X-Loop: me
        ! anna@home.example bert@home.example
    """
    for rule in view.rules:
        action = rule.recipe.action
        if isinstance(action, Forward) and re.search(rb",(\s|$)", action.words.raw):
            yield Finding(
                action.words.span, "the mail program gets this ',' as a part of the address", "blanks between addresses"
            )


def several_mailboxes(view: View) -> Iterator[Finding]:
    """Several folders of which the first is an mbox file: the others get a link, which works for directories only.

    procmailrc(5): the mail is stored in the first, and linked into the others, which have to be directories.

    Example:
        :0:
        * ^From:.*anna
        anna friends

    Instead:
        :0
        * ^From:.*anna
        anna/ friends/
    """
    for _, folder in view.folders():
        words = folder.words.raw.split()
        plain = re.fullmatch(rb"[A-Za-z0-9_./ \t-]+", folder.words.raw.strip())
        if (
            len(words) > 1
            and plain
            and not view.machine.is_directory(view.full(words[0]))
            and not words[0].endswith((b"/", b"/."))
        ):
            yield Finding(folder.span, "only directories can share a mail", "a recipe with 'c' for each mailbox")


def brace_in_value(view: View) -> Iterator[Finding]:
    """A `}` right after a value: it belongs to the value, and the block continues.

    Example:
        :0
        * ^Subject:.*x
        { SEEN=yes}
        :0
        rest/

    Instead:
        :0
        * ^Subject:.*x
        { SEEN=yes }
        :0
        rest/
    """
    for item, _, _, parents in view.items:
        if isinstance(item, Assignment) and parents and item.value.raw.endswith(b"}") and b"{" not in item.value.raw:
            at = item.value.span.end
            yield Finding(
                Span(at - 1, at), f"this '}}' belongs to the value of {item.name.decode()}", "a blank before it"
            )


CHECKS = (
    Check("P601", Severity.ERROR, tilde_is_not_home),
    Check("P602", Severity.WARNING, value_cut_off),
    Check("P603", Severity.WARNING, never_set),
    Check("P604", Severity.WARNING, misspelt_setting),
    Check("P605", Severity.ERROR, unusable_shell),
    Check("P606", Severity.ERROR, not_a_number),
    Check("P607", Severity.ERROR, odd_folder),
    Check("P608", Severity.WARNING, comma_between_addresses),
    Check("P609", Severity.WARNING, several_mailboxes),
    Check("P610", Severity.ERROR, brace_in_value),
)
