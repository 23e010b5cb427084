"""`pyprocmail milter`: logs the mail that passes a mail server, or has rules decide about it.  pyprocmail-milter(8)"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import syslog
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import click

from pyprocmail.commands import policy as policies
from pyprocmail.commands import serving
from pyprocmail.commands.compiler import compile_here
from pyprocmail.commands.policy import Examined, Rules
from pyprocmail.commands.values import Seconds, option
from pyprocmail.engine.logfile import DEFAULT_KEEP, LARGEST_KEEP, Limits
from pyprocmail.exits import EX_TEMPFAIL, EX_USAGE, in_one_line
from pyprocmail.host import Host, User
from pyprocmail.servers import listening, notify
from pyprocmail.servers.listening import Address, AddressError
from pyprocmail.servers.lmtp.starter import Starter
from pyprocmail.servers.metrics import Metrics
from pyprocmail.servers.milter import codec
from pyprocmail.servers.milter.conversation import Conversation, Mail, Reply, Talk
from pyprocmail.servers.milter.journal import Format, Journal
from pyprocmail.servers.milter.keeping import Keeping
from pyprocmail.servers.milter.server import MOST_CONNECTIONS, Server
from pyprocmail.servers.milter.workers import Crew, piped_to, ruled_by
from pyprocmail.servers.outcome import OnError
from pyprocmail.servers.spool import FOLDER, Spool, who_else_may_write

SOCKET, PID_FILE = "/var/run/mailspy/milter", "/var/run/mailspy/pid"
"""mailspy's places for them; by default a pid file is written only with this socket."""
NOTHING_TO_DO = 4
"""mailspy's exit status if no log is named."""
_METRICS_S = 15.0
_CREW_S = 10.0
_NAME = "pyprocmail milter"
_EX_DATAERR = 65


class AddressType(click.ParamType[Address]):
    """The address to listen at, in the form of listening.parse."""

    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """The address."""
        try:
            return listening.parse(value)
        except AddressError as error:
            self.fail(str(error), param, ctx)


def _complain(text: str) -> None:
    """Report to the administrator: on standard error and in the system's log."""
    click.echo(f"{_NAME}: {text}", err=True)
    syslog.syslog(syslog.LOG_ERR, text)


