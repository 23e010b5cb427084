"""mailbot: answer a mail, with the guards that keep robots from answering each other.  mailbot(1)

All formats but replydraft, whose draft only a mail program of the same family writes.
"""

from __future__ import annotations

import os
import sys
import time

from pyprocmail.delivery import gdbm
from pyprocmail.exits import EX_OK, EX_TEMPFAIL
from pyprocmail.message import address, mime
from pyprocmail.tools import mailbot_reports as reports
from pyprocmail.tools.reformail import Mail, name_of, unfolded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyprocmail.host import Host

    Write = Callable[[bytes], None]

_REPLY, _DSN, _FEEDBACK, _REPLY_FEEDBACK = b"reply", b"replydsn", b"feedback", b"replyfeedback"
_FORMATS = (_REPLY, b"replyall", b"forward", b"forwardatt", _DSN, _FEEDBACK, _REPLY_FEEDBACK)
_WITH_VALUE = b"tcmrTFSdDsAMRl"
_MARKER = b"--- Forwarded message ---"
_SALUTATION = b"%F writes:"
_DATE = b"%a, %d %b %Y %H:%M:%S %z"
_DAY_S = 86400
_TIME_BYTES = 8
_WIDTH = 70
_BULK = (b"junk", b"bulk", b"list")
_USAGE = b"""\
Usage: mailbot [ options ] [ $MAILER arg arg... ]

    -t filename        - text autoresponse
    -c charset         - text MIME character set (default US-ASCII)
    -m filename        - text autoresponse with a MIME header
    -r addr1,addr2...  - any 'addr' required in a To/Cc header
    -e                 - Prefer replies to Errors-To: or Return-Path: instead
                         of From:
    -T type            - "type": reply, replyall, replydsn, replyfeedback,
                         replydraft, forward, forwardatt
    -N                 - Omit contents of the original message from replies
    -F "separator"     - Set the forwarding separator
    -S "salutation"    - Set salutation for replies
    -d $pathname       - database to prevent duplicate autoresponses
    -D x               - at least 'x' days before dupes (default: 1)
    -s subject         - Subject: on autoresponses
    -A "Header: stuff" - Additional header on the autoresponse
    -M recipient       - format "replydsn" as a DSN from 'recipient' (required)
    -fuser@domain      - Set responding address for replydsn
    -f                 - Set responding address from $SENDER
    -R type            - Feedback type, for "-T feedback" or "-T replyfeedback":
                         "abuse", "fraud", "other", or "virus"
    -n                 - only show the resulting message, do not send it
    -a                 - Attach entire message for replydsn, feedback, and
                         replyfeedback, instead of only the headers.
    -l                 - maildir to read a draft message with the reply
                         (required by -T replydraft).
    --feedback-original-envelope-id {"<envelopeid>"}
    --feedback-original-mail-from {"<mailfrom>"}
    --feedback-reporting-mta {"dns; hostname"}
    --feedback-source-ip {aaa.bbb.ccc.ddd}
    --feedback-incidents {n}
    --feedback-authentication-results {"results"}
    --feedback-original-rcpt-to {"<rcptto>"]
    --feedback-reported-domain {example.com}
                       - optional parameters for -T "feedback" and \n\
                         -T "replyfeedback"
    $MAILER arg arg... - run $MAILER (sendmail) to mail the autoresponse
"""


class UsageError(Exception):
    """The command line is none; `text` says why, where the usage does not."""

    def __init__(self, text: bytes = b"") -> None:
        super().__init__(text)
        self.text = text


class Options:
    """The command line."""

    __slots__ = ("values", "headers", "feedback", "kind", "quoting", "errors_to", "show", "whole", "program")

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.headers: list[bytes] = []
        self.feedback: list[tuple[bytes, bytes]] = []
        self.kind = _REPLY
        self.quoting = True
        self.errors_to = False
        self.show = False
        self.whole = False
        self.program: list[bytes] = []


