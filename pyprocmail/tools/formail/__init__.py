"""formail(1): reformat, extract from, answer and split mail."""

from __future__ import annotations

import time

from pyprocmail.exits import EX_CANTCREAT, EX_IOERR, EX_NOINPUT, EX_NOUSER, EX_OK, EX_OSERR, EX_USAGE
from pyprocmail.message.visible import blanked
from pyprocmail.numerals import bounded
from pyprocmail.tools.formail import edit, idcache, sender
from pyprocmail.tools.formail.abstract import abstract
from pyprocmail.tools.formail.body import Body, Layout, Outlet, skip_to_mail
from pyprocmail.tools.formail.header import POSTMARK, Field, FoundNames, last
from pyprocmail.tools.formail.options import Options, UsageError, VersionAsked, parse
from pyprocmail.tools.formail.programs import Numbering, Programs
from pyprocmail.tools.formail.source import Source, read_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyprocmail.host import Host

_NOBODY = b"foo@bar"
_BABYL_START = b"\x1f\x0c\n"


def run(
    host: Host,
    argv: Sequence[bytes],
    environ: Mapping[bytes, bytes],
    read: Callable[[int], bytes],
    write: Callable[[bytes], None],
    note: Callable[[bytes], None],
) -> int:
    """Run `formail` with `argv` (its own name first); returns the exit status.

    `read(n)` returns up to n bytes of the input, none at its end.  `write` writes all of its argument, or
    raises OSError.  `note` writes lines to standard error.  The programs of -s get descriptors 1 and 2 of
    this process for output; see `Call.starts_programs`.
    """
    return Call(argv)(host, argv, environ, read, write, note)


class Call:
    """A call of formail: its arguments are read once, and it runs for any number of inputs."""

    __slots__ = ("_names", "_options", "_refusal")

    def __init__(self, argv: Sequence[bytes]) -> None:
        self._names = FoundNames()
        self._options: Options | None = None
        self._refusal = b""
        try:
            self._options = parse(argv[1:])
        except UsageError as error:
            self._refusal = error.text
        except VersionAsked:
            self._refusal = _version()

    def starts_programs(self) -> bool:
        """Whether it would start programs, which need real descriptors for output."""
        return self._options is not None and bool(self._options.program)

    def __call__(
        self,
        host: Host,
        _argv: Sequence[bytes],
        environ: Mapping[bytes, bytes],
        read: Callable[[int], bytes],
        write: Callable[[bytes], None],
        note: Callable[[bytes], None],
        /,
    ) -> int:
        """As `run`."""
        options = self._options
        if options is None:
            note(self._refusal)
            return EX_USAGE
        if options.cache is not None:
            try:
                idcache.create(host, options.cache)
            except OSError:
                note(b'formail: Couldn\'t open "%b"\n' % options.cache)
                return EX_CANTCREAT
        try:
            source = Source(read, host.largest_mail())
            return _Run(host, options, environ, source, self._names, write, note).run()
        except OSError as error:
            note(b"formail: %b\n" % (error.strerror or "I/O error").encode())
            return EX_IOERR


def _version() -> bytes:
    from pyprocmail import __version__

    return b"formail (pyprocmail %b)\n" % __version__.encode()


