r"""maildrop's Perl-compatible patterns: RE2 answers where the meaning is the same, PCRE2 for the rest.

RE2 gets only constructs that are known to mean the same there (`_Translation`).  The rest, such as look-around and
back-references, goes to PCRE2 with a limit in the pattern itself, (*LIMIT_MATCH=...): a user's pattern can lower that
limit but not raise it, pcre2pattern(3).  PCRE2 is loaded when it is first needed.

Patterns and texts are UTF-8; a text that is not UTF-8 never matches.
"""

from __future__ import annotations

from pyprocmail.matching import re2core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Protocol

    Span = tuple[int, int]

    class Found(Protocol):
        """What pcre2 calls a Match."""

        def span(self, group: int) -> Span: ...

    class Pattern(Protocol):
        """What pcre2 calls a Pattern."""

        groups: int

        def _match(self, text: bytes, start: int, *, options: int) -> Found | None: ...


MATCH_LIMIT = 1_000_000
"""How often PCRE2 may try again in one search: some tenths of a second."""

DEAR_SEARCHES = 10
"""How many searches of one mail or text may exceed CHEAP_LIMIT: a mail has many lines."""

CHEAP_LIMIT = 5_000

_HEAP_KIB = 20_000
_NOT_WANTED = 0x00020002
"""PCRE2_UCP and PCRE2_ALT_BSUX of pcre2api(3), which the package sets and maildrop does not."""

_NO_UTF_CHECK = 0x40000000
"""Of pcre2api(3).  The text is known to be UTF-8; PCRE2 would check all of it again at each search."""
# Of pcre2api(3): match limit, depth limit, heap limit.
_LIMIT_CODES = (-47, -53, -63)

_ALNUM = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_DIGITS = b"0123456789"
_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-"
_SAME_ESCAPES = frozenset(b"dDwWbBntrfa")
_CLASS_ESCAPES = {0x64: b"\\d", 0x77: b"\\w", 0x73: b"\\t-\\r ", 0x6E: b"\\n", 0x74: b"\\t", 0x72: b"\\r", 0x66: b"\\f"}
_SINGLE_ESCAPES = frozenset(b"ntrf")
_LETTERS_WITH_BRACES = (b"x", b"o", b"p", b"P", b"k", b"g", b"N")
_SETS = (b"d", b"D", b"w", b"W", b"s", b"S", b"h", b"H", b"v", b"V", b"p", b"P")
_FOLDED = (b"\\w", b"[:alpha:]", b"[:alnum:]")
_POSIX = (b"[:alpha:]", b"[:digit:]", b"[:alnum:]", b"[:xdigit:]")
_LARGEST_COUNT = 1000

# The error texts of PCRE1, which maildrop 2.9.3 uses, where PCRE2's differ; and how many bytes earlier PCRE1 sees it.
_PCRE1_WORDS = {
    104: ("numbers out of order in {} quantifier", 0),
    108: ("range out of order in character class", 1),
    109: ("nothing to repeat", 1),
    111: ("unrecognized character after (? or (?-", 1),
    113: ("POSIX collating elements are not supported", 0),
    114: ("missing )", 0),
    118: ("missing ) after comment", 0),
    122: ("unmatched parentheses", 1),
    143: ("two named subpatterns have the same name", 1),
    144: ("group name must start with a non-digit", 1),
    150: ("invalid range in character class", 1),
    134: ("character value in \\x{} or \\o{} is too large", 0),
    142: ("syntax error in subpattern name (missing terminator)", 0),
    147: ("unknown property name after \\P or \\p", 1),
}


