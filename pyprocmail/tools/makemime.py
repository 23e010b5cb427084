"""makemime: make MIME sections from files, and multiparts from sections.  makemime(1)

For `( options )` in place of a file the reference starts processes with pipes between them.  Here one process does it
all: each section is a value.
"""

from __future__ import annotations

import errno
import os

from pyprocmail.delivery import storage
from pyprocmail.exits import MailTooLargeError
from pyprocmail.message import header, mime
from pyprocmail.message import transfer_encoding as transfer
from pyprocmail.numerals import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyprocmail.host import Host

    Write = Callable[[bytes], None]

_USAGE = b"""\
Usage: makemime -c [type] [-o file] [-e encoding] [-C charset] [-N name] [-a "Header: text"] file
       makemime -m [type] [-o file] [-e encoding] [-a "Header: text"] file
       makemime -j [-o file] multipart section
       makemime @file

    A file is a name, - for standard input, &n for descriptor n, or ( options ) for what these make.
    @file has one option or value a line.
"""
_CHUNK_BYTES = 1 << 20
_DEEPEST = 100
_BLANKS = b" \t"
_LASTING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EBADF, errno.ENAMETOOLONG, errno.EINVAL)


class UsageError(Exception):
    """The command line is invalid."""


class UnusableError(Exception):
    """An input file is not of the required kind; `text` is the message."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text


class Job:
    """One section to make: `kind` is c, m or j; a file is a name or another Job."""

    __slots__ = ("kind", "type", "encoding", "charset", "name", "fields", "output", "files")

    def __init__(self, kind: bytes) -> None:
        self.kind = kind
        self.type = {b"c": b"application/octet-stream", b"m": b"multipart/mixed"}.get(kind, b"")
        self.encoding = b""
        self.charset = b""
        self.name = b""
        self.fields: list[bytes] = []
        self.output = b""
        self.files: list[bytes | Job] = []


def run(host: Host, argv: Sequence[bytes], write: Write, note: Write) -> int:
    """Run makemime with `argv`; returns the exit status.

    Raises:
        OSError: a system call failed for a reason that may pass.
    """
    inputs = _Inputs(host)
    try:
        words = list(argv[1:])
        if len(words) == 1 and words[0].startswith(b"@"):
            words = inputs.options(words[0][1:])
        job = parse(words)
        _deliver(host, job.output, _Maker(host, inputs).make(job), write)
    except UsageError:
        note(_USAGE)
        # The reference exits with 0 here, so that a script would use the empty output as a section.
        return 1
    except UnusableError as error:
        note(error.text)
        return 1
    except OSError as error:
        if error.errno not in _LASTING:
            raise
        note(b"%b: %b\n" % (_place(error), os.strerror(error.errno).encode()))
        return 1
    return 0


def _place(error: OSError) -> bytes:
    return os.fsencode(error.filename) if isinstance(error.filename, str | bytes) else b"makemime"


def parse(words: Sequence[bytes]) -> Job:
    """The job that the words describe.

    Raises:
        UsageError: they are invalid.
    """
    job, end = _parse(words, 0, 0)
    if end != len(words):
        raise UsageError
    return job


def _parse(words: Sequence[bytes], at: int, depth: int) -> tuple[Job, int]:
    """The job that begins at word `at`, and the index of the word after it."""
    kind = words[at][1:2] if at < len(words) and words[at].startswith(b"-") else b""
    if kind not in (b"c", b"m", b"j") or not kind or depth > _DEEPEST:
        raise UsageError
    job = Job(kind)
    value = words[at][2:]
    at += 1
    if kind != b"j":
        if not value and at < len(words) and not words[at].startswith((b"-", b"(")):
            value, at = words[at], at + 1
        job.type = value or job.type
    elif value:
        raise UsageError
    wanted = 2 if kind == b"j" else 1
    while len(job.files) < wanted:
        if at >= len(words):
            raise UsageError
        at = _parse_word(job, words, at, depth)
    return job, at


def _parse_word(job: Job, words: Sequence[bytes], at: int, depth: int) -> int:
    """Read an option or a file of the job; returns the index of the word after it."""
    word = words[at]
    if word == b"(":
        inner, at = _parse(words, at + 1, depth + 1)
        if at >= len(words) or words[at] != b")" or inner.output:
            raise UsageError
        job.files.append(inner)
        return at + 1
    if not word.startswith(b"-") or word == b"-":
        job.files.append(word)
        return at + 1
    letter, value = word[1:2], word[2:]
    if letter not in (b"o", b"e", b"C", b"N", b"a"):
        raise UsageError
    if not value:
        at += 1
        if at >= len(words):
            raise UsageError
        value = words[at]
    if letter == b"o":
        job.output = value
    elif letter == b"e":
        job.encoding = value.lower()
        if job.encoding not in transfer.ENCODINGS:
            raise UsageError
    elif letter == b"C":
        job.charset = value.translate(None, b'"\\')
    elif letter == b"N":
        job.name = value
    else:
        job.fields.append(value)
    return at + 1


class _Inputs:
    """The inputs.  A descriptor is read only once; if it had options, its content begins after them."""

    __slots__ = ("_host", "_rests")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._rests: dict[int, bytes] = {}

    def options(self, name: bytes) -> list[bytes]:
        """The words in a file of options; after a line with a single `-` the descriptor's content follows."""
        data = self.content(name)
        words = []
        at = 0
        while at < len(data):
            end = data.find(b"\n", at)
            end = len(data) if end < 0 else end
            line = data[at:end].lstrip().rstrip(b"\r")
            at = end + 1
            if line == b"-":
                fd = _descriptor(name)
                if fd is not None:
                    self._rests[fd] = data[at:]
                break
            if line and not line.startswith(b"#"):
                words.append(line)
        return words

    def content(self, name: bytes) -> bytes:
        """The content of a file, given as a name, `-` or `&n`.

        Raises:
            MailTooLargeError: it does not fit into memory.
            OSError: it cannot be read.
        """
        fd = _descriptor(name)
        if fd is not None:
            if fd in self._rests:
                return self._rests.pop(fd)
            return self._read(fd, name)
        fd = self._host.open(name, os.O_RDONLY | os.O_CLOEXEC, 0)
        try:
            return self._read(fd, name)
        finally:
            self._host.close(fd)

    def _read(self, fd: int, name: bytes) -> bytes:
        limit = left = self._host.largest_mail()
        pieces = []
        try:
            while piece := self._host.read(fd, _CHUNK_BYTES):
                left -= len(piece)
                if left < 0:
                    raise MailTooLargeError(limit)
                pieces.append(piece)
        except OSError as error:
            raise OSError(error.errno, error.strerror, name) from error
        return b"".join(pieces)


