"""Random filter files through the installed maildrop and through ours: `python -m differential.maildrop KIND ...`.

    cd tests && python -m differential.maildrop KIND [first seed] [number of seeds]

KIND is expressions, patterns, control, quoting, faults, text, addresses or all.  Prints each difference.  Both run in a
directory of their own with the same name; ours in a process forked from one that has imported pyprocmail, with
PYPROCMAIL_STRICT=yes.  What the reference reads from uninitialised memory is left out of the traces.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pyprocmail.commands import main as ours
from pyprocmail.maildrop.syntax.compiled import compile_filter

REFERENCE = shutil.which("maildrop", path="/usr/bin:/bin")
LIMIT_S = 3
"""The reference loops for ever over matches of nothing."""
_AGAIN = 3

MAIL = (
    b"Return-Path: <env@example.net>\nFrom: Joe Brown <joe@example.com>\n"
    b'To: "Alex Smith" <alex@example.org>, tom@example.net\nCc: list@example.com (the list)\n'
    b"Subject: Hello\n  folded World\nX-Num: 42 7\nMessage-Id: <1@example.com>\n\n"
    b"Body line one\nFrom the start\n>From quoted\naaa bbb aXb\n\nlast 42\n"
)
# The trace of these holds what an earlier one left in a buffer.
_LEFTOVERS = re.compile(
    rb"(?ms)^(f\(\d+\): (?:Operation:  strsubstr=|Evaluating WHILE condition\.)).*?\n"
    rb"(?=f\(\d+\): |Matching |Not matched|Invalid |maildrop: |\Z)"
)


@dataclass(frozen=True)
class Case:
    """A filter file with all that it needs."""

    text: bytes
    mail: bytes = MAIL
    options: tuple[str, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a run did."""

    status: int | None
    stdout: bytes
    stderr: bytes
    files: dict[str, bytes]


# -- running -------------------------------------------------------------------------------


class Runner:
    """Runs cases in one directory."""

    def __init__(self, base: Path) -> None:
        self.folder = base / "case"
        self.streams = base / "streams"
        self.streams.mkdir()
        compile_filter(b"echo 1\n", b"f")

    def reference(self, case: Case) -> Outcome:
        """What the installed maildrop does."""
        return self._run(case, ours_runs=False)

    def ours(self, case: Case) -> Outcome:
        """What pyprocmail does."""
        return self._run(case, ours_runs=True)

    def _run(self, case: Case, *, ours_runs: bool) -> Outcome:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        for name, data in {**case.files, "f": case.text}.items():
            (self.folder / name).write_bytes(data)
        (self.folder / "f").chmod(0o600)
        (self.streams / "0").write_bytes(case.mail)
        for name in ("1", "2"):
            (self.streams / name).write_bytes(b"")
        argv = ["maildrop", *case.options, "f"]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "LC_ALL": "C", "TZ": "UTC"}
        pid = os.fork()
        if not pid:
            self._become(argv, environment, ours_runs=ours_runs)
        status = _wait(pid)
        texts = [(self.streams / name).read_bytes() for name in ("1", "2")]
        files = {
            str(path.relative_to(self.folder)): _normal(path.read_bytes())
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.name != "f"
        }
        return Outcome(status, _normal(texts[0]), _LEFTOVERS.sub(rb"\1\n", _normal(texts[1])), files)

    def _become(self, argv: list[str], environment: dict[str, str], *, ours_runs: bool) -> None:
        status = 99
        try:
            os.setsid()
            for fd, name in enumerate("012"):
                opened = os.open(self.streams / name, os.O_WRONLY | os.O_APPEND if fd else os.O_RDONLY)
                os.dup2(opened, fd)
                os.close(opened)
            os.chdir(self.folder)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            if not ours_runs:
                assert REFERENCE
                os.execve(REFERENCE, argv, environment)
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)
            os.environ.clear()
            os.environ.update({**environment, "PYPROCMAIL_STRICT": "yes"})
            time.tzset()
            status = ours.run([os.fsencode(word) for word in argv])
        except BaseException:  # noqa: BLE001  told, and the process ends here
            traceback.print_exc()
        finally:
            os._exit(status)


