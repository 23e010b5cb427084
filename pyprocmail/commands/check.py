"""`pyprocmail check`: finds mistakes in an rcfile before they affect mail."""

from __future__ import annotations

import difflib
import json
import os
import sys
import tempfile

import click

from pyprocmail.commands.values import argument, option
from pyprocmail.diagnostics import shown
from pyprocmail.host import LARGEST_RULES_BYTES
from pyprocmail.lint import around, formats
from pyprocmail.lint.finding import Found
from pyprocmail.lint.machine import Machine
from pyprocmail.lint.mend import mended
from pyprocmail.lint.run import Selection, check_filter, check_rcfile

FOUND, TROUBLE = 1, 2
_USUAL = ("~/.procmailrc", "~/.mailfilter")
_FORMATS = {
    "full": formats.full,
    "concise": formats.concise,
    "json": formats.as_json,
    "sarif": formats.sarif,
    "github": formats.github,
}


class TroubleError(click.ClickException):
    """A file that cannot be read or written."""

    exit_code = TROUBLE


def is_filter_file(name: str, language: str, data: bytes) -> bool:
    """Whether the file is a filter file of maildrop, by `language`, by its name or by its statements."""
    if language:
        return language == "maildrop"
    base = os.path.basename(name)
    if "mailfilter" in base or "maildrop" in base:
        return True
    from pyprocmail.offline import rules

    return rules.is_filter_file(data)


