"""Hostile shapes of mail, the programs that take them apart, and what one run of a program costs.

A shape is a function of about how many bytes the mail has.  A job is a command line.  Each run is a process of its
own, forked after all modules are loaded, so that its cost is the cost of the mail and not of Python's start.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from pyprocmail.commands import (  # noqa: F401  what `main` would import in each run
    formail,
    maildrop,
    maildrop_tools,
    mailstat,
    main,
    procmail,
    siblings,
)
from pyprocmail.matching import pcre

Shape: TypeAlias = Callable[[int], bytes]

CPU_LIMIT_S = 20
"""A run that takes longer is ended, and has failed."""
BROKEN = 99
"""The status of a run that was none: the file `said` has the traceback."""
MIME = b"MIME-Version: 1.0\nContent-Type: "
POSTMARK = b"From a@b Thu Jan  1 00:00:00 2026\n"


def header(fields: bytes) -> bytes:
    """A mail with these fields."""
    return b"From: a@b\n" + fields + b"\n\nbody\n"


def text(body: bytes, encoding: bytes = b"8bit", charset: bytes = b"utf-8") -> bytes:
    """A mail with this text."""
    kind = b"text/plain; charset=%b\nContent-Transfer-Encoding: %b\n\n" % (charset, encoding)
    return POSTMARK + b"From: a@b\nSubject: x\n" + MIME + kind + body


def repeated(piece: bytes, size: int) -> bytes:
    """The piece, as often as makes about `size` bytes."""
    return piece * (size // len(piece))


def numbered(template: bytes, size: int) -> bytes:
    """The template with rising numbers in it."""
    return b"".join(template % number for number in range(size // (len(template) + 3)))


def numbered_down(template: bytes, size: int) -> bytes:
    """The template with falling numbers in it."""
    return b"".join(template % number for number in reversed(range(size // (len(template) + 3))))


def multipart(parts: bytes, boundary: bytes = b"b") -> bytes:
    """A multipart with this body."""
    return b"From: a@b\nSubject: x\n" + MIME + b"multipart/mixed; boundary=" + boundary + b"\n\n" + parts


def html(body: bytes) -> bytes:
    """A mail with this HTML."""
    return b"From: a@b\nSubject: x\n" + MIME + b"text/html; charset=utf-8\n\n" + body


def _value(piece: bytes, name: bytes = b"To") -> Shape:
    return lambda n: header(name + b": " + repeated(piece, n))


def _body(piece: bytes, encoding: bytes = b"8bit", charset: bytes = b"utf-8") -> Shape:
    return lambda n: text(repeated(piece, n), encoding, charset)


def _nested(n: int) -> bytes:
    levels = b"".join(b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (i, i + 1) for i in range(n // 52))
    return multipart(levels, b"b0")


def _tower(n: int) -> bytes:
    """Few levels, around one large text."""
    levels = b"".join(b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (i, i + 1) for i in range(120))
    return multipart(levels + repeated(b"text\n", n), b"b0")


def _alternating(n: int) -> bytes:
    levels = b"".join(
        b"Content-Type: multipart/digest; boundary=b%d\n\n--b%d\n\n" % (i, i) + b"MIME-Version: 1.0\n"
        for i in range(n // 70)
    )
    return b"From: a@b\nMIME-Version: 1.0\n" + levels


_BABYL = b"\x1f\x0c\n1,,\nFrom: a\n\n*** EOOH ***\nFrom: a\n\nx\n\x1f\n"

SHAPES: dict[str, Shape] = {
    # One field: addresses.
    "words": _value(b"a "),
    "letters": _value(b"a"),
    "parentheses": _value(b"("),
    "comments": _value(b"(a)"),
    "open and close": lambda n: header(b"To: " + b"(" * (n // 2) + b")" * (n // 2)),
    "quotes": _value(b'"'),
    "open quotes": _value(b'"a'),
    "quoted words": _value(b'"a" '),
    "backslashes": _value(b"\\"),
    "angles": _value(b"<"),
    "closed angles": _value(b">"),
    "routes": _value(b"<a>"),
    "names": _value(b"a<b>,"),
    "commas": _value(b","),
    "semicolons": _value(b";"),
    "colons": _value(b":"),
    "at signs": _value(b"@"),
    "dots": _value(b"a."),
    "brackets": _value(b"["),
    "addresses": _value(b"a@b,"),
    "groups": _value(b"g:a@b;"),
    "empty groups": _value(b"a:;"),
    "open groups": _value(b"a:"),
    "many names": _value(b"a b c <a@b>, "),
    "from addresses": _value(b"a@b,", b"Reply-To"),
    "from words": _value(b"a ", b"Reply-To"),
    "many To": lambda n: header(b"X: y" + repeated(b"\nTo: a@b", n)),
    "many From": lambda n: header(b"X: y" + repeated(b"\nFrom: a@b", n)),
    # One field: encoded words.
    "encoded words": _value(b"=?utf-8?q?a?= ", b"Subject"),
    "adjacent encoded words": _value(b"=?utf-8?q?a?=", b"Subject"),
    "encoded names": _value(b"=?utf-8?q?a?= <a@b>, "),
    "open encoded words": _value(b"=?utf-8?q?", b"Subject"),
    "encoded words without end": _value(b"=?a?q?x", b"Subject"),
    "encoded words without text": _value(b"=?a?q", b"Subject"),
    "encoded words without encoding": _value(b"=?a", b"Subject"),
    "encoded words of no encoding": _value(b"=?a?x?y?= ", b"Subject"),
    "encoded beginnings": _value(b"=?", b"Subject"),
    "encoded beginnings of addresses": _value(b"=?"),
    "encoded names without end": _value(b"=?a?q?x"),
    "encoded words without text in addresses": _value(b"=?a?b"),
    "one encoded word": lambda n: header(b"Subject: =?utf-8?q?" + repeated(b"=41", n) + b"?="),
    "one base64 word": lambda n: header(b"Subject: =?utf-8?b?" + repeated(b"QUJD", n) + b"?="),
    "one bad word": lambda n: header(b"Subject: =?utf-8?b?" + repeated(b"=A=-", n) + b"?="),
    "punycode": lambda n: header(b"Subject: =?punycode?q?" + repeated(b"zb", n) + b"?="),
    "idna": lambda n: header(b"Subject: =?idna?q?" + repeated(b"xn--a.", n) + b"?="),
    "unicode_escape": lambda n: header(b"Subject: =?unicode_escape?q?" + repeated(b"\\N{DIGIT ONE}", n) + b"?="),
    "question marks": _value(b"?", b"Subject"),
    "equals signs": _value(b"=", b"Subject"),
    # Subjects, Message-IDs, other fields.
    "replies": _value(b"Re: ", b"Subject"),
    "tags": lambda n: header(b"Subject: " + repeated(b"[a]", n) + b" x"),
    "forwards": lambda n: header(b"Subject: x" + repeated(b" (fwd)", n)),
    "references": lambda n: header(b"Message-ID: <x@y>\nReferences: " + repeated(b"<a@b> ", n)),
    "short references": lambda n: header(b"Message-ID: <x@y>\nReferences: " + repeated(b"a ", n)),
    "Message-ID": _value(b"a", b"Message-ID"),
    "Message-ID of angles": _value(b"<", b"Message-ID"),
    "Content-Length of digits": _value(b"9", b"Content-Length"),
    "Content-Length that lies": lambda n: (
        POSTMARK + b"From: a@b\nContent-Length: 999999999\n\n" + repeated(b"\n" + POSTMARK + b"A: b\nC: d\n\nx\n", n)
    ),
    "small Content-Lengths": lambda n: repeated(POSTMARK + b"From: a@b\nContent-Length: 1\n\nx\n\n", n),
    "Date": _value(b"Thu, ", b"Date"),
    "relays": lambda n: b"From a x" + repeated(b"\n>From b x remote from c", n) + b"\nFrom: a@b\n\nx\n",
    "long relay": lambda n: b"From " + repeated(b"remote from ", n) + b"\nFrom: a@b\n\nx\n",
    "long From_ line": lambda n: b"From " + repeated(b"a ", n) + b"Thu Jan  1 00:00:00 2026\nFrom: a@b\n\nx\n",
    "From_ lines in front": lambda n: repeated(b"From a@b Thu\n", n) + b"From: a@b\n\nx\n",
    # Folds, lines and fields.
    "folds": lambda n: header(b"To: a@b" + repeated(b"\n a@b,", n)),
    "empty folds": lambda n: header(b"To: a" + repeated(b"\n ", n)),
    "empty folds of a Subject": lambda n: header(b"Subject: a" + repeated(b"\n\t", n)),
    "fold of blanks": lambda n: header(b"To: a\n" + b" " * n + b"b"),
    "folds before fields": lambda n: repeated(b" a\n", n) + b"From: a@b\n\nx\n",
    "long line": _value(b"a", b"Subject"),
    "blanks": _value(b" "),
    "tabs": _value(b"\t", b"Subject"),
    "carriage returns": _value(b"\r"),
    "CRLF": lambda n: header(b"X: y").replace(b"\n", b"\r\n") + repeated(b"text\r\n", n),
    "NULs": _value(b"\0"),
    "NULs in a body": _body(b"\0"),
    "fields": lambda n: header(b"X: y" + numbered(b"\nX-%d: y", n)),
    "one field": lambda n: header(b"X: y" + repeated(b"\nReceived: y", n)),
    "small fields": lambda n: header(b"X: y" + repeated(b"\na:", n)),
    "Subjects": lambda n: header(b"X: y" + repeated(b"\nSubject: y", n)),
    "Message-IDs": lambda n: header(b"X: y" + repeated(b"\nMessage-ID: <y>", n)),
    "no fields": lambda n: b"From: a@b\n" + repeated(b"nothing\n", n),
    "name of blanks": lambda n: b"From: a@b\nX" + b" " * n + b": y\n\nx\n",
    "long name": lambda n: b"From: a@b\n" + b"x" * n + b": y\n\nx\n",
    "no header's end": lambda n: b"From: a@b\n" + repeated(b"A: b\n", n),
    "results of comments": _value(b"a; (", b"Authentication-Results"),
    "results": _value(b"a;a=b;", b"Authentication-Results"),
    # Bodies.
    "newlines": _body(b"\n"),
    "newlines in front": lambda n: b"\n" * n + header(b"X: y"),
    "short lines": _body(b"x\n"),
    "lines": _body(b"text of a line\n"),
    "paragraphs": _body(b"x\n\n"),
    "one line of words": _body(b"some words "),
    "one line": _body(b"x"),
    "lines that try again": _body(b"a" * 16 + b"!\n"),
    "quotes of quotes": _body(b">"),
    "quoted lines": _body(b">\n"),
    "From_": _body(b"From x\n"),
    ">From_": _body(b">From x\n"),
    "mails": _body(b"\n" + POSTMARK),
    "mails with fields": _body(b"\n" + POSTMARK + b"A: b\nC: d\n"),
    "mails of known fields": _body(b"\n" + POSTMARK + b"Subject: b\nTo: d\n\nx\n"),
    "From_ without date": _body(b"\nFrom x y\n"),
    "From_ without lines": _body(b"\n\nFrom x"),
    "digest": _body(b"\nSubject: a\n"),
    "digest of mails": _body(b"\nSubject: a\nTo: b\n\nx\n"),
    "known fields": _body(b"Subject: a\n"),
    "known fields with folds": lambda n: text(b"\nSubject: a\n" + repeated(b" a\n", n)),
    "From_ with >From_": lambda n: text(b"\n" + POSTMARK + repeated(b">From x\n", n)),
    "BABYL": lambda n: text(repeated(b"\x1f\x0c\n1,,\nFrom: a\n\n*** EOOH ***\nFrom: a\n\nx\n", n)),
    "BABYL of known fields": lambda n: text(_BABYL + repeated(b"Subject: a\n", n)),
    "BABYL marks": _body(b"\x1f\n"),
    "BABYL beginnings": _body(b"\x1f\x0c"),
    # MIME.
    "parts": lambda n: multipart(repeated(b"--b\n\nx\n", n)),
    "typed parts": lambda n: multipart(repeated(b"--b\nContent-Type: text/html\n\nx\n", n)),
    "named parts": lambda n: multipart(repeated(b"--b\nContent-Disposition: x; filename=a\n\nx\n", n)),
    "parts of one line": lambda n: multipart(repeated(b"--b\n", n)),
    "nested parts": _nested,
    "tower of parts": _tower,
    "nested digests": _alternating,
    "prefixes of a boundary": lambda n: multipart(numbered(b"--b%d\n\nx\n", n), b"b"),
    "long boundary": lambda n: multipart(b"--" + b"b" * n + b"\n\nx\n", b"b" * n),
    "boundary without end": lambda n: multipart(b"--" + b"b" * n),
    "dashes": lambda n: multipart(repeated(b"--\n", n)),
    "messages": lambda n: (
        b"From: a@b\n" + MIME + b"message/rfc822\n\n" + repeated(MIME + b"message/rfc822\n\n", n) + b"x\n"
    ),
    "parts of messages": lambda n: multipart(repeated(b"--b\nContent-Type: message/rfc822\n\nA: b\n\nx\n", n)),
    "parameters": lambda n: header(MIME + b"text/plain" + repeated(b"; a=b", n)),
    "parameters without value": lambda n: header(MIME + b"text/plain" + repeated(b";", n)),
    "quoted parameter": lambda n: header(MIME + b'text/plain; name="' + repeated(b'\\"', n)),
    "equals of a parameter": lambda n: header(MIME + b"text/plain; " + repeated(b"=", n)),
    "continuations": lambda n: header(MIME + b"text/plain" + numbered(b";\n name*%d=a", n)),
    "continuations in reverse": lambda n: header(MIME + b"text/plain" + numbered_down(b";\n name*%d*=%%61", n)),
    "extended parameter": lambda n: header(MIME + b"text/plain; name*=utf-8''" + repeated(b"%41", n)),
    "base64": _body(b"QUJD\n", b"base64"),
    "base64 with junk": _body(b"=A-=", b"base64"),
    "base64 of pads": _body(b"=", b"base64"),
    "base64 of nothing": _body(b"-", b"base64"),
    "soft line breaks": _body(b"=\n", b"quoted-printable"),
    "quoted-printable": _body(b"=41", b"quoted-printable"),
    "quoted-printable of blanks": _body(b" ", b"quoted-printable"),
    "quoted-printable without digits": _body(b"=", b"quoted-printable"),
    "HTML": lambda n: html(repeated(b"<p>x</p>\n", n)),
    "HTML of beginnings": lambda n: html(repeated(b"<a ", n)),
    "HTML of quotes": lambda n: html(b"<a " + repeated(b"\"'", n) + b">"),
    "HTML of comments": lambda n: html(repeated(b"<!--", n)),
    "HTML of scripts": lambda n: html(repeated(b"<script>", n)),
    "HTML of links": lambda n: html(numbered(b"<a href=%d>", n)),
    "HTML of references": lambda n: html(repeated(b"&#99999;&a", n)),
    "HTML of angles": lambda n: html(repeated(b"<", n)),
    "multiparts without boundary": lambda n: multipart(repeated(b"--b\nContent-Type: multipart/mixed\n\n--c\n", n)),
    "utf-7": _body(b"+AA", charset=b"utf-7"),
    "utf-16": _body(b"\xd8\x00", charset=b"utf-16-be"),
    "iso-2022-jp": _body(b"\x1b$B\xff", charset=b"iso-2022-jp"),
    "hz": _body(b"~{~", charset=b"hz"),
    "gb18030": _body(b"\x81\x30", charset=b"gb18030"),
    "no UTF-8": _body(b"\xff"),
    "Latin-1": _body(b"\xe9", charset=b"iso-8859-1"),
    "delivery status": lambda n: (
        b"From: a@b\n"
        + MIME
        + b"message/delivery-status\n\nA: b\n"
        + repeated(b"\nFinal-Recipient: rfc822; a@b\nAction: failed\n", n)
    ),
    "log": lambda n: repeated(b"From a\n Subject: b\n  Folder: c\t\t\t10\n", n),
    "log of names": lambda n: numbered(b"  Folder: c%d\t\t\t10\n", n),
    "log of messages": lambda n: numbered(b"procmail: no %d\n", n),
}

RULES = {path.name: path for path in sorted((Path(__file__).parent / "cases" / "hostile").iterdir())}
"""Filter files and rcfiles, each a job."""

TOOLS: dict[str, tuple[str, ...]] = {
    "formail": ("formail",),
    "formail -r": ("formail", "-r"),
    "formail -rtk": ("formail", "-rtk"),
    "formail -rkb -p": ("formail", "-rkb", "-p", "> "),
    "formail -x": ("formail", "-x", "To:", "-x", "Subject"),
    "formail -zx": ("formail", "-zx", "Subject:", "-kX", ""),
    "formail -X": ("formail", "-X", ""),
    "formail -i -I -a -A": (
        "formail", "-i", "To: q", "-I", "Subject: z", "-a", "X-A: 1", "-A", "X-B: 1", "-a", "Message-ID:",
    ),
    "formail -u -U": ("formail", "-u", "X-", "-U", "Received:", "-u", ""),
    "formail -cz": ("formail", "-cz"),
    "formail -f": ("formail", "-f"),
    "formail -R": ("formail", "-R", "X-", "Y-", "-R", "Received:", "Old-Received:", "-R", "From ", "X-From:"),
    "formail -l": ("formail", "-l", "folder"),
    "formail -D": ("formail", "-D", "8192", "cache"),
    "formail -rD": ("formail", "-rD", "8192", "cache"),
    "formail -s": ("formail", "+1", "-s"),
    "formail -Ys": ("formail", "-Y", "-s"),
    "formail -ds": ("formail", "-d", "-s"),
    "formail -es": ("formail", "-e", "-s"),
    "formail -des": ("formail", "-d", "-e", "-s"),
    "formail -dems": ("formail", "-d", "-e", "-m", "1000", "-s"),
    "formail -Bs": ("formail", "-B", "-s"),
    "formail -Bems": ("formail", "-B", "-m", "1000000", "-s"),
    "formail -Ds": ("formail", "-D", "8192", "cache", "-s"),
    "reformail": ("reformail", "-a", "X: 1", "-A", "Y: 2", "-i", "Subject: q", "-I", "To: z", "-R", "Received:", "R:"),
    "reformail -c": ("reformail", "-c", "-d1", "-u", "Received:", "-U", "To:"),
    "reformail -f1": ("reformail", "-f1"),
    "reformail -f0": ("reformail", "-f0"),
    "reformail -x": ("reformail", "-x", "To:", "-X", "Subject:"),
    "reformail -D": ("reformail", "-D", "8192", "recache"),
    "reformime": ("reformime",),
    "reformime -i": ("reformime", "-i"),
    "reformime -r7": ("reformime", "-r7"),
    "reformime -r8": ("reformime", "-r8"),
    "reformime -u": ("reformime", "-u"),
    "reformime -e": ("reformime", "-s", "1,1.1,1.2", "-e"),
    "reformime -x": ("reformime", "-xfile-"),
    "reformime -d": ("reformime", "-d"),
    "mailbot": ("mailbot", "-t", "answer", "-n", "-A", "From: x@y"),
    "mailbot replyall": ("mailbot", "-t", "answer", "-n", "-T", "replyall", "-S", "%F wrote %d %S", "-r", "q@r,a@b"),
    "mailbot feedback": ("mailbot", "-t", "answer", "-n", "-T", "replyfeedback", "-a"),
    "mailbot forward": ("mailbot", "-t", "answer", "-n", "-T", "forward"),
    "mailbot forwardatt": ("mailbot", "-m", "answer", "-n", "-T", "forwardatt", "-N"),
    "mailbot draft": ("mailbot", "-T", "replydraft", "-l", "drafts", "-n"),
    "mailbot dsn": ("mailbot", "-t", "answer", "-n", "-T", "replydsn", "-M", "a@b"),
    "makemime": ("makemime", "-c", "auto", "-e", "quoted-printable", "-"),
    "makemime auto": ("makemime", "-c", "auto", "-"),
    "makemime -j": ("makemime", "-j", "(", "-m", "(", "-c", "-", ")", ")", "answer"),
    "makemime -j of a mail": ("makemime", "-j", "-", "answer"),
    "deliverquota": ("deliverquota", "maildir"),
    "duplicate": ("pyprocmail", "duplicate", "--cache", "recache"),
    "vacation": ("pyprocmail", "vacation", "-t", "answer", "-n", "-a", "a@b,q@r"),
    "mime list": ("pyprocmail", "mime", "list"),
    "mime strip": ("pyprocmail", "mime", "strip"),
    "mime footer": ("pyprocmail", "mime", "footer", "--text", "answer"),
    "mime compress": ("pyprocmail", "mime", "compress"),
    "mailstat": ("mailstat", "-l", "-"),
    "mailstat -m": ("mailstat", "-m"),
    "maildrop -A": ("maildrop", "-A", "X: y", "maildrop-header"),
    "pyprocmail --mbox": ("pyprocmail", "--mbox", "DEFAULT=all", "/dev/null"),
}  # fmt: skip
JOBS = (*TOOLS, *RULES)
PREPARED: dict[str, tuple[str, ...]] = {
    "formail -D kept": ("formail", "-D", "8192", "kept"),
    "reformail -D huge": ("reformail", "-D", "2000000", "huge"),
}
"""Jobs that need a file."""


class Cost:
    """What a run took: processor time in seconds, memory in bytes, and its exit status."""

    def __init__(self, seconds: float, memory: int, status: int) -> None:
        self.seconds = seconds
        self.memory = memory
        self.status = status


def prepare(folder: Path) -> None:
    """Put what the jobs need into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    (folder / "answer").write_text("Content-Type: text/plain\n\nanswer\n")
    (folder / "drafts" / "cur").mkdir(parents=True, exist_ok=True)
    (folder / "drafts" / "cur" / "1:2,S").write_text("Content-Type: text/plain\n\nanswer\n")
    (folder / "patterns").write_text("spam\n(?=x)y\nq.*r\n")
    (folder / "maildrop-header").write_text('to "./mbox"\n')
    for name, path in RULES.items():
        (folder / name).write_bytes(path.read_bytes())
        (folder / name).chmod(0o600)
    (folder / "maildrop-header").chmod(0o600)
    with contextlib.suppress(FileExistsError):
        for name in ("maildir", "maildir/new", "maildir/tmp", "maildir/cur", "mh"):
            (folder / name).mkdir()
    pcre.load()


