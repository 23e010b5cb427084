"""Replaces private data in rcfiles and mail: a word has the same replacement everywhere, so rules still match.

A word is a run of letters.  Words of addresses, host names, people and passwords become `usra`, `hstb`, `prsc`, `pwdd`
and so on, with the same capitals; numbers in addresses become others with as many digits.  The rest of an rcfile stays,
except its comments.  In the rest of a mail, words stay if the rcfiles have them or they are common in mail
(`plain_words`); every other letter becomes an x.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pyprocmail.doctor.plain_words import DOMAINS, KEPT, SUFFIXES
from pyprocmail.message import header
from pyprocmail.message.model import Message

LOGIN, HOSTNAME, HOME = b"usra", b"hsta", b"/home/user"
"""The replacements for the person's login, machine and home."""
_USER, _HOST, _NAME, _SECRET, _WORD = b"usr", b"hst", b"prs", b"pwd", b"wrd"
"""The beginnings of replacements: letters with which patterns for other words do not begin."""
_LOGIN, _COMMENT, _DATE, _NUMBER, _VARIABLE = b"login", b"comment", b"date", b"number", b"variable"
_SHORTEST = 3
"""A private word of at least so many letters is replaced wherever it is a whole word (in an address one less), ..."""
_SHORTEST_INSIDE = 4
"""... one of at least so many letters also inside longer words."""
_LONGEST_BODY = 1 << 18
"""So many bytes of a body are replaced word by word; in the rest every letter becomes an x."""

_RUN = re.compile(rb"[A-Za-z\x80-\xff]+|[0-9]+")
# Repetitions are limited, because a stranger's mail must not make the search slow.
_LABEL = rb"(?:[A-Za-z0-9_\x80-\xff][A-Za-z0-9_\x80-\xff-]{0,80}|\([^()\s@]{0,200}\))"
_DOT = rb"(?:\\?\.|\[\.\])"
_HOST_NAME = _LABEL + rb"(?:" + _DOT + _LABEL + rb")*"
_LOCAL = rb"(?:\([^()\s@]{0,200}\)|\\.|[A-Za-z0-9._+=%&~\x80-\xff-])"
_SPANS = re.compile(
    rb"(?P<variable>\$\{?\w+)"
    rb"|://(?P<login>[^/\s@:]+:[^/\s@]+)(?=@)"
    rb"|--?(?i:password|passwd|pass|passphrase|token|secret|api-?key)(?:=|[ \t]+)(?P<option>\S+)"
    rb"|-(?:u|-user|-auth)(?:=|[ \t]*)(?P<user>[^\s:]+:\S+)"
    rb"|(?i:bearer|basic)[ \t]+(?P<bearer>[^\s\"'$]{8,})"
    rb"|(?P<address>" + _LOCAL + rb"{1,100}@(?:" + _HOST_NAME + rb")?|@" + _HOST_NAME + rb")"
    rb"|(?<![\w.])(?P<number>[0-9]{1,3}(?:" + _DOT + rb"[0-9]{1,3}){2,3}(?![0-9])"
    rb"|(?:[0-9A-Fa-f]{0,4}:){3,7}[0-9A-Fa-f]{1,4}(?!\w))"
    rb"|(?:(?<![\w/])|(?<=//))(?P<host>" + _LABEL + rb"(?:" + _DOT + _LABEL + rb")+)"
    rb"|(?<![\w/$])(?P<random>(?=(?:[A-Z_a-z+=-]{0,40}[0-9]){3})(?=(?:[0-9_+=-]{0,40}[A-Za-z]){3})[A-Za-z0-9_+=-]{16,})"
)
_SECRETS = ("login", "option", "user", "bearer", "random")
_SECRET_NAME = rb"(?i:[\w-]{0,40}(?:passw|passphrase|secret|token|api[_-]?key|credential|cookie)[\w-]*|pass|pw)"
_SECRET_FIELD = re.compile(rb"(?:" + _SECRET_NAME + rb"|(?i:authorization|approved|x-auth))\s*:")
_IN_RULES = (
    (re.compile(rb"(?m)^[ \t]*#([^\n]*)|^(?![ \t]*\*)[^\n]*?[ \t]#([^\n]*)"), _COMMENT),
    (re.compile(rb"(?:/home|/var/mail|/var/spool/mail)/([^/\s\"'$;:]+)"), _LOGIN),
    (re.compile(rb"(?<![\w/])~(\w+)"), _LOGIN),
    (re.compile(rb"(?m)^[ \t]*" + _SECRET_NAME + rb"[ \t]*=[ \t]*([^\n]+)"), _SECRET),
    (re.compile(rb"(?:" + _SECRET_NAME + rb"|(?i:authorization|approved|x-auth))\\?:([^\n\"']+)"), _SECRET),
)
_IN_MAIL = (
    (re.compile(rb"(\w{3},\s+\d{1,2}\s+\w{3}\s+\d{4}\s+\d\d:\d\d(?::\d\d)?(?:\s+[+-]\d{4}| [A-Z]{1,5})?)"), _DATE),
    (re.compile(rb"(\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})"), _DATE),
)
_FLAGS = re.compile(rb"[HBDAaEehbfcwWir]{2}")
_PEOPLE = (b"from", b"to", b"cc", b"bcc", b"sender", b"reply-to", b"resent-from", b"resent-to", b"resent-cc")
_LISTS = (b"list-id", b"list-post", b"x-mailing-list", b"x-beenthere", b"mailing-list", b"delivered-to")
_LIST_NAME = re.compile(rb"<(?:mailto:)?([^.@>\s]+)[.@]|^\s*(?:list )?([^.@\s;]+)@")
_ENCODED = re.compile(rb"=\?[^?\s]*\?[BbQq]\?[^?\s]*\?=")
_MASK = bytes.maketrans(
    bytes((*range(65, 91), *range(97, 123), *range(48, 58), *range(128, 256))),
    b"X" * 26 + b"x" * 26 + b"9" * 10 + b"x" * 128,
)
Part = tuple[bytes, bytes]
"""A piece of a text and its kind of private data, b"" for none."""


