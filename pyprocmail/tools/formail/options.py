"""The command line of formail(1), read once.  Its grammar is older than getopt(3)."""

from __future__ import annotations

from pyprocmail.exits import PyprocmailError
from pyprocmail.numerals import bounded
from pyprocmail.tools.formail.header import Names, is_complete, is_name_start, name_length

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE = b"""\
Usage: formail [-vbczfrktqY] [-D nnn idcache] [-p prefix] [-l folder]
\t[-xXaAiIuU field] [-R ofield nfield]
   Or: formail [+nnn] [-nnn] [-bczfrktedqBY] [-D nnn idcache] [-p prefix]
\t[-n [nnn]] [-m nnn] [-l folder] [-xXaAiIuU field] [-R ofield nfield]
\t-s [prg [arg ...]]
"""
HELP = (
    USAGE
    + b"""\
 -v\t\tdisplay the version number and exit
 -b\t\tdon't escape bogus mailbox headers
 -Y\t\tBerkeley format mailbox, disregard Content-Length:
 -c\t\tconcatenate continued header-fields
 -z\t\tzap whitespace and empty header-fields
 -f\t\tforce formail to pass along any non-mailbox format
 -r\t\tgenerate an auto-reply header, preserve fields with -i
 -k\t\ton auto-reply keep the body, prevent escaping with -b
 -t\t\treply to the header sender instead of the envelope sender
 -l folder\tgenerate a procmail-compatible log summary
 -D nnn idcache\tdetect duplicates with an idcache of length nnn
 -s prg arg\tsplit the mail, startup prg for every message
 +nnn\t\tskip the first nnn\t-nnn\toutput at most nnn messages
 -n [nnn]\tdon't serialise splits\t-e\tempty lines are optional
 -d\t\taccept digest format\t-B\texpect BABYL rmail format
 -q\t\tbe quiet\t\t-p prefix\tquotation prefix
 -m nnn \tmin fields threshold (default 2) for start of message
 -x field\textract contents\t-X field\textract fully
 -a field\tadd if not present\t-A field\tadd in any case
 -i field\trename and insert\t-I field\tdelete and insert
 -u field\tfirst unique\t\t-U field\tlast unique
 -R oldfield newfield\trename
"""
)
UNLIMITED = -1
_DEFAULT_MINIMUM_FIELDS = 2


class UsageError(PyprocmailError):
    """The command line is invalid; `text` is the message for the user."""

    def __init__(self, text: bytes = USAGE) -> None:
        super().__init__(text)
        self.text = text


class VersionAsked(PyprocmailError):
    """The command line asks for the version."""


class Insertion:
    """The field of -a, -A, -i or -I; without content it is only a name."""

    __slots__ = ("name", "content")

    def __init__(self, name: bytes, content: bytes) -> None:
        self.name = name
        self.content = content

    def text(self) -> bytes:
        """The field in the form it has in a mail."""
        return b"%b%b\n" % (self.name, self.content)