def command(job: str) -> tuple[str, ...]:
    """The command line of a job; programs are called by a path, as a mail server does it."""
    if job.endswith(".mailfilter"):
        return ("/bin/maildrop", job)
    if job in RULES:
        return ("/bin/procmail", "-m", "MAILDIR=.", "DEFAULT=all", job)
    name, *words = TOOLS[job] if job in TOOLS else PREPARED[job]
    return ("/bin/" + name, *words)


def cost(job: str, mail: bytes, folder: Path) -> Cost:
    """Run a job on a mail, in the folder."""
    for name in ("mbox", "all", "cache", "recache", "log", "spam"):
        (folder / name).unlink(missing_ok=True)
    for name in ("maildir/new", "mh"):
        for path in (folder / name).iterdir():
            path.unlink()
    for path in folder.glob("file-*"):
        path.unlink()
    (folder / "mail").write_bytes(mail)
    pid = os.fork()
    if not pid:
        _run(command(job), folder)
    _, status, usage = os.wait4(pid, 0)
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, os.waitstatus_to_exitcode(status))


def _run(words: tuple[str, ...], folder: Path) -> None:
    """Be the program.  Does not return."""
    # The objects of the tests are not this program's: a collection of garbage would go through all of them.
    gc.freeze()
    try:
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S + 1))
        os.dup2(os.open("mail", os.O_RDONLY), 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
        os.environ.clear()
        os.environ.update(PATH="/bin:/usr/bin", HOME=str(folder), LOGNAME="root", LANG="C.UTF-8", SHELL="/bin/sh")
        os._exit(main.run([word.encode() for word in words]))
    except BaseException:  # noqa: BLE001  the child's own traceback, for whoever reads the file
        with open("said", "a", encoding="utf-8") as said:
            traceback.print_exc(file=said)
    finally:
        os._exit(BROKEN)
