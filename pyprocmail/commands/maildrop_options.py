"""maildrop's command line.  maildrop(1), "Options"."""

from __future__ import annotations

from pyprocmail.numerals import as_int, integer_at

USAGE = b"""\
Usage: maildrop [options] [filter file] [arguments]
  -A "header: value"  add a header in front of the message
  -d user             deliver for this user
  -f address          the envelope sender
  -m                  embedded mode: the filter file may not deliver
  -M name             embedded mode with ~/.mailfilters/name
  -V level            say what is done, 1 to 9
  -w percent          store a warning in a maildir that is this full
  -W file             the text of that warning
  -v                  the version
  -h                  this text
As `pyprocmail maildrop`, before the others:
  --mbox, --single    standard input is a mailbox, or one message
  --sync-each         with a mailbox: have each message on disk before the next is read
"""


class Options:
    """The command line."""

    __slots__ = (
        "action", "headers", "user", "sender", "embedded", "embedded_name", "verbose", "warn_percent", "warning",
        "operands", "wrong",
    )  # fmt: skip

    def __init__(self) -> None:
        self.action = ""
        self.headers: list[bytes] = []
        self.user: bytes | None = None
        self.sender = b""
        self.embedded = False
        self.embedded_name: bytes | None = None
        self.verbose = 0
        self.warn_percent = 0
        self.warning = b"/etc/quotawarnmsg"
        self.operands: list[bytes] = []
        self.wrong = False

    @property
    def delivery(self) -> bool:
        """Whether the filter files in a user's home are used, and not a file named on the command line."""
        return self.user is not None or self.embedded_name is not None or not (self.operands or self.embedded)

    @property
    def file(self) -> bytes:
        """The filter file named on the command line; empty if none is."""
        return b"" if self.delivery or not self.operands else self.operands[0]

    @property
    def arguments(self) -> list[bytes]:
        """The values of $1, $2 and so on."""
        return self.operands if self.delivery else self.operands[1:]


def parse(words: list[bytes]) -> Options:
    """Read the command line; the options end at the first word that is not an option."""
    options = Options()
    rest = list(words)
    while rest and rest[0].startswith(b"-") and len(rest[0]) > 1:
        word = rest.pop(0)
        if word == b"--":
            break
        letter, value = word[1:2], word[2:]
        if letter == b"m":
            options.embedded = True
            if value:
                rest.insert(0, b"-" + value)
            continue
        if letter in (b"h", b"v"):
            options.action = options.action or letter.decode("ascii")
            continue
        if letter == b"a":
            continue
        if letter not in (b"A", b"d", b"f", b"M", b"V", b"w", b"W"):
            options.wrong = True
            break
        if not value:
            value = rest.pop(0) if rest else b""
        _set(options, letter, value)
    options.operands = rest
    return options


def _set(options: Options, letter: bytes, value: bytes) -> None:
    if letter == b"A":
        options.headers.append(value)
    elif letter == b"d":
        options.user = value or None
    elif letter == b"f":
        options.sender = value
    elif letter == b"M":
        options.embedded = True
        options.embedded_name = value
    elif letter == b"V":
        options.verbose = max(as_int(integer_at(value)[0]), 0)
    elif letter == b"w":
        options.warn_percent = as_int(integer_at(value)[0])
    else:
        options.warning = value