def parse_options(words: Sequence[bytes]) -> Options:
    """Read the command line.

    Raises:
        UsageError: it cannot be read, or asks for what we do not make.
    """
    options = Options()
    rest = list(words)
    while rest and rest[0].startswith(b"-") and len(rest[0]) > 1:
        word = rest.pop(0)
        letter, value = word[1:2], word[2:]
        if word == b"--":
            break
        if word.startswith(b"--feedback-"):
            if not rest:
                raise UsageError
            options.feedback.append((word[len(b"--feedback-") :].lower(), rest.pop(0)))
            continue
        if letter in (b"N", b"e", b"n", b"a", b"f"):
            options.quoting &= letter != b"N"
            options.errors_to |= letter == b"e"
            options.show |= letter == b"n"
            options.whole |= letter == b"a"
            continue
        if letter not in (b"%c" % one for one in _WITH_VALUE):
            raise UsageError
        if not value:
            if not rest:
                raise UsageError
            value = rest.pop(0)
        if letter == b"A":
            options.headers.append(value)
        else:
            options.values[letter] = value
    options.program = rest
    options.kind = options.values.get(b"T", _REPLY)
    if options.kind == b"replydraft" or b"l" in options.values:
        raise UsageError(b"mailbot: drafts are not made here\n")
    if options.kind not in _FORMATS or (options.kind == _DSN and b"M" not in options.values):
        options.kind = _REPLY
    if (b"t" in options.values) == (b"m" in options.values):
        raise UsageError
    return options


def run(
    host: Host, argv: Sequence[bytes], environ: Mapping[bytes, bytes], data: bytes, write: Write, note: Write
) -> int:
    """Run mailbot with `argv` on the mail `data`; the exit status."""
    try:
        options = parse_options(argv[1:])
    except UsageError as error:
        note(error.text or _USAGE)
        return EX_TEMPFAIL
    mail = Mail(data)
    recipient = answerable(mail, options)
    if recipient is None:
        return EX_OK
    try:
        path = options.values.get(b"t") or options.values.get(b"m") or b""
        text = _read_file(host, path)
        if b"d" in options.values and not _is_due(host, options, recipient):
            return EX_OK
    except OSError as error:
        note(b"mailbot: %b\n" % (error.strerror or "cannot be read").encode())
        return 1
    except gdbm.NoLibraryError:
        note(b"mailbot: this machine has no gdbm library, which -d needs\n")
        return EX_TEMPFAIL
    answer = _Answer(host, options, mail, data, text, charset_of(environ)).build()
    if options.show:
        write(answer)
        return EX_OK
    return _send(host, options.program or [b"sendmail", b"-f", b""], environ, answer, note)


def charset_of(environ: Mapping[bytes, bytes]) -> bytes:
    """The character set that the locale names; US-ASCII without one."""
    locale = next((value for name in (b"LC_ALL", b"LC_CTYPE", b"LANG") if (value := environ.get(name))), b"")
    charset = locale.partition(b".")[2].partition(b"@")[0].upper()
    return (b"UTF-8" if charset == b"UTF8" else charset) or b"US-ASCII"


def _value(mail: Mail, name: bytes) -> bytes:
    return next(mail.values(name), b"").strip()


def _first_address(text: bytes) -> bytes:
    return next((one.text for one in address.parse(text) if one.text), b"")


def sender_field(mail: Mail, options: Options) -> bytes:
    """The field that says whom to answer, as it stands."""
    names = [b"reply-to:", b"from:"]
    if options.errors_to:
        names = [b"errors-to:", b"return-path:", *names]
    return next((value for name in names if _first_address(value := _value(mail, name))), b"")


