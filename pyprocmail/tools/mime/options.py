"""The command line of `pyprocmail mime`."""

from __future__ import annotations

from fnmatch import fnmatchcase

from pyprocmail.exits import PyprocmailError
from pyprocmail.numerals import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE = b"""\
Usage: pyprocmail mime COMMAND [options] < mail

Shows, takes apart or changes a mail; every other byte stays unchanged.

  list                   a line for each part: number, type, size, name
  headers --decode       the header, decoded
  extract --dir DIR      write attachments to new files in DIR
  strip                  put a note in the place of attachments
  footer --text FILE     append a text to the readable parts; --html FILE for HTML
  compress, decompress   pack attachments as zip, and unpack them
  scan                   ask clamd: 0 clean, 1 infected, 75 unknown
  encrypt --to KEY, decrypt, sign, verify   with gpg

Which attachments: --type GLOB, --name GLOB, --larger BYTES.
pyprocmail-mime(1) has the rest: man pyprocmail-mime
"""

TEXT = {
    b"list": (),
    b"headers": (),
    b"extract": (b"dir",),
    b"strip": (b"note",),
    b"footer": (b"text", b"html"),
    b"compress": (),
    b"decompress": (b"limit",),
    b"scan": (b"socket", b"timeout"),
    b"encrypt": (b"to", b"home", b"key"),
    b"decrypt": (b"home",),
    b"sign": (b"home", b"key"),
    b"verify": (b"home",),
}
_FLAGS = {
    b"headers": (b"decode",),
    b"strip": (b"signed",),
    b"footer": (b"signed",),
    b"compress": (b"signed",),
    b"decompress": (b"signed",),
    b"scan": (b"mark",),
    b"encrypt": (b"always-trust", b"sign"),
    b"verify": (b"mark",),
}
_SELECTING = (b"extract", b"strip", b"compress", b"decompress", b"list")
_CHOICES = (b"type", b"name", b"larger")
_REPEATED = (b"to", b"type", b"name")


class UsageError(PyprocmailError):
    """The command line is invalid; `text` is the message for the user."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text


class Options:
    """A parsed command line: `texts` are the values of options by name, `flags` the options without a value."""

    __slots__ = ("texts", "flags")

    def __init__(self) -> None:
        self.texts: dict[bytes, list[bytes]] = {}
        self.flags: set[bytes] = set()

    def text(self, name: bytes, default: bytes = b"") -> bytes:
        """The last value given to the option."""
        return self.texts[name][-1] if name in self.texts else default

    def number(self, name: bytes, default: int) -> int:
        """The value of an option that is a number."""
        if name not in self.texts:
            return default
        found = whole(self.text(name))
        if found is None or found < 0:
            raise UsageError(b"--%b needs a number" % name)
        return found

    def chooses(self, kind: bytes, name: str, size: int) -> bool:
        """Whether the options select an attachment of this type, name and size."""
        types = self.texts.get(b"type")
        names = self.texts.get(b"name")
        if types and not any(fnmatchcase(_text(kind), _text(one.lower())) for one in types):
            return False
        if names and not any(fnmatchcase(name.lower(), one.decode("utf-8", "replace").lower()) for one in names):
            return False
        return size > self.number(b"larger", -1)


def _text(word: bytes) -> str:
    return word.decode("latin-1")


def read(command: bytes, words: Sequence[bytes]) -> Options:
    """The options of a command.

    Raises:
        UsageError: they are invalid.
    """
    found = Options()
    known = (*TEXT[command], *(_CHOICES if command in _SELECTING else ()))
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        name, equals, value = word[2:].partition(b"=")
        if not word.startswith(b"--"):
            raise UsageError(b"unexpected argument: %b" % word)
        if name in _FLAGS.get(command, ()) and not equals:
            found.flags.add(name)
        elif name in known:
            if not equals:
                if at >= len(words):
                    raise UsageError(b"--%b needs a value" % name)
                value = words[at]
                at += 1
            if not value and name != b"note":
                raise UsageError(b"--%b is empty; leave it out, or give it a value" % name)
            if name in _REPEATED or name not in found.texts:
                found.texts.setdefault(name, []).append(value)
            else:
                found.texts[name] = [value]
        else:
            raise UsageError(b"no such option: %b" % word)
    found.number(b"larger", 0)
    found.number(b"limit", 0)
    found.number(b"timeout", 0)
    return found
