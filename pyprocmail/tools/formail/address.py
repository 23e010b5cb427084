"""The bare address in a header field, and how suitable it is for a reply."""

from __future__ import annotations

# Blanks around these characters mean nothing (RFC 822, 3.1.4); any other blank separates two words.
_JOINERS = b"@.:,"
_CLOSERS = {0x22: 0x22, 0x5B: 0x5D}
_BACKSLASH = 0x5C


class _Scan:
    """An address under construction."""

    __slots__ = ("angle", "blank", "group", "internet", "listed", "out", "skipping", "done")

    def __init__(self, angle: bool) -> None:
        self.out = bytearray()
        self.angle = angle
        self.group = False
        # An `@` or a dot has been read.
        self.internet = False
        # A comma or semicolon outside a group has been read: the address keeps its angle brackets.
        self.listed = False
        self.blank = False
        # A second word has been read: only an address in angle brackets can still follow.
        self.skipping = False
        self.done = False

    def open_angle(self) -> None:
        """Forget the words before `<`."""
        self.out.clear()
        self.angle = True
        self.group = self.internet = self.listed = self.blank = self.skipping = False

    def word(self, text: bytes, *, quoted: bool = False) -> None:
        """Add a piece of a word."""
        if self.blank and self.out and not self.angle and not quoted and self.out[-1] not in _JOINERS:
            self.skipping = True
        if not self.skipping:
            self.out += text
        self.blank = False

    def joiner(self, byte: int) -> None:
        """Add `@`, `.` or `:`."""
        if not self.skipping:
            # A colon after an address begins no group; only one after a phrase does.
            self.group = self.group or (byte == 0x3A and not self.internet)
            self.internet = self.internet or byte != 0x3A
            self.out.append(byte)
        self.blank = False

    def separator(self, byte: int) -> None:
        """Handle a comma or semicolon: it ends the address, except in a group or in angle brackets."""
        if self.skipping or not (self.angle or self.group):
            self.done = True
            return
        self.out.append(byte)
        self.blank = False
        if self.group:
            self.done = byte == 0x3B
        else:
            self.listed = True


def extract(text: bytes, *, angle: bool = False) -> bytes:
    """The first address of `text` without comments, blanks and name; empty if there is none.

    With `angle` the text counts as the inside of angle brackets.  RFC 822, 6.1; a group is one address.
    """
    scan = _Scan(angle)
    position, size = 0, len(text)
    while position < size and not scan.done:
        byte = text[position]
        if byte in b" \t\n":
            scan.blank = True
        elif byte == 0x28:
            position = _end_of_comment(text, position) - 1
            scan.blank = True
        elif byte in _CLOSERS:
            end = _end_of_quote(text, position, _CLOSERS[byte])
            scan.word(text[position:end], quoted=True)
            position = end - 1
        elif byte == _BACKSLASH:
            scan.word(text[position : position + 2])
            position += 1
        elif byte == 0x3C:
            scan.open_angle()
        elif byte in (0x3E, 0):
            break
        elif byte in b",;":
            scan.separator(byte)
        elif byte in b"@.:":
            scan.joiner(byte)
        else:
            scan.word(text[position : position + 1])
        position += 1
    return b"<%b>" % bytes(scan.out) if scan.listed else bytes(scan.out)


def _end_of_comment(text: bytes, position: int) -> int:
    """The offset after the comment that begins at `position`; comments nest."""
    depth = 0
    while position < len(text):
        byte = text[position]
        if byte == _BACKSLASH:
            position += 1
        elif byte == 0x28:
            depth += 1
        elif byte == 0x29:
            depth -= 1
            if not depth:
                return position + 1
        position += 1
    return position


def _end_of_quote(text: bytes, position: int, closer: int) -> int:
    """The offset after the quoted string or domain literal that begins at `position`."""
    position += 1
    while position < len(text):
        byte = text[position]
        if byte == _BACKSLASH:
            position += 1
        elif byte == closer:
            return position + 1
        position += 1
    return len(text)


def penalty(address: bytes) -> int:
    """What to subtract from the weight of the field: the less it looks like an Internet address, the more."""
    if not any(byte in b"@!/" for byte in address):
        return 48
    if b".UUCP" in address:
        return 36
    if b"@" in address and b"." not in address:
        return 24
    return 12 if b"!" in address else 0


def from_postmark(content: bytes) -> bytes:
    """The address in the content of a From_ line with its `>From ` lines.

    The last line names the user; `remote from host` and `forwarded by host` at the ends of lines are
    the route, written as a UUCP path, unless the user is an Internet address.
    """
    hosts: list[bytes] = []
    user = blank = b""
    for line in content.partition(b"\0")[0].split(b"\n>From "):
        user, blank, rest = line.partition(b" ")
        host = _relay(b" " + rest)
        if host is not None:
            hosts.append(host)
    if not blank:
        hosts.clear()
    path = [user] if b"@" in user or not (user or hosts) else [*hosts, user]
    return extract(b"!".join(path), angle=True)


def _relay(rest: bytes) -> bytes | None:
    """The host of `remote from` or `forwarded by` in a From_ line; None without."""
    found = [
        (position, words) for words in (b" remote from ", b" forwarded by ") if (position := rest.find(words)) >= 0
    ]
    if not found:
        return None
    position, words = min(found)
    return rest[position + len(words) :]
