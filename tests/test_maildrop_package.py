"""The programs of maildrop's package beside the installed ones: random files and options, the same output.

What the reference does wrong is left out of the cases; makemime(1) and reformime(1) list it under BUGS.
"""

from __future__ import annotations

import base64
import quopri
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pyprocmail.commands import links
from pyprocmail.delivery import gdbm
from pyprocmail.host import Host
from pyprocmail.message import mime, transfer_encoding
from pyprocmail.tools import makedat, makemime, reformime

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C"}
LONG = re.compile(rb"(?m)^.{75,} =$")
"""A line of quoted-printable that the reference makes too long, by a blank at its end; NULs end what it copies."""
BOUNDARY = re.compile(rb"=_\d+_\d+_\d+")


@pytest.fixture(scope="module")
def program() -> Callable[[str], str]:
    """Where a program of the reference is."""

    def find(name: str) -> str:
        found = shutil.which(name, path="/usr/bin:/usr/sbin")
        if found is None:
            pytest.skip(f"the reference {name} is not installed (apt-get install maildrop)")
        return found

    return find


def text(rng: random.Random) -> bytes:
    """A file: text, seldom with bytes or lines that need an encoding."""
    words = [b"word", b"a", b"=", b"\t", b"gr\xc3\xbcn", b".", b"From x", b"\r", b"~\x7f", b"x" * 40]
    if rng.random() < 0.1:
        words.append(b"\0")
    if rng.random() < 0.3:
        words += [b"\xe9" * 30, b"\x01"]
    if rng.random() < 0.2:
        words.append(b"y" * 980)
    lines = [
        b" ".join(rng.choice(words) for _ in range(rng.choice([0, 1, 3, 8, 30]))) for _ in range(rng.randint(0, 6))
    ]
    # The reference loses a blank at the end of a file.
    return b"\n".join(line.strip() for line in lines).rstrip() + rng.choice([b"", b"\n", b"\n\n"])


def section(rng: random.Random) -> list[bytes]:
    """Options that make a section of a file."""
    kind = rng.choice([b"auto", b"text/plain", b"image/png", b"text/html; x=y"])
    words = [b"-c", kind]
    if rng.random() < 0.5:
        words += [b"-e", rng.choice([b"7bit", b"8bit", b"quoted-printable", b"base64", b"Base64"])]
    if rng.random() < 0.4:
        words += [b"-C", rng.choice([b"utf-8", b"iso-8859-1", b"x"])]
    if rng.random() < 0.5:
        characters = b"abc.- ()'\"%;=\xc3\xa9/\\"
        length = rng.choice([1, 5, 20, 69, 70, 71, 72, 150])
        words += [b"-N", b"n" + bytes(rng.choice(characters) for _ in range(length))]
    for _ in range(rng.choice([0, 0, 1, 2])):
        words += [b"-a", rng.choice([b"X: y", b"Content-Disposition: inline", b"Mime-Version: 1.0"])]
    return [*words, rng.choice([b"one", b"two"])]


def multipart(rng: random.Random, depth: int = 0) -> list[bytes]:
    """Options that make a multipart, or put a section into one."""
    inner = [b"(", *(section(rng) if depth > 1 or rng.random() < 0.6 else multipart(rng, depth + 1)), b")"]
    if rng.random() < 0.5:
        return [b"-m", rng.choice([b"multipart/mixed", b"multipart/alternative"]), *inner]
    return [b"-j", b"(", b"-m", b"multipart/mixed", *inner, b")", b"(", *section(rng), b")"]