class Options:
    """A parsed command line."""

    __slots__ = (
        "add_always", "add_if_absent", "babyl", "berkeley", "cache", "cache_limit_bytes", "digest", "every_line",
        "extract", "extract_whole", "folder", "forced", "joined", "keep_body", "keep_first", "keep_last",
        "minimum_fields", "parallel", "prefix", "program", "quiet", "raw", "replace",
        "reply", "resent", "skip", "splitting", "supersede", "total", "trust_header", "trimmed",
        "changed_names", "rename_old", "renames", "replace_names", "supersede_names",
        "_extract", "_extract_whole", "_keep_first", "_keep_last",
    )  # fmt: skip

    def __init__(self) -> None:
        self.raw = self.berkeley = self.joined = self.trimmed = self.forced = self.reply = self.keep_body = False
        self.trust_header = self.resent = self.digest = self.every_line = self.babyl = self.splitting = False
        self.quiet = True
        self.prefix = b">"
        self.folder: bytes | None = None
        self.cache: bytes | None = None
        self.cache_limit_bytes = 0
        self.minimum_fields = _DEFAULT_MINIMUM_FIELDS
        self.skip = 0
        self.total = UNLIMITED
        # How many programs run at the same time; 0: one after another.
        self.parallel = 0
        self.program: list[bytes] = []
        self.add_if_absent: list[Insertion] = []
        self.add_always: list[Insertion] = []
        self.supersede: list[Insertion] = []
        self.replace: list[Insertion] = []
        self._extract: list[bytes] = []
        self._extract_whole: list[bytes] = []
        self._keep_first: list[bytes] = []
        self._keep_last: list[bytes] = []
        # Old and new name.
        self.renames: list[tuple[bytes, bytes]] = []

    def finish(self) -> None:
        """Prepare the Names that are looked up in every mail."""
        self.extract = Names(self._extract)
        self.extract_whole = Names(self._extract_whole)
        self.keep_first = Names(self._keep_first)
        self.keep_last = Names(self._keep_last)
        self.supersede_names = Names(insertion.name for insertion in self.supersede)
        self.replace_names = Names(insertion.name for insertion in self.replace)
        self.rename_old = Names(old for old, _ in self.renames)
        insertions = (*self.supersede, *self.replace)
        self.changed_names = Names([*(insertion.name for insertion in insertions), *(old for old, _ in self.renames)])

    def extracting(self) -> bool:
        """Whether -x or -X was given."""
        return bool(self._extract or self._extract_whole)

    def whole_header(self) -> bool:
        """Whether -X '' asks for the unchanged header."""
        return b"" in self._extract_whole


class _Words:
    """The words of the command line, read from left to right."""

    __slots__ = ("words", "next", "word", "position")

    def __init__(self, words: Sequence[bytes]) -> None:
        self.words = words
        self.next = 0
        self.word = b""
        self.position = 0

    def argument(self) -> bytes:
        """The argument of the option just read: the rest of its word, or the next word."""
        rest = self.word[self.position :]
        self.position = len(self.word)
        return rest or self.another()

    def another(self) -> bytes:
        """The next word as a whole."""
        if self.next == len(self.words):
            raise UsageError
        self.next += 1
        return self.words[self.next - 1]

    def number(self, *, signed: bool) -> int | None:
        """The number at the reading position, which moves to after it."""
        end = self.position
        if signed:
            while self.word[end : end + 1] in (b" ", b"\t"):
                end += 1
            end += self.word[end : end + 1] in (b"+", b"-")
        start = end
        while self.word[end : end + 1].isdigit():
            end += 1
        if start == end:
            return None
        value = bounded(self.word[start:end])
        if self.word[self.position : start].endswith(b"-"):
            value = -value
        self.position = end
        return value

    def number_argument(self, *, signed: bool = False) -> int:
        """The number that is the argument of the option just read; options may follow in the same word."""
        if self.position == len(self.word):
            self.word, self.position = self.another(), 0
        value = self.number(signed=signed)
        if value is None:
            raise UsageError
        return value


_FLAGS = {
    b"b": "raw", b"Y": "berkeley", b"c": "joined", b"z": "trimmed", b"f": "forced", b"r": "reply",
    b"k": "keep_body", b"t": "trust_header", b"d": "digest", b"e": "every_line", b"B": "babyl",
}  # fmt: skip
_LISTS = {b"x": "_extract", b"X": "_extract_whole", b"u": "_keep_first", b"U": "_keep_last"}
_INSERTIONS = {b"a": "add_if_absent", b"A": "add_always", b"i": "supersede", b"I": "replace"}


def parse(arguments: Sequence[bytes]) -> Options:
    """The Options in `arguments` (without the program's name).

    Raises:
        UsageError: they are invalid, or contradict each other, or ask for help.
        VersionAsked: they ask for the version.
    """
    options = Options()
    words = _Words(arguments)
    while words.next < len(words.words) and not options.splitting:
        words.word, words.position = words.another(), 1
        if words.word[:1] == b"+":
            skip = words.number(signed=False)
            if skip is None:
                raise UsageError
            options.skip = skip
        elif words.word[:1] != b"-":
            raise UsageError
        _read_bundle(options, words)
    _check(options)
    options.finish()
    return options


