"""reformail: rewrite a header, print fields, split a mailbox, remember Message-IDs.  reformail(1)

A field is its unchanged bytes, folds included, without the last newline.  Names are compared up to their colon.
"""

from __future__ import annotations

import os

from pyprocmail.exits import EX_TEMPFAIL
from pyprocmail.host import LARGEST_FILE_BYTES
from pyprocmail.message import address, header
from pyprocmail.message.postmark import timestamp
from pyprocmail.numerals import bounded, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pyprocmail.host import Host

    Write = Callable[[bytes], None]

_BLANKS = b" \t"
_MISSING_SHELL = 1
_CACHE_MODE = 0o600


class UsageError(Exception):
    """The command line is invalid."""


class Options:
    """The command line.

    `line_end` is that of the output.  `postmark`: None keeps the From_ line, False turns it into Return-Path, True
    generates one.
    """

    __slots__ = (
        "add_if_missing", "add", "supersede", "replace", "rename", "keep_first", "keep_last", "unfold", "line_end",
        "postmark", "extract", "cache", "cache_bytes", "program",
    )  # fmt: skip

    def __init__(self) -> None:
        self.add_if_missing: list[bytes] = []
        self.add: list[bytes] = []
        self.supersede: list[bytes] = []
        self.replace: list[bytes] = []
        self.rename: list[tuple[bytes, bytes]] = []
        self.keep_first: list[bytes] = []
        self.keep_last: list[bytes] = []
        self.unfold = False
        self.line_end = b"\n"
        self.postmark: bool | None = None
        self.extract: list[tuple[bytes, bool]] = []
        self.cache: bytes | None = None
        self.cache_bytes = 0
        self.program: list[bytes] | None = None


def parse_options(words: Sequence[bytes]) -> Options:
    """Read the command line.

    Raises:
        UsageError: a word is not an option, or an option lacks its value.
    """
    options = Options()
    rest = list(words)
    while rest and rest[0].startswith(b"-") and len(rest[0]) > 1:
        word = rest.pop(0)
        if word == b"--":
            break
        letter, value = word[1:2], word[2:]
        if letter == b"c":
            options.unfold = True
        elif letter == b"d":
            options.line_end = b"\n" if value.startswith(b"0") else b"\r\n"
        elif letter == b"f":
            options.postmark = bool(value) and not value.startswith(b"0")
        elif letter == b"s":
            options.program = ([value] if value else []) + rest
            rest = []
            if not options.program:
                raise UsageError
        elif letter == b"D":
            options.cache_bytes = _number(value or _next(rest))
            options.cache = _next(rest)
        elif letter == b"R":
            old = value or _next(rest)
            options.rename.append((old, _next(rest)))
        else:
            _set(options, letter, value or _next(rest))
    return options


def _next(rest: list[bytes]) -> bytes:
    if not rest:
        raise UsageError
    return rest.pop(0)


def _number(text: bytes) -> int:
    return whole(text.strip()) or 0


def _set(options: Options, letter: bytes, value: bytes) -> None:
    lists = {
        b"a": options.add_if_missing,
        b"A": options.add,
        b"i": options.supersede,
        b"I": options.replace,
        b"u": options.keep_first,
        b"U": options.keep_last,
    }
    if letter in lists:
        lists[letter].append(value)
    elif letter in (b"x", b"X"):
        options.extract.append((value.lower(), letter == b"X"))
    else:
        raise UsageError


def run(
    host: Host, argv: Sequence[bytes], environ: Mapping[bytes, bytes], data: bytes, write: Write, note: Write
) -> int:
    """Run reformail with `argv` on the mail `data`; returns the exit status."""
    try:
        options = parse_options(argv[1:])
    except UsageError:
        note(b"reformail: Invalid arguments.\n")
        return 1
    if options.program is not None:
        return _split(host, options.program, environ, data, note)
    mail = Mail(data)
    if options.cache is not None:
        try:
            return 0 if _seen(host, options.cache, options.cache_bytes, mail) else 1
        except OSError as error:
            note(b"reformail: %b: %b\n" % (options.cache, (error.strerror or "cannot be used").encode()))
            return EX_TEMPFAIL
    if options.extract:
        _extract(mail, options.extract, write)
    else:
        _Rewriting(host, options, mail).run(write)
    return 0