@pytest.mark.parametrize("first", [0, pytest.param(1000, marks=pytest.mark.slow)])
def test_makemime(program: Callable[[str], str], first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections and multiparts are the same, but for the boundaries."""
    monkeypatch.chdir(tmp_path)
    for seed in range(first, first + (60 if not first else 500)):
        rng = random.Random(seed)
        Path("one").write_bytes(text(rng))
        Path("two").write_bytes(text(rng))
        argv = section(rng) if rng.random() < 0.6 else multipart(rng)
        run = subprocess.run([program("makemime"), *argv], capture_output=True, check=False, env=ENVIRONMENT)
        written: list[bytes] = []
        status = makemime.run(Host(), [b"makemime", *argv], written.append, written.append)
        ours = BOUNDARY.sub(b"@", b"".join(written))
        if b"\0" in ours or LONG.search(run.stdout):
            continue
        assert (status, ours) == (run.returncode, BOUNDARY.sub(b"@", run.stdout + run.stderr)), (seed, argv)


def test_encodings_give_the_bytes_back() -> None:
    """What is encoded is decoded to the same by the standard library, and no line is longer than 76 bytes."""
    for seed in range(300):
        rng = random.Random(seed)
        data = text(rng) + bytes(rng.choice(b" \t=x\n\r\xe9") for _ in range(rng.randint(0, 300)))
        quoted = transfer_encoding.to_quoted_printable(data)
        assert quopri.decodestring(quoted) == data, seed
        assert max(map(len, quoted.split(b"\n"))) <= 76, seed
        assert base64.b64decode(transfer_encoding.to_base64(data)) == data, seed


UTF8 = {b"PATH": b"/usr/bin:/bin", b"TZ": b"UTC", b"LC_ALL": b"C.UTF-8"}
CONVERTED = re.compile(rb"by reformime \(.*?\)")
REWRITTEN = re.compile(rb"=_[\w.-]+-\d+-\d+-\d{4}")


def reformed(find: Callable[[str], str], argv: list[bytes], mail: bytes) -> tuple[tuple[int, bytes], tuple[int, bytes]]:
    """Status and output of ours, and of the reference."""
    written: list[bytes] = []
    status = reformime.run(Host(), [b"reformime", *argv], UTF8, lambda: mail, written.append, written.append)
    run = subprocess.run([find("reformime"), *argv], input=mail, capture_output=True, check=False, env=UTF8)
    ours, theirs = (
        CONVERTED.sub(b"by", REWRITTEN.sub(b"@", said)) for said in (b"".join(written), run.stdout + run.stderr)
    )
    return (status, ours), (run.returncode, theirs)


def entity(rng: random.Random, depth: int, *, is_message: bool) -> bytes:
    """A message, or a part of one."""
    fields = rng.sample([b"X: y", b"Subject: a", b"Content-Disposition: inline", b"A: b\n c"], rng.randint(0, 2))
    is_mime = not is_message or rng.random() < 0.8
    if is_message and is_mime:
        fields.insert(rng.randint(0, len(fields)), b"Mime-Version: 1.0")
    kind = rng.random()
    if is_mime and depth < 3 and kind < 0.3:
        boundary = b"b%d" % depth
        fields.append(b"Content-Type: multipart/%b; boundary=%b" % (rng.choice([b"mixed", b"digest", b"x"]), boundary))
        digest = b"digest" in fields[-1]
        parts = [
            b"\n" + entity(rng, 9, is_message=True) if digest else entity(rng, depth + 1, is_message=False)
            for _ in range(rng.randint(1, 3))
        ]
        body = b"".join(b"--%b\n%b\n" % (boundary, part) for part in parts) + b"--%b--\n" % boundary
    elif is_mime and depth < 3 and kind < 0.4 and (not is_message or not depth):
        fields.append(b"Content-Type: message/rfc822")
        body = entity(rng, depth + 1, is_message=True)
    else:
        body, encoding = leaf(rng)
        if encoding:
            fields.append(b"Content-Transfer-Encoding: " + encoding)
        if is_mime and rng.random() < 0.7:
            types = [b"text/plain", b"text/html; charset=utf-8", b"application/pdf", b"text/x; a=b"]
            fields.insert(rng.randint(0, len(fields)), b"Content-Type: " + rng.choice(types))
    return b"".join(field + b"\n" for field in fields) + b"\n" + body


def leaf(rng: random.Random) -> tuple[bytes, bytes]:
    """A body, and the encoding that it is said to have."""
    words = [b"word", b"gr\xc3\xbcn", b"a", b"x=", b".", b"w" * 90]
    plain = rng.random() < 0.5
    lines = [
        b" ".join(word for word in rng.choices(words, k=rng.choice([0, 1, 5, 12])) if not plain or word.isascii())
        for _ in range(rng.randint(0, 4))
    ]
    body = b"".join(line + b"\n" for line in lines)
    if rng.random() < 0.2:
        return transfer_encoding.to_base64(body), b"base64"
    if rng.random() < 0.3:
        return transfer_encoding.to_quoted_printable(body), b"quoted-printable"
    # The reference believes 7bit, whatever the body is.
    return body, rng.choice([b"", b"8bit", b"7bit" if body.isascii() else b"8bit"])


@pytest.mark.parametrize("first", [0, pytest.param(1000, marks=pytest.mark.slow)])
def test_reformime_rewrites(program: Callable[[str], str], first: int) -> None:
    """Messages with all MIME headers are the same, but for the boundaries."""
    for seed in range(first, first + (60 if not first else 500)):
        rng = random.Random(seed)
        mail = b"From: a@b\n" + entity(rng, 0, is_message=True)
        argv = [rng.choice([b"-r", b"-r7", b"-r8"])]
        ours, theirs = reformed(program, argv, mail)
        assert ours == theirs, (seed, argv, mail)


@pytest.mark.parametrize("first", [0, pytest.param(1000, marks=pytest.mark.slow)])
def test_reformime_encodes(program: Callable[[str], str], first: int) -> None:
    """Headers are encoded as by the reference, and decoded to what they were."""
    words = ["word", "gr\u00fcn", "\u65e5\u672c", "=x", "a?", '"q"', "(c)", "x_y", "<a@b>", ",", "\u00e9"]
    for seed in range(first, first + (60 if not first else 500)):
        rng = random.Random(seed)
        text = rng.choice([" ", "  ", " \t"]).join(rng.choices(words, k=rng.choice([1, 2, 4, 5]))).encode()
        ours, theirs = reformed(program, [b"-o", text], b"")
        assert mime.words(ours[1][:-1]) == text, (seed, text)
        if all(len(word) <= 75 for word in theirs[1].split()):
            assert ours == theirs, (seed, text)


def test_reformime_leaves_what_is_signed() -> None:
    """Not a byte of a signed or encrypted part is changed, nor of headers that are as they should be."""
    signed = b"Content-Type: multipart/signed;\n\tboundary=x\n\npre\n--x\n\none \xff\n--x\nA:b\n\nsig\n--x--\nafter\n"
    mail = b"A:b\nMime-Version:1.0\nContent-Type: multipart/mixed; boundary=o\n\n--o\n" + signed + b"\n--o--\n"
    for mode in (b"-r", b"-r7", b"-r8"):
        written: list[bytes] = []
        assert reformime.run(Host(), [b"reformime", mode], UTF8, lambda: mail, written.append, written.append) == 0
        assert signed in b"".join(written)
        assert b"".join(written).startswith(b"A:b\nMime-Version:1.0\n")
        assert (
            reformime.run(Host(), [b"x", mode], UTF8, lambda: b"Mime-Version: 1.0\n" + signed, written.append, print)
            == 0
        )
        assert written[-1] == b"Mime-Version: 1.0\n" + signed


def test_every_program_of_the_package_is_linked() -> None:
    """What Debian's maildrop has in bin and sbin, but for the helper that only makedat calls."""
    package = {"maildrop", "reformail", "lockmail", "mailbot", "reformime", "makemime", "maildirmake", "makedat"}
    assert {*package, "deliverquota"} <= set(links.NAMES)
    if shutil.which("dpkg"):
        listed = subprocess.run(["dpkg", "-L", "maildrop"], capture_output=True, text=True, check=False).stdout
        found = {Path(line).name.removesuffix(".maildrop") for line in listed.splitlines() if "bin/" in line}
        assert found - {"makedatprog"} <= set(links.NAMES)


def test_makedat(program: Callable[[str], str], tmp_path: Path) -> None:
    """The database has what that of the reference has; a key that comes twice makes none."""
    text = b"# c\nexample.com\nd.com\tok\n\nfoo\tbad x\t y \n  lead\t1\n #x\tq\na b\tc\nempty\t\ncr\tv\r\n"
    source = tmp_path / "text"
    source.write_bytes(text)
    noted: list[bytes] = []

    def make(name: str, data: bytes = b"") -> int:
        words = [f"-src={source}" if not data else "-src=-", f"-file={tmp_path / name}", f"-tmp={tmp_path / 'new'}"]
        return makedat.run(Host(), [b"makedat", *(word.encode() for word in words)], lambda: data, noted.append)

    assert make("ours") == 0
    words = [f"-src={source}", f"-file={tmp_path / 'theirs'}", f"-tmp={tmp_path / 'tmp'}"]
    subprocess.run([program("makedat"), *words], check=True)
    keys = [b"example.com", b"d.com", b"foo", b"  lead", b"lead", b" #x", b"# c", b"a b", b"a", b"empty", b"cr", b""]
    one, other = (gdbm.Database(bytes(tmp_path / name), gdbm.READ, 0) for name in ("ours", "theirs"))
    assert [one.get(key) for key in keys] == [other.get(key) for key in keys]
    one.close()
    other.close()
    assert make("ours", b"a\t1\na\t2\n") == 1
    assert noted == [b"makedat: a has two values\n"]
    assert {path.name for path in tmp_path.iterdir()} == {"text", "ours", "theirs"}
    assert make("ours", b"new\n") == 0
    assert gdbm.Database(bytes(tmp_path / "ours"), gdbm.READ, 0).get(b"new") == b"1"
