"""`pyprocmail deliver`: passes a mail from standard input to an LMTP server, for mail programs that only know pipes."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable

import click

from pyprocmail.commands.values import Seconds, argument, option
from pyprocmail.exits import EX_NOPERM, EX_NOUSER, EX_OK, EX_TEMPFAIL, EX_UNAVAILABLE
from pyprocmail.servers import listening

_LONGEST_REPLY = 1 << 16
_DATAERR, _CANTCREAT = 65, 73
_STATUSES = {b"5.1.1": EX_NOUSER, b"5.7.1": EX_NOPERM, b"5.6.0": _DATAERR, b"5.2.0": _CANTCREAT}
"""The exit status for each reply of the server: the table of pyprocmail-lmtp(8) in reverse."""


class _RefusedError(Exception):
    """A reply that ends the delivery."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


@click.command()
@option("--socket", "address", metavar="ADDR", required=True, help="Where the server listens: a path, HOST:PORT.")
@click.option("-f", "sender", metavar="SENDER", default="", help="The envelope sender; none by default.")
@option("--timeout", type=Seconds(1), default=600.0, show_default=True, help="For each reply, in seconds.")
@argument("recipients", metavar="RECIPIENT...", nargs=-1, required=True)
def deliver(address: str, sender: str, timeout: float, recipients: tuple[str, ...]) -> None:
    """Pass the mail on standard input to an LMTP server: `pyprocmail lmtp` or another one.

    The exit status is 0 if every recipient was accepted, 75 if one may be accepted later, or another of sysexits.h.

    \b
      pyprocmail deliver --socket /run/pyprocmail/lmtp.sock -f sender@example.org alice
    """
    mail = sys.stdin.buffer.read()
    words = [os.fsencode(word) for word in (sender, *recipients)]
    if any(b"\n" in word or b"\r" in word or b"<" in word or b">" in word for word in words):
        raise click.UsageError("an address cannot have brackets or newlines")
    try:
        replies = _talk(listening.parse(address), timeout, words[0], words[1:], mail)
    except listening.AddressError as error:
        raise click.UsageError(str(error)) from error
    except _RefusedError as refused:
        replies = [refused.reply]
    except OSError as error:
        click.echo(f"pyprocmail: {address}: {error.strerror or error}", err=True)
        click.get_current_context().exit(EX_TEMPFAIL)
    for reply in replies:
        if not reply.startswith(b"2"):
            click.echo("pyprocmail: " + reply.decode(errors="backslashreplace"), err=True)
    click.get_current_context().exit(_status(replies))


def _talk(
    address: listening.Address, timeout: float, sender: bytes, recipients: list[bytes], mail: bytes
) -> list[bytes]:
    """The replies, one for each recipient."""
    family = socket.AF_UNIX if address.path else address.family
    with socket.socket(family, socket.SOCK_STREAM) as line:
        line.settimeout(timeout)
        line.connect(address.path or (address.host, address.port))
        with line.makefile("rb") as answers:

            def ask(command: bytes) -> bytes:
                line.sendall(command)
                return _reply(answers.readline)

            _must(_reply(answers.readline))
            _must(ask(b"LHLO %b\r\n" % socket.gethostname().encode()))
            _must(ask(b"MAIL FROM:<%b>\r\n" % sender))
            named = [ask(b"RCPT TO:<%b>\r\n" % each) for each in recipients]
            taken = sum(reply.startswith(b"2") for reply in named)
            if not taken:
                return named
            _must(ask(b"DATA\r\n"), b"3")
            line.sendall(_stuffed(mail))
            later = [_reply(answers.readline) for _ in range(taken)]
            line.sendall(b"QUIT\r\n")
            return [later.pop(0) if reply.startswith(b"2") else reply for reply in named]


def _reply(readline: Callable[[int], bytes]) -> bytes:
    """The last line of the next reply.

    Raises:
        ConnectionError: it has no end, or does not begin with a code.
    """
    room = _LONGEST_REPLY
    while True:
        line = readline(room)
        room -= len(line)
        if not line.endswith(b"\n"):
            raise ConnectionError("the server closed the connection" if room else "the reply of the server has no end")
        if not re.match(rb"[2-5]\d\d[- \r\n]", line):
            raise ConnectionError("the server sent a line that is not a reply")
        if line[3:4] != b"-":
            return line.rstrip(b"\r\n")


def _must(reply: bytes, kind: bytes = b"2") -> None:
    if not reply.startswith(kind):
        raise _RefusedError(reply)


def _stuffed(mail: bytes) -> bytes:
    """The mail in the form for DATA, without a From_ line."""
    if mail.startswith(b"From "):
        mail = mail.partition(b"\n")[2]
    if mail and not mail.endswith(b"\n"):
        mail += b"\n"
    lines = mail.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return (b"\r\n" + lines).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


def _status(replies: list[bytes]) -> int:
    """0 if all are 2xx; 75 if another attempt may succeed; else the status of the first refusal."""
    refused = [reply for reply in replies if not reply.startswith(b"2")]
    if not refused:
        return EX_OK
    if any(not reply.startswith(b"5") for reply in refused):
        return EX_TEMPFAIL
    return _STATUSES.get(refused[0][4:9], EX_UNAVAILABLE)