class Mail:
    """A mail in reformail's form: lines end in LF, no empty lines come first, and a newline ends the mail."""

    __slots__ = ("postmark", "fields", "body", "empty")

    def __init__(self, data: bytes) -> None:
        data = data.replace(b"\r\n", b"\n").lstrip(b"\n")
        if data and not data.endswith(b"\n"):
            data += b"\n"
        head, _, self.body = data.partition(b"\n\n")
        self.empty = not data
        self.postmark = b""
        # A head that is a single newline has one empty field.
        self.fields = list(header.fields(head.removesuffix(b"\n"))) or [b""] * bool(head)
        if self.fields and self.fields[0].startswith(b"From "):
            self.postmark = self.fields.pop(0)

    def values(self, name: bytes) -> Iterator[bytes]:
        """The values of the fields with the lower-case `name`, which ends with a colon, each on one line."""
        for field in self.fields:
            if name_of(field) == name:
                yield unfolded(field[len(name) :]).lstrip(_BLANKS)


def name_of(field: bytes) -> bytes:
    """The lower-case name with its colon; the whole text if there is no colon."""
    name, colon, _ = field.partition(b":")
    return (name + colon).lower()


def unfolded(text: bytes) -> bytes:
    """The text on one line: a newline and the blanks after it become one blank."""
    if b"\n" not in text:
        return text
    out = bytearray()
    for number, line in enumerate(header.lines(text)):
        out += b" " + line.lstrip(_BLANKS) if number else line
    return bytes(out)


def _extract(mail: Mail, wanted: Sequence[tuple[bytes, bool]], write: Write) -> None:
    """-x and -X, in the order of the fields."""
    for field in mail.fields:
        name = name_of(field)
        for option, with_name in wanted:
            if option == name and name.endswith(b":"):
                value = unfolded(field)
                if with_name:
                    write(value + b"\n")
                else:
                    write(value[len(name) :].lstrip(_BLANKS) + b"\n")
                break


class _Rewriting:
    """Rewrites one mail to standard output."""

    __slots__ = ("host", "options", "mail")

    def __init__(self, host: Host, options: Options, mail: Mail) -> None:
        self.host = host
        self.options = options
        self.mail = mail

    def run(self, write: Write) -> None:
        """Write the mail with the changes of the options."""
        mail, options = self.mail, self.options
        if mail.empty:
            return
        end = options.line_end
        postmark, quote, unquote = mail.postmark, False, False
        fields = mail.fields
        returned = b""
        if options.postmark is True and not postmark:
            postmark = b"From %b %b" % (self._sender(), timestamp(self.host.localtime()))
            quote = True
        elif options.postmark is False and postmark:
            returned = b"Return-Path: <%b>" % (postmark.split() + [b"", b""])[1]
            fields = [field for field in fields if name_of(field) != b"return-path:"]
            postmark, unquote = b"", True
        fields = self._revised(fields)
        if returned:
            fields.append(returned)
        out = bytearray()
        for line in (postmark, *fields) if postmark else fields:
            out += unfolded(line) if options.unfold else line
            out += end
        write(bytes(out + end))
        self._write_body(write, end, quote=quote, unquote=unquote)

    def _write_body(self, write: Write, end: bytes, *, quote: bool, unquote: bool) -> None:
        body = self.mail.body
        if end == b"\n" and not quote and not unquote:
            write(body)
            return
        # The body ends with a newline.
        for line in header.lines(body[:-1]) if body else ():
            if line.lstrip(b">").startswith(b"From "):
                if quote:
                    line = b">" + line
                elif unquote:
                    line = line.removeprefix(b">")
            write(line + end)

    def _sender(self) -> bytes:
        """The address for a From_ line."""
        for name in (b"return-path:", b"errors-to:", b"from:"):
            for value in self.mail.values(name):
                return next((one.text for one in address.parse(value) if one.text), b"root")
        return b"root"

    def _revised(self, fields: list[bytes]) -> list[bytes]:
        options = self.options
        out: list[bytes] = []
        present = {name_of(field) for field in fields}
        superseded = {name_of(text) for text in options.supersede}
        replaced = {name_of(text) for text in options.replace}
        first = {name.lower() for name in options.keep_first}
        last = {name.lower() for name in options.keep_last}
        seen: set[bytes] = set()
        kept: dict[bytes, bytes] = {}
        for field in fields:
            for old, new in options.rename:
                if name_of(field) == old.lower() and old.endswith(b":"):
                    field = new + field[len(old) :]
            name = name_of(field)
            if name in replaced or (name in first and name in seen):
                continue
            seen.add(name)
            if name in last:
                kept.pop(name, None)
                kept[name] = field
            else:
                out.append(b"Old-" + field if name in superseded else field)
        out += [self._made(text) for text in options.add_if_missing if name_of(text) not in present]
        out += [self._made(text) for text in options.add]
        out += [text for text in (*options.supersede, *options.replace) if not text.endswith(b":")]
        return out + list(kept.values())

    def _made(self, text: bytes) -> bytes:
        """A field to add; an empty Message-ID gets a new id."""
        if text.lower() != b"message-id:":
            return text
        numbers = (int(self.host.time()), self.host.getpid())
        when, pid = (b"%016X" % number for number in numbers)
        return b"%b <%b.%b.reformail@%b>" % (text, when[::-1], pid[::-1], self.host.hostname())