def answerable(mail: Mail, options: Options) -> bytes | None:
    """The address that gets the answer; None when there must not be one."""
    if _value(mail, b"precedence:").lower() in _BULK:
        return None
    submitted = _value(mail, b"auto-submitted:").lower()
    if (submitted and submitted != b"no") or any(name_of(field) == b"list-id:" for field in mail.fields):
        return None
    if _value(mail, b"content-type:").lower().partition(b";")[0].strip() == b"multipart/report":
        return None
    wanted = options.values.get(b"r")
    if wanted is not None:
        asked = {one.text.lower() for one in address.parse(wanted) if one.text}
        if not asked & {text.lower() for name in (b"to:", b"cc:") for text, _ in _addresses(mail, name)}:
            return None
    return _first_address(sender_field(mail, options)) or None


def _addresses(mail: Mail, name: bytes) -> list[tuple[bytes, bytes | None]]:
    """The addresses of all fields of the name, each with its name."""
    return [(one.text, one.name) for value in mail.values(name) for one in address.parse(value) if one.text]


def _read_file(host: Host, path: bytes) -> bytes:
    fd = host.open(path, os.O_RDONLY | os.O_CLOEXEC, 0)
    pieces = []
    try:
        while piece := host.read(fd, 1 << 16):
            pieces.append(piece)
    finally:
        host.close(fd)
    return b"".join(pieces)


