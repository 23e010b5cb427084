"""Bodies: copied in large pieces; a From_ line is escaped, or starts the next mail."""

from __future__ import annotations

from pyprocmail.tools.formail.header import POSTMARK, QUOTED_POSTMARK, read_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.tools.formail.source import Source

# The field names by which formail recognizes the header of a mail; X-anything and Old-anything as well.
KNOWN_NAMES = frozenset(
    b"""
Accept Acknowledge-To Allow Alternate-Recipient Anon-Post-To Anon-Send-To App-Message-ID Apparently-Resent-To
Apparently-To Approved Article Article-I.D. Auto-Forward-Count Auto-Forwarded-From Auto-Submitted Autoforwarded
Bcc Cc Comments Content-Description Content-Disposition Content-ID Content-Identifier Content-Language
Content-Length Content-MD5 Content-Return Content-Transfer-Encoding Content-Type Control Conversion
Conversion-With-Loss Cost Cutmarks DL-Expansion-History Date Default-Options Deferred-Delivery Delivered-To
Delivery-Date Derived-From Diagnostic-Code Discarded-X400-IPMS-Extensions Discarded-X400-MTS-Extensions
Disclose-Recipients Distribution Encoding Encrypt-Key Encrypted End-of-Header Envelope-To Errors-To Expires
Expiry-Date Fake-Sender Fcc Final-Recipient Followup-To Forwarded From From-warning Full-Name
Generate-Delivery-Report Hop-count Importance In-Reply-To Incomplete-Copy Keywords Language Last-Attempt-Date
Last-Modified Latent-Time Latest-Delivery-Time Lines MIME-Version MR-Received Mail-Copies-To Mail-from
Mailing-List Message Message-ID Message-Type NNTP-Posting-Date NNTP-Posting-Host Newsgroups Not-Delivered-To
Notice-Requested-Upon-Delivery-To Obsoletes Organisation Organization Original-Auto-Forwarded-From Original-Cc
Original-Date Original-Encoded-Information-Types Original-From Original-Received Original-To Originator
Originator-Return-Address PP-Warning Path Post-To Posted Posted-Date Posted-To Precedence
Prevent-Nondelivery-Report Priority Public Read-Receipt-To Received Received-Date Reference References
Relay-Version Remote-MTA Replied Reply-By Reply-To Report-Version Request-Remailing-To Requested-Delivery-Method
Resent Resent-Bcc Resent-Cc Resent-Date Resent-From Resent-Message-ID Resent-Reply-To Resent-Sender Resent-To
Return-Path Return-Receipt-Requested Return-Receipt-To Sender Sensitivity Sent-By Server Status Subject
Submitted-by Summary Supersedes Text Title To Transport-Options URI User-Agent Version Via WWW-Link
X400-Content-Type X400-MTS-Identifier X400-Originator X400-Received X400-Recipients X400-Trace Xref
""".lower().split()
)
_BABYL_END = b"\x1f"
_FLUSH_BYTES = 1 << 16
_LONGEST_NEEDLE = len(b"\nFrom ")


class Outlet:
    """The output of one mail: counts its bytes, remembers its last two, and writes it in large pieces."""

    __slots__ = ("failed", "size", "tail", "_held", "_parts", "_write")

    def __init__(self, write: Callable[[bytes], None] | None, *, size: int = 0) -> None:
        self.size = size
        # The last two bytes, to know whether the mail ends with an empty line.
        self.tail = b""
        # A write failed; the rest is dropped.
        self.failed = False
        self._write = write
        self._parts: list[bytes] = []
        self._held = 0

    def put(self, data: bytes) -> None:
        """Append `data`."""
        self.size += len(data)
        self.tail = data[-2:] if len(data) > 1 else (self.tail + data)[-2:]
        if self._write is not None:
            self._parts.append(data)
            self._held += len(data)
            if self._held > _FLUSH_BYTES:
                self.flush()

    def end_with_empty_line(self) -> None:
        """End the last line, and add an empty line unless there is one."""
        if not self.tail.endswith(b"\n"):
            self.put(b"\n")
        if self.tail != b"\n\n":
            self.put(b"\n")

    def flush(self) -> None:
        """Write what has been collected."""
        data = b"".join(self._parts)
        self._parts.clear()
        self._held = 0
        if self._write is not None and data and not self.failed:
            try:
                self._write(data)
            except OSError:
                self.failed = True