@click.command()
@option(
    "-p",
    "address",
    metavar="SOCKET",
    type=AddressType(),
    default=SOCKET,
    show_default=True,
    help="unix:PATH, inet:PORT@HOST, inet6:PORT@HOST, or systemd for socket activation.",
)
@option("-f", "log", metavar="LOG", default="", help="Append a line for each mail.")
@option("-h", "header_log", metavar="LOG", default="", help="Append the header of each mail.")
@option("-P", "command", metavar="COMMAND", default="", help="Pipe each mail into this shell command.")
@option("--rules", metavar="RCFILE", default="", help="Run each mail through this rcfile.")
@option("--policy", metavar="RCFILE", default="", help="Have this rcfile decide about each mail.")
@option("--at-rcpt", metavar="RCFILE", default="", help="Have this rcfile decide about each recipient.")
@option(
    "--on-error",
    type=click.Choice([one.value for one in OnError]),
    default=OnError.TEMPFAIL.value,
    show_default=True,
    help="What becomes of a mail whose policy fails or takes too long.",
)
@option(
    "--time-limit",
    metavar="SECONDS",
    type=Seconds(0.1, 3600),
    default=240.0,
    show_default=True,
    help="How long a policy may take.",
)
@option(
    "--language",
    type=click.Choice(["procmail", "maildrop"]),
    default="procmail",
    show_default=True,
    help="The language of --policy and --at-rcpt.",
)
@option(
    "--spool",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=FOLDER,
    show_default=True,
    help="Where mails wait for -P and --rules.",
)
@option(
    "--workers",
    metavar="N",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="Processes that run rules.",
)
@option(
    "--when-full",
    type=click.Choice(["pass", "tempfail"]),
    default="pass",
    show_default=True,
    help="The answer to the mail server if a mail cannot be kept.",
)
@option("-u", "user", metavar="USER", default="", help="Started by root: become this user.")
@option("--group", metavar="GROUP", default="", help="The group of a Unix socket: that of the mail server.")
@option("--mode", metavar="OCTAL", default="0660", show_default=True, help="Permissions of a Unix socket.")
@option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="mailspy's line, or a JSON object in each line.",
)
@option("--decode", is_flag=True, help="Write subjects in UTF-8.")
@option(
    "--max-size",
    metavar="BYTES",
    type=click.IntRange(min=0),
    default=0,
    help="Rotate a log that is larger; 0: never.",
)
@option(
    "--keep",
    metavar="N",
    type=click.IntRange(0, LARGEST_KEEP),
    default=DEFAULT_KEEP,
    show_default=True,
    help="Rotated logs to keep.",
)
@option(
    "--connections",
    metavar="N",
    type=click.IntRange(1, 100_000),
    default=MOST_CONNECTIONS,
    show_default=True,
    help="The most connections at a time.",
)
@option("--pid-file", metavar="FILE", type=click.Path(path_type=Path), help=f"By default {PID_FILE}.")
@option(
    "--metrics", metavar="FILE", type=click.Path(path_type=Path), help="Write counters for Prometheus to this file."
)
@option("--check", is_flag=True, help="Check whether it can start, and report what is wrong.")
def milter(
    address: Address,
    log: str,
    header_log: str,
    command: str,
    rules: str,
    policy: str,
    at_rcpt: str,
    on_error: str,
    time_limit: float,
    language: str,
    folder: Path,
    workers: int,
    when_full: str,
    user: str,
    group: str,
    mode: str,
    form: str,
    decode: bool,
    max_size: int,
    keep: int,
    connections: int,
    pid_file: Path | None,
    metrics: Path | None,
    check: bool,
) -> None:
    """Log every mail that passes a mail server, or let rules decide about it.

    The mail server connects to it as to any milter.  Without --policy and --at-rcpt every mail passes, even after an
    error here.  SIGUSR1 reopens the logs.  See pyprocmail-milter(8).
    """
    if not (log or header_log or command or rules or policy or at_rcpt):
        _refuse("nothing to do: name a log with -f or -h, or rules with -P, --rules or --policy", NOTHING_TO_DO)
    if (policy or at_rcpt) and (command or rules):
        _refuse("--policy and --rules cannot be combined: choose one", EX_USAGE)
    if command and rules:
        _refuse("-P and --rules cannot be combined: choose one", EX_USAGE)
    permissions = _octal(mode)
    syslog.openlog("pyprocmail-milter", syslog.LOG_PID, syslog.LOG_MAIL)
    host = Host()
    identity = serving.user_named("milter", host, user)
    gid = serving.group_named("milter", group)
    if pid_file is None and address.path == SOCKET:
        pid_file = Path(PID_FILE)
    counters = _counters()
    limits = Limits()
    limits.max_bytes, limits.keep = max_size, keep
    journal = Journal(
        host,
        os.fsencode(log),
        os.fsencode(header_log),
        form=Format(json=form == "json", decode=decode),
        limits=limits,
        metrics=counters,
        complain=_complain,
    )
    deciding = None
    if policy or at_rcpt:
        deciding = Rules(policy, at_rcpt, language, workers, time_limit, OnError(on_error))
        policies.count(counters)
    uid = -1 if identity is None else identity.uid
    owner_gid = gid if gid >= 0 or identity is None else identity.gid
    (taken,), names = serving.listen("milter", [address], mode=permissions, uid=uid, gid=owner_gid)
    keeping = None
    with closing(taken):
        try:
            serving.check_place("milter", "--pid-file", pid_file)
            _start(host, identity, journal, None if check else pid_file, folder if command or rules else None)
            serving.check_place("milter", "--metrics", metrics)
            for name, path in (("--rules", rules), ("--policy", policy), ("--at-rcpt", at_rcpt)):
                if path:
                    # A policy is checked by its absolute path, --rules as written.
                    path = path if name == "--rules" else os.path.abspath(path)
                    serving.check_rules("milter", host, name, path, own=language == "procmail" or bool(rules))
            if command or rules:
                keeping = _keeping(host, command, rules, folder, workers, counters, tempfail=when_full == "tempfail")
            examined = None if deciding is None else _examine(deciding, tell=check)
            if check:
                if keeping is not None:
                    _tell_who_may_write(folder)
                click.echo(f"{_NAME}: it can start")
                return
            if keeping is not None:
                keeping.crew.begin()

            starter = None if deciding is None else _starter(deciding)

            def begin() -> Server:
                converse = _converse(journal, keeping)
                if deciding is not None and starter is not None and examined is not None:
                    heard = journal.heard if log or header_log else None
                    converse = policies.begin(deciding, starter, examined, counters, _complain, heard).converse
                server = Server(converse, _complain, counters, most=connections)
                if starter is not None:
                    asyncio.get_running_loop().add_reader(starter.control, _starter_ended, server)
                return server

            asyncio.run(_serve(begin, taken, journal, counters, metrics, keeping))
        finally:
            if keeping is not None:
                keeping.close()
                keeping.crew.end()
            journal.close()
            names.remove()


def _converse(journal: Journal, keeping: Keeping | None) -> Callable[[], Talk]:
    """A function that begins a conversation of a milter that only logs, and keeps mails for rules."""
    keep: Callable[[Mail], Reply] = keeping.keep if keeping is not None else lambda _: codec.CONTINUE
    return lambda: Conversation(journal.heard, keep)


def _starter(rules: Rules) -> Starter:
    try:
        return policies.start(rules)
    except OSError as error:
        _refuse(f"cannot start: {error.strerror}", EX_TEMPFAIL)