def _is_due(host: Host, options: Options, recipient: bytes) -> bool:
    """-d: whether the address had no answer for -D days; now it has.

    As with the reference: in NAME.gdbm the time of the last answer, a C time_t, under the lower-case address;
    NAME.lock is locked meanwhile.

    Raises:
        OSError, NoLibraryError: the database cannot be used.
    """
    digits = options.values.get(b"D", b"1").strip()
    wait_s = (int(digits[:9]) if digits.isdigit() else 1) * _DAY_S
    now = int(host.time())
    name = options.values[b"d"]
    fd = host.open(name + b".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        host.lock_to_end(fd)
        senders = gdbm.Database(name + b".gdbm", gdbm.CREATE, 0o666)
        try:
            key = recipient.lower()
            last = senders.get(key)
            if last is not None and len(last) == _TIME_BYTES and now < int.from_bytes(last, sys.byteorder) + wait_s:
                return False
            senders[key] = now.to_bytes(_TIME_BYTES, sys.byteorder)
        finally:
            senders.close()
    finally:
        host.close(fd)
    return True


def _send(host: Host, argv: Sequence[bytes], environ: Mapping[bytes, bytes], answer: bytes, note: Write) -> int:
    stdin, feed = host.pipe()
    try:
        pid = host.spawn(argv, environ, stdin=stdin, stdout=1, stderr=2)
    except OSError as error:
        note(b"%b: %b\n" % (argv[0], (error.strerror or "cannot be started").encode()))
        host.close(feed)
        return EX_TEMPFAIL
    finally:
        host.close(stdin)
    try:
        rest = memoryview(answer)
        while rest:
            rest = rest[host.write(feed, rest) :]
    except BrokenPipeError:
        pass  # its status says what it thinks of the answer
    finally:
        host.close(feed)
    status = host.wait(pid, None)
    return EX_TEMPFAIL if status is None or status < 0 else status


class _Answer:
    """The mail that goes out."""

    __slots__ = ("host", "options", "mail", "data", "text", "charset")

    def __init__(self, host: Host, options: Options, mail: Mail, data: bytes, text: bytes, charset: bytes) -> None:
        self.host = host
        self.options = options
        self.mail = mail
        self.data = data
        self.text = text
        self.charset = charset

    def build(self) -> bytes:
        """The whole mail."""
        fields = [*self.options.headers, b"Precedence: junk", b"Auto-Submitted: auto-replied"]
        forward = self.options.kind in (b"forward", b"forwardatt")
        if not forward:
            fields += self._recipients() + self._thread()
        fields += [b"Subject: " + self._subject(forward), b"Mime-Version: 1.0"]
        typed, text = self._content()
        if self.options.kind == b"forwardatt":
            return self._with_attachment(fields, typed, text)
        if forward:
            return _lines(*fields, *typed, b"", text) + b"\n" + self._marker() + b"\n" + self._forwarded()
        if self.options.quoting:
            text = self._quoted() + text
        if self.options.kind in (_DSN, _FEEDBACK, _REPLY_FEEDBACK):
            return self._report(fields, _lines(*typed, b"", text) + b"\n")
        return _lines(*fields, *typed, b"", text) + b"\n"

    def _content(self) -> tuple[list[bytes], bytes]:
        """The fields that describe the text, and the text."""
        if b"m" in self.options.values:
            part = Mail(self.text)
            fields = [one for one in part.fields if name_of(one) != b"content-transfer-encoding:"]
            text = part.body
        else:
            charset = self.options.values.get(b"c", self.charset)
            fields = [b'Content-Type: text/plain; format=flowed; delsp=yes; charset="%b"' % charset]
            text = self.text
        return [*fields, b"Content-Transfer-Encoding: 8bit"], text

    def _recipients(self) -> list[bytes]:
        mail = self.mail
        if self.options.kind == _FEEDBACK:
            return []
        fields = [b"To: " + sender_field(mail, self.options)]
        if self.options.kind == b"replyall":
            others = [value for name in (b"to:", b"cc:") for value in mail.values(name) if value.strip()]
            if others:
                fields.append(b"Cc: " + b", ".join(others))
        return fields

    def _thread(self) -> list[bytes]:
        identity = _value(self.mail, b"message-id:")
        if not identity:
            return []
        references = [*_value(self.mail, b"references:").split(), identity]
        return [b"References: " + b"\n            ".join(references), b"In-Reply-To: " + identity]

    def _subject(self, forward: bool) -> bytes:
        given = self.options.values.get(b"s")
        if given is not None:
            return given
        subject = _value(self.mail, b"subject:")
        if self.options.kind in (_FEEDBACK, _REPLY_FEEDBACK):
            return subject
        if forward:
            return core_subject(subject) + b" (fwd)"
        return b"Re: " + core_subject(subject) if subject else b""

    def _marker(self) -> bytes:
        return self.options.values.get(b"F", _MARKER)

    def _forwarded(self) -> bytes:
        """The original as text: the fields that people read, and what they say."""
        shown = (b"from:", b"to:", b"cc:", b"subject:", b"message-id:", b"date:")
        fields = [unfolded(field) for field in self.mail.fields if name_of(field) in shown]
        return b"".join(field + b"\n" for field in fields) + b"\n" + self._original_text()

    def _with_attachment(self, fields: list[bytes], typed: list[bytes], text: bytes) -> bytes:
        boundary = self._boundary(text)
        original = b"Content-Type: message/rfc822\nContent-Description: Forwarded message\n\n" + self._original()
        head = _lines(*fields, b'Content-Type: multipart/mixed; boundary="%b"' % boundary, b"")
        parts = [_lines(*typed, b"", text) + b"\n" + self._marker() + b"\n", original]
        return head + reports.multipart(boundary, parts)

    def _report(self, fields: list[bytes], text: bytes) -> bytes:
        """The text for people, the same for machines, and the mail that it is about."""
        options, host = self.options, self.host
        boundary = self._boundary(text)
        if options.kind == _DSN:
            kind = b"delivery-status"
            machine = reports.delivery_status(host, options.values[b"M"])
        else:
            kind = b"feedback-report"
            known = [pair for pair in options.feedback if pair[0] in reports.FEEDBACK]
            machine = reports.feedback(host, options.values.get(b"R", b"other"), known)
        typed = b'Content-Type: multipart/report; report-type=%b;\n    boundary="%b"' % (kind, boundary)
        original = reports.original(self.mail, self._original(), whole=options.whole)
        return _lines(*fields, typed, b"") + reports.multipart(boundary, [text, machine, original])

    def _boundary(self, text: bytes) -> bytes:
        """What occurs nowhere in the answer."""
        host = self.host
        number = 0
        while True:
            number += 1
            boundary = b"=_%b-%d-%d-%04d" % (host.hostname(), host.getpid(), int(host.time()), number)
            if boundary not in self.data and boundary not in text:
                return boundary

    def _original(self) -> bytes:
        return self.data.replace(b"\r\n", b"\n").lstrip(b"\n")

    def _original_text(self) -> bytes:
        """The first part that is plain text."""
        data = self.data.replace(b"\r\n", b"\n")
        part: mime.Part | None = mime.parse(data)
        while part is not None and part.children:
            part = next((one for one in part.children if one.children or _is_plain(one)), None)
        if part is None or not _is_plain(part):
            return b""
        return mime.decoded(mime.body(data, part), part.charset)

    def _quoted(self) -> bytes:
        """The salutation, and the original with `>` in front."""
        lines = []
        text = self._original_text().rstrip(b"\n")
        for line in text.split(b"\n") if text else []:
            for piece in _wrapped(line.rstrip()):
                lines.append(b">" + piece if piece.startswith(b">") or not piece else b"> " + piece)
        quoted = b"".join(line + b"\n" for line in lines)
        return self._salutation() + b"\n\n" + quoted + (b"\n" if quoted else b"")

    def _salutation(self) -> bytes:
        template = self.options.values.get(b"S", _SALUTATION)
        out = bytearray()
        at = 0
        while at < len(template):
            if template[at] != 0x25 or at + 1 >= len(template):
                out.append(template[at])
                at += 1
                continue
            letter = template[at + 1 : at + 2]
            at += 2
            if letter == b"{":
                end = template.find(b"}d", at)
                if end < 0:
                    out += b"%{"
                    continue
                out += self._date(template[at:end])
                at = end + 2
            else:
                out += self._substitution(letter)
        return bytes(out)

    def _substitution(self, letter: bytes) -> bytes:
        mail = self.mail
        if letter in (b"F", b"f"):
            text, name = next(iter(_addresses(mail, b"from:")), (b"", None))
            return mime.words(name) if name and letter == b"F" else text
        fields = {b"S": b"subject:", b"i": b"message-id:", b"N": b"newsgroups:", b"C": b"x-newsgroup:"}
        if letter in fields:
            return mime.words(_value(mail, fields[letter]))
        return {b"n": b"\n", b"%": b"%", b"d": self._date(_DATE)}.get(letter, b"%" + letter)

    def _date(self, template: bytes) -> bytes:
        from email.utils import mktime_tz, parsedate_tz

        parsed = parsedate_tz(_value(self.mail, b"date:").decode("latin-1"))
        seconds = self.host.time() if parsed is None else mktime_tz(parsed)
        return time.strftime(template.decode("latin-1"), time.localtime(seconds)).encode("latin-1", "replace")


def _lines(*lines: bytes) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _is_plain(part: mime.Part) -> bool:
    return not part.typed or mime.content_type(part) in (b"", b"text/plain")


def _wrapped(line: bytes) -> list[bytes]:
    """A long line in pieces that flow: RFC 3676 with DelSp."""
    pieces = []
    while len(line) > _WIDTH and b" " in line[:_WIDTH]:
        cut = line.rindex(b" ", 0, _WIDTH)
        pieces.append(line[:cut] + b"  ")
        line = line[cut + 1 :]
    return [*pieces, line]


def core_subject(subject: bytes) -> bytes:
    """The subject without `Re:`, `Fwd:`, a list's `[name]` in front, and `(fwd)` behind it."""
    while True:
        before = subject
        subject = subject.strip()
        lower = subject.lower()
        for prefix in (b"re:", b"fwd:", b"fw:"):
            if lower.startswith(prefix):
                subject = subject[len(prefix) :]
                break
        if subject.startswith(b"[") and b"]" in subject and subject.partition(b"]")[2].strip():
            subject = subject.partition(b"]")[2]
        if subject.lower().endswith(b"(fwd)"):
            subject = subject[:-5]
        if subject == before:
            return subject
