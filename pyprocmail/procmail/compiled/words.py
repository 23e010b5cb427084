"""Words: where they end in an rcfile, and the flat pieces (compiled/pieces) that they expand to.

Nothing is expanded here.  The rcfile's lexer uses the scanner to find the end of a word, `lower`
to store its pieces, and the engine to read text that is itself the result of an expansion.
The scanner keeps its own stack, so nesting of any depth costs no recursion.

procmailrc(5), Environment variable assignments; sh(1) for what the quotes mean.
"""

from __future__ import annotations

from pyprocmail.procmail.compiled.pieces import (
    ALTERNATIVE,
    ARGUMENTS,
    BACKQUOTE,
    BAD,
    BLANKS,
    BREAK,
    DIGITS,
    END,
    ESCAPED,
    HASH,
    LETTERS,
    NAME_REST,
    SHELLMETAS,
    VARIABLE,
    Scan,
    name_end,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.procmail.compiled.pieces import Piece

VALUE, LIST, _TEXT = 0, 1, 2

_SPECIAL_NAMES = b"$?#=_-" + DIGITS
_MAGIC = b"$`\"'\\"
_SPECIAL = _MAGIC + b" \t\n#}"
_MAYBE_NOTHING = (BAD, ALTERNATIVE, END)
_STOPS = (
    frozenset(_SPECIAL),  # outside quotes
    frozenset(b'$`"\\}'),  # inside double quotes
)


def scan_value(text: bytes, pos: int, *, passing: bool = False) -> Scan:
    """One word from `pos`, with the blanks before it, as the right side of an assignment.

    Stops before the blank or newline that ends the word.  A comment is left unread.  `passing`: read it as text that
    is not executed.
    """
    stop = text.find(b"\n", pos)
    line = text[pos:] if stop < 0 else text[pos:stop]
    if is_plain(line):
        word = line.lstrip(BLANKS)
        pos += len(line) - len(word)
        if word.startswith(b"#"):
            return Scan((), pos)
        word = word.replace(b"\t", b" ").partition(b" ")[0]
        return Scan((word,) if word else (), pos + len(word))
    return Scanner(text, pos, VALUE, passing=passing).run()


def scan_list(text: bytes, pos: int, *, passing: bool = False) -> Scan:
    """The words from `pos` to the end of the line or to a comment, which is left unread; `passing` as in scan_value."""
    stop = text.find(b"\n", pos)
    if stop < 0:
        stop = len(text)
    line = text[pos:stop]
    if b"#" not in line and is_plain(line):
        pieces: list[Piece] = []
        for word in line.replace(b"\t", b" ").split(b" "):
            if word:
                pieces += (word, (BREAK,))
        return Scan(tuple(pieces[:-1]), stop)
    return Scanner(text, pos, LIST, passing=passing).run()


def scan_quoted(text: bytes) -> Scan:
    """`text` from inside double quotes on: a `$` condition.

    A `"` in it ends the quotes, another begins them again; if that one is missing at the end,
    nothing is logged.  Outside them several blanks become one, and a comment or newline ends the text.  The pieces
    have no BREAK: nothing is split here, quoted or not.
    """
    if is_plain(text):
        return Scan((text,) if text else (), len(text))
    return Scanner(text, 0, _TEXT, quoted=True).run()


def scan_size(text: bytes) -> Scan:
    """`text` as scan_quoted reads it, but from outside quotes: what follows `<` or `>`.

    A blank at the beginning is not in the pieces; the log shows it.
    """
    if text and len(text.translate(None, _SPECIAL)) == len(text):
        return Scan((text,), len(text))
    return Scanner(text, 0, _TEXT).run()


def is_plain(text: bytes) -> bool:
    return len(text.translate(None, _MAGIC)) == len(text)


class Scanner:
    """The state of one scan.

    `opened` has for each open alternative the index of its piece, whether it was opened inside
    double quotes, and `empty` before it.  Inside double quotes the quotes of its word are literal, outside they quote,
    and only outside `}` closes it.

    Text that is passed over (`passing`) is not expanded: variables and backquotes become nothing there, so that a `#`
    after them begins a comment, and a `"` that ends backquotes ends the quotes around them too.
    """

    __slots__ = (
        "text", "pos", "context", "pieces", "buffer", "exists", "started", "empty", "quoted", "opened", "mark", "eol",
        "passing",
    )  # fmt: skip

    def __init__(self, text: bytes, pos: int, context: int, *, quoted: bool = False, passing: bool = False) -> None:
        self.text = text
        self.pos = pos
        self.context = context
        self.pieces: list[Piece] = []
        self.buffer = bytearray()
        self.exists = False
        # The text of a condition begins in the same word as the mark before it.
        self.started = context == _TEXT and (quoted or text[:1] not in (b" ", b"\t"))
        self.quoted = quoted
        self.opened: list[tuple[int, bool, bool]] = []
        self.mark = -1
        self.eol = False
        # Whether the word so far may become empty.
        self.empty = True
        self.passing = passing

    def run(self) -> Scan:
        text, size = self.text, len(self.text)
        while self.pos < size:
            stops = _STOPS[self.quoted]
            start = self.pos
            while self.pos < size and text[self.pos] not in stops:
                self.pos += 1
            if self.pos > start:
                self.put(text[start : self.pos])
                continue
            if not self.special(text[start]):
                break
        else:
            self.eol = self.eol or (self.quoted and self.context != _TEXT)
            self.exists = self.exists or (self.quoted and self.is_empty())
        self.flush()
        if self.pieces and self.pieces[-1] == (BREAK,):
            self.pieces.pop()
        if self.opened:
            for at, _, _ in self.opened:
                alternative = self.pieces[at]
                assert isinstance(alternative, tuple)
                self.pieces[at] = (*alternative, False)
        return Scan(tuple(self.pieces), self.pos, unterminated=self.eol)

    def is_empty(self) -> bool:
        """Whether the double quotes are empty so far."""
        if self.mark < 0 or self.buffer:
            return False
        return all(isinstance(piece, tuple) and piece[0] in _MAYBE_NOTHING for piece in self.pieces[self.mark :])

    def put(self, literal_text: bytes) -> None:
        self.buffer += literal_text
        self.started = True
        self.empty = False

    def flush(self) -> None:
        if self.buffer or self.exists:
            self.pieces.append(bytes(self.buffer))
            self.buffer.clear()
            self.exists = False

    def emit(self, piece: Piece) -> None:
        self.flush()
        self.pieces.append(piece)

    def special(self, byte: int) -> bool:
        """Read the construct that `byte` begins; False if the scan ends before it."""
        if byte == 0x24:
            self.dollar()
        elif byte == 0x60:
            self.backquote()
        elif byte == 0x5C:
            self.backslash()
        elif byte == 0x22:
            self.double_quote()
        elif byte == 0x27:
            self.single_quote()
        elif byte == 0x7D:
            self.closing_brace()
        elif byte == 0x23:
            if not self.started:
                return False
            begins = self.may_begin() and self.context == LIST
            if begins and self.passing:
                return False
            self.pos += 1
            if begins:
                self.emit((HASH, False, _line_end(self.text, self.pos)))
            else:
                self.put(b"#")
            self.empty = False
        else:
            return self.blank(byte)
        return True

    def may_begin(self) -> bool:
        """Whether a word may begin here: the text before it became nothing, or ended in a blank."""
        if self.empty or self.buffer or self.exists or not self.pieces or self.passing:
            return self.empty
        return isinstance(self.pieces[-1], tuple)

    def blank(self, byte: int) -> bool:
        if byte == 0x0A or (self.started and self.context == VALUE):
            return False
        self.pos += 1
        if self.started and self.context == _TEXT:
            self.buffer += b" "
        elif self.started:
            self.emit((BREAK,))
        self.started = False
        self.empty = True
        return True

    def closing_brace(self) -> None:
        self.pos += 1
        if self.opened and self.opened[-1][1] == self.quoted:
            self.emit((END,))
            _, _, empty = self.opened.pop()
            if not self.passing:
                self.empty = empty
            self.started = True
        else:
            self.put(b"}")

    def double_quote(self) -> None:
        self.pos += 1
        if self.quoted and self.opened and self.opened[-1][1]:
            self.put(b'"')
        elif self.quoted:
            self.exists = self.exists or self.is_empty()
            self.quoted = False
        else:
            self.started = self.quoted = True
            self.empty = False
            self.mark = len(self.pieces) if not self.buffer else -1

    def single_quote(self) -> None:
        close = self.text.find(b"'", self.pos + 1)
        if close < 0:
            self.eol = self.eol or self.context != _TEXT
            close = len(self.text)
        self.put(self.text[self.pos + 1 : close])
        self.exists = True
        self.pos = min(close + 1, len(self.text))

    def backslash(self) -> None:
        following = self.text[self.pos + 1 : self.pos + 2]
        self.pos += 1 + len(following)
        if not following:
            self.eol = True
            return
        if following == b"\n":
            return
        if self.quoted:
            removed = following in (b'"', b"\\", b"$", b"`") or (following == b"}" and bool(self.opened))
        else:
            # Only at the start of a word is `\#` a plain `#`: elsewhere no comment could begin.
            removed = following != b"#" or not self.started
            if not removed and self.may_begin() and self.context == LIST:
                self.emit((HASH, True))
                self.empty = False
                return
        self.put(following if removed else b"\\" + following)

    def backquote(self) -> None:
        text, pos = self.text, self.pos + 1
        command = bytearray()
        closers = b'`"' if self.quoted else b"`"
        removable = b"\\$`\n" + (b'"' if self.quoted else b"")
        closer = 0
        while pos < len(text):
            byte = text[pos]
            pos += 1
            if byte in closers:
                closer = byte
                break
            if byte == 0x5C and pos == len(text):
                self.eol = True
                break
            if byte == 0x5C and text[pos] in removable:
                byte = text[pos]
                pos += 1
                if byte == 0x0A:
                    continue
            command.append(byte)
        self.pos = pos
        self.emit((BACKQUOTE, bytes(command).partition(b"\0")[0], self.quoted))
        self.started = True
        if self.passing and closer == 0x22:
            self.quoted = False
            self.opened = [(at, False, empty) for at, _, empty in self.opened]
        elif closer == 0x22 and not self.opened and not _is_plain_command(command):
            # A `"` ends the backquotes; when the shell runs the command it ends the quotes too.
            self.quoted = False

    def dollar(self) -> None:
        text, pos = self.text, self.pos + 1
        byte = text[pos] if pos < len(text) else 0x20
        if byte in LETTERS:
            end = name_end(text, pos)
            self.pos = end + text.startswith(b"\0", end)  # a NUL that ends a name is lost
            self.variable(text[pos:end])
        elif byte == 0x7B:
            self.braces(pos + 1)
        elif byte in _SPECIAL_NAMES:
            self.pos = pos + 1
            self.variable(text[pos : pos + 1])
        elif byte == 0x40:
            self.pos = pos + 1
            if self.quoted:
                self.emit((ARGUMENTS,))
                self.started = True
            else:
                self.put(b"@")
        elif byte == 0x5C and text[pos + 1 : pos + 2] and text[pos + 1] in NAME_REST:
            # Here a name may begin with a digit, and means the argument of that number: `$\\1a` is `$\\1`.
            end = pos + 2
            while end < len(text) and text[end] in NAME_REST:
                end += 1
            self.pos = end + text.startswith(b"\0", end)
            name = text[pos + 1 : end]
            if name[0] in DIGITS:
                name = name[:1]
            self.emit((ESCAPED, b"{_}" if name == b"_" else name))
            self.empty = False
            self.started = True
        else:
            self.pos = pos + (byte == 0)  # a NUL after a `$` is lost
            self.put(b"$")
            if pos == len(text):
                self.quoted = False  # quotes that end in `$` at the end of the file are not reported

    def variable(self, name: bytes) -> None:
        self.emit((VARIABLE, name, self.quoted))
        self.started = True

    def braces(self, pos: int) -> None:
        """The rest of `${`: a name, and `}` or an operator.

        The byte that ends a bad name is lost; it does not begin a word.
        """
        text = self.text
        end = pos
        while end < len(text) and text[end] in NAME_REST:
            end += 1
        name = text[pos:end]
        operator = text[end : end + 2] if text[end : end + 1] == b":" else text[end : end + 1]
        self.pos = min(end + max(len(operator), 1), len(text))
        if len(name) > 1 and name[0] in DIGITS:
            self.emit((BAD, name))
        elif operator == b"}" and name:
            self.variable(b"{_}" if name == b"_" else name)
        elif operator == b"}":
            self.started = True  # `${}` is silent
        elif not name and operator[-1:] == b"-" and text[self.pos : self.pos + 1] == b"}":
            self.pos += 1  # `${-}` is nothing, not even the beginning of a word
        elif operator in (b":-", b"-", b":+", b"+"):
            self.emit((ALTERNATIVE, b"{_}" if name == b"_" else name, operator, self.quoted))
            self.opened.append((len(self.pieces) - 1, self.quoted, self.empty))
        else:
            self.emit((BAD, name))


def _line_end(text: bytes, pos: int) -> int:
    end = text.find(b"\n", pos)
    return len(text) if end < 0 else end


def _is_plain_command(command: bytearray) -> bool:
    return len(command.translate(None, SHELLMETAS)) == len(command)
