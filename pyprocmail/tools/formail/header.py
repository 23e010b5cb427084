"""A header in formail's form: a list of fields, and the names that select fields."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

BLANKS = b" \t"
POSTMARK = b"From "
QUOTED_POSTMARK = b">From "
# The bytes of a field name: no control characters, blanks or colons; bytes above 127 are allowed.
_NAME_BYTES = bytes(byte for byte in range(256) if 32 < byte != 127 and byte != 58)

_LONGEST_KEPT = 64
_MOST_KEPT = 256


class Field:
    """One field: `name` with its colon (or `From `), `content` without its last newline."""

    __slots__ = ("name", "content")

    name: bytes
    content: bytes

    def __init__(self, name: bytes, content: bytes) -> None:
        self.name = name
        self.content = content

    def text(self) -> bytes:
        """The field in the form it has in a mail."""
        return b"%b%b\n" % (self.name, self.content)

    def is_postmark(self) -> bool:
        """Whether this is the From_ line (with the `>From ` lines that belong to it)."""
        return self.name == POSTMARK

    def is_blank(self) -> bool:
        """Whether -z removes the field: no content, or one blank."""
        return self.name.endswith(b":") and self.content in (b"", b" ", b"\t")

    def trimmed(self) -> Field:
        """The field with a blank after its name: -z."""
        return Field(self.name, with_blank(self.content)) if self.name.endswith(b":") else self

    def renamed(self, name: bytes) -> Field:
        """The field under another name; `>From ` lines become folds, and for a From_ line folds become `>` lines."""
        if self.is_postmark() == (name == POSTMARK):
            return Field(name, self.content)
        if self.is_postmark():
            return Field(name, self.unquoted())
        return Field(name, self.content.replace(b"\n ", b"\n>").replace(b"\n\t", b"\n>"))

    def unquoted(self) -> bytes:
        """The content for an ordinary field: `>From ` lines become folds."""
        return self.content.replace(b"\n>", b"\n ") if self.is_postmark() else self.content

    def joined(self) -> Field:
        """The field on one line: -c.  A From_ line keeps its `>From ` lines."""
        return Field(self.name, self.content.replace(b"\n", b" ")) if not self.is_postmark() else self


class Names:
    """Field names of one option, in the order given.

    A name with its colon (or `From `) selects that field, any other name all fields that begin with it.
    """

    __slots__ = ("_beginnings", "_names", "_whole")

    def __init__(self, names: Iterable[bytes]) -> None:
        self._names = [name.lower() for name in names]
        self._whole = frozenset(filter(is_complete, self._names))
        self._beginnings = tuple(name for name in self._names if name not in self._whole)

    def __bool__(self) -> bool:
        return bool(self._names)

    def find(self, field_name: bytes) -> int:
        """The index of the first name that selects the field; -1 if none does."""
        wanted = field_name.lower()
        if self.match(wanted):
            for index, name in enumerate(self._names):
                if wanted == name or (name not in self._whole and wanted.startswith(name)):
                    return index
        return -1

    def match(self, field_name: bytes) -> bool:
        """Whether one of the names selects the field."""
        wanted = field_name.lower()
        return wanted in self._whole or wanted.startswith(self._beginnings)


class FoundNames(dict[bytes, bytes]):
    """The name of a field by the text up to its colon, as `read_name`; it keeps those of many mails.

    Equal names are the same object, since a stranger may write a name a million times.
    """

    def __missing__(self, text: bytes) -> bytes:
        name = read_name(text)
        if name and len(text) <= _LONGEST_KEPT:
            if len(self) >= _MOST_KEPT:
                self.clear()
            self[text] = name
        return name


def is_complete(name: bytes) -> bool:
    """Whether `name` is a whole name, and not just the beginning of one."""
    return name.endswith(b":") or name.lower() == b"from "


def name_length(line: bytes) -> int:
    """The length of `line` up to and including the colon if a field name precedes it; else 0."""
    colon = line.find(b":")
    if colon < 1:
        return 0
    name = line[:colon].rstrip(BLANKS)
    return colon + 1 if name and not name.translate(None, _NAME_BYTES) else 0


def read_name(line: bytes) -> bytes:
    """The name of the field that begins at `line`, without blanks before the colon; empty if there is none."""
    length = name_length(line)
    return line[: length - 1].rstrip(BLANKS) + b":" if length else b""


def is_name_start(text: bytes) -> bool:
    """Whether `text` can be the beginning of a field name."""
    return not text.translate(None, _NAME_BYTES)


def with_blank(content: bytes) -> bytes:
    """`content` with a blank in front of it."""
    return content if content[:1] in (b" ", b"\t") else b" " + content


def last(fields: Iterable[Field], name: bytes) -> Field | None:
    """The last field called `name` (lower case, with its colon)."""
    found = None
    for field in fields:
        if field.name.lower() == name:
            found = field
    return found
