"""Checks for mail that a filter file loses or needlessly bounces."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyprocmail.diagnostics import Severity
from pyprocmail.lint.finding import Check, Finding
from pyprocmail.lint.mailfilter.view import PATH, FilterView, Place
from pyprocmail.maildrop.syntax.nodes import Locked, Text, TextKind, Trap

_MINDS = re.compile(rb"\bexit\b|\|\|\s*(true|:)|;\s*(true|:)\s*$")
_BUILT_IN = frozenset(
    b": test [ exit cd true false echo exec eval read set if for while case trap umask ulimit export . ( { ! "
    b"reformail reformime mailbot lockmail maildrop formail".split()
)


def exit_throws_away(view: FilterView) -> Iterator[Finding]:
    """`exit` where the mail is not delivered: it is lost, and the mail server gets success.

    maildrop exits with EXITCODE, which is 0 unless you set it.  Assign EXITCODE before `exit` to show what you intend.

    Example:
        if (/^Subject:.*spam/)
        {
            exit
        }

    Instead:
        if (/^Subject:.*spam/)
        {
            to "spam"
        }
    """
    for place, command in view.commands("exit"):
        around = [*place.siblings[: place.index]]
        for outer in place.inside:
            at = next((one for one in view.places if one.statement is outer), None)
            around += at.siblings[: at.index] if at is not None else ()
        text = b"\n".join(view.data[one.span.start : one.span.end] for one in around)
        if not re.search(rb"\bEXITCODE\s*=|\b(cc|system)\b|`", text):
            yield Finding(command.span, "nothing has stored this mail, but success is reported", "EXITCODE=75")


def everything_thrown_away_in_filter(view: FilterView) -> Iterator[Finding]:
    """Every mail that gets here goes to /dev/null.

    Example:
        to "/dev/null"

    Instead:
        if (/^X-Spam-Flag: *YES/)
            to "/dev/null"
    """
    for place, command, text in view.deliveries():
        if command.keyword == "to" and view.resolve(text) == b"/dev/null" and not place.conditions:
            yield Finding(command.span, "every mail that gets here is thrown away", "a folder keeps it")


def program_may_bounce(view: FilterView) -> Iterator[Finding]:
    """`to "| program"`: maildrop exits with the status of the program, and the mail server bounces the mail.

    It bounces for most statuses, 1 and 127 included.  75 makes it try again.

    Example:
        to "| store-in-database"

    Instead:
        to "| store-in-database || exit 75"
    """
    for place, command, text in view.deliveries():
        if command.keyword == "to" and _is_piped(text) and not _MINDS.search(_joined(text)) and not _is_caught(place):
            sentence = "if this program fails, maildrop exits with its status, and the mail bounces"
            yield Finding(command.span, sentence, "|| exit 75")


def status_of_copy_stays(view: FilterView) -> Iterator[Finding]:
    """`cc "| program"`: if it fails, its status is maildrop's, even if the mail is delivered afterwards.

    The mail server bounces a mail that is in the mailbox, or delivers it again.  EXITCODE=0 after it helps.

    Example:
        cc "| count-it"
        to "inbox"

    Instead:
        cc "| count-it"
        EXITCODE=0
        to "inbox"
    """
    for _, command, text in view.deliveries():
        if command.keyword != "cc" or not _is_piped(text) or _MINDS.search(_joined(text)):
            continue
        if b"EXITCODE" not in view.data[command.span.end :]:
            sentence = "if this program fails, its status is maildrop's, even if the mail is delivered later"
            yield Finding(command.span, sentence, "EXITCODE=0 after it")


def filter_stops_all(view: FilterView) -> Iterator[Finding]:
    """`xfilter` without `exception`: if the program fails, no mail is delivered (exit 75).

    The mail waits in the queue for the program to work again, and comes back to its sender after some days.

    Example:
        xfilter "spamc"

    Instead:
        exception {
            xfilter "spamc"
        }
    """
    for place, command in view.commands("xfilter"):
        if not _is_caught(place):
            yield Finding(command.span, "as long as this program fails, no mail is delivered", "in 'exception { }'")


def exit_code_is_no_number_in_filter(view: FilterView) -> Iterator[Finding]:
    """An EXITCODE that is not a number from 0 to 255: the mail server gets another status than you intended.

    Example:
        EXITCODE="bounce"

    Instead:
        EXITCODE=77
    """
    for _, assign in view.assigns():
        if assign.name == b"EXITCODE":
            value = view.resolve(assign.value)
            if value is not None and not (value.isdigit() and int(value[:9]) < 256):
                yield Finding(assign.span, "EXITCODE is not a number from 0 to 255", "75 asks to try again")


def program_missing_in_filter(view: FilterView) -> Iterator[Finding]:
    """A program that is not on the PATH: maildrop's own is /bin:/usr/bin:/usr/local/bin, whatever yours is.

    Example:
        exception {
            xfilter "no-such-filter"
        }

    Instead:
        exception {
            xfilter "cat"
        }
    """
    path = PATH if b"PATH" not in view.values else view.value(b"PATH")
    for shell in view.shells() if path is not None else ():
        word = re.match(rb"\s*([A-Za-z0-9_./+-]+)(?=\s|$)", shell.text)
        if word and word[1] not in _BUILT_IN and not view.machine.has_program(word[1], path or b""):
            name = word[1].decode()
            yield Finding(
                shell.span, f"there is no program '{name}' in {(path or b'').decode(errors='replace')}", "PATH"
            )


def exit_in_lock(view: FilterView) -> Iterator[Finding]:
    """`exit` in a `dotlock` block: maildrop does not remove the lockfile, and the next mail waits for it.

    Example:
        dotlock "busy.lock" {
            cc "copies"
            exit
        }

    Instead:
        dotlock "busy.lock" {
            to "copies"
        }
    """
    for place, command in view.commands("exit"):
        if any(isinstance(one, Locked) and one.kind == "dotlock" for one in place.inside):
            yield Finding(command.span, "the lockfile is not removed", "end the block first")


def _joined(text: Text) -> bytes:
    return b"".join(piece.value for piece in text.pieces)


def _is_piped(text: Text) -> bool:
    return text.pieces[0].kind is not TextKind.BACKTICK and text.pieces[0].value.lstrip().startswith(b"|")


def _is_caught(place: Place) -> bool:
    return any(isinstance(one, Trap) for one in place.inside)


CHECKS = (
    Check("M201", Severity.WARNING, exit_throws_away),
    Check("M202", Severity.WARNING, everything_thrown_away_in_filter),
    Check("M203", Severity.WARNING, program_may_bounce),
    Check("M204", Severity.WARNING, status_of_copy_stays),
    Check("M205", Severity.INFO, filter_stops_all),
    Check("M206", Severity.ERROR, exit_code_is_no_number_in_filter),
    Check("M207", Severity.WARNING, program_missing_in_filter),
    Check("M301", Severity.WARNING, exit_in_lock),
)