# -- other work ----------------------------------------------------------------------------


def _seen(host: Host, path: bytes, limit: int, mail: Mail) -> bool:
    """-D: whether the Message-ID was in the cache; adds it.

    The file has NUL-terminated ids, the oldest first, and one more NUL.
    """
    key = next(mail.values(b"message-id:"), b"").rstrip()
    if not key:
        return False
    fd = host.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, _CACHE_MODE)
    try:
        host.lock_to_end(fd)
        keys = [old for old in host.read_whole(fd, LARGEST_FILE_BYTES).split(b"\0") if old]
        found = key in keys
        keys = [old for old in keys if old != key] + [key]
        content = b"".join(old + b"\0" for old in _newest(keys, limit)) + b"\0"
        host.lseek(fd, 0, os.SEEK_SET)
        while content:
            content = content[host.write(fd, content) :]
        host.ftruncate(fd, host.lseek(fd, 0, os.SEEK_CUR))
    finally:
        host.close(fd)
    return found


def _newest(keys: list[bytes], limit: int) -> list[bytes]:
    """The last keys that fit into a cache of less than `limit` bytes; the very last one in any case."""
    size = sum(len(key) + 1 for key in keys)
    first = 0
    while first < len(keys) - 1 and size >= limit:
        size -= len(keys[first]) + 1
        first += 1
    return keys[first:]


def _split(host: Host, program: Sequence[bytes], environ: Mapping[bytes, bytes], data: bytes, note: Write) -> int:
    """-s: start a program for each mail of a mailbox; stops when one fails."""
    number = environ.get(b"FILENO", b"000")
    for mail in mails(data):
        child = {**environ, b"FILENO": number}
        stdin, feed = host.pipe()
        try:
            pid = host.spawn(program, child, stdin=stdin, stdout=1, stderr=2)
        except OSError:
            note(b"reformail: exec() failed.\n")
            host.close(feed)
            return EX_TEMPFAIL
        finally:
            host.close(stdin)
        try:
            rest = memoryview(mail)
            while rest:
                rest = rest[host.write(feed, rest) :]
        except BrokenPipeError:
            pass  # a program that reads only the header has not failed
        finally:
            host.close(feed)
        if host.wait(pid, None):
            break
        number = next_number(number)
    return 0


def next_number(number: bytes) -> bytes:
    """The FILENO after `number`, with the same width; a text that is not a number is unchanged."""
    return b"%0*d" % (len(number), bounded(number) + 1) if number.isdigit() or not number else number


def mails(data: bytes) -> Iterator[bytes]:
    """The mails of a mailbox: each begins with a line that starts with `From `, and loses its last newline."""
    data = data.replace(b"\r\n", b"\n").lstrip(b"\n")
    start = 0
    while start < len(data):
        end = data.find(b"\nFrom ", start)
        end = len(data) if end < 0 else end + 1
        yield data[start:end].removesuffix(b"\n")
        start = end