def _wait(pid: int) -> int | None:
    deadline = time.monotonic() + LIMIT_S
    watch = os.pidfd_open(pid)
    try:
        import select

        if not select.select([watch], [], [], deadline - time.monotonic())[0]:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
    finally:
        os.close(watch)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


_STAMP = re.compile(rb"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}")


def _normal(data: bytes) -> bytes:
    data = re.sub(rb"\A\d+\n\Z", b"PID\n", data)
    return re.sub(rb"\d+\.\d+\.[\w.-]+(?=\.?\n)", b"PID.N.HOST", _STAMP.sub(b"DATE", data))


# -- making --------------------------------------------------------------------------------

_WORDS = [
    "0",
    "1",
    "2",
    "3",
    "10",
    "0.5",
    "1e3",
    "abc",
    "ABC",
    "a b",
    "",
    " ",
    "-1",
    "0x10",
    "x.y",
    "0.0",
    "00",
    "Hello",
]
_NAMES = ["A", "B", "C_1", "MATCH", "MATCH1", "MATCH2", "NOPE", "SIZE", "LINES", "FROM"]
_COMPARISONS = ["<", "<=", ">", ">=", "==", "!=", "lt", "le", "gt", "ge", "eq", "ne"]
_SUM, _PRODUCT, _BITS, _LOGIC = ["+", "-"], ["*", "/"], ["|", "&"], ["||", "&&"]