def read(name: str) -> bytes:
    """The bytes of a file; `-` is standard input."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(LARGEST_RULES_BYTES + 1)
        else:
            with open(name, "rb") as file:
                data = file.read(LARGEST_RULES_BYTES + 1)
    except OSError as error:
        raise TroubleError(f"{name}: {error.strerror}") from error
    if len(data) > LARGEST_RULES_BYTES:
        raise TroubleError(f"{name}: more than {LARGEST_RULES_BYTES} bytes, too many for an rcfile")
    return data


def replace(name: str, data: bytes) -> None:
    """Replace the file's content in one step; its mode stays, and a link stays a link."""
    path = os.path.realpath(name)
    try:
        mode = os.stat(path).st_mode & 0o7777
        handle, made = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".pyprocmail-")
        try:
            with open(handle, "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            os.replace(made, path)
        except BaseException:
            os.unlink(made)
            raise
    except OSError as error:
        raise TroubleError(f"{name}: {error.strerror}") from error


def difference(name: str, before: bytes, after: bytes) -> str:
    """A unified diff of the two texts."""
    old, new = (text.decode("utf-8", "replace").splitlines(keepends=True) for text in (before, after))
    return "".join(difflib.unified_diff(old, new, name, name))


def codes(_context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """The codes from all uses of the option, each with one or more codes separated by commas."""
    return tuple(code.strip().upper() for text in value for code in text.split(",") if code.strip())


@click.command(epilog="Exit status: 0 no findings, 1 findings, 2 an error.  See pyprocmail-check(1).")
@argument("rcfiles", metavar="[RCFILE]...", nargs=-1)
@option("--select", callback=codes, multiple=True, metavar="CODES", help="Report only codes that begin like this.")
@option("--ignore", callback=codes, multiple=True, metavar="CODES", help="Do not report codes that begin like this.")
@option("--baseline", metavar="FILE", default="", help="Leave out the findings in FILE (format json).")
@option("--output-format", type=click.Choice(list(_FORMATS)), default="full", help="The format of the findings.")
@option("--statistics", is_flag=True, help="Count the findings by code.")
@option("--explain", metavar="CODE", default="", help="Explain a code.")
@option("--fix", is_flag=True, help="Correct what can be corrected safely.")
@option("--unsafe-fixes", is_flag=True, help="With --fix or --diff: correct the rest as well.")
@option("--diff", is_flag=True, help="Show what --fix would change; change nothing.")
@option("--show", is_flag=True, help="Show the file with its included files in place.")
@option("--permissions", is_flag=True, help="Also check who may write to the files and folders.")
@option("--no-follow", is_flag=True, help="Do not check included files.")
@option(
    "--language", type=click.Choice(["procmail", "maildrop"]), help="The language, if neither name nor text show it."
)
@option("--home", metavar="DIR", default="", help="The value of HOME; by default yours.")
def check(
    rcfiles: tuple[str, ...],
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    baseline: str,
    output_format: str,
    statistics: bool,
    explain: str,
    fix: bool,
    unsafe_fixes: bool,
    diff: bool,
    show: bool,
    permissions: bool,
    no_follow: bool,
    language: str | None,
    home: str,
) -> None:
    """Find mistakes in rcfiles and filter files, and correct them.

    Without RCFILE, ~/.procmailrc and ~/.mailfilter are read.

    \b
      pyprocmail check ~/.procmailrc
      pyprocmail check --fix --diff old.rc
      pyprocmail check --explain P201
    """
    context = click.get_current_context()
    if explain:
        text = formats.explained(explain.upper())
        if not text:
            raise click.UsageError(f"there is no code {explain}")
        click.echo(text, nl=False)
        return
    names = rcfiles or tuple(path for path in map(os.path.expanduser, _USUAL) if os.path.exists(path))
    if not names:
        raise click.UsageError("there is no ~/.procmailrc and no ~/.mailfilter: name a file")
    machine = Machine(os.fsencode(home or os.path.expanduser("~")), os.environb.get(b"PATH", os.defpath.encode()))
    selection = Selection(select, ignore)
    found: list[Found] = []
    known = _baseline(baseline) if baseline else {}
    changed = False
    for name in names:
        data = read(name)
        filter_file = is_filter_file(name, language or "", data)
        if show:
            for line in around.effective(name, data, machine, is_filter=filter_file):
                click.echo(line)
            continue
        if fix or diff:

            def again(text: bytes, name: str = name, filter_file: bool = filter_file) -> list[Found]:
                if filter_file:
                    return check_filter(name, text, machine, selection, follow=False)
                return check_rcfile(name, text, machine, selection, follow=False)

            after, count = mended(data, again, unsafe=unsafe_fixes)
            if diff:
                click.echo(difference(name, data, after), nl=False)
                changed = changed or after != data
                continue
            if count:
                replace(name, after)
                click.echo(f"{name}: {count} corrected", err=True)
                data = after
        if filter_file:
            found += check_filter(name, data, machine, selection, follow=not no_follow)
        else:
            found += check_rcfile(name, data, machine, selection, follow=not no_follow)
        found += around.permissions(name, data, machine, is_filter=filter_file) if permissions else ()
    found = _without_known(found, known)
    if statistics:
        click.echo(formats.statistics(found), nl=False)
    elif not show and not diff:
        click.echo(_FORMATS[output_format](found), nl=False)
    context.exit(FOUND if found or changed else 0)


def _baseline(name: str) -> dict[tuple[str, str, str], int]:
    """How often each finding occurs, by file, code and text of the line, because lines may have moved since."""
    known: dict[tuple[str, str, str], int] = {}
    try:
        for one in json.loads(read(name))["findings"]:
            key = (str(one["file"]), str(one["code"]), str(one["text"]))
            known[key] = known.get(key, 0) + 1
    except (ValueError, KeyError, TypeError) as error:
        raise TroubleError(f"{name}: this is not a file of --output-format json") from error
    return known


def _without_known(found: list[Found], known: dict[tuple[str, str, str], int]) -> list[Found]:
    """The findings that are not in the baseline; for repeated ones, those beyond its count."""
    fresh = []
    for one in found:
        key = (one.source.name, one.diagnostic.code, shown(one.source.line(one.line)))
        if known.get(key, 0):
            known[key] -= 1
        else:
            fresh.append(one)
    return fresh