class PatternError(Exception):
    """An invalid pattern: `reason`, seen at the byte `offset`."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(offset, reason)
        self.offset = offset
        self.reason = reason


class LimitError(Exception):
    """PCRE2 gave up: it is unknown whether the pattern matches."""


class Regex:
    """A pattern.

    Raises:
        PatternError: it cannot be compiled.
    """

    __slots__ = ("_text", "_fold", "_linear", "_lines", "_literal", "_dollar", "_ascii", "_perl", "_thorough", "_dear")

    def __init__(self, text: bytes, *, fold: bool) -> None:
        self._text = text
        self._fold = fold
        self._perl: Pattern | None = None
        self._thorough: Pattern | None = None
        self._dear = 0
        self._linear: re2core.Expression | None = None
        self._lines: re2core.Expression | None = None
        self._literal = b""
        translation = _Translation(text, fold=fold)
        self._dollar = translation.dollar
        self._ascii = translation.ascii
        if translation.same:
            self._linear = re2core.compile(translation.text(lines=False), fold=fold, capture=True, utf8=True)
            if self._linear is not None:
                self._lines = re2core.compile(translation.text(lines=True), fold=fold, utf8=True)
                self._literal = translation.literal()
        if self._linear is None:
            self._compiled()

    @property
    def linear(self) -> bool:
        """Whether RE2 answers."""
        return self._linear is not None

    def afresh(self) -> None:
        """Forget the cost of the searches so far: another mail is searched, or the same one again."""
        self._dear = 0

    def search(self, subject: bytes, start: int = 0) -> list[Span] | None:
        """The spans of the first match from `start` on and of its groups, or None; (-1, -1) for an unused group.

        Raises:
            LimitError: the search takes too long.
        """
        if not is_utf8(subject):
            return None
        return self._search(subject, start, self._needs_perl(subject))

    def first_line(self, text: bytes, lowered: bytes | None = None) -> int:
        """An offset in lines joined by newlines; no match begins in a line before it.  -1 if no line matches.

        This is a quick look at all lines at once: it may report a match over several lines where no single line has
        one.  `lowered` is an ASCII text in lower case: a pattern whose literal text is not in it need not be tried.
        """
        if self._lines is None:
            return 0
        if self._fold:
            if lowered is not None and self._literal not in lowered:
                return -1
        elif self._literal not in text:
            return -1
        return self._lines.begins(text)

    def successive(self, subject: bytes) -> Iterator[list[Span]]:
        """All matches, one after the other; after an empty one the search continues one character later."""
        at = 0
        if not is_utf8(subject):
            return
        self.afresh()
        perl = self._needs_perl(subject)
        while at <= len(subject):
            spans = self._search(subject, at, perl)
            if spans is None:
                return
            yield spans
            begin, end = spans[0]
            at = end
            if begin == end:
                at += 1
                while at < len(subject) and subject[at] & 0xC0 == 0x80:
                    at += 1

    def _needs_perl(self, subject: bytes) -> bool:
        """Whether PCRE2 must answer: RE2's $ matches only at the end of a text, Perl's also before a last newline."""
        return (self._dollar and subject.endswith(b"\n")) or (self._ascii and not subject.isascii())

    def _search(self, subject: bytes, start: int, perl: bool) -> list[Span] | None:
        if self._linear is None or perl:
            return self._search_perl(subject, start)
        spans = self._linear.spans(subject, start)
        return None if spans[0][0] < 0 else spans

    def _search_perl(self, subject: bytes, start: int) -> list[Span] | None:
        """PCRE2's answer: with the low limit, or else with the high one, but not for too many searches.

        Raises:
            LimitError: the search takes too long.
        """
        import pcre2  # type: ignore[import-untyped]  # the package has no types

        for pattern in (self._compiled, self._compiled_thoroughly):
            try:
                match = pattern()._match(subject, start, options=_NO_UTF_CHECK)
            except pcre2.LibraryError as error:
                if error.code not in _LIMIT_CODES:
                    return None
                self._dear += 1
                if self._dear > DEAR_SEARCHES:
                    break
                continue
            if match is None:
                return None
            return [match.span(group) for group in range(self._compiled().groups + 1)]
        raise LimitError

    def _compiled(self) -> Pattern:
        if self._perl is None:
            self._perl = _compile(self._text, self._fold, CHEAP_LIMIT)
        return self._perl

    def _compiled_thoroughly(self) -> Pattern:
        if self._thorough is None:
            self._thorough = _compile(self._text, self._fold, MATCH_LIMIT)
        return self._thorough


def _compile(text: bytes, fold: bool, limit: int) -> Pattern:
    """The pattern compiled by PCRE2, which may try again `limit` times.

    Raises:
        PatternError: it cannot be compiled.
    """
    import pcre2

    limits = b"(*LIMIT_MATCH=%d)(*LIMIT_DEPTH=%d)(*LIMIT_HEAP=%d)" % (limit, limit, _HEAP_KIB)
    written = limits + _as_pcre1(text)
    flags = int(pcre2.UNICODE | (pcre2.IGNORECASE if fold else 0))
    try:
        # The package's own `compile` sets PCRE2_ALT_BSUX, with which \x{e9} is not a character.
        # No JIT: it counts other things against the limit, and its stack has a separate limit.
        compiled = pcre2._cy.compile(written, flags, _NOT_WANTED)
        pattern: Pattern = pcre2.Pattern(compiled, written, flags, False, None)
    except pcre2.PatternError as error:
        offset = _without_added(text, error.pos - len(limits))
        raise _pattern_error(text, error.code, offset, error.msg) from error
    except pcre2.LibraryError as error:
        raise PatternError(0, "invalid UTF-8 string") from error
    return pattern


def _as_pcre1(text: bytes) -> bytes:
    """The pattern for PCRE2: characters that only PCRE2 reads as special get a backslash.

    These are the brace of a count without its first number or with blanks, `{,3}` and `{ 1, 3 }`, and in a class the
    hyphen after a set of characters, `[\\w-.]`.  maildrop's PCRE reads them as plain characters.
    """
    out = bytearray()
    start = 0
    for at in _plain_characters(text):
        out += text[start:at] + b"\\"
        start = at
    return bytes(out + text[start:]) if out else text


def _without_added(text: bytes, offset: int) -> int:
    """The offset in the pattern for an offset in the result of `_as_pcre1`."""
    for at in _plain_characters(text):
        offset -= at < offset
    return offset


def _plain_characters(text: bytes) -> Iterator[int]:
    """The offsets of the characters to which `_as_pcre1` gives a backslash."""
    at = 0
    while at < len(text):
        after = _after_escape(text, at)
        if after:
            at = after
        elif text.startswith(b"(?#", at):
            at = text.find(b")", at) + 1 or len(text)
        elif text[at] == 0x5B:
            at = yield from _plain_hyphens(text, at)
        else:
            if text[at] == 0x7B and not _count(text, at)[0] and _is_loose_count(text, at):
                yield at
            at += 1


def _after_escape(text: bytes, at: int) -> int:
    """The offset after the escape at `at`, with its braces; 0 if there is none."""
    if text[at] != 0x5C:
        return 0
    if text.startswith(b"\\Q", at):
        return text.find(b"\\E", at) + 2 if b"\\E" in text[at:] else len(text)
    if text[at + 1 : at + 2] in _LETTERS_WITH_BRACES and text.startswith(b"{", at + 2):
        return text.find(b"}", at) + 1 or len(text)
    return at + (3 if text[at + 1 : at + 2] == b"c" else 2)


def _plain_hyphens(text: bytes, at: int) -> Generator[int, None, int]:
    """Yields the hyphens after a set in the class at `at`; returns the offset after the class."""
    at += 1 + text.startswith(b"[^", at)
    first = True
    while at < len(text) and (first or text[at] != 0x5D):
        start, first = at, False
        posix = text.find(b":]", at) + 2 if text.startswith(b"[:", at) else 1
        at = _after_escape(text, at) or (posix if posix > 1 else at + 1)
        if (text[start + 1 : start + 2] in _SETS if text[start] == 0x5C else posix > 1) and text.startswith(b"-", at):
            if not text.startswith(b"-]", at):
                yield at
            at += 1
    return at + 1


def _is_loose_count(text: bytes, at: int) -> bool:
    """Whether the braces at `at` contain digits, blanks and one comma only."""
    inside = text[at + 1 : max(text.find(b"}", at), at + 1)]
    low, _, high = inside.partition(b",")
    numbers = (low.strip(b" \t"), high.strip(b" \t"))
    return any(numbers) and not any(number.strip(_DIGITS) for number in numbers)


def load() -> None:
    """Import PCRE2, before the process gives up the right to import."""
    import pcre2

    pcre2.compile(b"a", flags=0, jit=False).search(b"a")


def is_utf8(text: bytes) -> bool:
    """Whether the text is UTF-8."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _pattern_error(text: bytes, code: int, offset: int, message: str) -> PatternError:
    if code in _PCRE1_WORDS:
        words, earlier = _PCRE1_WORDS[code]
        return PatternError(max(offset - earlier, 0), words)
    if code == 114 and text[text.rfind(b"(?") + 2 :].strip(_LETTERS) == b"" and b"(?" in text:
        return PatternError(offset, "unrecognized character after (? or (?-")
    if code == 125:
        return PatternError(text.find(b")", offset), "lookbehind assertion is not fixed length")
    if code == 130:
        return PatternError(text.rfind(b"[:", 0, offset) + 2, "unknown POSIX class name")
    return PatternError(offset, message.partition("; ")[2] or message)