class Maker:
    """Makes the case of a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def pick(self, choices: list[str]) -> str:
        return self.random.choice(choices)

    def quoted(self) -> str:
        word = self.pick(_WORDS)
        quote = self.pick(['"', '"', "'"])
        return f"{quote}{word}{quote}"

    def operand(self, depth: int) -> str:
        kind = self.random.randrange(12)
        if depth <= 0 or kind < 4:
            return self.pick(
                [self.quoted(), self.quoted(), self.pick(_NAMES), "$" + self.pick(_NAMES), '"$A"', "5", "7"]
            )
        if kind < 6:
            return f"({self.expression(depth - 1)})"
        if kind == 6:
            return self.pick(["!", "~ "]) + self.operand(depth - 1)
        if kind == 7:
            name = self.pick(["length", "tolower", "toupper", "escape", "getaddr", "hasaddr"])
            return f"{name}({self.expression(depth - 1)})"
        if kind == 8:
            start = self.pick(["0", "1", "2", "9", '"1"', "A"])
            more = self.pick(["", ",1", ",0", ',"2"', ",99"])
            return f"substr({self.expression(depth - 1)},{start}{more})"
        if kind == 9:
            options = self.options() if self.random.random() < 0.1 else ""
            return f"({self.operand(depth - 1)} =~ {self.pattern()}{options})"
        if kind == 10:
            return f"({self.pick(_NAMES[:3])}={self.expression(depth - 1)})"
        return self.quoted() + " " + self.quoted()

    def expression(self, depth: int) -> str:
        kind = self.random.randrange(9)
        left = self.operand(depth)
        if depth <= 0 or kind < 2:
            return left
        operators = [_SUM, _PRODUCT, _BITS, _LOGIC, _COMPARISONS, _SUM, _LOGIC][kind - 2]
        text = f"{left} {self.pick(operators)} {self.operand(depth - 1)}"
        if kind in (2, 5) and self.random.random() < 0.4:
            text += f" {self.pick(operators)} {self.operand(depth - 1)}"
        return text

    def pattern(self) -> str:
        atoms = [
            "a",
            "b",
            "o",
            "l",
            "H",
            "x",
            ".",
            "[a-c]",
            "[^a]",
            "\\w",
            "\\s",
            "\\d",
            "\\b",
            "^",
            "$",
            "(a)",
            "(b|o)",
            "(?:l)",
            "*",
            "+",
            "?",
            "{1,2}",
            "$A",
            "(o)?",
            "|",
            "(?=l)",
            "\\.",
            "\\/",
            "42",
            "Body",
            "Hello",
            "(?!x)",
            "(l)\\1",
            "B+?",
        ]
        text = "".join(self.pick(atoms) for _ in range(self.random.randint(1, 5)))
        if text[0] in "*+? " or text.endswith("\\"):
            text = "a" + text
        return f"/{text}/"

    def options(self) -> str:
        return self.pick(
            [
                "",
                "",
                "",
                ":h",
                ":b",
                ":hb",
                ":D",
                ":hD",
                ":w",
                ":,1",
                ":,2,0.5",
                ":h,1,1",
                ":b,-1.5,2",
                ":hb3",
                ":bD,1,0",
                ":h1,2",
                ":q",
                ":",
            ]
        )

    def statement(self, depth: int) -> list[str]:
        kind = self.random.randrange(16)
        name = self.pick(_NAMES[:3])
        if depth <= 0 or kind < 4:
            return [
                self.pick([f"{name}={self.quoted()}", f'echo "{name}=${name}"', f"echo {self.expression(1)}", "# note"])
            ]
        body = self.body(depth - 1)
        if kind < 7:
            lines = [f"if ({self.expression(2)})", *body]
            while self.random.random() < 0.3:
                lines += [f"elsif ({self.expression(1)})", *self.body(depth - 1)]
            if self.random.random() < 0.5:
                lines += ["else", *self.body(depth - 1)]
            return lines
        if kind == 7:
            block = ["{", " I=$I + 1", *self.statement(depth - 1), "}"]
            return ["I=0", f"while ($I < {self.random.randint(0, 3)})", *block]
        if kind == 8:
            pattern = self.pattern().replace("*", "+").replace("?", "")
            subject = self.pick(["", f"{self.quoted()} =~ ", '"a1b22 abc" =~ '])
            if subject:
                pattern = self.pick(["/[a-z]+/", "/b|1/", "/(a)(.)/", "/[0-9]+/:D"])
            return [f"foreach {subject}{pattern}", "{", ' echo "[$MATCH]"', *self.statement(depth - 1), "}"]
        if kind == 9:
            fault = self.pick(
                ['include "nofile"', 'to "nodir/x"', 'echo "fine"', "exit", 'to "box"', 'lookup("a","none")']
            )
            return ["exception {", *self.statement(depth - 1), f" {fault}", "}"]
        if kind == 10:
            name = f"lock{self.random.randrange(10**6)}"
            return [self.pick([f'flock "{name}" {{', f'dotlock "{name}" {{']), *self.statement(depth - 1), "}"]
        if kind == 11:
            return [
                self.pick(['cc "box"', 'cc "|cat >/dev/null"', 'xfilter "tr a-y b-z"', 'include "inc"', "cc '|exit 3'"])
            ]
        if kind == 12:
            return ["{", *self.statement(depth - 1), "}"]
        if kind == 13:
            return [self.pick(['logfile "log"', 'log "text $A"', 'log "x\\c"', "EXITCODE=3", "unset A", "import HOME"])]
        if kind == 14:
            return [f"{self.pattern()}{self.options()}", 'echo "$MATCH|$MATCH1|$MATCH2"']
        return [self.pick([";", "", "}", "else", "if (1)", "{"])] if self.random.random() < 0.15 else ["echo `echo hi`"]

    def body(self, depth: int) -> list[str]:
        if self.random.random() < 0.6:
            return ["{", *self.statement(depth), *self.statement(depth), "}"]
        return [" " + line for line in self.statement(depth)]


def _expressions(maker: Maker) -> Case:
    lines = ['A="abc"', "B=3", "C_1=1.5"]
    for _ in range(6):
        lines.append(maker.pick(["echo ", "Z=(", "Y="]) + maker.expression(3))
        if lines[-1].startswith("Z=("):
            lines[-1] += ")"
    return Case(_text([*lines, "exit"]), options=("-V", maker.pick(["0", "6"])))


def _patterns(maker: Maker) -> Case:
    lines = ['A="l+"', 'S="Hello, world aXb"']
    for _ in range(6):
        subject = maker.pick(["", "", '"aab ol lo" =~ ', "$S =~ ", "'' =~ ", "'a\u00e9b' =~ "])
        options = "" if subject and maker.random.random() < 0.9 else maker.options()
        lines += [f"echo {subject}{maker.pattern()}{options}", 'echo "$MATCH|$MATCH1|$MATCH2"']
    return Case(_text([*lines, "exit"]))


def _control(maker: Maker) -> Case:
    lines = ['SHELL="/bin/sh"', 'DEFAULT="dflt"', 'A="abc"']
    for _ in range(4):
        lines += maker.statement(3)
    if maker.random.random() < 0.7:
        lines.append(maker.pick(["exit", 'to "box"', 'to "|cat"']))
    return Case(_text(lines), files={"inc": b'echo "inc $A"\nB="inc"\n'})


def _quoting(maker: Maker) -> Case:
    pieces = [
        "a",
        "$A",
        "${A}",
        "${A",
        "${B C}",
        "\\",
        "\\\\",
        '\\"',
        "\\'",
        "$",
        "$$A",
        "\\$A",
        "\\n",
        "\\101",
        "\\c",
        " ",
        "#",
        "`",
        "'",
        '"',
        "\\ ",
        "\\\n  ",
        "\\ # x\n ",
        "/",
        ";",
        "\\x",
        "${}",
        "$1",
        "}",
        "{",
        ".",
        "-",
        "=",
        "\u00e9",
    ]
    lines = ['A="x"']
    for _ in range(5):
        text = "".join(maker.pick(pieces) for _ in range(maker.random.randint(1, 6)))
        quote = maker.pick(['"', '"', "'", ""])
        lines.append(f"{maker.pick(['Z=', 'echo ', 'Y='])}{quote}{text}{quote}")
    return Case(_text([*lines, "exit"]), options=("-V", "9"))


def _faults(maker: Maker) -> Case:
    tokens = [
        "if",
        "(",
        ")",
        "{",
        "}",
        "\n",
        "\n",
        ";",
        "else",
        "while",
        "foreach",
        "/x/",
        "=~",
        "=",
        "echo",
        '"a"',
        "A",
        "$A",
        "+",
        "-",
        "!",
        "~",
        ",",
        "substr",
        "lookup",
        "length",
        "exit",
        "to",
        "exception",
        "dotlock",
        "1",
        "elsif",
        "&&",
        "<",
        "time",
        "gdbmfetch",
        "gdbmclose",
        "include",
        "1",
        '"a"',
        "'b'",
        "\\\n",
        "# c\n",
        "||",
        "|",
        "*",
        "/ ",
        "?",
        "\\x",
        "unset",
        "`c`",
        "gdbmstore",
        "gdbmopen",
    ]
    text = "exit\n" + " ".join(maker.pick(tokens) for _ in range(maker.random.randint(1, 14)))
    return Case(_text([text]), options=("-V", maker.pick(["0", "9"])))


def _mail_text(maker: Maker) -> Case:
    words = [
        "plain",
        "=?utf-8?Q?caf=C3=A9?=",
        "=?iso-8859-1?B?6Q==?=",
        "x\ty",
        "  two",
        "\u00e9",
        "=?bad",
        "a=b",
        "=?utf-8?Q?a_b?=",
        "end ",
    ]
    charset = maker.pick(["", "; charset=utf-8", "; charset=iso-8859-1", '; charset="us-ascii"', "; charset=koi8-r"])
    encoding = maker.pick(["", "", "quoted-printable", "base64", "8bit", "7bit"])
    head = [f"Subject: {maker.pick(words)} {maker.pick(words)}", f"X-A:{maker.pick(words)}\n {maker.pick(words)}"]
    bodies = [
        "text\nmore\n",
        "caf=C3=A9 soft=\nbreak\n",
        "aGVsbG8Kd29ybGQK\n",
        "x\r\ny\r\n",
        "\u00e9 8bit\n",
        "\n\n",
        "a=3Db\n",
        "no end",
    ]

    def part(depth: int) -> str:
        kind = maker.random.randrange(6)
        if depth and kind == 0:
            boundary = f"b{depth}"
            parts = "".join(f"--{boundary}\n{part(depth - 1)}\n" for _ in range(maker.random.randint(1, 3)))
            start = f"Content-Type: multipart/{maker.pick(['mixed', 'alternative'])}; boundary={boundary}\n\npre\n"
            return f"{start}{parts}--{boundary}--\nepi\n"
        if depth and kind == 1:
            return f"Content-Type: message/rfc822\n\nSubject: inner {maker.pick(words)}\n\n{maker.pick(bodies)}"
        lines = [f"Content-Type: {maker.pick(['text/plain', 'text/html', 'image/gif'])}{charset}"]
        if encoding:
            lines.append(f"Content-Transfer-Encoding: {encoding}")
        return "\n".join(lines) + "\n\n" + maker.pick(bodies)

    if maker.random.random() < 0.8:
        head.append("Mime-Version: 1.0")
    mail = ("\n".join(head) + "\n" + part(2)).encode()
    return Case(_text([f"foreach /^.*$/:{maker.pick(['h', 'b', 'hb'])}", ' echo "[$MATCH]"', "exit"]), mail=mail)


def _addresses(maker: Maker) -> Case:
    pieces = [
        "a@b",
        "c",
        "<x@y>",
        '"q r"',
        "(c)",
        ",",
        ";",
        ":",
        "grp: ",
        ".",
        "@",
        " ",
        "=?utf-8?Q?J?=",
        "J. ",
        "\\",
        "<",
        "d.e@f.g",
        "<@r:a@b>",
    ]
    fields = []
    for name in ("To", "Cc", "From", "Resent-To"):
        fields.append(
            f"{name}: " + "".join(maker.pick(pieces) + maker.pick(["", " "]) for _ in range(maker.random.randint(1, 5)))
        )
    lines = ["foreach /^.*$/", "{", ' echo "[$MATCH]"', " X=getaddr($MATCH)", ' echo "<$X>"', "}"]
    for one in ("a@b", "x@y", "c", "d.e@f.g"):
        lines.append(f'echo hasaddr("{one}")')
    return Case(_text([*lines, "exit"]), mail=("\n".join(fields) + "\n\nbody\n").encode())


def _text(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


KINDS: dict[str, Callable[[Maker], Case]] = {
    "expressions": _expressions,
    "patterns": _patterns,
    "control": _control,
    "quoting": _quoting,
    "faults": _faults,
    "text": _mail_text,
    "addresses": _addresses,
}


def differences(kind: str, seeds: range) -> tuple[list[str], int]:
    """What differs, and on how many seeds the reference hangs, crashes or shows its memory, which says nothing."""
    found = []
    broken = 0
    base = Path(tempfile.mkdtemp(prefix="maildrop."))
    try:
        runner = Runner(base)
        for seed in seeds:
            case = KINDS[kind](Maker(seed))
            reference = runner.reference(case)
            if reference.status is None or reference.status < 0 or b"signal 0x" in reference.stderr:
                broken += 1
                continue
            mine = runner.ours(case)
            if mine == reference:
                continue
            # What it reads behind the end of a text is another time something else; and a busy machine is slow.
            theirs = [reference, *(runner.reference(case) for _ in range(_AGAIN))]
            if any(runner.ours(case) in theirs for _ in range(_AGAIN)):
                continue
            if any(one != reference for one in theirs):
                broken += 1
            else:
                found.append(_told(kind, seed, case, reference, mine))
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return found, broken


def _told(kind: str, seed: int, case: Case, reference: Outcome, mine: Outcome) -> str:
    lines = [f"== {kind} {seed}: maildrop {' '.join(case.options)} f", case.text.decode("utf-8", "backslashreplace")]
    if case.mail != MAIL:
        lines.append(f"-- mail {case.mail!r}")
    for name in ("status", "stdout", "stderr", "files"):
        one, other = getattr(reference, name), getattr(mine, name)
        if one != other:
            lines += [f"-- {name}", f"reference {one!r}", f"ours      {other!r}"]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the seeds of the command line; 1 if there are differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[*KINDS, "all"])
    parser.add_argument("first", type=int, nargs="?", default=0)
    parser.add_argument("count", type=int, nargs="?", default=300)
    arguments = parser.parse_args()
    if not REFERENCE:
        sys.exit("the reference maildrop is not installed")
    worst = 0
    for kind in KINDS if arguments.kind == "all" else [arguments.kind]:
        began = time.monotonic()
        found, broken = differences(kind, range(arguments.first, arguments.first + arguments.count))
        for text in found:
            print(text)
        seconds = time.monotonic() - began
        agree = arguments.count - broken - len(found)
        print(f"{kind}: {agree} agree, {len(found)} differ, {broken} broken; {seconds:.0f} s")
        worst = max(worst, bool(found))
    return worst


if __name__ == "__main__":
    sys.exit(main())
