"""The parts of a message, as offsets into its bytes.  RFC 2045, RFC 2046.

Broken MIME is read as far as possible.  If no boundary is named, the first line that looks like one is it; an
unterminated part ends with its parent; a header without an empty line ends at the next boundary.  It takes one pass
over the data, however deep the parts are nested.  Nothing is decoded here: see `transfer`, `charsets`, `words`,
`parameters`.
"""

from __future__ import annotations

from pyprocmail.message.parameters import parameters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_PARTS = 10_000
DEEPEST = 1_000
"""Beyond these limits there are no more parts: the rest is text of the enclosing part."""
_LONGEST_GUESS = 4096
"""How many bytes of a multipart without a named boundary are searched for one."""
_BLANKS = b" \t\r"


class Part:
    """One entity.  The header begins at `begin`; the body is between `start` and `end` in the data.

    `kind` is the type in lower case, `text/plain` if there is no valid one.  `message`: a whole message: the mail
    itself, or the one child of a message/rfc822.  `end` excludes the newline that belongs to the boundary after it.
    """

    __slots__ = ("begin", "start", "end", "kind", "message", "children", "parent", "_data", "_fields")

    def __init__(self, data: bytes, begin: int, start: int, parent: Part | None, *, message: bool) -> None:
        self.begin = begin
        self.start = start
        self.end = len(data)
        self.kind = b"text/plain"
        self.message = message
        self.children: list[Part] = []
        self.parent = parent
        self._data = data
        self._fields: dict[bytes, bytes] | None = None

    @property
    def head(self) -> bytes:
        """The header, with the empty line that ends it."""
        return self._data[self.begin : self.start]

    @property
    def raw(self) -> bytes:
        """The body, not decoded."""
        return self._data[self.start : self.end]

    def first(self, size: int) -> bytes:
        """The first `size` bytes of the body, not decoded."""
        return self._data[self.start : min(self.end, self.start + size)]

    def field(self, name: bytes) -> bytes:
        """The value of the first field of the lower-case name, which begins with `content-`, unfolded."""
        if self._fields is None:
            self._fields = _content_fields(self._data[self.begin : self.start])
        return self._fields.get(name, b"")

    @property
    def encoding(self) -> bytes:
        """Content-Transfer-Encoding, in lower case."""
        return self.field(b"content-transfer-encoding").strip(b" \t\r;").lower()

    @property
    def disposition(self) -> bytes:
        """`attachment`, `inline`, in lower case; empty if missing."""
        return self.field(b"content-disposition").partition(b";")[0].strip().lower()

    def parameter(self, name: bytes) -> bytes:
        """A parameter of Content-Type, not decoded; empty if missing."""
        return parameters(self.field(b"content-type")).get(name, b"")

    @property
    def charset(self) -> bytes:
        """The name of the character set as the part has it; empty if missing."""
        return self.parameter(b"charset") or self.parameter(b"charset*").rpartition(b"'")[2]

    def walk(self) -> Iterator[Part]:
        """This part and all parts in it, in the order of the mail."""
        todo = [self]
        while todo:
            part = todo.pop()
            yield part
            todo += reversed(part.children)


class Structure:
    """The parts of a mail.  `cut` lists the limits that were exceeded: parts, depth."""

    __slots__ = ("root", "cut")

    def __init__(self, root: Part, cut: list[str]) -> None:
        self.root = root
        self.cut = cut


def parse(data: bytes, split: int) -> Structure:
    """The parts of a mail whose body begins at `split`."""
    return _Reader(data).read(split)