class _Group:
    """An open parenthesis: whether its contents may match the empty text."""

    __slots__ = ("nullable", "branch_nullable")

    def __init__(self) -> None:
        self.nullable = False
        self.branch_nullable = True


class _Translation:
    """A pattern in RE2's syntax.

    `same`: every construct means the same to both.  `dollar`: the pattern has a `$`.  `ascii`: it means the same only
    on ASCII text: when RE2 ignores case, the long s and the Kelvin sign match `\\w` and `[[:alpha:]]`, and RE2 finds a
    `\\B` inside a character of several bytes.
    """

    def __init__(self, text: bytes, *, fold: bool) -> None:
        self._source = text
        self._fold = fold
        self._pieces: list[bytes] = []
        self.dollar = self.ascii = False
        self.same = is_utf8(text) and b"\0" not in text and self._translate()

    def text(self, *, lines: bool) -> bytes:
        """The pattern for one text, or with `lines` for many lines at once."""
        if lines:
            return b"(?m)" + b"".join(b"$" if piece == b"$" else piece for piece in self._pieces)
        return b"".join(b"\\z" if piece == b"$" else piece for piece in self._pieces)

    def literal(self) -> bytes:
        """The longest known text that every match contains, in lower case if case is ignored; empty if none is known.

        A field's name alone does not count: it is in too many mails.
        """
        best, run, depth = b"", b"", 0
        for piece in (*self._pieces, b"^"):
            opened = (piece[:1] == b"(") - (piece == b")")
            character = b"" if depth or opened else _character(piece)
            if piece == b"|" and not depth:
                return b""
            depth += opened
            if character:
                run += character
                continue
            if piece[:1] in b"*+?{":
                run = run[:-1]
            if len(run) > len(best) and not run.endswith(b":"):
                best = run
            run = b""
        return best.lower() if self._fold else best

    def _translate(self) -> bool:
        text, pieces = self._source, self._pieces
        groups = [_Group()]
        at, end = 0, len(text)
        while at < end:
            byte = text[at]
            start = at
            repeatable = True
            nullable = False
            if byte == 0x28:
                if text.startswith(b"(?:", at):
                    pieces.append(b"(?:")
                    at += 3
                elif text[at + 1 : at + 2] in (b"?", b"*"):
                    return False
                else:
                    pieces.append(b"(")
                    at += 1
                groups.append(_Group())
                continue
            if byte == 0x7C:
                groups[-1].nullable |= groups[-1].branch_nullable
                groups[-1].branch_nullable = True
                pieces.append(b"|")
                at += 1
                continue
            if byte == 0x29:
                if len(groups) == 1:
                    return False
                group = groups.pop()
                nullable = group.nullable or group.branch_nullable
                pieces.append(b")")
                at += 1
            elif byte == 0x5B:
                at = self._class(at)
            elif byte == 0x5C:
                at = self._escape(at)
                repeatable = text[start + 1 : start + 2] not in (b"b", b"B")
                nullable = not repeatable
            elif byte in b"^$":
                self.dollar |= byte == 0x24
                repeatable, nullable = False, True
                pieces.append(b"^" if byte == 0x5E else b"$")
                at += 1
            elif byte in b"*+?" or (byte == 0x7B and _count(text, at)[0]):
                return False
            else:
                at = self._literal(at)
            if at < 0:
                return False
            quantified, optional, at = self._quantifier(at)
            if at < 0 or (quantified and (not repeatable or nullable)):
                return False
            groups[-1].branch_nullable &= nullable or optional
        return len(groups) == 1

    def _literal(self, at: int) -> int:
        text = self._source
        byte = text[at]
        stop = at + 1
        if byte >= 0x80:
            while stop < len(text) and text[stop] & 0xC0 == 0x80:
                stop += 1
            self._pieces.append(text[at:stop])
        elif byte == 0x2E:
            self._pieces.append(b".")
        else:
            self._pieces.append(_plain(byte))
        return stop

    def _escape(self, at: int) -> int:
        text = self._source
        if at + 1 >= len(text):
            return -1
        byte = text[at + 1]
        if byte == 0x57 and self._fold:
            return -1
        self.ascii |= (byte == 0x77 and self._fold) or byte == 0x42
        if byte in _SAME_ESCAPES:
            self._pieces.append(text[at : at + 2])
        elif byte == 0x73:
            self._pieces.append(b"[\\t-\\r ]")
        elif byte == 0x53:
            self._pieces.append(b"[^\\t-\\r ]")
        elif byte >= 0x80 or byte in _ALNUM:
            return -1
        else:
            self._pieces.append(_plain(byte))
        return at + 2

    def _quantifier(self, at: int) -> tuple[bool, bool, int]:
        """Whether there is one at `at`, whether it allows zero times, and where it ends; -1 if RE2 does not have it."""
        text = self._source
        sign = text[at : at + 1]
        if sign in (b"*", b"+", b"?"):
            stop, optional = at + 1, sign != b"+"
        elif sign == b"{":
            stop, optional = _count(text, at)
            if not stop:
                return False, False, at
            if stop < 0:
                return False, False, -1
        else:
            return False, False, at
        if text.startswith(b"?", stop):
            stop += 1
        # Possessive, or a quantifier of a quantifier.
        if text[stop : stop + 1] in (b"+", b"*", b"?") or (text.startswith(b"{", stop) and _count(text, stop)[0]):
            return False, False, -1
        self._pieces.append(text[at:stop])
        return True, optional, stop

    def _class(self, at: int) -> int:
        """Translate a character class: the offset after it; -1 if part of it may mean something else to RE2."""
        text, end = self._source, len(self._source)
        out = [b"["]
        at += 1
        if text.startswith(b"^", at):
            out.append(b"^")
            at += 1
        first = True
        while True:
            if at >= end:
                return -1
            if text[at] == 0x5D and not first:
                break
            first = False
            if self._fold and text.startswith(_FOLDED, at):
                if len(out) > 1 and out[1] == b"^":
                    return -1
                self.ascii = True
            low, at, single = self._member(at)
            if at < 0:
                return -1
            if text.startswith(b"-", at) and not text.startswith(b"-]", at):
                high, at, other = self._member(at + 1)
                if at < 0 or not single or not other:
                    return -1
                low += b"-" + high
            out.append(low)
        self._pieces.append(b"".join(out) + b"]")
        return at + 1

    def _member(self, at: int) -> tuple[bytes, int, bool]:
        """One member of a class, where it ends, and whether it is one character."""
        text = self._source
        if at >= len(text):
            return b"", -1, False
        byte = text[at]
        if byte == 0x5B and text[at + 1 : at + 2] in (b":", b".", b"="):
            for name in _POSIX:
                if text.startswith(name, at):
                    return name, at + len(name), False
            return b"", -1, False
        if byte == 0x5C:
            if at + 1 >= len(text):
                return b"", -1, False
            byte = text[at + 1]
            if byte in _CLASS_ESCAPES:
                return _CLASS_ESCAPES[byte], at + 2, byte in _SINGLE_ESCAPES
            if byte >= 0x80 or byte in _ALNUM:
                return b"", -1, False
            return b"\\" + text[at + 1 : at + 2], at + 2, True
        if byte >= 0x80:
            stop = at + 1
            while stop < len(text) and text[stop] & 0xC0 == 0x80:
                stop += 1
            return text[at:stop], stop, True
        return _plain(byte), at + 1, True


