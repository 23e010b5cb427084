"""The program that a text of an rcfile names, and its words: started directly, or by the shell.

procmailrc(5): SHELLMETAS, SHELL, SHELLFLAGS; "Recipe action line".
"""

from __future__ import annotations

from pyprocmail.engine.programs import Command
from pyprocmail.procmail.compiled.words import scan_list
from pyprocmail.procmail.expansion import LineTooLongError, expand_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyprocmail.procmail.session import Session


def prepare(
    session: Session, text: bytes, before: Sequence[bytes] = (), arguments: list[bytes] | None = None
) -> Command:
    """The program that `text` names: run by the shell if a byte of SHELLMETAS is in it.

    `before` are words in front (SENDMAIL and its flags); with them there is never a shell.  `arguments` are for
    `"$@"`, by default those of the session.
    """
    metas = session.variables.setting(b"SHELLMETAS")
    if not before and len(text.translate(None, metas)) != len(text):
        return _by_shell(session, text)
    scan = scan_list(text, 0)
    try:
        words = expand_list(session, scan.pieces, sum(len(word) + 1 for word in before))
    except LineTooLongError:
        if scan.unterminated:
            session.note("unexpected-eol")
        session.exceeded_linebuf()
        if before:
            raise
        return _by_shell(session, text)
    if scan.unterminated and words.comment_end is None:
        session.note("unexpected-eol")
    if not before and words.words[:1] == [b"test"]:
        return _by_shell(session, text)
    given = session.variables.arguments if arguments is None else arguments
    argv, executing = [*before, *words.argv(given)], [*before, *words.shown(given)]
    line = [*before, *words.words]
    if not words.words:
        for words_shown in (argv, executing, line):
            words_shown.append(b"")
    command = Command(argv, b",".join(executing), line[0], b" ".join(line))
    command.comment_end = words.comment_end
    return command


def _by_shell(session: Session, text: bytes) -> Command:
    shell = session.environment.get(b"SHELL", b"")
    flags = session.variables.setting(b"SHELLFLAGS")
    return Command([shell, flags, text], text, text, text, by_shell=True)