def _descriptor(name: bytes) -> int | None:
    """The descriptor that `-` or `&n` names; None for a file."""
    if name == b"-":
        return 0
    return whole(name[1:]) if name.startswith(b"&") else None


class _Maker:
    """Makes sections."""

    __slots__ = ("_host", "_inputs")

    def __init__(self, host: Host, inputs: _Inputs) -> None:
        self._host = host
        self._inputs = inputs

    def make(self, job: Job) -> bytes:
        """The section that the job describes."""
        files = [self.make(one) if isinstance(one, Job) else self._inputs.content(one) for one in job.files]
        if job.kind == b"j":
            return self._join(files[0], files[1])
        if job.kind == b"m":
            boundary = self._boundary(files)
            kind = b'%b; boundary="%b"' % (job.type, boundary)
            body = b"%b\n--%b\n%b\n--%b--\n" % (transfer.NOT_MIME, boundary, files[0], boundary)
            return _section(job.fields, kind, job.encoding or b"8bit", body)
        return _single(job, files[0])

    def _boundary(self, parts: Sequence[bytes]) -> bytes:
        """A boundary that does not occur in the parts."""
        number = 0
        while True:
            number += 1
            boundary = b"=_%d_%d_%d" % (number, int(self._host.time()), self._host.getpid())
            if not any(b"--" + boundary in part for part in parts):
                return boundary

    def _join(self, multipart: bytes, section: bytes) -> bytes:
        """-j: the multipart with one more section, and a new boundary.

        Other parameters of its Content-Type stay; the reference loses them.
        """
        if multipart[: multipart.find(b"\n") + 1].endswith(b"\r\n"):
            multipart = multipart.replace(b"\r\n", b"\n")
        (start, end), old = _boundary_of(multipart)
        new = self._boundary((multipart, section))
        out = bytearray(multipart[:start])
        out += transfer.with_boundary(multipart[start:end], new)
        body_start = multipart.find(b"\n\n", end)
        at = len(multipart) if body_start < 0 else body_start + 1
        out += multipart[end:at]
        mark = b"--" + old
        while at < len(multipart):
            stop = multipart.find(b"\n", at)
            stop = len(multipart) if stop < 0 else stop
            line = multipart[at:stop]
            if line.startswith(mark):
                rest = line[len(mark) :].rstrip(b" \t")
                if rest == b"--":
                    break
                if not rest:
                    line = b"--" + new
            out += line
            out += b"\n"
            at = stop + 1
        out += b"--%b\n%b\n--%b--\n" % (new, section, new)
        return bytes(out)


def _boundary_of(multipart: bytes) -> tuple[tuple[int, int], bytes]:
    """The offsets of a multipart's Content-Type field, and its boundary.

    Raises:
        UnusableError: there is no boundary.
    """
    end = 0 if multipart.startswith(b"\n") else multipart.find(b"\n\n")
    head = multipart if end < 0 else multipart[:end]
    for start, end, value in header.named(head, (b"content-type",)):
        boundary = mime.parameter(mime.unfolded(value), b"boundary")
        if boundary:
            return (start, end), boundary
    raise UnusableError(b"makemime: the first file is not a multipart: it has no boundary\n")


def _single(job: Job, data: bytes) -> bytes:
    """-c: a file as a section."""
    kind, charset = job.type, job.charset
    if kind == b"auto" and not job.encoding:
        kind = b"text/plain"
        if transfer.is_binary(data):
            kind, charset = b"application/octet-stream", b""
    encoding = job.encoding or transfer.best_encoding(data)
    if charset:
        kind += b'; charset="%b"' % charset
    if job.name:
        kind += b";" + transfer.parameter(b"name", job.name, job.charset or b"utf-8")
    return _section(job.fields, kind, encoding, transfer.encoded(data, encoding))


def _section(fields: Sequence[bytes], kind: bytes, encoding: bytes, body: bytes) -> bytes:
    head = (*fields, b"Content-Type: " + kind, b"Content-Transfer-Encoding: " + encoding, b"", b"")
    return b"\n".join(head) + body


def _deliver(host: Host, output: bytes, section: bytes, write: Write) -> None:
    """Write the section to the output; a file is on disk when this returns."""
    if not output or output == b"-":
        write(section)
        return
    fd = _descriptor(output)
    try:
        if fd is not None:
            storage.write_all(host, fd, [section])
            return
        fd = host.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise OSError(error.errno, error.strerror, output) from error
    try:
        storage.write_all(host, fd, [section])
        storage.sync(host, fd)
    except BaseException:
        storage.close(host, fd)
        raise
    host.close(fd)
