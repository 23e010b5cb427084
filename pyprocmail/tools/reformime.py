"""reformime: the sections of a MIME message.  reformime(1)

Lists, extracts and decodes sections, decodes header text, and reads delivery reports.  `reformime_rewrite` changes and
creates messages.
"""

from __future__ import annotations

import os

from pyprocmail import __version__
from pyprocmail.exits import EX_TEMPFAIL
from pyprocmail.message import charsets, header, mime, word_encoding
from pyprocmail.tools import reformime_rewrite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pyprocmail.host import Host

    Write = Callable[[bytes], None]

_USAGE = b"""\
Usage: reformime [options]
    -i             - list the sections of the message on standard input
    -s section     - only this section, or these, with commas between them
    -e             - with -s, write the section without its transfer encoding
    -x[prefix]     - write each section with a file name to prefix + name
    -X prog args   - give each section to a program
    -d             - the addresses in a delivery report, each with what became of it
    -D             - the same with the original addresses
    -u             - the lines that maildrop searches
    -r[7 | 8]      - write the message with all MIME headers, in 7bit or 8bit
    -m             - make a digest of the messages in files, whose names are read
    -c charset     - the character set, before -h, -H, -o, -O, or with -r
    -h text        - decode the text of a header
    -H text        - decode a list of addresses
    -o text        - encode the text of a header
    -O text        - encode a list of addresses
    -V             - the version
"""
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+@")
_LISTED = (b"content-id", b"content-description", b"content-language", b"content-md5")
_FAILED = 20
_LONGEST_NAME = 200
"""How many bytes of a file's name are used, the last ones; file systems allow 255."""

_ACTIONS = (b"V", b"h", b"H", b"o", b"O", b"u", b"d", b"D", b"m")
_WITH_VALUE = (b"s", b"h", b"H", b"o", b"O", b"c", b"X")
_LETTERS = (*_ACTIONS, *_WITH_VALUE, b"i", b"e", b"x", b"r")
_HEX = b"0123456789ABCDEFabcdef"


class Options:
    """The command line: one of the letters `action`, or a list of sections."""

    __slots__ = ("action", "text", "charset", "sections", "info", "extract", "prefix", "program")

    def __init__(self) -> None:
        self.action = b""
        self.text = b""
        self.charset = b""
        self.sections: list[bytes] = []
        self.info = False
        self.extract = False
        self.prefix: bytes | None = None
        self.program: list[bytes] = []


def parse_options(words: Sequence[bytes]) -> Options | None:
    """Read the command line; None if it is invalid."""
    options = Options()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        letter, value = word[1:2], word[2:]
        if not word.startswith(b"-") or letter not in _LETTERS:
            return None
        if letter in _WITH_VALUE and not value:
            if not rest:
                return None
            value = rest.pop(0)
        if letter in _ACTIONS:
            options.action, options.text = letter, value
            return options
        options.info |= letter == b"i"
        options.extract |= letter == b"e"
        if letter == b"s":
            options.sections = value.split(b",")
        elif letter == b"c":
            options.charset = value
        elif letter == b"r":
            options.action, options.text = letter, value
        elif letter == b"x":
            options.prefix = value
        elif letter == b"X":
            options.program, rest = [value, *rest], []
    return options


def run(
    host: Host,
    argv: Sequence[bytes],
    environ: Mapping[bytes, bytes],
    read: Callable[[], bytes],
    write: Write,
    note: Write,
) -> int:
    """Run reformime with `argv` on the message that `read` returns; returns the exit status.

    Raises:
        OSError: a system call failed for a reason that may pass.
    """
    options = parse_options(argv[1:])
    if options is None:
        note(_USAGE)
        return 1
    action, text = options.action, options.text
    if action == b"V":
        write(b"pyprocmail %b, a drop-in for reformime 2.9.3\n" % __version__.encode())
    elif action in (b"h", b"H"):
        decoded = mime.words(text) if action == b"h" else mime.addresses(text)
        write(_in_charset(decoded, options.charset or b"utf-8") + b"\n")
    elif action in (b"o", b"O"):
        return _encode(options, environ, write, note)
    elif action == b"u":
        write(mime.View(read()).text(mime.HEADER | mime.BODY))
    elif action == b"r":
        write(reformime_rewrite.rewrite(host, read(), text[:1], options.charset or charsets.of_locale(environ)))
    elif action == b"m":
        return _digest(host, read(), write, note)
    elif action:
        return _report(read(), write, original=action == b"D")
    else:
        return _list(host, options, environ, read(), write, note)
    return 0


