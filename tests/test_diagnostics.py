"""Each message that a program prints or logs has an entry in DIAGNOSTICS of a manual page, which says what to do."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT
from test_manuals import plain, section

from pyprocmail.maildrop import log as maildrop_log
from pyprocmail.procmail import log as procmail_log

HOLE = "\0"
"""Takes the place of a value in a message."""
CALLS = {
    "log", "refuse", "_refuse", "complain", "_complain", "_say", "_say_now_and_then", "_tell", "fail", "note", "echo",
    "UsageError", "WrongUsageError", "ClickException", "BadParameter", "RulesError", "_RulesError", "NoMailError",
    "ClusterError", "TroubleError", "TableError", "AddressError", "UnreadableError", "ChangedError",
    "WorkerError", "OSError", "Refusal",
}  # fmt: skip
"""The functions and exceptions whose text users see."""
LISTS = {"faults", "messages", "notes", "wrong", "unread", "complaints"}
"""The lists of messages that are shown later."""
RULES = (
    "pyprocmail-replay.1", "pyprocmail-explain.1", "pyprocmail-diff.1", "pyprocmail-coverage.1", "pyprocmail-test.1",
    "pyprocmail-refile.1",
)  # fmt: skip
SERVERS = ("pyprocmail-lmtp.8", "pyprocmail-milter.8", "pyprocmail-gateway.8")
DELIVERIES = ("pyprocmail.1", "maildrop.1")
PAGES: dict[str, tuple[str, ...]] = {
    "commands/check.py": ("pyprocmail-check.1",),
    "commands/cli.py": ("pyprocmail.1",),
    "commands/deliver.py": ("pyprocmail-lmtp.8",),
    "commands/doctor.py": ("pyprocmail-doctor.1",),
    "commands/fmt.py": ("pyprocmail-fmt.1",),
    "commands/formail.py": ("formail.1",),
    "commands/gateway.py": ("pyprocmail-gateway.8",),
    "commands/language_server.py": ("pyprocmail-language-server.1",),
    "commands/links.py": ("pyprocmail.1",),
    "commands/lmtp.py": ("pyprocmail-lmtp.8",),
    "commands/maildrop": ("maildrop.1",),
    "commands/milter.py": ("pyprocmail-milter.8",),
    "commands/offline/": RULES,
    "commands/report.py": ("pyprocmail-report.1",),
    "commands/serving.py": SERVERS,
    "commands/spool.py": ("pyprocmail-milter.8",),
    "commands/values.py": SERVERS,
    "commands/": DELIVERIES,
    "delivery/": DELIVERIES,
    "doctor/": ("pyprocmail-doctor.1",),
    "engine/": DELIVERIES,
    "host.py": DELIVERIES,
    "maildrop/": ("maildrop.1",),
    "offline/": RULES,
    "procmail/": ("pyprocmail.1",),
    "report/": ("pyprocmail-report.1",),
    "servers/gateway/": ("pyprocmail-gateway.8",),
    "servers/lmtp/": ("pyprocmail-lmtp.8",),
    "servers/milter/": ("pyprocmail-milter.8",),
    "servers/policy.py": ("pyprocmail-milter.8", "pyprocmail-gateway.8"),
    "servers/": SERVERS,
    "tools/deliverquota.py": ("deliverquota.8",),
    "tools/duplicate.py": ("pyprocmail-duplicate.1",),
    "tools/formail/": ("formail.1",),
    "tools/lockfile.py": ("lockfile.1",),
    "tools/lockmail.py": ("lockmail.1",),
    "tools/mailbot/": ("mailbot.1",),
    "tools/maildirmake.py": ("maildirmake.1",),
    "tools/mailstat.py": ("mailstat.1",),
    "tools/makedat.py": ("makedat.1",),
    "tools/makemime.py": ("makemime.1",),
    "tools/mime/": ("pyprocmail-mime.1",),
    "tools/reformail.py": ("reformail.1",),
    "tools/reformime": ("reformime.1",),
    "tools/seen.py": ("pyprocmail-duplicate.1", "pyprocmail-vacation.1"),
    "tools/vacation/": ("pyprocmail-vacation.1",),
}
"""The pages of a module or a folder; the first prefix that fits.  A message is in one of them, of SERVERS in each."""
DIAGNOSED = ("procmail/syntax/", "maildrop/syntax/", "lint/", "offline/explain")
"""Where text has a code, which pyprocmail-checks(7) describes; and what `explain` prints."""
PARTS = {
    "an error (", "one of more than",
    "a NUL in the name", "cannot be compiled now", "it is nested too deeply", "it takes no mail",
    "it is too large to be kept whole", "no such facility or level", "no such host", "privileges could be regained",
    "signal \0", "somebody else holds the lockfile", "the database cannot be written to",
    "the identity is not the user", "the mail server closed the connection",
    "the module \0 is needed too late", "addresses after \0",
    "the system mailbox says that the mail goes elsewhere",
}  # fmt: skip
"""Texts that are the REASON in another message."""
RESULTS = {"\0% of the recipes matched in a test", "\0Locking strategies", "\0pyprocmail: \0"}
"""What a command prints besides messages."""
PROGRAMS = r"pyprocmail(?: [a-z]+| \0)?|procmail|" + "|".join(
    {path.stem.removeprefix("pyprocmail-") for path in (ROOT / "man").iterdir() if path.suffix in (".1", ".8")}
)


def text_of(node: ast.expr) -> str | None:
    """A literal with HOLE for each value; None for other expressions."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.Constant(value=bytes() as data):
            return re.sub(r"%0?\d*[bdsX]", HOLE, data.decode())
        case ast.JoinedStr(values=values):
            return "".join(text_of(value) or HOLE for value in values)
        case ast.BinOp(left=left, op=ast.Mod()):
            return text_of(left)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return (text_of(left) or HOLE) + (text_of(right) or HOLE)
        case ast.FormattedValue():
            return HOLE
    return None


