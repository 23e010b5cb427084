"""The scenes of differential/root.py: what is there, and how procmail is called."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1

from differential.signals import LOCKED, READING, Signal

USER = "pyprocmail-root"
NOBODY = 65534
SPECIAL = Path("/etc/procmailrcs")
HELD = "held"
"""A lockfile in the user's home that is somebody else's."""


@dataclass(frozen=True)
class Entry:
    """A file or directory: its bytes (None for a directory), mode and owner."""

    data: bytes | None
    mode: int
    uid: int


@dataclass(frozen=True)
class Scene:
    """One run: what is there, and how procmail is called.  None is what is not there.

    `special` is the user's file in /etc/procmailrcs.  `as_user`: it is not root who calls.  `interrupted`: a program
    sends a signal, or runs out of time.
    """

    argv: tuple[str, ...]
    mail: bytes
    global_rcfile: str | None = None
    rcfile: Entry | None = None
    home_mode: int = 0o755
    mailbox: Entry | None = None
    environment: dict[str, str] = field(default_factory=dict)
    special: Entry | None = None
    special_folder: Entry = Entry(None, 0o755, 0)
    as_user: bool = False
    signal: Signal | None = None
    interrupted: bool = False


_MAILS = (
    b"From a@b.c Thu Jan  1 00:00:00 2026\nSubject: one\n\nbody\n",
    b"Subject: one\n\nbody\n",
    b"\n\nFrom a@b.c Thu Jan  1 00:00:00 2026\n>From d@e Thu Jan  1 00:00:00 2026\nSubject: one\n\nFrom x\n",
    b"From " + b"a" * 2010 + b" Thu Jan  1 00:00:00 2026\nSubject: nearly too long\n\nbody\n",
    b"From " + b"a" * 2100 + b" Thu Jan  1 00:00:00 2026\nSubject: too long\n\nbody\n",
    b"From a@b.c",
    b"",
)
_IDENTITY = "ID=`id -u; id -g; id -G; umask; pwd; grep -E 'Uid|Gid' /proc/self/status;`"
_LINES = (
    _IDENTITY,
    'LOG="[$PATH] [$SHELL] [$MAILDIR] [$HOME] [$LOGNAME] [$DEFAULT] [$1]\n"',
    "VERBOSE=yes",
    "VERBOSE=no",
    ":0 c\nbox",
    ":0 cw\n{ EXITCODE=3 }",
    ":0 w\n* ^Subject: one\n| cat >>other",
    ":0 w\n| cat >/dev/null; exit 4",
    "TRAP='id -u >&2; exit 5;'",
    "EXITCODE=6",
    "EXITCODE=",
    "LOCKFILE=$HOME/lock",
    "UMASK=022",
    "HOST=elsewhere",
    "DEFAULT=box",
    "DEFAULT=$HOME/other",
    "DEFAULT=$HOME/Maildir/",
    "COMSAT=no",
    "PATH=/bin",
    "X=y",
)
_GLOBAL_LINES = (
    "DROPPRIVS=yes",
    "DROPPRIVS=yes",
    "MAILDIR=$HOME",
    ":0\nother",
    ":0 c\nother",
    ":0 cw\n{ DROPPRIVS=yes }",
)
_QUIET_LINES = (
    ":0 c\nbox",
    ":0 w\n* ^Subject: one\n* ? cat >/dev/null; false\n| cat >>other",
    ":0 hw\n| cat >/dev/null; exit 4",
    "TRAP='echo trapped >&2; exit 5;'",
    "EXITCODE=6",
    "LOCKFILE=$HOME/lock",
    "A=old",
    "LOGABSTRACT=all",
    "UMASK=022",
    "COMSAT=no",
    "MAILDIR=$HOME",
)

_OPTIONS: tuple[tuple[str, ...], ...] = (
    *((),) * 3,
    *(("-t",), ("-Y",), ("-o",), ("-a", "argument")),
    *(("-f", "c@d"), ("-f", "-"), ("-f", USER), ("-f", ""), ("-of", "c@d"), ("-of", "-")),
)


def _lines(chosen: random.Random, lines: tuple[str, ...]) -> str:
    return "".join(line + "\n" for line in chosen.choices(lines, k=chosen.randint(0, 5)))


def generate(chosen: random.Random, uid: int) -> Scene:
    """A scene for the recipient `uid`."""
    kind = chosen.random()
    if kind < 0.15:
        return _special(chosen, uid)
    if kind < 0.3:
        return _interrupted(chosen, uid)
    if kind < 0.4:
        return _signalled(chosen, uid)
    return _ordinary(chosen, uid)


def _ordinary(chosen: random.Random, uid: int) -> Scene:
    """A delivery with whatever rcfiles, home and spool."""
    rcfile = global_rcfile = None
    if chosen.random() < 0.8:
        text = ("VERBOSE=yes\n" if chosen.random() < 0.8 else "") + _lines(chosen, _LINES)
        mode = chosen.choice((0o644, 0o644, 0o644, 0o600, 0o664, 0o646, 0o666, 0o755))
        rcfile = Entry(text.encode(), mode, chosen.choice((uid, uid, uid, uid, 0, NOBODY)))
        if not rcfile.uid and not mode & 0o004:
            # Root reads it for the user in the reference; ours reads nothing for anybody.
            rcfile = Entry(rcfile.data, 0o644, 0)
    if chosen.random() < 0.5:
        global_rcfile = "VERBOSE=yes\n" + _lines(chosen, (*_LINES, *_GLOBAL_LINES))
    modes: tuple[int, ...] = (0o600, 0o600, 0o660, 0o700, 0o4600, 0o2600)
    if global_rcfile is None:
        # Having taken permissions away, the reference runs even /etc/procmailrc as the recipient, that once.
        modes = (*modes, 0o666, 0o644, 0o601)
    mailbox = Entry(b"seed\n\n", chosen.choice(modes), uid)
    if chosen.random() < 0.1:
        mailbox = Entry(None, 0o700, uid)
    recipient = chosen.choice((USER, USER, USER, f"{USER.upper()}@example.com"))
    options = chosen.choice(_OPTIONS)
    several = ((recipient, USER), ("no-such-user", USER), (USER, "no-such-user"))
    recipients: tuple[str, ...] = chosen.choice((*((recipient,),) * 5, *several))
    if "{" in f"{rcfile} {global_rcfile}":
        # After a recipient who failed, the clones of the reference fail whatever they do.
        recipients = (recipient,)
    if "UMASK" in f"{rcfile} {global_rcfile}":
        # The first delivery to the spool opens it, and the second finds it open: see above.
        recipients = recipients[-1:]
    argv = (*options, "-d", *recipients)
    home_mode = chosen.choice((0o755, 0o755, 0o755, 0o700, 0o775, 0o777, 0o1777, 0o757, 0o773))
    return Scene(argv, chosen.choice(_MAILS), global_rcfile, rcfile, home_mode, mailbox)


# -- /etc/procmailrcs --------------------------------------------------------------------------


def _special(chosen: random.Random, uid: int) -> Scene:
    """-m with an rcfile of /etc/procmailrcs, which is run as its owner."""
    # What is denied runs as whoever calls, whose home is no place for a test.
    text = "MAILDIR=@WORK@ HOME=@WORK@\nVERBOSE=yes\n" + _lines(chosen, (*_LINES, "DROPPRIVS=yes", ":0\nother"))
    owner = chosen.choice((uid, uid, uid, 0, NOBODY))
    special = Entry(text.encode(), chosen.choice((0o644, 0o644, 0o600, 0o666, 0o664, 0o646)), owner)
    if chosen.random() < 0.05:
        special = Entry(None, 0o755, owner)
    folder = Entry(None, chosen.choice((0o755, 0o755, 0o755, 0o775, 0o777, 0o1777)), 0)
    path = str(SPECIAL / USER)
    name = chosen.choice((path, path, path, f"{SPECIAL}/../{SPECIAL.name}/{USER}", f"{SPECIAL}/missing"))
    before = chosen.choice(((), (), (), ("-p",), ("-t",), ("-f", "c@d"), ("-o",)))
    assigned = chosen.choice(((), (), ("X=y",)))
    after = chosen.choice(((), (), ("argument",), ("A=b", "argument")))
    argv = (*before, "-m", *assigned, name, *after)
    mailbox = Entry(b"seed\n\n", 0o600, uid)
    # Ours is not setuid, so a user has the rights of that user only.
    as_user = owner == uid and chosen.random() < 0.4
    # A subject that is the first of a mail makes the reference show its memory; newlines there, see body-postmark.
    mail = chosen.choice([mail for mail in _MAILS if not mail.startswith((b"Subject", b"\n"))])
    return Scene(argv, mail, mailbox=mailbox, special=special, special_folder=folder, as_user=as_user)


# -- signals -----------------------------------------------------------------------------------

_ENDS = (SIGHUP, SIGINT, SIGQUIT, SIGTERM)
_WHILE_RUNNING = (
    ":0 w\n| cat >/dev/null; @KILL@",
    ":0 W\n| cat >/dev/null; @KILL@",
    ":0 hw: $HOME/local\n| cat >/dev/null; @KILL@",
    ":0 cw\n| cat >/dev/null; @KILL@",
    ":0\n* ? cat >/dev/null; @KILL@\nbox",
    ":0 B\n* 2^1 ? cat >/dev/null; @KILL@\nbox",
    "A=`cat >/dev/null; @KILL@`",
    "A=`cat; @KILL@`",
    ":0 fw\n| cat; @KILL@",
    ":0 fhW\n| cat; @KILL@",
    ":0 fbw\n| cat >/dev/null; @KILL@",
    ":0 w\nA=| cat; @KILL@",
    ":0 W\nA=| cat; @KILL@",
    ":0 cw\n{\nPID=$$\n:0 w\n| cat >/dev/null; @KILL@\n}",
    "OUTERPID=$$\n:0 cw\n{\n:0 w\n| cat >/dev/null; PID=$OUTERPID; @KILL@\n}",
)


def _interrupted(chosen: random.Random, uid: int) -> Scene:
    """A program sends a signal, or runs out of time, while procmail waits for it."""
    strict = chosen.random() < 0.7
    kind = chosen.choice(("end", "end", "end", "ALRM", "ALRM", "USR1", "USR2", "time"))
    name = chosen.choice(_ENDS).name.removeprefix("SIG") if kind == "end" else kind
    line = chosen.choice(_WHILE_RUNNING)
    if kind in ("ALRM", "time") and "OUTER" in line:
        line = _WHILE_RUNNING[0]
    if name == "QUIT" and "{" in line:
        # Of a clone that is lost and one that is tried again the rest of the rcfile hears different things.
        strict = True
    kill = f"kill -{name} $PID"
    if kind != "time" and chosen.random() < 0.1:
        # By then the mail is delivered, and nothing ends procmail.
        line = "TRAP='cat >/dev/null; @KILL@'"
    elif kind == "end":
        kill += "; exec sleep 20"
    if kind == "ALRM":
        kill += "; exec sleep 20"
    elif kind == "time":
        kill = "exec sleep 20"
    text = "PYPROCMAIL_STRICT=yes\n" if strict else ""
    text += chosen.choice(("VERBOSE=yes\n", "VERBOSE=yes\n", ""))
    text += "TIMEOUT=1\n" if kind == "time" else ""
    text += _lines(chosen, _QUIET_LINES) + "PID=$$\n" + line.replace("@KILL@", kill) + "\n" + 'LOG="next\n"\n'
    text += _lines(chosen, (":0 a\nbox", ":0 A\nbox", ":0 e\nother", ":0 E\nother"))
    return _delivery(chosen, uid, text)


def _signalled(chosen: random.Random, uid: int) -> Scene:
    """A signal comes while the mail is read, or while procmail waits for a lockfile."""
    if chosen.random() < 0.4:
        # SIGUSR2 would show more than we have to show, and SIGALRM makes the reference crash.
        signal = Signal(READING, chosen.choice((*_ENDS, SIGUSR1)))
        return replace(_delivery(chosen, uid, "VERBOSE=yes\n" + _lines(chosen, _LINES)), mail=_MAILS[0], signal=signal)
    text = _lines(chosen, _QUIET_LINES) + "VERBOSE=yes\nLOCKSLEEP=60\n"
    text += chosen.choice((
        f"LOCKFILE=$HOME/{HELD}",
        f":0 w: $HOME/{HELD}\n| cat >/dev/null",
        f":0 : $HOME/{HELD}\nbox",
        f":0 cw\n{{ }}\n:0 fw: $HOME/{HELD}\n| cat",
    ))  # fmt: skip
    if chosen.random() < 0.5:
        text = "PYPROCMAIL_STRICT=yes\n" + text
    signal = Signal(LOCKED, chosen.choice(_ENDS), f'/{HELD}"\n'.encode())
    return replace(_delivery(chosen, uid, text + "\n"), signal=signal)


def _delivery(chosen: random.Random, uid: int, text: str) -> Scene:
    """-d with a text that root's rcfile or the user's may have."""
    as_user = chosen.random() < 0.3
    mailbox = Entry(b"seed\n\n", 0o600, uid)
    argv = chosen.choice((("-d", USER), ("-d", USER), ("-t", "-d", USER), ("-Yd", USER)))
    mail = chosen.choice(_MAILS[:3])
    if not as_user and chosen.random() < 0.25:
        return Scene(argv, mail, text, mailbox=mailbox, interrupted=True)
    rcfile = Entry(text.encode(), 0o644, uid)
    return Scene(argv, mail, rcfile=rcfile, mailbox=mailbox, as_user=as_user, interrupted=True)