def _encode(options: Options, environ: Mapping[bytes, bytes], write: Write, note: Write) -> int:
    """-o and -O: header text, in the character set of the command line."""
    name = options.charset or charsets.of_locale(environ)
    if name == b"US-ASCII":
        name = b"UTF-8"  # other letters than those of ASCII must be written as well
    codec = charsets.find(name.decode("latin-1"))
    if codec is None:
        note(b"Unknown charset: %b\n" % name)
        return 1
    text = options.text.decode(codec, "replace")
    # The output has this name; Python may know the character set by another.
    charset = word_encoding.Charset(name, codec)
    if options.action == b"o":
        write(word_encoding.encode(text, charset) + b"\n")
    else:
        write(word_encoding.encode_addresses(text.encode(), charset) + b"\n")
    return 0


def _digest(host: Host, names: bytes, write: Write, note: Write) -> int:
    """-m: a digest of the messages in the files; without files, nothing."""
    if not names:
        return 0
    messages = []
    for name in header.lines(names.removesuffix(b"\n")):
        try:
            messages.append(host.read_file(name, host.largest_mail()))
        except FileNotFoundError as error:
            note(b"%b: %b\n" % (name, (error.strerror or "cannot be read").encode()))
            return 1
    write(reformime_rewrite.digest(host, messages))
    return 0


def _in_charset(text: bytes, charset: bytes) -> bytes:
    codec = charsets.find(charset.decode("latin-1"))
    return text if codec is None else text.decode().encode(codec, "replace")


def _list(host: Host, options: Options, environ: Mapping[bytes, bytes], data: bytes, write: Write, note: Write) -> int:
    """-i, -e, -x, -X, or only the section numbers."""
    found = list(sections(mime.parse(data)))
    chosen = options.sections
    if not (options.extract or options.info or options.program or options.prefix is not None):
        chosen = []
    missing: list[bytes] = []
    taken: dict[bytes, int] = {}
    if chosen:
        by_number = {_number(part): part for part in found}
        missing = [number for number in chosen if number not in by_number]
        found = [by_number[number] for number in chosen if number in by_number]
    for part in found:
        if options.prefix is not None:
            _write_file(host, data, part, options.prefix, taken)
        elif options.program:
            status = _give(host, options.program, environ, data, part, note)
            if status:
                return _FAILED + status
        elif options.extract:
            write(mime.body(data, part))
        elif options.info:
            write(_described(data, part) + (b"" if chosen else b"\n"))
        else:
            write(_number(part) + b"\n")
    if missing:
        note(b"reformime: MIME section %b not found.\n" % missing[0])
        return 1
    return 0


def _give(
    host: Host, program: Sequence[bytes], environ: Mapping[bytes, bytes], data: bytes, part: mime.Part, note: Write
) -> int:
    """-X: give the section to a program; returns its exit status."""
    name = file_name(part).replace(b"\0", b"")
    variables = {**environ, b"CONTENT_TYPE": mime.content_type(part) or b"text/plain", b"FILENAME": name}
    stdin, feed = host.pipe()
    try:
        pid = host.spawn(program, variables, stdin=stdin, stdout=1, stderr=2)
    except OSError as error:
        note(b"reformime: %b: %b\n" % (program[0], (error.strerror or "cannot be started").encode()))
        host.close(feed)
        return EX_TEMPFAIL
    finally:
        host.close(stdin)
    try:
        rest = memoryview(mime.body(data, part))
        while rest:
            rest = rest[host.write(feed, rest) :]
    except BrokenPipeError:
        pass  # its exit status tells whether it accepted the section
    finally:
        host.close(feed)
    status = host.wait(pid, None)
    return 1 if status is None or status < 0 else status