@dataclass(frozen=True, slots=True)
class Person:
    """The author of the report, as the machine knows the user."""

    login: bytes
    real_name: bytes
    home: bytes
    hostname: bytes


class Disguise:
    """The replacements for a person's rcfiles and one mail, b"" for none.

    `hidden` are words that the person declares private.
    """

    def __init__(
        self, person: Person, rcfiles: Iterable[bytes], mail: bytes = b"", hidden: Iterable[bytes] = ()
    ) -> None:
        self._home = person.home.rstrip(b"/")
        self._names: dict[bytes, bytes] = {}
        self._numbers: dict[bytes, bytes] = {}
        self._counts = Counter((_USER, _HOST))  # the first are LOGIN and HOSTNAME
        self._divisions: dict[bytes, list[bytes]] = {}
        self._masks: dict[bytes, bytes] = {}
        self._kept = set(KEPT)
        self._everywhere: set[bytes] = set()
        self._machine = _machine(person.hostname)
        texts = [self._somewhere_else(text) for text in rcfiles]
        self._in_rules = {run.lower() for text in texts for run in _RUN.findall(text)}
        for word in hidden:
            self._kept -= set(_lower_runs(word))
            self._learn(word, _WORD, shortest=1)
        logins = {word for word in _lower_runs(person.login) if word not in self._kept and not word.isdigit()}
        self._names |= dict.fromkeys(logins, LOGIN)
        self._everywhere |= logins
        self._learn(person.real_name, _NAME)
        self._learn(re.sub(rb"(?m)(^|\s)[^\s.]+\.?", b" ", person.hostname), _HOST)
        self._keep_lists(mail)
        self._learn_mail(mail)
        for text in texts:
            for part, kind in _parts(text, rules=True):
                self._learn_part(part, kind)
        self._private = _any_of(word for word in self._everywhere if len(word) >= _SHORTEST_INSIDE)
        plain = (part for text in texts for part, kind in _parts(text, rules=True) if kind in (b"", _VARIABLE))
        self._public = {word for part in plain for word in _lower_runs(self.shown(part))}
        inside = {word for word in self._everywhere if len(word) >= _SHORTEST_INSIDE}
        self._known = _any_of(inside | {word for word in self._public if len(word) >= _SHORTEST and not word.isdigit()})

    # -- what is private -----------------------------------------------------------------------

    def _keep_lists(self, mail: bytes) -> None:
        """Keep names of lists readable if the rcfiles have their words: rules depend on them."""
        for _, _, value in header.named(Message(mail).head, _LISTS):
            found = _LIST_NAME.search(value)
            if found:
                words = set(_lower_runs(found[1] or found[2]))
                self._kept |= (words & self._in_rules) - self._everywhere

    def _learn_mail(self, mail: bytes) -> None:
        for field in header.fields(Message(mail).head):
            name, value = _name_and_value(field)
            people = name.strip(b" \t:").lower() in _PEOPLE
            if _SECRET_FIELD.fullmatch(name):
                self._learn(value, _SECRET)
                continue
            for part, kind in _parts(value, rules=False):
                if kind:
                    self._learn_part(part, kind)
                elif people:
                    self._learn(_ENCODED.sub(b" ", part), _NAME)

    def _learn_part(self, part: bytes, kind: bytes) -> None:
        if kind == _USER:
            local, _, domain = part.rpartition(b"@")
            self._learn(local, _USER, shortest=_SHORTEST if _FLAGS.fullmatch(local) else 2)
            self._learn(_without_domain(domain), _HOST)
        elif kind == _HOST:
            self._learn(_without_domain(part), _HOST)
        elif kind == _LOGIN:
            self._learn(part, _USER, shortest=2)
        elif kind == _SECRET:
            self._learn(part, _SECRET)

    def _learn(self, text: bytes, kind: bytes, *, shortest: int = _SHORTEST) -> None:
        """Name the words of a text; those of at least `shortest` letters are replaced everywhere."""
        for word in _lower_runs(text):
            if word not in self._kept and not word.isdigit():
                for part in self._divided(word):
                    self._name(part, kind)
                    if len(part) >= shortest and part not in self._kept:
                        self._everywhere.add(part)

    def _divided(self, word: bytes) -> list[bytes]:
        """A word in lower case, divided where rules contain a part of it: `acmecorp` for the pattern `@acme`."""
        if word not in self._divisions:
            inside = _any_of(
                part
                for part in self._in_rules
                if len(part) >= _SHORTEST_INSIDE and part in word and not part.isdigit() and part not in self._kept
            )
            self._divisions[word] = [part for part in inside.split(word) if part]
        return self._divisions[word]

    def _name(self, word: bytes, kind: bytes) -> bytes:
        """The replacement for a word; both in lower case."""
        if word not in self._names:
            self._names[word] = kind + _letters(self._counts[kind])
            self._counts[kind] += 1
        return self._names[word]

    # -- replacing -----------------------------------------------------------------------------

    def rcfile(self, text: bytes) -> bytes:
        """An rcfile or filter file with private data replaced, and the words of its comments masked."""
        parts = _parts(self._somewhere_else(text), rules=True)
        return b"".join(self._replaced(part, kind, self.shown) for part, kind in parts)

    def mail(self, data: bytes) -> bytes:
        """A mail with private data replaced; its length stays the same if the body can be padded or cut enough."""
        message = Message(data)
        head = b"\n".join(self._field(field) for field in header.fields(message.head))
        body = self._masked(message.body[:_LONGEST_BODY]) + message.body[_LONGEST_BODY:].translate(_MASK)
        missing = len(data) - len(head) - len(body)
        ending = b"\n" if body.endswith(b"\n") else b""
        body = body.removesuffix(ending)
        if body:
            body = body + b"x" * missing if missing > 0 else body[:missing] if 0 < -missing < len(body) else body
        return head + body + ending

    def shown(self, text: bytes) -> bytes:
        """Another text with the private words replaced, but only those that are replaced everywhere."""
        return _RUN.sub(lambda run: self._word(run[0]), self._somewhere_else(text))

    def _field(self, field: bytes) -> bytes:
        name, value = _name_and_value(field)
        if _SECRET_FIELD.fullmatch(name):
            return name + self._replaced(value, _SECRET, self.shown)
        return self.shown(name) + self._masked(value)

    def _masked(self, text: bytes) -> bytes:
        """Text of a mail with private data replaced and other words masked."""
        return b"".join(self._replaced(part, kind, self._masked_words) for part, kind in _parts(text, rules=False))

    def _masked_words(self, text: bytes) -> bytes:
        return _RUN.sub(lambda run: self._masked_word(run[0]), text)

    def _masked_word(self, run: bytes) -> bytes:
        if run not in self._masks:
            self._masks[run] = self._mask(run)
        return self._masks[run]

    def _mask(self, run: bytes) -> bytes:
        word = run.lower()
        if word in self._everywhere:
            return _cased(self._names[word], run)
        if word in self._kept or word in self._public:
            return run
        pieces = self._known.split(run)
        for at, piece in enumerate(pieces):
            if at % 2 == 0:
                pieces[at] = piece.translate(_MASK)
            elif piece.lower() in self._everywhere:
                pieces[at] = _cased(self._names[piece.lower()], piece)
        return b"".join(pieces)

    def _replaced(self, part: bytes, kind: bytes, otherwise: Callable[[bytes], bytes]) -> bytes:
        """A piece of a text, replaced as its kind requires."""
        if kind == _DATE:
            return b"Thu, 01 Jan 2026 00:00:00 +0000" if b"," in part else b"Thu Jan  1 00:00:00 2026"
        if kind == _COMMENT:
            return _RUN.sub(lambda run: run[0] if run[0].lower() in KEPT else run[0].translate(_MASK), part)
        if kind == _USER:
            local, at, domain = part.rpartition(b"@")
            return self._forced(local, _USER) + at + self._replaced(domain, _HOST, otherwise)
        if kind == _LOGIN:
            return self._forced(part, _USER)
        if kind == _HOST:
            first = _without_domain(part)
            return self._forced(first, _HOST) + part[len(first) :]
        if kind == _SECRET:
            return _RUN.sub(lambda run: self._forced_run(run[0], _SECRET), part)
        if kind == _NUMBER:
            return re.sub(rb"[0-9A-Fa-f]+", lambda run: self._number(run[0]), part)
        return otherwise(part)

    def _forced(self, text: bytes, kind: bytes) -> bytes:
        """The text with every word replaced that is not a common one of mail."""
        return _RUN.sub(
            lambda run: run[0] if run[0].lower() in self._kept else self._forced_run(run[0], kind), text
        )  # fmt: skip

    def _forced_run(self, run: bytes, kind: bytes) -> bytes:
        if run.isdigit():
            return self._number(run)
        pieces, at = [], 0
        for part in self._divided(run.lower()):
            pieces.append(_cased(self._name(part, kind), run[at : at + len(part)]))
            at += len(part)
        return b"".join(pieces)

    def _word(self, run: bytes) -> bytes:
        word = run.lower()
        if word in self._everywhere:
            return _cased(self._names[word], run)
        if word in self._kept:
            return run
        return self._private.sub(lambda part: _cased(self._names[part[0].lower()], part[0]), run)

    def _number(self, digits: bytes) -> bytes:
        """Another number with as many digits, small enough for an IP address."""
        if digits not in self._numbers:
            size = len(digits)
            kind = b"%d" % size
            self._numbers[digits] = b"%d" % (10 ** (size - 1) + self._counts[kind] % (9 * 10 ** (size - 1)))
            self._counts[kind] += 1
        return self._numbers[digits]

    def _somewhere_else(self, text: bytes) -> bytes:
        """The text with the home and the machine's name replaced."""
        if self._home.count(b"/") > 1:
            text = re.sub(re.escape(self._home) + rb"(?![\w-])", HOME, text)
        return self._machine.sub(HOSTNAME, text)