def _read_bundle(options: Options, words: _Words) -> None:
    """Read the rest of one word: options without an argument; the last one may have an argument."""
    while words.position < len(words.word):
        letter = words.word[words.position : words.position + 1]
        if letter.isdigit():
            options.total = words.number(signed=False) or 0
            continue
        words.position += 1
        if letter in _FLAGS:
            setattr(options, _FLAGS[letter], True)
        elif letter in _LISTS:
            getattr(options, _LISTS[letter]).append(_name(words.argument())[0])
        elif letter in _INSERTIONS:
            _read_insertion(options, letter, words.argument())
        elif letter == b"R":
            _read_rename(options, words)
        elif letter == b"s":
            _read_program(options, words)
        else:
            _read_other(options, letter, words)


def _read_other(options: Options, letter: bytes, words: _Words) -> None:
    """One option that is neither flag nor field."""
    if letter == b"q":
        options.quiet = words.word[words.position : words.position + 1] != b"-"
        words.position += not options.quiet
    elif letter == b"p":
        options.prefix = words.argument()
    elif letter == b"l":
        options.folder = words.argument()
    elif letter == b"m":
        options.minimum_fields = words.number_argument() or _DEFAULT_MINIMUM_FIELDS
    elif letter == b"n":
        _read_parallel(options, words)
    elif letter == b"D":
        options.cache_limit_bytes = words.number_argument()
        if words.position < len(words.word):
            raise UsageError
        options.cache = words.another()
    elif letter == b"v":
        raise VersionAsked
    elif letter in (b"h", b"?"):
        raise UsageError(HELP)
    else:
        raise UsageError


def _read_parallel(options: Options, words: _Words) -> None:
    """-n: a limit may follow in the same word; if -n ends its word, the next word is the limit."""
    options.parallel = UNLIMITED
    if words.position == len(words.word):
        limit: int | None = words.number_argument(signed=True)
    else:
        limit = words.number(signed=True)
    if limit is not None and limit > 0:
        options.parallel = limit


def _read_program(options: Options, words: _Words) -> None:
    if words.position < len(words.word):
        raise UsageError
    options.splitting = True
    options.program = list(words.words[words.next :])
    words.next = len(words.words)


def _invalid(name: bytes) -> UsageError:
    return UsageError(b'formail: Invalid field-name: "%b"\n%b' % (name, USAGE))


def _name(argument: bytes) -> tuple[bytes, bytes]:
    """Split an argument into the name of a field, or the beginning of one, and the text after it."""
    if argument.startswith(b"From "):
        return argument[:5], argument[5:]
    length = name_length(argument)
    if length:
        return argument[:length], argument[length:]
    stem = argument.rstrip(b" ")
    if not is_name_start(stem) or (argument and not stem):
        raise _invalid(argument)
    return argument, b""


def _read_insertion(options: Options, letter: bytes, argument: bytes) -> None:
    """-a, -A, -i, -I: only the latter two accept the beginning of a name."""
    name, content = _name(argument)
    if letter in b"aA" and not (is_complete(name) and name != b"from "):
        if letter == b"a" and name.lower() == b"resent-":
            options.resent = True
            return
        raise _invalid(name)
    getattr(options, _INSERTIONS[letter]).append(Insertion(name, content))


def _read_rename(options: Options, words: _Words) -> None:
    """-R: a whole name needs a whole new name; the beginning of a name accepts either."""
    old, content = _name(words.argument())
    if content:
        raise _invalid(content + b"\n")
    if words.next == len(words.words):
        raise _invalid(b"")
    argument = words.another()
    new = _name(argument)[0]
    if is_complete(old) and not is_complete(new):
        raise _invalid(argument)
    options.renames.append((old, new))


def _check(options: Options) -> None:
    """Refuse options that make no sense together."""
    if options.resent and not (options.reply and options.trust_header):
        raise _invalid(b"Resent-")
    splits_only = (
        options.digest or options.every_line or options.babyl or options.skip or options.parallel
        or options.minimum_fields != _DEFAULT_MINIMUM_FIELDS or options.total != UNLIMITED
    )  # fmt: skip
    extracting = options.extracting()
    if (
        (splits_only and not options.splitting)
        or (options.folder is not None and extracting)
        or (options.keep_body and not (options.reply or extracting))
    ):
        raise UsageError