class Layout:
    """How bodies are read and written in one run."""

    __slots__ = (
        "answering",
        "babyl",
        "digest",
        "escape",
        "every_line",
        "minimum_fields",
        "needles",
        "quote",
        "splitting",
    )

    def __init__(
        self,
        *,
        splitting: bool,
        answering: bool = False,
        digest: bool = False,
        every_line: bool = False,
        babyl: bool = False,
        minimum_fields: int = 2,
        escape: bytes = b">",
        quote: bytes = b"",
    ) -> None:
        self.splitting = splitting
        self.answering = answering
        self.digest = digest and splitting and not babyl
        self.every_line = every_line
        self.babyl = babyl and splitting
        self.minimum_fields = minimum_fields
        # `escape` goes before From_ lines that start no mail, `quote` before all lines that are not empty.
        self.escape = escape
        self.quote = quote
        # The texts that show where a line to examine begins, and the offset of that line in each.
        self.needles: tuple[tuple[bytes, int], ...]
        if self.babyl:
            self.needles = ((b"\n\x1f", 1),)
        elif quote or (self.digest and every_line):
            self.needles = ((b"\n", 1),)
        elif self.digest:
            self.needles = ((b"\nFrom ", 1), (b"\n\n", 2))
        else:
            self.needles = ((b"\nFrom ", 1),) if splitting or escape else ()


def starts_mail(source: Source, layout: Layout, *, adjacent: bool = False) -> tuple[bool, int]:
    """Whether the next lines are the header of a mail, and the length of the lines that look like one.

    A header is `minimum_fields` fields with known names in a row; a From_ line with two words counts as
    one.  The length is 0 if the first line does not look like a header.  `adjacent`: directly after a
    header, without an empty line between; there any From_ line counts, but without `>From ` lines.
    """
    line = source.line_at(0)
    postmark = line.startswith(POSTMARK)
    loose = layout.digest or layout.babyl
    article = loose and line.startswith(b"Article ")
    if not ((adjacent or _has_two_words(line[5:])) if postmark else loose and (article or is_known(line))):
        return False, 0
    folds: tuple[bytes, ...] = (b" ", b"\t")
    if postmark or article:
        folds = (QUOTED_POSTMARK,) if postmark and not adjacent else ()
    count, length = 1, len(line)
    while count != layout.minimum_fields:
        line = source.line_at(length)
        if not (folds and line.startswith(folds)):
            if not is_known(line):
                return False, length
            count += 1
            folds = (b" ", b"\t")
        length += len(line)
    return True, length


def is_known(line: bytes) -> bool:
    """Whether `line` begins a field with a known name."""
    name = read_name(line).lower()
    return name[:-1] in KNOWN_NAMES or name.startswith((b"x-", b"old-"))


def _has_two_words(text: bytes) -> bool:
    words = text.rstrip(b"\n").replace(b"\t", b" ").strip(b" ")
    return b" " in words