def to_standard_error(call: ast.Call) -> bool:
    """Whether the call is one of CALLS, or adds to one of LISTS; `click.echo` writes messages with `err=True` only."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if isinstance(call.func, ast.Attribute) and name == "append":
        subject = call.func.value
        return (subject.attr if isinstance(subject, ast.Attribute) else getattr(subject, "id", "")) in LISTS
    return name in CALLS and (name != "echo" or any(word.arg == "err" for word in call.keywords))


@cache
def messages(path: Path) -> list[tuple[int, str]]:
    """The messages in a module, each with its line; words without a blank are codes of events."""
    nodes = ast.walk(ast.parse(path.read_text()))
    calls = [node for node in nodes if isinstance(node, ast.Call) and to_standard_error(node)]
    texts = [(call.lineno, (text_of(argument) or "").strip()) for call in calls for argument in call.args]
    return [(line, text) for line, text in texts if " " in text]


def without_prefix(text: str) -> str:
    """A message without program, file and line before it, and with a HOLE for each word in capitals and for dots."""
    text = re.sub(r"[A-Z]{2,}|\b[A-Z]\b|\.\.\.", HOLE, text)
    return re.sub(rf"^(?:(?:{PROGRAMS}): |(?:{HOLE}[:(]?{HOLE}?\)?: )(?=.*[a-z]))+", "", text)


def pattern(text: str) -> re.Pattern[str]:
    """What begins with this text and any values in its holes."""
    return re.compile(re.escape(text).replace(re.escape(HOLE), ".*?") + r"(?!\w)", re.DOTALL)


@cache
def entries(page: str) -> list[str]:
    """The messages that a page describes."""
    items = re.findall(r"(?m)^\.It (.*)$", section(ROOT / "man" / page, "DIAGNOSTICS"))
    return [without_prefix(plain(item)) for item in items]


def is_described(message: str, page: str) -> bool:
    """Whether an entry of the page is about the message.

    An entry may leave out the end.  `FILE: REASON` is only about a message without words of its own.
    """
    text = without_prefix(message.partition("\n")[0])
    letters = len(re.findall("[a-z]", text))
    if not letters:
        return any(not re.search("[a-z]", each) for each in entries(page))
    return any(
        re.search("[a-z]", each) and (pattern(each).match(text) or (letters > 3 and pattern(text).match(each)))
        for each in entries(page)
    )


def is_ours(text: str) -> bool:
    """Whether a page has to describe the text.  Replies of a server with three digits are in its PROTOCOL."""
    known = any(text.startswith(part) for part in PARTS | RESULTS)
    return not known and not re.match(r"\d{3}[ -]", text) and bool(re.search(r"[a-z]|: ", text))


FILES = sorted(
    str(path.relative_to(ROOT / "pyprocmail"))
    for path in (ROOT / "pyprocmail").rglob("*.py")
    if any(map(is_ours, (text for _, text in messages(path))))
    and not str(path.relative_to(ROOT / "pyprocmail")).startswith(DIAGNOSED)
)
MAILDROP_MESSAGES = list(maildrop_log.NOTES)[list(maildrop_log.NOTES).index("no-closing-brace") :]
"""Those after the lines that only -V asks for."""
NOTES = {
    "pyprocmail.1": [text for text, verbose in procmail_log.NOTES.values() if not verbose],
    "maildrop.1": [text for name, (text, _) in maildrop_log.NOTES.items() if name in MAILDROP_MESSAGES],
}


@pytest.mark.parametrize("name", FILES)
def test_messages_are_described(name: str) -> None:
    """Those of each module."""
    pages = next((pages for prefix, pages in PAGES.items() if name.startswith(prefix)), ())
    assert pages, "PAGES has no page for this module"
    every = all if pages is SERVERS else any
    missing = [
        f"{name}:{line}: {text!r}"
        for line, text in messages(ROOT / "pyprocmail" / name)
        if is_ours(text) and not every(is_described(text, page) for page in pages)
    ]
    assert missing == [], f"no entry in DIAGNOSTICS of {pages}"


@pytest.mark.parametrize("page", NOTES)
def test_lines_of_the_logs_are_described(page: str) -> None:
    """Those that are written without VERBOSE and -V."""
    assert [text for text in NOTES[page] if not is_described(text_of(ast.Constant(text)) or "", page)] == []
