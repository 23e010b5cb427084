"""Kind "folders": mail of all sorts into folders of all sorts."""

from __future__ import annotations

import random
import re

from differential.cases import Case, File

POSTMARKS = [
    "", "", "From a@b Thu Jan  1 00:00:00 2026\n", "From a@b Thu Jan  1 00:00:00 2026\n",
    "From a@b  Thu Jan 1 00:00:00 2026 remote from x\n",
    "From a@b\n", "From \n", "From  x y\n", "From\n", "From a@b Thu Jan  1 00:00:00 2026\n>From c@d Fri\n",
    ">From x Thu\n",
    "From a@b Thu Jan  1 00:00:00 2026\n>From c@d Thu Jan  1 00:00:00 2026\n>From e@f Fri\n", "\n", "\n\n",
    "\n\nFrom a@b Thu Jan  1 00:00:00 2026\n",
    "From: a@b\n", "from a@b Thu\n", "From a b c Thu Jan  1 00:00:00 2026\n",
    "From a@b Thu Jan  1 00:00:00 2026 \n", "From a@b Thu Jan  1\n",
]  # fmt: skip
FIELDS = [
    "From: a@b\n", "Subject: hello\n", "Subject:\n", "Subject: a\tb\x0bc\n", "Subject: one\n two\n",
    "subject:  low\n", "To: x@y\n", "X: a\n\tb\n  c\n",
    "From x in the header\n", ">From x\n", "X: \xe9\n", "X: a\0b\n", "X: a\r\n", "no field\n", " folded\n", ":\n",
    "X-Last: z\n", "Subject: " + "s" * 90 + "\n",
    "X: " + "l" * 3000 + "\n", "Received: from x\n\tby y\n",
]  # fmt: skip
LENGTHS = [
    "{name} {length}\n", "{name} {length}\n", "{name}{length}\n", "{name} {short}\n", "{name} {longer}\n",
    "{name}      {length}\n", "{name} 0\n", "{name} -5\n", "{name}\n",
    "{name} \n", "{name} x\n", "{name} 99999999999999999999\n", "{name} 1\n", "{name} {length} x\n",
    "{name} {length}\n{name} 3\n", "{name}\t{length}\n", "{name} {length}\n \n",
    "{name} 9\n 9\n", "{name} 0x10\n", "{name} +{length}\n", "{name} {length}\r\n",
]  # fmt: skip
LENGTH_NAMES = ["Content-Length:", "content-length:", "CONTENT-LENGTH:", "Content-Length :", "X-Content-Length:"]
BODY = [
    "body\n", "body line\n", "\n", "\n", "From x y\n", "From \n", "From\n", ">From x\n", ">>From x\n", " From x\n",
    "from x\n", "a\0b\n", "\0\n", "a\rb\n", "text\r\n", "\r\n",
    "\xe9\xff\n", "x" * 5000 + "\n", "From a@b Thu Jan  1 00:00:00 2026\n", "Subject: in body\n", ".\n",
    "From x\0\nFrom y\n", "\n\nFrom z\n", "Content-Length: 3\n",
]  # fmt: skip
ENDS = ["", "", "", "\n", "\n\n", "no newline", "From x", "\r", "\0", "From "]

FOLDERS = [
    "box", "box", "new", "empty", "md/", "md/", "newmd/", "mh/.", "newmh/.", "d", "d", "dir", "/dev/null",
    "gone/box", "gone/md/", "gone/mh/.", "box/", "box/.", "d/box", "link",
    "linkd", "linkmd/", "dangling", "readonly", "locked/box", "locked", "locked/", "locked/.", "md", "mh", "md//",
    "md///", "mh//.", "mh/./", "./box", "d/../box", "'a b'", "'a b/'", "\xe9",
    "\xe9/", '""', ".", "./", "./.", "d/..//x", "'|'", "'| cat'", "half/", "unreadable", "exec", "$A", "$D",
    '"$D"', "$E", "-", "_x", "box#c", "a/b/c", "d/", "d/.", "/nonexistent", "/nonexistent/",
    "'\\'", "'new\nline'", "n" * 300, "n" * 300 + "/", "d/" + "n" * 250, "box/x",
]  # fmt: skip
MORE = ["md/", "mh/.", "d", "newd", "newmd2/", "gone/x", "box", "locked", "d", "newmh2/.", "/dev/null", "''"]
_NUL_IN_POSTMARK = re.compile(r"\A(\n*>?From [^\n]*)\0+")
_LONG = 200
UMASKS = ["077", "022", "0", "027", "023", "8", "x", "777", "0177", "007", "1000", "-1", "026"]
FLAGS = ["", "", "", "c", "c", "h", "b", "hb", "r", "ch", "cb", "cr", "hr", "br", "ci", "cw", "cf"]


