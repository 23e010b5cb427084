"""`pyprocmail gateway`: passes mail from one mail server through rules to the next.  pyprocmail-gateway(8)"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import click

from pyprocmail.commands import server_options, serving
from pyprocmail.commands.compiler import compile_filter_here, compile_here
from pyprocmail.commands.toolbox import Toolbox
from pyprocmail.commands.values import Seconds, argument, option, permissions
from pyprocmail.exits import EX_NOPERM, EX_NOUSER, EX_OK, EX_TEMPFAIL, EX_UNAVAILABLE, in_one_line
from pyprocmail.host import LARGEST_RULES_BYTES, Host, User
from pyprocmail.maildrop import run as filters
from pyprocmail.message.postmark import envelope_end
from pyprocmail.procmail import run as rcfiles
from pyprocmail.servers import listening
from pyprocmail.servers.gateway import checking, table
from pyprocmail.servers.gateway.conversation import Conversation
from pyprocmail.servers.gateway.desk import Desk
from pyprocmail.servers.gateway.hop import Hop
from pyprocmail.servers.gateway.mail import Mail, Marks, Recipient
from pyprocmail.servers.gateway.plan import worst
from pyprocmail.servers.gateway.relay import Relay
from pyprocmail.servers.gateway.server import Server, Settings, log
from pyprocmail.servers.lmtp.codec import Codec, Dialect, Limits
from pyprocmail.servers.lmtp.paths import read_path
from pyprocmail.servers.outcome import OnError
from pyprocmail.servers.policy import FilterFileRules, RcfileRules, Rules

_EX_CONFIG = 78
_EX_DATAERR = 65
_DEEPEST = 20_000
_STATUSES = {b"5.1.1": EX_NOUSER, b"5.7.1": EX_NOPERM, b"5.6.0": _EX_DATAERR}
"""The exit statuses of --once for replies of 5xx."""
_LMTP = "lmtp:"


class _RulesError(click.ClickException):
    """The rules cannot be used."""

    exit_code = _EX_CONFIG


class _Ruleset:
    """The table and the rules that it names, as last read; `make` returns the rules of a file."""

    def __init__(self, path: Path, user: User) -> None:
        self._path = path
        self._user = user
        self._rules: dict[tuple[bytes, bool], Rules] = {}
        caller = {name: value for name, value in os.environb.items() if name == b"TZ"}
        self._setup = rcfiles.Setup(
            b"pyprocmail", caller, compile_here, lambda *_: None, toolbox=Toolbox(), content_length=False
        )
        given = {**caller, b"PATH": b"/usr/local/bin:/usr/bin:/bin"}
        self._filters = filters.Setup(Host(), b"pyprocmail", given, compile_filter_here, lambda *_: None)
        self.table = self._read()

    def _read(self) -> table.Table:
        """The table, if it and all rules that it names are valid.

        Raises:
            TableError: one of them is not.
        """
        host = Host()
        try:
            found = table.read(host.read_file(os.fsencode(self._path), LARGEST_RULES_BYTES), str(self._path))
        except OSError as error:
            raise table.TableError(f"{self._path}: {error.strerror}") from error
        wrong: list[str] = []
        for row in found.rows:
            if not row.rules or (row.rules, row.maildrop) in self._rules:
                continue
            try:
                text = host.read_file(row.rules, LARGEST_RULES_BYTES)
            except OSError as error:
                wrong.append(f"{self._path}:{row.line}: {os.fsdecode(row.rules)}: {error.strerror}")
                continue
            wrong += checking.complaints(text, os.fsdecode(row.rules), maildrop=row.maildrop)
            why = self.make(row.rules, row.maildrop).load()
            if why:
                wrong.append(f"{os.fsdecode(row.rules)}: {why}")
        if wrong:
            raise table.TableError("\n".join(wrong))
        return found

    def make(self, path: bytes, maildrop: bool) -> Rules:
        """The rules of a file."""
        rules = self._rules.get((path, maildrop))
        if rules is None:
            rules = (
                FilterFileRules(self._user, self._filters, path)
                if maildrop
                else RcfileRules(self._user, self._setup, path)
            )
            self._rules[path, maildrop] = rules
        return rules

    def reload(self) -> None:
        """SIGHUP: read the table again, and keep the old one if the new one is invalid."""
        try:
            self._rules.clear()
            self.table = self._read()
        except table.TableError as error:
            log(f"the old table stays in use: {error}")
        else:
            log(f"{self._path} was read again")


@click.command()
@option(
    "--listen", "addresses", metavar="ADDR", multiple=True,
    help="unix:PATH, HOST:PORT, inet:PORT@HOST or systemd; lmtp:ADDR for LMTP.",
)  # fmt: skip
@option("--next-hop", metavar="ADDR", required=True, help="The mail server that mail is passed on to, by SMTP.")
@option(
    "--rules", metavar="FILE", required=True, type=click.Path(path_type=Path), help="The table of patterns and rcfiles."
)
@option("--once", is_flag=True, help="Pass on the mail on standard input, and exit.")
@click.option("-f", "sender", metavar="SENDER", default="", help="With --once: the envelope sender; none by default.")
@option("--on-error", type=click.Choice([each.value for each in OnError]), default="tempfail", show_default=True,
              help="What becomes of a mail whose rules fail.")  # fmt: skip
@option("--name", metavar="HOST", default="", help="The name of the gateway in SMTP; by default that of the machine.")
@option("--user", metavar="NAME", default="", help="Started by root: become this user.")
@server_options.socket_mode
@server_options.socket_group
@option("--tls-cert", metavar="FILE", default="", help="A certificate with its chain; offers STARTTLS.")
@option("--tls-key", metavar="FILE", default="", help="The key of the certificate, if it is in another file.")
@server_options.connections(100)
@server_options.max_size
@server_options.max_recipients
@option(
    "--max-hops",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    help="The most servers that a mail may have passed.",
)
@option(
    "--max-passes",
    type=click.IntRange(1, 1000),
    default=4,
    show_default=True,
    help="The most times that a mail may pass here.",
)
@server_options.session_timeout
@option("--mail-timeout", type=Seconds(1), default=600.0, show_default=True,
              help="How long a mail may take, with its rules and the next hop.")  # fmt: skip
@option("--hop-timeout", type=Seconds(1), default=300.0, show_default=True,
              help="How long one reply of the next hop may take.")  # fmt: skip
@server_options.metrics
@argument("recipients", metavar="[RECIPIENT...]", nargs=-1)
def gateway(
    addresses: tuple[str, ...],
    next_hop: str,
    rules: Path,
    once: bool,
    sender: str,
    on_error: str,
    name: str,
    user: str,
    socket_mode: str,
    socket_group: str,
    tls_cert: str,
    tls_key: str,
    connections: int,
    max_size: int,
    max_recipients: int,
    max_hops: int,
    max_passes: int,
    session_timeout: float,
    mail_timeout: float,
    hop_timeout: float,
    metrics: str,
    recipients: tuple[str, ...],
) -> None:
    """Take mail by SMTP or LMTP, let rcfiles decide about it, and pass it on to the next mail server.

    Nothing is stored here: the client keeps a mail until the next server has accepted it.

    \b
      pyprocmail gateway --listen 127.0.0.1:10025 --next-hop 127.0.0.1:10026 --rules /etc/pyprocmail/gateway
      pyprocmail gateway --once --next-hop 127.0.0.1:10026 --rules FILE -f SENDER RECIPIENT... < mail

    See pyprocmail-gateway(8).
    """
    if once == bool(addresses) or once != bool(recipients):
        raise click.UsageError("give either --listen, or --once and recipients")
    sys.setrecursionlimit(_DEEPEST)
    hop_address = _address(next_hop)
    shown = name or socket.gethostname()
    marks = Marks(shown.encode(), passes=max_passes, hops=max_hops)
    host = Host()
    identity = serving.user_named("gateway", host, user)
    if addresses and (os.geteuid() if identity is None else identity.uid) == 0:
        raise click.UsageError("the gateway must not run as root; name the user of its rules with --user")
    places = [_address(text) for text in addresses]
    mode, gid = permissions(socket_mode), serving.group_named("gateway", socket_group)
    tls = _tls(tls_cert, tls_key) if tls_cert else None
    sockets, names = serving.listen("gateway", places, mode=mode, gid=gid)
    click.get_current_context().call_on_close(names.remove)
    listeners = list(zip(sockets, addresses, strict=True))
    serving.become("gateway", host, identity)
    serving.check_place("gateway", "--metrics", metrics)
    found = host.user_by_id(os.geteuid())
    # The shell of a user that only runs servers cannot run programs.
    who = (found.name, found.home) if found is not None else (b"#%d" % os.geteuid(), b"/")
    own = User(who[0], os.geteuid(), os.getegid(), who[1], b"/bin/sh")
    try:
        ruleset = _Ruleset(rules.absolute(), own)
    except table.TableError as error:
        raise _RulesError(str(error)) from error

    def desk(*, together: bool) -> Desk:
        relay = Relay(lambda: Hop(hop_address, shown, timeout_s=hop_timeout))
        return Desk(ruleset.table, ruleset.make, marks, relay, OnError(on_error), log, together)

    if once:
        # The mailer of a mail server has one exit status for all recipients.
        click.get_current_context().exit(_once(desk(together=True), sender, recipients, max_size))

    limits = Limits(max_size, recipients=max_recipients)
    dialects = {each.fileno(): _dialect(text, tls=tls is not None) for each, text in listeners}

    def serve(line: socket.socket, listener: int, report: Callable[[bytes], None]) -> None:
        dialect = dialects[listener]
        codec = Codec(shown.encode(), limits, dialect)
        Conversation(
            line, desk(together=not dialect.each), codec, dialect, tls=tls, report=report, session_s=session_timeout
        ).run()

    settings = Settings(
        connections=connections,
        mail_s=mail_timeout,
        metrics=Path(metrics).absolute() if metrics else None,
        reload=ruleset.reload,
    )
    log(f"passing mail on to {hop_address}")
    Server(settings, serve, [each for each, _ in listeners]).run()


def _dialect(text: str, *, tls: bool) -> Dialect:
    if text.startswith(_LMTP):
        return Dialect(chunking=False, dsn=True, tls=tls)
    return Dialect(b"ESMTP", (b"EHLO", b"HELO"), each=False, chunking=False, dsn=True, tls=tls)


def _once(desk: Desk, sender: str, recipients: tuple[str, ...], max_size: int) -> int:
    """Pass on the mail from standard input; returns the exit status."""
    words = [os.fsencode(word.strip("<>")) for word in (sender, *recipients)]
    if any((found := read_path(b"<%b>" % word)) is None or found[1] for word in words) or not all(words[1:]):
        raise click.UsageError("an address cannot have blanks, brackets or newlines")
    text = sys.stdin.buffer.read(max_size + 1)
    if len(text) > max_size:
        click.echo("pyprocmail: the mail is too large", err=True)
        return _EX_DATAERR
    text = text[envelope_end(text) :].replace(b"\r\n", b"\n")
    replies = desk.pass_on(Mail(words[0], [Recipient(word) for word in words[1:]], text, protocol=b"local"))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    desk.relay.close()
    reply = worst(replies)
    if reply.startswith(b"2"):
        return EX_OK
    click.echo("pyprocmail: " + reply.decode(errors="backslashreplace"), err=True)
    return EX_TEMPFAIL if reply.startswith(b"4") else _STATUSES.get(reply[4:9], EX_UNAVAILABLE)


def _address(text: str) -> listening.Address:
    try:
        return listening.parse(text.removeprefix(_LMTP))
    except listening.AddressError as error:
        raise click.UsageError(str(error)) from error


def _tls(cert: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        for path in (cert, key or cert):
            Path(path).open("rb").close()
        context.load_cert_chain(cert, key or None)
    except ssl.SSLError as error:
        names = f"{cert}, {key}" if key else cert
        raise click.UsageError(f"{names}: not a certificate and its key in PEM form") from error
    except OSError as error:
        raise click.UsageError(in_one_line(error, cert)) from error
    return context