class Body:
    """Copies one body."""

    __slots__ = ("ends_within", "missing", "_before", "_layout", "_outlet", "_source")

    def __init__(self, source: Source, outlet: Outlet, layout: Layout) -> None:
        # The input ends within the Content-Length, or directly after it.
        self.ends_within = False
        # How many bytes of the Content-Length were missing.
        self.missing = 0
        self._source = source
        self._outlet = outlet
        self._layout = layout
        # The last two bytes consumed: two newlines mean that an empty line precedes.
        self._before = b"\n\n"

    def copy(self, *, length: int, adjacent: bool, after_postmark: bool) -> bool:
        """Copy a body; returns whether it ends because another mail follows.

        `length` bytes are copied unexamined (Content-Length).  `adjacent`: no empty line precedes the body;
        `after_postmark`: the header begins with a From_ line.
        """
        self._copy_bytes(length)
        self.ends_within = bool(length) and self._source.at_end()
        adjacent = adjacent and not length
        examining = True
        while not self._source.at_end():
            if self._before.endswith(b"\n"):
                if self._layout.babyl and self._source.starts_with(_BABYL_END):
                    return True
                # In BABYL only the first line is examined; a piece of the input may end before any other.
                if examining and self._look_at_line(adjacent=adjacent, after_postmark=adjacent and after_postmark):
                    return True
            adjacent = False
            examining = not self._layout.babyl
            self._copy_run()
        return False

    def skip_shown_header(self, *, adjacent: bool) -> None:
        """In BABYL: consume the second header, the one that rmail shows, up to the empty line after it.

        A line directly after the first header, `adjacent` to it, is not part of the second.
        """
        source = self._source
        if adjacent and not source.starts_with(_BABYL_END):
            self._pass_on(source.line())
        if not source.starts_with(_BABYL_END):
            source.line()
        while not source.starts_with(b"\n") and not source.at_end():
            source.line()

    def _copy_bytes(self, length: int) -> None:
        source = self._source
        while length > 0 and not source.at_end():
            piece = source.data[source.position : source.position + length]
            source.position += len(piece)
            length -= len(piece)
            self._pass_on(piece)
        self.missing = max(length, 0)

    def _pass_on(self, data: bytes) -> None:
        self._before = data[-2:] if len(data) > 1 else (self._before + data)[-2:]
        self._outlet.put(data)

    def _look_at_line(self, *, adjacent: bool, after_postmark: bool) -> bool:
        """Examine the next line; True if a mail starts there.  Lines that it consumes are copied.

        Directly after a header that began with a From_ line, or after lines that looked like one, a second
        From_ line does not start a mail.
        """
        layout, source = self._layout, self._source
        while layout.splitting:
            postmark = source.starts_with(POSTMARK)
            if layout.digest and source.starts_with(b"\n"):
                source.position += 1
                self._pass_on(b"\n")
                adjacent = after_postmark = False
                continue
            if (postmark and after_postmark) or (adjacent and self._layout.answering):
                break
            if not (layout.every_line or self._before == b"\n\n") or not (postmark or layout.digest):
                break
            starts, length = starts_mail(source, layout, adjacent=adjacent)
            if starts:
                return True
            if not length:
                break
            self._put_false_header(length, escaped=adjacent)
            adjacent, after_postmark = False, postmark
        self._mark_line()
        return False

    def _put_false_header(self, length: int, *, escaped: bool) -> None:
        """Copy lines that looked like a header but have too few fields.

        They are not escaped, although the first is a From_ line.  tests/conformance/formail/s-escape-run.json
        In an answer they are quoted, and those directly after a header are escaped as well.
        """
        source = self._source
        end = source.position + length
        while source.position < end:
            if self._layout.quote:
                line = source.line_at(0)
                self._mark_line(escaped=escaped)
            else:
                line = source.data[source.position : end]
            source.position += len(line)
            self._pass_on(line)

    def _mark_line(self, *, escaped: bool = True) -> None:
        """Write the escape or the quotation prefix of the next line."""
        layout, source = self._layout, self._source
        if escaped and layout.escape and source.starts_with(POSTMARK):
            self._outlet.put(layout.escape)
        if layout.quote and not source.at_end() and not source.starts_with(b"\n"):
            self._outlet.put(layout.quote)

    def _copy_run(self) -> None:
        """Copy everything before the next line to examine, or all that is in memory."""
        source = self._source
        while True:
            data = source.data
            end = -1
            for needle, ahead in self._layout.needles:
                found = source.find(needle)
                if found >= 0 and (end < 0 or found + ahead < end):
                    end = found + ahead
            if end < 0:
                # The last bytes may be the beginning of a needle that is not read completely.
                end = len(data) - (0 if source.ended or not self._layout.needles else _LONGEST_NEEDLE - 1)
            if end > source.position:
                self._pass_on(data[source.position : end])
                source.position = end
                return
            if not source.more() and source.at_end():
                return


def skip_to_mail(source: Source, layout: Layout) -> bool:
    """In BABYL: consume lines up to one that begins the header of a mail; False if none follows."""
    while not source.at_end():
        starts, length = starts_mail(source, layout)
        if starts:
            return True
        # A header cannot begin within these lines: fewer fields in a row are too few as well.
        length = length or len(source.line_at(0))
        source.position += length
    return False
