"""reformime: what a MIME message consists of.  reformime(1)

Listing sections, taking them out, decoding them and header text; rewriting and making messages is not done here.
"""

from __future__ import annotations

import os

from pyprocmail import __version__
from pyprocmail.message import mime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyprocmail.host import Host

    Write = Callable[[bytes], None]

_USAGE = b"""\
Usage: reformime [options]
    -i             - list the sections of the message on standard input
    -s section     - only this section
    -e             - with -s, write the section without its transfer encoding
    -x[prefix]     - write each section with a file name to prefix + name
    -u             - the lines that maildrop searches
    -h text        - decode the text of a header
    -H text        - decode a list of addresses
    -V             - the version
"""
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+@")


def run(host: Host, argv: Sequence[bytes], data: bytes, write: Write, note: Write) -> int:
    """Run reformime with `argv` on the message `data`; the exit status."""
    rest = list(argv[1:])
    info = extract = False
    section, prefix = b"", None
    while rest:
        word = rest.pop(0)
        letter, value = word[1:2], word[2:]
        if not word.startswith(b"-") or letter not in (b"i", b"s", b"e", b"x", b"u", b"h", b"H", b"V"):
            note(_USAGE)
            return 1
        if letter in (b"s", b"h", b"H") and not value:
            if not rest:
                note(_USAGE)
                return 1
            value = rest.pop(0)
        if letter == b"V":
            write(b"pyprocmail %b, a drop-in for reformime 2.9.3\n" % __version__.encode())
            return 0
        if letter in (b"h", b"H"):
            write((mime.words(value) if letter == b"h" else mime.addresses(value)) + b"\n")
            return 0
        if letter == b"u":
            write(mime.View(data).text(mime.HEADER | mime.BODY))
            return 0
        info |= letter == b"i"
        extract |= letter == b"e"
        if letter == b"s":
            section = value
        elif letter == b"x":
            prefix = value
    chosen = section if extract or info or prefix is not None else b""
    parts = [part for part in sections(mime.parse(data)) if chosen in (b"", _number(part))]
    if not parts:
        note(b"reformime: Cannot find section %b.\n" % section)
        return 1
    for part in parts:
        if prefix is not None:
            _write_file(host, data, part, prefix)
        elif extract:
            write(mime.body(data, part))
        elif info:
            write(_described(data, part))
        else:
            write(_number(part) + b"\n")
    return 0


def sections(part: mime.Part) -> Iterator[mime.Part]:
    """The part and all in it, in order; the message in a message/rfc822 is a section of its own."""
    yield part
    for child in part.children:
        yield from sections(child)


def _number(part: mime.Part) -> bytes:
    return b".".join(b"%d" % number for number in part.number)


def _described(data: bytes, part: mime.Part) -> bytes:
    kind = mime.content_type(part) or b"text/plain"
    name = file_name(part)
    lines = [
        b"section: " + _number(part),
        b"content-type: " + kind,
    ]
    if name:
        lines.append(b"content-name: " + name)
    lines += [
        b"content-transfer-encoding: " + (part.value(b"content-transfer-encoding").lower() or b"8bit"),
        b"charset: " + (mime.parameter(part.value(b"content-type"), b"charset") or b"UTF-8"),
        b"starting-pos: %d" % part.begin,
        b"starting-pos-body: %d" % part.start,
        b"ending-pos: %d" % part.end,
        b"line-count: %d" % data.count(b"\n", part.begin, part.end),
        b"body-line-count: %d" % data.count(b"\n", part.start, part.end),
    ]
    return b"\n".join(lines) + b"\n\n"


def file_name(part: mime.Part) -> bytes:
    """The name that the mail gives to a section; empty without."""
    disposition, kind = part.value(b"content-disposition"), part.value(b"content-type")
    return mime.parameter(disposition, b"filename") or mime.parameter(kind, b"name")


def _write_file(host: Host, data: bytes, part: mime.Part, prefix: bytes) -> None:
    """-x: a section that has a name.  The name comes from a stranger: no folders, no hidden files, nothing replaced."""
    name = file_name(part).replace(b"\\", b"/").rpartition(b"/")[2]
    if not name or part.children:
        return
    safe = bytes(byte if byte in _SAFE else 0x5F for byte in name).lstrip(b".") or b"_"
    fd = _create(host, prefix, safe)
    try:
        rest = memoryview(mime.body(data, part))
        while rest:
            rest = rest[host.write(fd, rest) :]
    finally:
        host.close(fd)


def _create(host: Host, prefix: bytes, name: bytes) -> int:
    """A new file; a number goes before a name that is taken."""
    path, number = prefix + name, 0
    while True:
        try:
            return host.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            number += 1
            path = b"%b%d-%b" % (prefix, number, name)
