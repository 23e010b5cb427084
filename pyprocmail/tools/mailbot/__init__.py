"""mailbot: answer a mail, with the guards that keep robots from answering each other.  mailbot(1)"""

from __future__ import annotations

import os

from pyprocmail.delivery import gdbm
from pyprocmail.exits import EX_OK, EX_TEMPFAIL
from pyprocmail.host import LARGEST_FILE_BYTES
from pyprocmail.message import charsets
from pyprocmail.tools.mailbot.answer import Answer
from pyprocmail.tools.mailbot.draft import newest
from pyprocmail.tools.mailbot.due import is_due
from pyprocmail.tools.mailbot.options import DRAFT, USAGE, UsageError, parse_options
from pyprocmail.tools.mailbot.sender import answerable
from pyprocmail.tools.reformail import Mail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyprocmail.host import Host
    from pyprocmail.tools.mailbot.options import Options

    Write = Callable[[bytes], None]


def run(
    host: Host, argv: Sequence[bytes], environ: Mapping[bytes, bytes], data: bytes, write: Write, note: Write
) -> int:
    """Run mailbot with `argv` on the mail `data`; returns the exit status."""
    try:
        options = parse_options(argv[1:])
    except UsageError:
        note(USAGE)
        return EX_TEMPFAIL
    mail = Mail(data)
    recipient = answerable(mail, options)
    if recipient is None:
        return EX_OK
    try:
        text = _text(host, options)
        if text is None:
            return EX_OK
        if b"d" in options.values and not is_due(host, options, recipient):
            return EX_OK
    except OSError as error:
        where = os.fsencode(error.filename) + b": " if isinstance(error.filename, str | bytes) else b""
        note(b"mailbot: %b%b\n" % (where, (error.strerror or "cannot be read").encode()))
        return EX_TEMPFAIL
    except gdbm.NoLibraryError:
        note(b"mailbot: this machine has no gdbm library, which -d needs\n")
        return EX_TEMPFAIL
    answer = Answer(host, options, mail, data, text, charsets.of_locale(environ)).build()
    if options.show:
        write(answer)
        return EX_OK
    return _send(host, options.program or [b"sendmail", b"-f", b""], environ, answer, note)


def _text(host: Host, options: Options) -> bytes | None:
    """The text of the answer; None if there is no draft, so that no answer is sent."""
    path = options.values.get(b"t") or options.values.get(b"m")
    if options.kind == DRAFT:
        draft = newest(host, options.values[b"l"]) if b"l" in options.values else None
        path = path or draft
        if path is None:
            return None
    return host.read_file(path or b"", LARGEST_FILE_BYTES)


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
        pass  # its exit status tells whether it accepted the answer
    finally:
        host.close(feed)
    status = host.wait(pid, None)
    return EX_TEMPFAIL if status is None or status < 0 else status