def _starter_ended(server: Server) -> None:
    """Stop, since without the starter there are no new workers; the service manager restarts the milter."""
    _complain("the process that starts workers has ended, so the milter ends")
    server.stop()


def _examine(rules: Rules, *, tell: bool) -> Examined:
    """The stage at which the rules decide; exits if a rule gives no answer to a mail server."""
    try:
        found = Examined(rules)
    except OSError as error:
        _refuse(f"cannot start: {in_one_line(error)}", EX_TEMPFAIL)
    for line in found.wrong:
        click.echo(f"{_NAME}: {line}", err=True)
    if found.wrong:
        sys.exit(_EX_DATAERR)
    if tell:
        for line in found.told:
            click.echo(f"{_NAME}: {line}")
    return found


def _keeping(
    host: Host, command: str, rules: str, folder: Path, workers: int, counters: Metrics, *, tempfail: bool
) -> Keeping:
    """The spool and its workers."""
    spool = Spool(folder)
    try:
        spool.prepare()
    except OSError as error:
        _refuse(f"cannot start: {in_one_line(error)}", EX_TEMPFAIL)
    rule = piped_to(command) if command else ruled_by(rules, host, compile_here, os.environb)
    return Keeping(spool, Crew(spool, rule, workers, _complain, host=host), counters, _complain, tempfail=tempfail)


def _tell_who_may_write(folder: Path) -> None:
    found = list(who_else_may_write(folder))
    for who, above in found:
        click.echo(f"{_NAME}: {who} can replace the spool: {above} is writable", err=True)
    if not found:
        click.echo(f"{_NAME}: only its owner can write to the spool {folder}")


def _octal(mode: str) -> int:
    try:
        return int(mode, 8) & 0o777
    except ValueError:
        _refuse(f"--mode {mode}: permissions are an octal number, such as 0660", EX_USAGE)


def _refuse(text: str, status: int) -> NoReturn:
    serving.refuse("milter", text, status)


def _counters() -> Metrics:
    counters = Metrics("pyprocmail_milter")
    counters.counter("mails_total", "Mails that passed.")
    counters.counter("bytes_total", "Bytes of their bodies.")
    counters.counter("failures_total", "Mails that could not be logged.")
    counters.counter("kept_total", "Mails that were kept for the rules.")
    counters.counter("dropped_total", "Mails that could not be kept for the rules.")
    counters.gauge("spool_depth", "Mails that wait for the rules.")
    counters.counter("connections_total", "Connections of mail servers.")
    counters.gauge("connections", "Connections that are open.")
    return counters


def _start(
    host: Host,
    identity: User | None,
    journal: Journal,
    pid_file: Path | None,
    spool: Path | None,
) -> None:
    """Write the pid file, become the user, open the logs: in this order, so that the user owns the logs."""
    try:
        if spool is not None and not spool.exists():
            spool.mkdir(mode=0o700)
            if identity is not None:
                os.chown(spool, identity.uid, identity.gid)
        if pid_file is not None:
            pid_file.write_text(f"{os.getpid()}\n")
        serving.become("milter", host, identity)
        journal.open()
    except OSError as error:
        _refuse(f"cannot start: {in_one_line(error)}", EX_TEMPFAIL)


async def _serve(
    begin: Callable[[], Server],
    taken: socket.socket,
    journal: Journal,
    counters: Metrics,
    metrics: Path | None,
    keeping: Keeping | None,
) -> None:
    tasks = [asyncio.create_task(_watch())]
    if keeping is not None:
        tasks.append(asyncio.create_task(_replace(keeping.crew)))
    if metrics is not None:
        tasks.append(asyncio.create_task(_count(counters, metrics, keeping)))
    await begin().serve(
        taken,
        reopen=journal.reopen,
        ready=lambda: _tell(notify.READY),
        child_ended=keeping.crew.replace if keeping is not None else None,
    )
    _tell(notify.STOPPING)
    await journal.settle()
    for task in tasks:
        task.cancel()
    if metrics is not None:
        _write(counters, metrics, keeping)


def _tell(state: str) -> None:
    notify.notify(state)


async def _watch() -> None:
    """Notify the service manager that we are alive, as often as it requires."""
    pause_s = notify.watchdog_s()
    while pause_s:
        notify.notify(notify.WATCHDOG)
        await asyncio.sleep(pause_s)


async def _replace(crew: Crew) -> None:
    """Try again to start workers that could not be forked."""
    while True:
        await asyncio.sleep(_CREW_S)
        crew.replace()


async def _count(counters: Metrics, path: Path, keeping: Keeping | None) -> None:
    while True:
        _write(counters, path, keeping)
        await asyncio.sleep(_METRICS_S)


def _write(counters: Metrics, path: Path, keeping: Keeping | None) -> None:
    try:
        if keeping is not None:
            counters.set("spool_depth", keeping.depth())
        counters.write(path)
    except OSError as error:
        click.echo(f"{_NAME}: {path} cannot be written: {error.strerror}", err=True)