class _Reader:
    """One pass over a mail.

    `stack` has the open parts, from the outermost to the innermost.  `marks` maps each boundary that may come to the
    depths of the multiparts that use it, the innermost last.
    """

    __slots__ = ("data", "stack", "marks", "cut", "left", "_empty_lines")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.stack: list[Part] = []
        self.marks: dict[bytes, list[int]] = {}
        self.cut: list[str] = []
        self.left = MOST_PARTS
        self._empty_lines = [-1, -1]

    def read(self, split: int) -> Structure:
        """Find the parts."""
        data = self.data
        root = Part(data, 0, split, None, message=True)
        self._open(root)
        at = max(split - 1, 0)
        if split == 0 and data.startswith(b"--"):
            at = self._line(0)
        while self.marks and (at := data.find(b"\n--", at)) >= 0:
            at = self._line(at + 1)
        return Structure(root, self.cut)

    def _line(self, begin: int) -> int:
        """Handle a line that begins with two dashes; returns the offset from which the search continues."""
        data = self.data
        stop = data.find(b"\n", begin)
        if stop < 0:
            stop = len(data)
        known = self._known(begin, stop)
        if known is None:
            return stop
        level, closes = known
        end = begin - 1
        self._close(level, end - 1 if data.endswith(b"\r", 0, end) else end)
        if closes:
            self._forget(self.stack[level], level)
            return stop
        self.left -= 1
        if not self.left:
            self._note(f"parts after {MOST_PARTS}")
            self.marks.clear()
            return stop
        start = self._body(min(stop + 1, len(data)))
        child = Part(data, min(stop + 1, len(data)), start, self.stack[level], message=False)
        self.stack[level].children.append(child)
        self._open(child)
        # The newline before a body may also be the one before a boundary.
        return max(start - 1, stop)

    def _known(self, begin: int, stop: int) -> tuple[int, bool] | None:
        """If the line is a boundary: the depth of its multipart, and whether it is the closing one."""
        mark = self.data[begin + 2 : stop].rstrip(_BLANKS)
        levels = self.marks.get(mark)
        if levels:
            return levels[-1], False
        levels = self.marks.get(mark[:-2]) if mark.endswith(b"--") else None
        return (levels[-1], True) if levels else None

    def _open(self, part: Part) -> None:
        """Read the type from the part's header, and enter the part."""
        while True:
            kind = _kind(part)
            part.kind = kind
            if len(self.stack) > DEEPEST:
                self._note(f"parts that are nested deeper than {DEEPEST}")
                kind = b""
            self.stack.append(part)
            if kind.startswith(b"multipart/"):
                mark = part.parameter(b"boundary").rstrip(_BLANKS) or self._guess(part)
                if mark:
                    self.marks.setdefault(mark, []).append(len(self.stack) - 1)
                return
            if kind not in (b"message/rfc822", b"message/global") or part.encoding in (b"base64", b"quoted-printable"):
                return
            child = Part(self.data, part.start, self._body(part.start), part, message=True)
            part.children.append(child)
            part = child

    def _close(self, level: int, end: int) -> None:
        """End the parts that are deeper than `level`."""
        while len(self.stack) > level + 1:
            part = self.stack.pop()
            # A part that begins at the boundary has no newline before the boundary.
            end = max(end, part.begin)
            part.start = min(part.start, end)
            part.end = end
            self._forget(part, len(self.stack))

    def _forget(self, part: Part, level: int) -> None:
        """Expect no more boundaries of this multipart, which is at depth `level`."""
        if part.kind.startswith(b"multipart/"):
            mark = part.parameter(b"boundary").rstrip(_BLANKS) or self._guess(part)
            levels = self.marks.get(mark)
            if levels and levels[-1] == level:
                levels.pop()
                if not levels:
                    del self.marks[mark]

    def _guess(self, part: Part) -> bytes:
        """The first line that looks like a boundary, if none is named."""
        stop = part.start + _LONGEST_GUESS
        at = self.data.find(b"\n--", max(part.start - 1, 0), stop)
        end = self.data.find(b"\n", at + 1, stop) if at >= 0 else -1
        return self.data[at + 3 : end].rstrip(_BLANKS) if end >= 0 else b""

    def _body(self, begin: int) -> int:
        """The beginning of the body whose header begins at `begin`: at the next boundary at the latest."""
        data = self.data
        for empty in (b"\n", b"\r\n"):
            if data.startswith(empty, begin):
                return begin + len(empty)
        stop = self._empty_line(begin)
        at = begin - 1
        while (at := data.find(b"\n--", at, stop)) >= 0:
            end = data.find(b"\n", at + 1)
            end = len(data) if end < 0 else end
            if self._known(at + 1, end) is not None:
                return at + 1
            at = end
        return stop

    def _empty_line(self, begin: int) -> int:
        """The offset after the next empty line; each is searched for once."""
        ends = []
        for place, mark in enumerate((b"\n\n", b"\n\r\n")):
            at = self._empty_lines[place]
            if 0 <= at < begin or at == -1:
                at = self.data.find(mark, begin)
                self._empty_lines[place] = at = len(self.data) if at < 0 else at
            ends.append(min(at + len(mark), len(self.data)))
        return min(ends)

    def _note(self, what: str) -> None:
        if what not in self.cut:
            self.cut.append(what)


def _kind(part: Part) -> bytes:
    """The type of a part; the default for a part of a digest is message/rfc822."""
    kind = part.field(b"content-type").partition(b";")[0].strip().lower()
    if kind.count(b"/") == 1 and not kind.startswith(b"/") and not kind.endswith(b"/"):
        return kind
    digest = not kind and part.parent is not None and part.parent.kind == b"multipart/digest"
    return b"message/rfc822" if digest and not part.message else b"text/plain"


def _content_fields(head: bytes) -> dict[bytes, bytes]:
    """The fields whose names begin with `content-`, the first of each; unfolded."""
    found: dict[bytes, bytes] = {}
    lower = b"\n" + head.lower()
    at = -1
    while (at := lower.find(b"\ncontent-", at + 1)) >= 0:
        stop = at + 1
        while True:
            stop = lower.find(b"\n", stop)
            if stop < 0 or lower[stop + 1 : stop + 2] not in (b" ", b"\t"):
                break
            stop += 1
        # `lower` has one byte more than `head`, at the beginning.
        text = head[at : stop - 1 if stop >= 0 else len(head)]
        name, colon, value = text.partition(b":")
        if colon:
            found.setdefault(name.strip().lower(), value.replace(b"\r\n", b"\n").replace(b"\n", b"").strip())
        if stop < 0:
            break
        at = stop - 1
    return found