def _report(data: bytes, write: Write, *, original: bool) -> int:
    """-d and -D: the result for each address in a delivery report; 1 if it is not a report.  RFC 3464."""
    parts = sections(mime.parse(data))
    part = next((one for one in parts if mime.content_type(one) == b"message/delivery-status"), None)
    if part is None:
        return 1
    text = mime.body(data, part).replace(b"\r\n", b"\n")
    # The first block is about the message.
    for block in text.lstrip(b"\n").split(b"\n\n")[1:]:
        fields = {}
        for field in block.strip(b"\n").replace(b"\n ", b" ").replace(b"\n\t", b" ").split(b"\n"):
            name, _, value = field.partition(b":")
            fields[name.lower()] = value.strip()
        recipient = fields.get(b"final-recipient", b"")
        if original:
            recipient = fields.get(b"original-recipient", recipient)
        kind, _, address = recipient.partition(b";")
        action = fields.get(b"action", b"").lower()
        if kind.strip().lower() == b"rfc822" and action:
            write(b"%b %b\n" % (action, address.strip()))
    return 0


def sections(part: mime.Part) -> Iterator[mime.Part]:
    """The part and all parts in it, in order; the message in a message/rfc822 is a separate section."""
    yield part
    for child in part.children:
        yield from sections(child)


def _number(part: mime.Part) -> bytes:
    return b".".join(b"%d" % number for number in part.number)


def _described(data: bytes, part: mime.Part) -> bytes:
    kind = part.value(b"content-type")
    disposition, *_ = part.value(b"content-disposition").partition(b";")
    pairs = [
        (b"section", _number(part)),
        (b"content-type", mime.content_type(part) or b"text/plain"),
        (b"content-name", mime.parameter(kind, b"name")),
        (b"content-transfer-encoding", part.value(b"content-transfer-encoding").lower() or b"8bit"),
        (b"charset", part.charset.encode("latin-1").replace(b"utf-8", b"UTF-8")),
        (b"content-disposition", disposition.strip().lower()),
        (b"content-disposition-filename", _named(part.value(b"content-disposition"), b"filename")),
        *((name, mime.words(part.value(name))) for name in _LISTED),
        (b"starting-pos", b"%d" % part.begin),
        (b"starting-pos-body", b"%d" % part.start),
        (b"ending-pos", b"%d" % part.end),
        (b"line-count", b"%d" % data.count(b"\n", part.begin, part.end)),
        (b"body-line-count", b"%d" % data.count(b"\n", part.start, part.end)),
    ]
    return b"".join(b"%b: %b\n" % pair for pair in pairs if pair[1])


def _named(value: bytes, name: bytes) -> bytes:
    """A parameter, which may be in the form of RFC 2231; returns UTF-8."""
    plain = mime.parameter(value, name)
    charset, mark, rest = mime.parameter(value, name + b"*").partition(b"'")
    if plain or not mark:
        return plain
    text = rest.partition(b"'")[2]
    raw = bytearray()
    at = 0
    while (percent := text.find(b"%", at)) >= 0:
        raw += text[at:percent]
        code = text[percent + 1 : percent + 3]
        hexadecimal = len(code) > 1 and code[0] in _HEX and code[1] in _HEX
        raw.append(int(code, 16) if hexadecimal else 0x25)
        at = percent + (3 if hexadecimal else 1)
    return mime.decoded(bytes(raw + text[at:]), charset.decode("latin-1"))


def file_name(part: mime.Part) -> bytes:
    """The file name of a section in the mail; empty if there is none."""
    disposition, kind = part.value(b"content-disposition"), part.value(b"content-type")
    return _named(disposition, b"filename") or _named(kind, b"name")


def _write_file(host: Host, data: bytes, part: mime.Part, prefix: bytes, taken: dict[bytes, int]) -> None:
    """-x: write a section that has a name, which a stranger chose: no folder, no hidden file, no file replaced."""
    name = file_name(part).replace(b"\\", b"/").rpartition(b"/")[2][-_LONGEST_NAME:]
    if not name or part.children:
        return
    safe = bytes(byte if byte in _SAFE else 0x5F for byte in name).lstrip(b".") or b"_"
    fd = _create(host, prefix, safe, taken)
    try:
        rest = memoryview(mime.body(data, part))
        while rest:
            rest = rest[host.write(fd, rest) :]
    finally:
        host.close(fd)


def _create(host: Host, prefix: bytes, name: bytes, taken: dict[bytes, int]) -> int:
    """Create a new file; a name that exists gets a number before it.  `taken`: the numbers that this run has used."""
    number = taken.get(name, -1) + 1
    while True:
        path = b"%b%d-%b" % (prefix, number, name) if number else prefix + name
        taken[name] = number
        try:
            return host.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            number += 1
