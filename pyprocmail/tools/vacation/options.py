"""The command line of vacation."""

from __future__ import annotations

from pyprocmail.message import address
from pyprocmail.numerals import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DAYS = 7
_MOST_DAYS = 3650
_WITH_VALUE = {
    b"-a": b"--address", b"-c": b"--cache", b"-d": b"--days", b"-f": b"--from", b"-s": b"--subject", b"-t": b"--text",
}  # fmt: skip
_NAMING = (b"--text", b"--address", b"--from", b"--cache")
"""The options that name a file or an address, which must not be empty."""
USAGE = b"""\
Usage: pyprocmail vacation --text FILE [--address ADDRESS] [options] [-- program [argument ...]]

    -t, --text FILE        the text of the answer, in UTF-8
    -a, --address ADDRESS  an address of mine: only mail to one of them is answered
    -f, --from ADDRESS     the From address of the answer
    -s, --subject TEXT     the subject, instead of Auto: and that of the mail
    -d, --days N           answer the same sender only after so many days: 7
    -c, --cache FILE       the file of answered senders: ~/.vacation.cache
    --sender ADDRESS       the envelope sender, instead of that of the From_ line
    --handle NAME          answers with one name count as one, whatever their text
    -n, --show             write the answer, or why there is none; send and remember nothing
"""


class UsageError(Exception):
    """The command line is invalid."""


class Options:
    """The command line; `addresses` are in lower case, `sender` is None if it is not given."""

    __slots__ = ("text", "addresses", "origin", "subject", "days", "cache", "sender", "handle", "show", "program")

    def __init__(self) -> None:
        self.text = b""
        self.addresses: list[bytes] = []
        self.origin = b""
        self.subject = b""
        self.days = _DAYS
        self.cache = b""
        self.sender: bytes | None = None
        self.handle = b""
        self.show = False
        self.program: list[bytes] = []


def parse_options(words: Sequence[bytes]) -> Options:
    """Read the command line.

    Raises:
        UsageError: it is invalid.
    """
    options = Options()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == b"--":
            options.program = rest
            break
        if word in (b"-n", b"--show"):
            options.show = True
            continue
        name, mark, value = word.partition(b"=") if word.startswith(b"--") else (word, b"", b"")
        name = _WITH_VALUE.get(name, name)
        if not mark:
            if not rest:
                raise UsageError
            value = rest.pop(0)
        if not value and name in _NAMING:
            raise UsageError
        _set(options, name, value)
    if not options.text:
        raise UsageError
    return options


def _set(options: Options, name: bytes, value: bytes) -> None:
    if name == b"--text":
        options.text = value
    elif name == b"--address":
        options.addresses += [one.text.lower() for one in address.parse(value) if one.text]
        options.origin = options.origin or value
    elif name == b"--from":
        options.origin = value
    elif name == b"--subject":
        options.subject = value
    elif name == b"--cache":
        options.cache = value
    elif name == b"--sender":
        options.sender = value
    elif name == b"--handle":
        options.handle = value
    elif name == b"--days":
        days = whole(value)
        if days is None or not 0 < days <= _MOST_DAYS:
            raise UsageError
        options.days = days
    else:
        raise UsageError


def program_of(options: Options, environ: Mapping[bytes, bytes], sender: bytes) -> list[bytes]:
    """The command that sends the answer, from the null sender, so that no program answers it.  RFC 3834, 3.3"""
    if options.program:
        return [*options.program]
    words = environ.get(b"SENDMAIL", b"").split() or [b"/usr/sbin/sendmail"]
    return [*words, b"-oi", b"-f", b"<>", b"--", sender]