class _Run:
    """One run over one input."""

    __slots__ = (
        "duplicate", "environ", "host", "ids_made", "layout", "names", "no_sender", "note", "options", "source",
        "strict", "write", "write_failed",
    )  # fmt: skip

    def __init__(
        self,
        host: Host,
        options: Options,
        environ: Mapping[bytes, bytes],
        source: Source,
        names: FoundNames,
        write: Callable[[bytes], None],
        note: Callable[[bytes], None],
    ) -> None:
        self.host = host
        self.options = options
        self.environ = environ
        self.source = source
        self.names = names
        self.write = write
        self.note = note
        self.strict = environ.get(b"PYPROCMAIL_STRICT") == b"yes"
        self.ids_made = 0
        self.duplicate = self.no_sender = self.write_failed = False
        quoting = options.reply and not options.raw
        self.layout = Layout(
            splitting=options.splitting,
            answering=options.reply,
            digest=options.digest,
            every_line=options.every_line,
            babyl=options.babyl,
            minimum_fields=options.minimum_fields,
            escape=b"" if options.raw or options.babyl else options.prefix,
            quote=options.prefix if quoting else b"",
        )

    def run(self) -> int:
        """Process the input; returns the exit status."""
        if self.options.splitting:
            return self._split()
        self.source.skip_newlines()
        self._treat(self.write)
        if self.write_failed:
            return EX_IOERR
        if self.options.cache is not None:
            return EX_OK if self.duplicate else 1
        return EX_NOUSER if self.no_sender else EX_OK

    def _split(self) -> int:
        options, source = self.options, self.source
        programs = Programs(self.host, options.program, options.parallel)
        numbering = Numbering(self.environ)
        if options.babyl:
            if not source.at_end() and not source.skip_past(_BABYL_START):
                # The reference searches for the beginning for ever.
                self.note(b"formail: No BABYL mail in the input\n")
                return EX_NOINPUT
            source.line()
        else:
            source.skip_newlines()
        follows = not source.at_end()
        if follows and not options.total:
            self._complain_of_writing(follows=False)
            return EX_IOERR
        skip = options.skip
        while follows and skip > 0:
            skip -= 1
            follows = self._treat(None)
        left = options.total
        while follows and left:
            left -= 1
            write = self.write
            if options.program:
                try:
                    write = programs.start(numbering.environment())
                except OSError:
                    self.note(b"formail: Can't fork\n")
                    return EX_OSERR
            follows = self._treat(write)
            programs.feed_ended()
        status = programs.finish()
        if status:
            return status
        if self.write_failed:
            return EX_IOERR
        return EX_NOUSER if self.no_sender else EX_OK

    def _treat(self, write: Callable[[bytes], None] | None) -> bool:
        """Read one mail and write what the options ask for; returns whether another mail follows.

        Without `write` the mail is only read; it still counts for -D and the exit status.
        """
        options, layout = self.options, self.layout
        fields, ended = read_header(self.source, self.names, digest=layout.digest or layout.babyl, babyl=layout.babyl)
        after_postmark = bool(fields) and fields[0].is_postmark()
        fields = edit.unique(edit.revise(fields, options), options.keep_first, options.keep_last)
        if options.cache is not None and self._is_duplicate(options.cache, fields):
            write = None
        outlet = Outlet(write if options.folder is None else None)
        result = self._result(fields)
        if write is not None:
            self._put_header(outlet, result + edit.additions(result, options, self._message_id))
        whole = write is not None and (options.keep_body or not (options.reply or options.extracting()))
        follows = self._treat_body(
            outlet if whole else Outlet(None), fields, adjacent=not ended, after_postmark=after_postmark
        )
        if write is not None and options.folder is not None:
            outlet = Outlet(write, size=outlet.size)
            lines = abstract(result, options.folder, outlet.size)
            outlet.put(lines if self.strict else blanked(lines))
        outlet.flush()
        if outlet.failed:
            self._complain_of_writing(follows=follows)
        return follows

    def _treat_body(self, outlet: Outlet, fields: list[Field], *, adjacent: bool, after_postmark: bool) -> bool:
        """Copy the body that follows the header `fields`; returns whether another mail follows."""
        options, layout = self.options, self.layout
        outlet.tail = b"\n\n"
        body = Body(self.source, outlet, layout)
        ignored = options.reply or options.berkeley or layout.digest or layout.babyl
        if layout.babyl:
            body.skip_shown_header(adjacent=adjacent)
        length = 0 if ignored else _content_length(fields)
        follows = body.copy(length=length, adjacent=adjacent, after_postmark=after_postmark)
        # The reference counts one byte too many.  tests/conformance/formail/cl-long-verbose.json
        if body.missing > 1 and not options.quiet:
            self.note(b"formail: Content-Length: field exceeds actual length by %d bytes\n" % (body.missing - 1))
        if self.strict and body.ends_within and not adjacent and not outlet.tail.endswith(b"\n"):
            outlet.put(b"\n")
        elif not (layout.babyl and follows):
            outlet.end_with_empty_line()
        return skip_to_mail(self.source, layout) if layout.babyl and follows else follows

    def _sender(self, fields: list[Field]) -> bytes | None:
        options = self.options
        if options.reply and options.trust_header:
            return sender.find(fields, sender.RESENT if options.resent else sender.HEADER)
        return sender.find(fields, sender.ENVELOPE)

    def _is_duplicate(self, cache: bytes, fields: list[Field]) -> bool:
        """Whether -D suppresses the output: for a duplicate, and without -s always."""
        if self.options.reply:
            key = self._sender(fields)
        else:
            identity = last(fields, b"message-id:")
            key = None if identity is None or not identity.content else idcache.key_of(identity.content)
        if key is not None and idcache.seen(self.host, cache, key, self.options.cache_limit_bytes):
            self.duplicate = True
            if not self.options.quiet:
                self.note(b"formail: Duplicate key found:%b\n" % key)
            return True
        return not self.options.splitting

    def _result(self, fields: list[Field]) -> list[Field]:
        """The fields of the output, without those that options append."""
        options = self.options
        if options.reply:
            address = self._sender(fields)
            self.no_sender |= address is None
            answer = edit.reply(fields, options, address or _NOBODY, repeat_re=self.strict)
            # -u keeps the first field, which is that of the mail itself and not part of the answer.
            firsts = {field.name.lower() for field in fields if options.keep_first.match(field.name.lower())}
            answer = [field for field in answer if field.name.lower() not in firsts]
            return edit.unique(answer, options.keep_first, options.keep_last)
        if self._lacks_postmark(fields):
            fields.insert(0, Field(POSTMARK, b"%b  %b" % (self._sender(fields) or _NOBODY, self._date(fields))))
        return fields

    def _lacks_postmark(self, fields: list[Field]) -> bool:
        """Whether a From_ line must be generated: not if an option removed it, unless -a asks for one."""
        options = self.options
        if options.forced or (fields and fields[0].is_postmark()):
            return False
        if any(insertion.name == POSTMARK and not insertion.content for insertion in options.add_if_absent):
            return True
        return not any(
            names.match(POSTMARK) for names in (options.supersede_names, options.replace_names, options.rename_old)
        )

    def _date(self, fields: list[Field]) -> bytes:
        """The date of a generated From_ line; with -a Date: it is the mail's own Date field."""
        if any(insertion.name.lower() == b"date:" for insertion in self.options.add_if_absent):
            date = last(fields, b"date:")
            if date is not None and date.content:
                return date.content.removeprefix(b" ")
        return time.asctime(self.host.localtime()).encode()

    def _message_id(self) -> bytes:
        """A unique Message-ID."""
        host = self.host
        self.ids_made += 1
        parts = (int(host.time() * 1000000), host.getpid(), self.ids_made)
        return b"<%b@%b>" % (b".".join(b"%x" % part for part in parts), host.hostname())

    def _put_header(self, outlet: Outlet, fields: list[Field]) -> None:
        options = self.options
        if not options.extracting():
            outlet.put(b"".join([field.text() for field in fields]) + b"\n")
            return
        for field in fields:
            if options.extract.match(field.name):
                content = field.content
                if options.trimmed:
                    content = content.strip(b" \t")
                outlet.put(content + b"\n")
            elif options.extract_whole.match(field.name):
                outlet.put(field.text())
        if options.keep_body:
            outlet.put(b"\n")

    def _complain_of_writing(self, *, follows: bool) -> None:
        self.write_failed = True
        if not self.options.quiet:
            self.note(b"formail: Couldn't write to stdout%b\n" % (b", continuing..." if follows else b""))


def _content_length(fields: Sequence[Field]) -> int:
    """The number in the first Content-Length: field, read like strtol(3); 0 without the field."""
    for field in fields:
        if field.name.lower() == b"content-length:":
            text = field.content.lstrip(b" \t\n\v\f\r").removeprefix(b"+")
            digits = text[: len(text) - len(text.lstrip(b"0123456789"))]
            return bounded(digits)
    return 0