def generate(rng: random.Random) -> Case:
    """One mail, a few folders, and what else can change what lands in them."""
    lines = [
        "LOGFILE=log",
        "VERBOSE=yes",
        "LOCKSLEEP=0",
        "SUSPEND=0",
        f"DEFAULT={_default(rng)}",
        "A=box",
        'D="d md/ mh/."',
        "E=",
    ]
    if rng.random() < 0.15:
        lines.insert(4, f"ORGMAIL={rng.choice(['box', 'md/', '/nonexistent/x', 'mh/.', ''])}")
    lines += [line for _ in range(rng.choice([0, 1, 1, 1, 2, 3])) for line in _statement(rng)]
    files = {name: File(b"From x\n\nold\n\n") for name in ("box", "exec", "readonly", "unreadable", "d/box")}
    files |= {
        "empty": File(b""),
        "mh/3": File(b"x"),
        "mh/12": File(b"x"),
        "mh/x9": File(b"x"),
        "d/msg.x": File(b"x"),
        "half/cur": File(b"x"),
    }
    files |= {"readonly": File(b"x\n", 0o444), "unreadable": File(b"x\n", 0), "exec": File(b"x\n", 0o755)}
    dirs = dict.fromkeys(("md/new", "md/cur", "md/tmp", "dir"), 493)
    dirs["locked"] = 0o555
    links = {"link": "box", "linkd": "d", "linkmd": "md", "dangling": "nowhere/x"}
    text, argv = mail(rng), _argv(rng)
    if any(argument.startswith((b"-f", b"-r")) for argument in argv):
        text = _with_sender(text)
    return Case("\n".join(lines).encode("latin-1") + b"\n", text, argv, files, dirs, links)


def _with_sender(text: bytes) -> bytes:
    """A mail for which -f leads the reference nowhere in its memory.

    It finds newlines that it has dropped, and takes a mail without an empty line to be longer than it is.  An empty
    line at the beginning that is one by default only (crlf-header) would not be dropped.
    """
    while text.startswith(b"\r\n"):
        text = text[2:]
    if not text.strip(b"\n"):
        return b""
    return text if b"\n\n" in text.lstrip(b"\n") else text + b"\n\n"


def mail(rng: random.Random) -> bytes:
    """A mail, more or less."""
    body = "".join(rng.choice(BODY) for _ in range(rng.choice([0, 1, 2, 3, 5]))) + rng.choice(ENDS)
    fields = [rng.choice(FIELDS) for _ in range(rng.choice([0, 1, 2, 4]))]
    if rng.random() < 0.35:
        text = rng.choice(LENGTHS).replace(
            "{name}", rng.choice(LENGTH_NAMES) if rng.random() < 0.3 else LENGTH_NAMES[0]
        )
        size = len(body)
        text = (
            text.replace("{length}", str(size)).replace("{short}", str(size // 2)).replace("{longer}", str(size + 20))
        )
        fields.insert(rng.randint(0, len(fields)), text)
    head = rng.choice(POSTMARKS) + "".join(fields)
    whole = head + rng.choice(["\n", "\n", "\n", "\n", "\n\n", "", "\r\n"]) + body
    if whole.lstrip("\n")[:8].lower() == "subject:":
        whole = "X: y\n" + whole  # the reference would log what its memory holds
    if whole.lstrip("\n").startswith("\r\n"):
        whole = "X: y\n" + whole  # a header that ends before it begins cannot be said to the reference
    if rng.random() < 0.05:
        whole = whole.replace("\n", "\r\n")
    if rng.random() < 0.04:
        whole = rng.choice(["", "\n", "\n\n", "\n\n\n", "x", "From ", "From x\n", "From x", "\0", "\n\nFrom x", "X:"])
    # From_ lines that the reference writes anew, and the header with them, end at a NUL.
    return _NUL_IN_POSTMARK.sub(r"\1", whole).encode("latin-1")


def _default(rng: random.Random) -> str:
    return rng.choice(
        ["box", "box", "md/", "mh/.", "d", "/dev/null", "gone/box", "", "link", "'| cat'", "new", "empty", "locked/x"]
    )


def _statement(rng: random.Random) -> list[str]:
    kind = rng.random()
    if kind < 0.12:
        return [f"UMASK={rng.choice(UMASKS)}"]
    if kind < 0.18:
        return [f"MSGPREFIX={rng.choice(['x', 'msg.', '', 'a b', '.', '_'])}"]
    if kind < 0.24:
        return [f"LOCKEXT={rng.choice(['.l', '.lock', 'x'])}"]
    if kind < 0.28:
        return [f"LOGABSTRACT={rng.choice(['all', 'no', 'yes'])}"]
    if kind < 0.3:
        return [f"MAILDIR={rng.choice(['d', 'gone', 'md', '.'])}"]
    folders = [rng.choice(FOLDERS)] + [rng.choice(MORE) for _ in range(rng.choice([0, 0, 0, 0, 1, 2, 3]))]
    lock = rng.choice(["", "", "", ":", ":lock", ":d/lock"])
    if (
        folders[0].startswith("locked")
        or "gone" in folders[0]
        or "nonexistent" in folders[0]
        or folders[0].startswith("new")
        or len(folders[0]) > _LONG
    ):
        lock = ""  # eight tries for a lock that cannot be had take their time
    return [f":0{rng.choice(FLAGS)}{lock}", " ".join(folders)]


def _argv(rng: random.Random) -> tuple[bytes, ...]:
    options: list[bytes] = []
    if rng.random() < 0.25:
        options += rng.choice(
            [
                [b"-f", b"me"],
                [b"-f", b"-"],
                [b"-fme@x"],
                [b"-f", b""],
                [b"-f", b"a b"],
                [b"-o"],
                [b"-r", b"x"],
                [b"-f", b"\xe9"],
            ]
        )
    if rng.random() < 0.15:
        options.append(rng.choice([b"-Y", b"-y"]))
    if rng.random() < 0.1:
        options.append(b"-t")
    return (*options, b"-m", b"rc")