def _character(piece: bytes) -> bytes:
    """The ASCII character from which `_plain` made the piece; empty if the piece is something else."""
    if len(piece) == 2 and piece[:1] == b"\\" and piece[1] not in _ALNUM and piece[1] < 0x80:
        return piece[1:]
    return piece if len(piece) == 1 and _plain(piece[0]) == piece and piece[0] < 0x80 else b""


def _plain(byte: int) -> bytes:
    """An ASCII character as a pattern that matches just this character."""
    character = b"%c" % byte
    return character if byte in _ALNUM or byte <= 0x20 or byte in b"_\"#%&',/:;<=>@`~!" else b"\\" + character


def _count(text: bytes, at: int) -> tuple[int, bool]:
    """Where the `{n}`, `{n,}` or `{n,m}` at `at` ends, and whether it matches zero times.

    0 if the brace is a plain character, -1 if the count is too large for RE2.
    """
    close = text.find(b"}", at)
    if close < 0:
        return 0, False
    low, comma, high = text[at + 1 : close].partition(b",")
    if not low or low.strip(_DIGITS) or high.strip(_DIGITS):
        return 0, False
    if len(low) > 4 or len(high) > 4 or int(low) > _LARGEST_COUNT or int(high or b"0") > _LARGEST_COUNT:
        return -1, False
    if comma and high and int(high) < int(low):
        return -1, False
    return close + 1, int(low) == 0
