"""pyprocmail vacation: answer while I am away.  pyprocmail-vacation(1), RFC 3834, RFC 5230

Each sender gets one answer in a number of days; lists, robots, bulk mail, my own mail and null senders get none.
"""

from __future__ import annotations

from pyprocmail.exits import EX_OK, EX_TEMPFAIL, EX_USAGE
from pyprocmail.host import LARGEST_FILE_BYTES
from pyprocmail.signals import SIGTERM
from pyprocmail.tools.duplicate import in_home, read_all
from pyprocmail.tools.reformail import Mail
from pyprocmail.tools.seen import Seen, key_of
from pyprocmail.tools.vacation.options import USAGE, UsageError, parse_options, program_of
from pyprocmail.tools.vacation.refusal import refusal, sender_of
from pyprocmail.tools.vacation.reply import reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyprocmail.host import Host

    Write = Callable[[bytes], None]

_DAY_S = 86400
_FILE = b".vacation.cache"


def run(
    host: Host,
    argv: Sequence[bytes],
    environ: Mapping[bytes, bytes],
    read: Callable[[int], bytes],
    write: Write,
    note: Write,
) -> int:
    """Run `vacation` with `argv`; returns the exit status, EX_OK with and without an answer.

    Raises:
        OSError: the text cannot be read, or the cache cannot be used; nothing was sent.
    """
    try:
        options = parse_options(argv[1:])
    except UsageError:
        note(USAGE)
        return EX_USAGE
    mail = Mail(read_all(host, read))
    text = host.read_file(options.text, LARGEST_FILE_BYTES)
    sender = sender_of(mail, options, environ)
    why = refusal(mail, options, environ, sender)
    if options.show:
        write(b"no answer: %b\n" % why.encode() if why else reply(host, options, mail, sender, text))
        return EX_OK
    if why:
        return EX_OK
    path = options.cache or in_home(environ, _FILE)
    # A different text is a different answer.  RFC 5230, section 4.2
    reason = options.handle or key_of(options.origin, options.subject, text)
    key = key_of(b"vacation", reason, sender.lower())
    if not _is_due(host, path, key, options.days):
        return EX_OK
    sent = False
    try:
        sent = _send(
            host, program_of(options, environ, sender), environ, reply(host, options, mail, sender, text), note
        )
    finally:
        if not sent:
            _forget(host, path, key)
    return EX_OK if sent else EX_TEMPFAIL


def _is_due(host: Host, path: bytes, key: bytes, days: int) -> bool:
    """Whether the sender has had no answer yet.  Records it before it is sent, so that two processes never send two."""
    seen = Seen(host, path)
    try:
        if seen.get(key) is not None:
            return False
        seen.put(key, b"sent", host.time() + days * _DAY_S)
    finally:
        seen.close()
    return True


def _forget(host: Host, path: bytes, key: bytes) -> None:
    try:
        seen = Seen(host, path)
        try:
            seen.forget(key)
        finally:
            seen.close()
    except OSError:
        pass  # the sender gets the next answer after --days


def _send(host: Host, argv: Sequence[bytes], environ: Mapping[bytes, bytes], answer: bytes, note: Write) -> bool:
    """Give the answer to the program; returns whether the program succeeded."""
    stdin, feed = host.pipe()
    out = -1
    try:
        out = host.null_output()
        pid = host.spawn(argv, environ, stdin=stdin, stdout=out, stderr=2)
    except OSError as error:
        note(b"vacation: %b: %b\n" % (argv[0], (error.strerror or "cannot be started").encode()))
        host.close(feed)
        return False
    finally:
        host.close(stdin)
        if out >= 0:
            host.close(out)
    ended = False
    try:
        try:
            rest = memoryview(answer)
            while rest:
                rest = rest[host.write(feed, rest) :]
        except BrokenPipeError:
            pass  # its exit status tells whether it accepted the answer
        finally:
            host.close(feed)
        status = host.wait(pid, None)
        ended = True
    finally:
        if not ended:
            host.kill(pid, SIGTERM)
    if status != 0:
        note(b"vacation: %b ended with %d\n" % (argv[0], -1 if status is None else status))
    return status == 0
