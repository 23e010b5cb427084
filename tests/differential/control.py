"""Cases about the flow of control: flags, blocks, rcfiles in rcfiles, filters, captures, locks, exit codes.

What depends on the moment is left out: programs that are not waited for while VERBOSE is on (the reference starts them
in a child that logs), programs that do not read their mail, mailboxes that are empty (the reference sleeps a second).
"""

from __future__ import annotations

import random

from differential.cases import Case, File

_MBOXES = ("m1", "m2", "m3", "def", "org", "sub/m1", "sub/m2", "sub/def")
_OLD = b"From old@x  Thu Jan  1 00:00:00 2026\nSubject: old\n\nold\n\n"
_RCFILES = ("inc1", "inc2", "inc3")
_SENDMAIL = b'#!/bin/sh\n{ echo "args:$*"; cat; } >>sent\n'
_ODD_FLAGS = "zxX1-,"
_FLAGS = "AaEecwWihbrDHBf"

_HOLDS = (
    "^Subject",
    "! zz",
    "? true",
    "> 10",
    "",
    "$ ^$UNSET",
    "H ?? ^From",
    "B ?? line",
    "1^0",
    "V ?? ^^a",
    "? exit 0;",
)
_FAILS = (
    "zz",
    "! ^Subject",
    "? false",
    "< 10",
    "$ zz$V",
    "V ?? zz",
    "B ?? ^Subject",
    "0^0 x",
    "-1^0 ^From",
    "? exit 3;",
    "! ? true",
)
_MIXED = ("^To:.*y", "B ?? two", "^Subject:.*\\/[a-z]+", "X ?? .", "> 120", '? test -n "$X"', "? grep -q line", "$ $V")
_PIPES = (
    "cat >>o1",
    "cat >>o2; exit 3",
    "(cat; echo $X $LASTFOLDER) >>o1",
    "cat >/dev/null; exit 1",
    "cat >>$V.out",
    "sed -n 1,2p >>o3",
    "cat >/dev/null; kill -9 $$",
)
# The reference finds the end of a header in what is left over of the mail before, when a filter leaves no empty line.
_FILTERS = (
    "cat",
    "tr a-z A-Z",
    "sed -e s/o/0/g",
    "cat; echo more",
    "cat >/dev/null; exit 3",
    "cat; exit 4",
    "sed -n 1,6p",
    "grep -v ^Subj",
    "cat >/dev/null",
    "sed -e /^line/d",
    "cat >/dev/null; kill -9 $$",
    "(echo X-New: yes; cat)",
    "cat - file",
    "(echo X: y; sed -ne '/^$/,$p')",
)
_CAPTURES = (
    "cat",
    "sed -n 1,2p",
    "cat >/dev/null; echo got",
    "cat >/dev/null; exit 5",
    "cat; exit 2",
    "wc -c",
    "cat >/dev/null",
    "cat; echo; echo",
)
_JUNK = (
    "}",
    "9x=1",
    "$X",
    "{ x",
    "!foo",
    "| cat",
    "a-b=c",
    "=x",
    "X",
    "} }",
    "'a b'",
    "# comment",
    "",
    "\t",
    "A=1 B=2   C",
    "* ^Subject",
    ":",
    ":0 w",
    ":0 cw",
    "} # text",
    "{",
)
_NUMBERS = ("0", "1", "2", "yes", "no", "on", "off", "all", "", "abc", "junk", "-1", "5x", "300", " 7", "a", "n", "o")


def generate(rng: random.Random) -> Case:
    """A case."""
    files = {name: File(_OLD) for name in _MBOXES} | {
        "sm": File(_SENDMAIL, 0o755),
        "empty": File(b""),
        "file": File(b"text\n"),
    }
    for level, name in enumerate(_RCFILES):
        files[name] = File(_Writer(rng, _RCFILES[level + 1 :]).rcfile(rng.randint(1, 4)))
        files[f"sub/{name}"] = File(_Writer(rng, ()).rcfile(1))
    arguments = [rng.choice((b"one", b"two words", b"", b"x")) for _ in range(rng.choice((0, 0, 1, 2, 4)))]
    preamble = b"LOGFILE=log\nLOCKSLEEP=0\nSENDMAIL=@DIR@/sm\nV=a\nVERBOSE=yes\n"
    preamble += b"" if rng.random() < 0.1 else b"DEFAULT=def\n"
    preamble += b"ORGMAIL=org\n" if rng.random() < 0.2 else b""
    rcfile = preamble + _Writer(rng, _RCFILES).rcfile(rng.randint(1, 9))
    options = [b"-m"] if rng.random() < 0.9 else [b"-tm"]
    return Case(rcfile, _mail(rng), (*options, b"rc", *arguments), files, {"sub": 0o755, "dir": 0o755})