def _parts(text: bytes, *, rules: bool) -> Iterator[Part]:
    """A text in pieces, each with its kind of private data."""
    found: list[tuple[int, int, bytes]] = []
    for pattern, kind in _IN_RULES if rules else _IN_MAIL:
        for match in pattern.finditer(text):
            group = match.lastindex or 0
            found.append((*match.span(group), kind))
    for match in _SPANS.finditer(text):
        name = match.lastgroup or ""
        if name != "host" or _is_host(text, match, rules=rules):
            kind = {"address": _USER, "host": _HOST, "number": _NUMBER, "variable": _VARIABLE}.get(name, _SECRET)
            found.append((*match.span(name), kind))
    at = 0
    for start, end, kind in sorted(found, key=lambda one: (one[0], -one[1])):
        if start >= at:
            yield text[at:start], b""
            yield text[start:end], kind
            at = end
    yield text[at:], b""


def _name_and_value(field: bytes) -> Part:
    """The name of a field with its colon, and its value; the whole field is the value if it has no name."""
    name, colon, value = field.partition(b":")
    return (name + colon, value) if colon and b" " not in name.strip() else (b"", field)


def _machine(names: bytes) -> re.Pattern[bytes]:
    """A pattern for the first labels of a machine's names."""
    labels = {name.partition(b".")[0] for name in names.split()}
    found = b"|".join(re.escape(label) for label in labels if len(label) > 1 and label.lower() not in KEPT)
    return re.compile(rb"(?i)(?<![\w-])(?:" + (found or rb"(?!)") + rb")(?![\w-])")


