"""Checks of filter files for loops, and for harm by a stranger's mail or by another user of the machine."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyprocmail.diagnostics import Severity
from pyprocmail.lint.finding import Check, Finding
from pyprocmail.lint.mailfilter.view import NAME, FilterView, Place, ends
from pyprocmail.maildrop.syntax.nodes import (
    Assign,
    Binary,
    Call,
    Expression,
    If,
    Locked,
    Match,
    Pattern,
    Text,
    TextKind,
    Unary,
)
from pyprocmail.source import Span

_LOOP = re.compile(rb"x-?loop|loop|delivered-to|x-forward|resent|mailer-daemon", re.IGNORECASE)
_ROBOT = re.compile(rb"mailer-daemon|auto-submitted|precedence|x-loop|return-path", re.IGNORECASE)
_ASKS = re.compile(rb"\b(?:re)?formail\b[^|;]*-[a-zA-Z]*[xX]|\bgrep\b.*\^(From|Subject|To)")
_MATCHED = re.compile(rb"MATCH[0-9]*")
_MAY_HOLD_SLASH = re.compile(rb"(?<!\\)\.[*+]|\\S|\\W|\\D")
_TELLS_NOTHING = ("escape", "length", "hasaddr", "lookup", "time")


def foreign(view: FilterView) -> set[bytes]:
    """The variables that contain text of the mail: FROM, MATCH, those set from them, and those set from `reformail -x`.

    A variable set where the groups of a pattern match only letters and digits does not count.
    """
    found = {b"FROM"}
    assigns = [(assign, _is_narrow(place)) for place, assign in view.assigns()]
    grows = True
    while grows:
        grows = False
        for assign, narrow in assigns:
            if assign.name not in found and _is_foreign(assign.value, found, narrow):
                found.add(assign.name)
                grows = True
    return found


def _is_narrow(place: Place) -> bool:
    """Whether the conditions on the way leave only text in MATCH1 and so on that is harmless in a command."""
    patterns = list(_patterns(place.conditions))
    return bool(patterns) and all(_is_harmless(pattern.text) for pattern in patterns)


def _is_foreign(value: Expression, known: set[bytes], narrow: bool) -> bool:
    match value:
        case Text(pieces=pieces):
            for piece in pieces:
                if piece.kind is TextKind.BACKTICK and _ASKS.search(piece.value):
                    return True
                if piece.kind is TextKind.DOUBLE:
                    names = [found[1] or found[2] for found in NAME.finditer(piece.value)]
                    if any(
                        name in known or (_MATCHED.fullmatch(name) and not (narrow and _is_group(name)))
                        for name in names
                    ):
                        return True
            return False
        case Call(name=name, arguments=arguments):
            return name not in _TELLS_NOTHING and any(_is_foreign(one, known, narrow) for one in arguments)
        case Assign(value=inner):
            return _is_foreign(inner, known, narrow)
        case Binary(operator=operator, left=left, right=right):
            return operator in ("||", "&&") and (_is_foreign(left, known, narrow) or _is_foreign(right, known, narrow))
        case Pattern() | Match() | Unary():
            return False


def _tested(view: FilterView, place: Place) -> bytes:
    """The conditions on the way to a statement, and earlier conditions whose body ends the filter."""
    texts = [view.data[one.span.start : one.span.end] for one in place.conditions]
    for other in view.places:
        if other.statement.span.start < place.statement.span.start and isinstance(other.statement, If):
            texts += [
                view.data[branch.condition.span.start : branch.condition.span.end]
                for branch in other.statement.branches
                if ends(branch.body)
            ]
    return b"\n".join(texts)


def forward_without_guard_in_filter(view: FilterView) -> Iterator[Finding]:
    """A forward without protection from loops: two addresses that forward to each other never stop.

    Test for a field of your own, and add it before you forward.

    Example:
        cc "! me@pager.example"

    Instead:
        if (!/^X-Loop: me@home\\.example/)
        {
            exception {
                xfilter "reformail -A'X-Loop: me@home.example'"
            }
            cc "! me@pager.example"
        }
    """
    for place, command, text in view.deliveries():
        starts = text.pieces[0].value.lstrip()
        if starts.startswith(b"!") and not _LOOP.search(_tested(view, place)):
            yield Finding(command.span, "nothing prevents a mail loop here", "test for an X-Loop field")


def answer_without_guard_in_filter(view: FilterView) -> Iterator[Finding]:
    """An automatic answer that robots can get, or the same sender for each mail.

    RFC 3834: no answer to mail that is automatic itself, and one in some days to the same sender.  mailbot knows
    robots and lists by itself; with `-d FILE` it remembers whom it has answered.

    Example:
        cc "| mailbot -t away.txt $SENDMAIL -f ''"
        EXITCODE=0

    Instead:
        cc "| mailbot -t away.txt -d answered $SENDMAIL -f ''"
        EXITCODE=0
    """
    for shell in view.shells():
        text = shell.text
        if re.match(rb"(\S*/)?mailbot\b", text) and not re.search(rb"\s-d", text):
            yield Finding(shell.span, "this answers each mail of the same sender", "-d FILE")
        answers = re.search(rb"\b(re)?formail\b[^|;]*-[a-zA-Z]*r", text) and re.search(rb"(?i)sendmail", text)
        if answers and not _ROBOT.search(_tested(view, shell.place)):
            yield Finding(shell.span, "this automatic answer also goes to robots and lists", "mailbot, or test before")


def stranger_in_path_of_filter(view: FilterView) -> Iterator[Finding]:
    """Text of the mail in the name of a folder or of a file to include, from a pattern that can match `/`.

    The sender chooses the file.

    Example:
        if (/^Subject:.*\\[(.*)\\]/)
            to "lists/$MATCH1"

    Instead:
        if (/^Subject:.*\\[([a-z0-9]+)\\]/)
            to "lists/$MATCH1"
    """
    for place, command in view.commands("to", "cc", "include", "logfile"):
        loose = any(_lets_slash_in(pattern.text) for pattern in _patterns(place.conditions))
        pieces = command.operand.pieces if isinstance(command.operand, Text) and loose else ()
        for piece in pieces:
            if piece.kind is not TextKind.DOUBLE or piece.value.lstrip().startswith((b"|", b"!")):
                break
            found = next((one for one in NAME.finditer(piece.value) if _is_group(one[1] or one[2])), None)
            if found:
                group = (found[1] or found[2]).decode()
                sentence = f"the sender of a mail chooses this path: {group} may contain '/'"
                yield Finding(piece.span, sentence, "let the pattern keep '/' out")


def _is_group(name: bytes) -> bool:
    return re.fullmatch(rb"MATCH[1-9][0-9]*", name) is not None


def _patterns(conditions: tuple[Expression, ...]) -> Iterator[Pattern]:
    todo = list(conditions)
    while todo:
        one = todo.pop()
        match one:
            case Pattern():
                yield one
            case Match():
                todo += [one.subject, one.pattern]
            case Binary():
                todo += [one.left, one.right]
            case Unary():
                todo.append(one.operand)
            case Call():
                todo += one.arguments
            case Assign():
                todo.append(one.value)
            case Text():
                pass


def _lets_slash_in(pattern: bytes) -> bool:
    """Whether one of the groups of the pattern may match a `/`."""
    for group in re.findall(rb"\(((?:[^()\\]|\\.)*)\)", pattern):
        negated = re.search(rb"\[\^([^]]*)\]", group)
        outside = re.sub(rb"\[[^]]*\]", b"", group)
        if _MAY_HOLD_SLASH.search(outside) or (negated and b"/" not in negated[1]):
            return True
    return False


def stranger_in_command_of_filter(view: FilterView) -> Iterator[Finding]:
    """Text of the mail in a command in double quotes: maildrop puts it there, and the shell runs what is in it.

    A subject like `$(rm -r Mail)` is run.  In single quotes the shell finds the variable itself, and double quotes
    inside keep it in one piece; `escape()` does the same for maildrop.

    Example:
        if (/^Subject: *(.*)/)
            system "log-it $MATCH1"

    Instead:
        if (/^Subject: *(.*)/)
            system 'log-it "$MATCH1"'
    """
    strange = foreign(view)
    for shell in view.shells():
        narrow = _is_narrow(shell.place)
        for piece in shell.pieces:
            text = piece.value
            if piece.kind is not TextKind.DOUBLE:
                text = re.sub(rb"\"[^\"]*\"", lambda quoted: b"x" * len(quoted[0]), text)
            for found in NAME.finditer(text):
                name = found[1] or found[2]
                matched = _MATCHED.fullmatch(name) is not None and not (narrow and _is_group(name))
                if matched or name in strange:
                    runs = piece.kind is TextKind.DOUBLE
                    what = "the shell runs what is in it" if runs else "is not quoted"
                    hint = f"'...\"${name.decode()}\"...'" if runs else f'"${name.decode()}"'
                    yield Finding(view.at(piece, found[0]), f"{name.decode()} is text of the mail, and {what}", hint)
                    break


def _is_harmless(pattern: bytes) -> bool:
    """Whether the groups of a pattern match only letters, digits, `.`, `_` and `-`."""
    groups = re.findall(rb"\(((?:[^()\\]|\\.)*)\)", pattern)
    return bool(groups) and all(
        re.fullmatch(rb"(?:\[[a-zA-Z0-9_.-]+\]|\\[dw]|[a-zA-Z0-9_-]|\\\.|[|*+?]|\{[0-9,]+\})+", group)
        for group in groups
    )


def files_in_tmp_of_filter(view: FilterView) -> Iterator[Finding]:
    """A lockfile, log or folder in /tmp or /var/tmp: any user can create it first, or put a link there.

    Example:
        logfile "/tmp/maildrop.log"

    Instead:
        logfile "$HOME/maildrop.log"
    """
    paths: list[tuple[Expression | None, Span]] = []
    paths += [(command.operand, command.span) for _, command in view.commands("to", "cc", "logfile", "include")]
    locks = [place.statement.name for place in view.places if isinstance(place.statement, Locked)]
    paths += [(name, name.span) for name in locks]
    paths += [(assign.value, assign.span) for _, assign in view.assigns() if assign.name == b"DEFAULT"]
    home = view.machine.home
    for operand, span in paths:
        path = view.resolve(operand) or b""
        if path.startswith((b"/tmp/", b"/var/tmp/")) and not (home and path.startswith(home + b"/")):
            yield Finding(span, "any user of this machine can make this file first", "$HOME")


def open_umask_in_filter(view: FilterView) -> Iterator[Finding]:
    """A UMASK that lets others write to the mail: folders are made with it.

    Example:
        UMASK="000"

    Instead:
        UMASK="077"
    """
    for _, assign in view.assigns():
        value = (view.resolve(assign.value) or b"") if assign.name == b"UMASK" else b""
        if re.fullmatch(rb"[0-7]{1,4}", value) and not int(value, 8) & 0o002:
            yield Finding(assign.span, "others may write to folders made after this line", "077")


CHECKS = (
    Check("M701", Severity.WARNING, forward_without_guard_in_filter),
    Check("M702", Severity.WARNING, answer_without_guard_in_filter),
    Check("M801", Severity.WARNING, stranger_in_path_of_filter),
    Check("M802", Severity.ERROR, stranger_in_command_of_filter),
    Check("M804", Severity.WARNING, files_in_tmp_of_filter),
    Check("M805", Severity.WARNING, open_umask_in_filter),
)