def _mail(rng: random.Random) -> bytes:
    lines = ["From a@b.c Thu Jan  1 00:00:00 2026"] if rng.random() < 0.8 else []
    lines += [
        "From: a@b.c",
        rng.choice(("To: x@y.z", "To: x", "Cc: q")),
        rng.choice(("Subject: hello world", "Subject: lo", "X: s")),
    ]
    if rng.random() < 0.95:
        lines += [
            "",
            *rng.choices(("body line one", "line two", "From here", "", ">From x", "to"), k=rng.randint(0, 5)),
        ]
    return ("\n".join(lines) + rng.choice(("\n", "\n", "\n", ""))).encode()


class _Writer:
    """Writes one rcfile.  `rcfiles` are those that it may read: none that could read it in turn."""

    def __init__(self, rng: random.Random, rcfiles: tuple[str, ...]) -> None:
        self.rng = rng
        self.rcfiles = rcfiles

    def rcfile(self, size: int) -> bytes:
        text = "\n".join(self.statement(0) for _ in range(size))
        end = self.rng.choice(
            ("\n", "\n", "\n", "", "\n:0 cw\n", "\n{", "\n}\n", "\n:0 w\n* ^Subject\n", "\n:0 cw\n{\n")
        )
        return (text + end).encode()

    def statement(self, depth: int) -> str:
        chance = self.rng.random()
        if chance < 0.55:
            return self.recipe(depth)
        if chance < 0.72:
            return 'LOG="=> $= $? $_ $- $X $MATCH $# $1 $EXITCODE\n"'
        if chance < 0.93:
            return self.assignment()
        return self.rng.choice(_JUNK)

    # -- assignments -----------------------------------------------------------------------

    def assignment(self) -> str:
        rng = self.rng
        name = rng.choice(
            (
                "X",
                "V",
                "INCLUDERC",
                "INCLUDERC",
                "INCLUDERC",
                "SWITCHRC",
                "SWITCHRC",
                "HOST",
                "EXITCODE",
                "EXITCODE",
                "TRAP",
                "SHIFT",
                "LOGABSTRACT",
                "LOGABSTRACT",
                "VERBOSE",
                "VERBOSE",
                "LOCKFILE",
                "LOCKFILE",
                "DELIVERED",
                "UMASK",
                "MAILDIR",
                "DEFAULT",
                "LASTFOLDER",
                "LINEBUF",
                "LOCKEXT",
                "MATCH",
                "LOG",
                "SHELLMETAS",
                "ORGMAIL",
                "LOGFILE",
                "PROCMAIL_OVERFLOW",
                "NOSUCH",
            )
        )
        if rng.random() < 0.06 and name not in ("LOCKEXT", "MAILDIR"):
            return name
        return name + rng.choice(("=", "=", "=", " = ", "= ")) + self.value(name)

    def value(self, name: str) -> str:
        rng = self.rng
        if name in ("INCLUDERC", "SWITCHRC"):
            files = (*self.rcfiles, *self.rcfiles, "missing", "empty", "dir", "/dev/null", '""', "$UNSET")
            return rng.choice(files)
        values: dict[str, tuple[str, ...]] = {
            "HOST": ("$HOST", "$HOST", "$HOST", "elsewhere", ""),
            "EXITCODE": _NUMBERS,
            "TRAP": (
                "'cat >/dev/null; echo trap $EXITCODE $LASTFOLDER >>tr'",
                "'cat >>tr; exit 9'",
                "'cat >/dev/null;exit 0'",
                "",
                "cat",
            ),
            "SHIFT": _NUMBERS,
            "LOGABSTRACT": ("all", "all", "no", "yes", *_NUMBERS),
            "VERBOSE": ("no", "yes", "yes", *_NUMBERS),
            "LOCKFILE": ("lf", "lf", "lf2", "nodir/l", "m1.lock", "", "sub/lf"),
            "DELIVERED": ("no", "no", "yes", ""),
            "UMASK": ("022", "077", "0", "junk", "027"),
            "MAILDIR": ("sub", "..", ".", "nodir", "@DIR@", "@DIR@/sub", "dir"),
            "DEFAULT": ("m1", "m2", "", "nodir/d", "/dev/null", "sub/def", "'|cat'"),
            "ORGMAIL": ("m3", "", "nodir/o", "org"),
            "LINEBUF": ("128", "256", "junk", "2048"),
            "LOCKEXT": (".lk", ".lock"),
            "LOG": ('"text"', '"line\n"', "''"),
            "SHELLMETAS": ("", "'&|<>~;?*['", "';'"),
            "LOGFILE": ("log", "log2", "nodir/log"),
        }
        word = (
            "a",
            "b c",
            '"b c"',
            "$V",
            "`echo out`",
            "`cat | wc -l`",
            '"$X$X"',
            "''",
            "${X:-d}",
            "x" * 150,
            "`exit 3;`",
        )
        return rng.choice(values.get(name, word))

    # -- recipes ---------------------------------------------------------------------------

    def recipe(self, depth: int) -> str:
        rng = self.rng
        kind = rng.choices(
            ("folder", "block", "filter", "pipe", "capture", "forward", "missing"), (36, 24, 12, 10, 9, 6, 3)
        )[0]
        if kind == "block" and depth > 3:
            kind = "folder"
        flags = "".join(rng.sample(_FLAGS, rng.choice((0, 0, 1, 1, 2, 3, 5))))
        if kind != "block" and rng.random() < 0.55:
            flags += "c"
        if kind == "filter":
            flags += "f"
        waited = kind in ("pipe", "forward", "missing") or ("c" in flags and kind == "block") or "f" in flags
        odd = rng.choice(_ODD_FLAGS) if rng.random() < 0.04 else ""
        lock = self.lock(kind) if rng.random() < 0.2 else ""
        letters = list(dict.fromkeys(flags))
        rng.shuffle(letters)
        if waited and (kind != "filter" or rng.random() < 0.6):
            letters.insert(0, rng.choice("wW"))
        text = rng.choice(("", "", " ")).join(letters) + odd
        conditions = [
            rng.choice(rng.choice((_HOLDS, _HOLDS, _FAILS, _MIXED))) for _ in range(rng.choice((0, 0, 1, 1, 1, 2, 3)))
        ]
        start, lines = self.start(text, conditions)
        if lock:
            start += rng.choice((":", " :", " : ")) + lock
        if rng.random() < 0.04:
            start += rng.choice((" # comment", "# glued", " extra words"))
        lines = [line for part in lines for line in ((part,) if rng.random() < 0.97 else ("# c", part))]
        if rng.random() < 0.03:
            lines.insert(rng.randint(0, len(lines)), "")
        return "\n".join([start, *lines, *self.action(kind, depth)])

    def start(self, flags: str, conditions: list[str]) -> tuple[str, list[str]]:
        """The start line and the condition lines; now and then in the old form, which counts them."""
        rng = self.rng
        starred = ["*" + rng.choice((" ", " ", "", "\t")) + condition for condition in conditions]
        if rng.random() > 0.08:
            return ":0" + rng.choice((" ", " ", "")) + flags, starred
        if len(conditions) == 1 and not set(flags) & set("AaEe"):
            return ":" + flags, conditions
        bare = rng.randint(0, len(conditions))
        return f":{bare or 0}" + flags, conditions[:bare] + starred[bare:]

    def lock(self, kind: str) -> str:
        name = self.rng.choice(
            ("", "", "l.lck", "l.lck", "lf", "nodir/l.lck", '"q l.lck"', "$V.lck", "$UNSET", "two words")
        )
        # Its clone holds the lock of a block: who asks for it in there would wait for ever.
        return "" if kind == "missing" else f"b{self.rng.randint(0, 9)}.lck" if kind == "block" and name else name

    def action(self, kind: str, depth: int) -> list[str]:
        rng = self.rng
        indent = rng.choice(("", "", "  ", "\t"))
        if kind == "missing":
            return ["", ":0 cW"] if rng.random() < 0.5 else []
        if kind == "block":
            return self.block(depth)
        if kind == "folder":
            return [
                indent
                + rng.choice(
                    (
                        "m1",
                        "m1",
                        "m2",
                        "m3",
                        "m$UNSET",
                        "nodir/m",
                        "nodir/m",
                        "/dev/null",
                        "m2 # comment",
                        "file/m",
                        "m3 extra",
                    )
                )
            ]
        blank = rng.choice(("", " ", " "))
        if kind == "pipe":
            return [indent + "|" + blank + rng.choice(_PIPES)]
        if kind == "filter":
            return [indent + "|" + blank + rng.choice(_FILTERS)]
        if kind == "capture":
            return [
                indent
                + rng.choice(("X=", "X=", "V=", "MATCH=", "X = ", "EXITCODE=", "INCLUDERC="))
                + "|"
                + blank
                + rng.choice(_CAPTURES)
            ]
        return [indent + "!" + blank + rng.choice(("joe", "joe ann", "$X", "-t", '"a b"', "$UNSET"))]

    def block(self, depth: int) -> list[str]:
        rng = self.rng
        if rng.random() < 0.08:
            return [rng.choice(("{ }", "{ X=in }", "{}", "{ X=in V=b", "{ LOG=inline } m1", "{ :0 c\nm1\n}"))]
        inner = [self.statement(depth + 1) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
        close = rng.choice(("}", "}", "}", "}", "}", "}", "}", "} # end", "  }", "}}", "", "} X=after"))
        return ["{", *inner, close]