def _is_host(text: bytes, match: re.Match[bytes], *, rules: bool) -> bool:
    """Whether words joined by dots are a host, and not a file or a pattern."""
    last = match["host"][len(_without_last_label(match["host"])) :].strip(b"()").lower()
    country = len(last) == 2 and last.isalpha()
    if not rules or text[text.rfind(b"\n", 0, match.start()) + 1 :].lstrip().startswith(b"*"):
        return country or last in DOMAINS or b"|" in last
    return (country and last not in SUFFIXES) or last in DOMAINS


def _without_last_label(host: bytes) -> bytes:
    """A host's name up to the dot before its last label; the whole name if there is no dot."""
    end = max(host.rfind(b"."), host.rfind(b".]") + 1)
    return host[: end + (host[end : end + 2] == b".]") + 1] if end > 0 else host


def _without_domain(host: bytes) -> bytes:
    """A host's name without its last label if that is a top-level domain, or several: `(com|org)`."""
    first = _without_last_label(host)
    labels = host[len(first) :].strip(b"()").lower().split(b"|")
    return first if all(label in DOMAINS or (len(label) == 2 and label.isalpha()) for label in labels) else host


def _lower_runs(text: bytes) -> list[bytes]:
    return [run.lower() for run in _RUN.findall(text)]


def _any_of(words: Iterable[bytes]) -> re.Pattern[bytes]:
    """A pattern for these words in a group, the longest first; one that never matches if there are none."""
    alternatives = b"|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word)))
    return re.compile(rb"(?i)(" + (alternatives or rb"(?!)") + rb")")


def _letters(number: int) -> bytes:
    """0 is a, 26 is aa."""
    return (_letters(number // 26 - 1) if number >= 26 else b"") + bytes((97 + number % 26,))


def _cased(name: bytes, like: bytes) -> bytes:
    """The name with the capitals of the word that it replaces."""
    if len(like) > 1 and like.isupper():
        return name.upper()
    return name.capitalize() if like[:1].isupper() else name
