"""`pyprocmail lmtp`: an LMTP server.  pyprocmail-lmtp(8)"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import click

from pyprocmail.commands import server_options, serving
from pyprocmail.commands.compiler import compile_filter_here, compile_here
from pyprocmail.commands.maildrop import _become as become_for_maildrop
from pyprocmail.commands.procmail import _become as become
from pyprocmail.commands.toolbox import Toolbox
from pyprocmail.commands.values import Seconds, option, permissions
from pyprocmail.exits import EX_TEMPFAIL
from pyprocmail.host import Host, User
from pyprocmail.maildrop import run as filters
from pyprocmail.procmail import run as rcfiles
from pyprocmail.servers import listening
from pyprocmail.servers.lmtp import delivering, users
from pyprocmail.servers.lmtp.codec import Limits
from pyprocmail.servers.lmtp.ledger import Ledger
from pyprocmail.servers.lmtp.paths import Address
from pyprocmail.servers.lmtp.pool import Pool, log, pack, unpack
from pyprocmail.servers.lmtp.server import LOOK_UP, Finder, Server, Settings
from pyprocmail.servers.lmtp.starter import Starter

_LOOKUPS = 8
_LOOKUP_S = 30.0
_DEEPEST = 20_000


@click.command()
@option(
    "--listen",
    "addresses",
    metavar="ADDR",
    multiple=True,
    required=True,
    help="unix:PATH, HOST:PORT, inet:PORT@HOST or systemd; may be repeated.",
)
@server_options.socket_mode
@server_options.socket_group
@option("--user", metavar="NAME", default="", help="Started by root: become this user, and serve only this user.")
@option("--virtual", metavar="DIR", default="", help="Serve addresses without accounts: folders DIR/DOMAIN/NAME.")
@option("--rules", metavar="RC", default="", help="With --virtual: the rcfile for all addresses.")
@option(
    "--language",
    type=click.Choice(["procmail", "maildrop"]),
    default="procmail",
    show_default=True,
    help="The language of --rules.",
)
@option("--workers", type=click.IntRange(1, 256), default=4, show_default=True, help="Processes that deliver.")
@server_options.connections(200)
@server_options.max_size
@server_options.max_recipients
@server_options.session_timeout
@option(
    "--recipient-timeout",
    type=Seconds(1),
    default=300.0,
    show_default=True,
    help="How long a delivery may take, in seconds.",
)
@option(
    "--stop-timeout",
    type=Seconds(0),
    default=60.0,
    show_default=True,
    help="How long deliveries in progress may take at the end, in seconds.",
)
@option("--spool", metavar="DIR", default="/var/tmp", show_default=True, help="The folder for large mails.")  # noqa: S108
@server_options.metrics
def lmtp(
    addresses: tuple[str, ...],
    socket_mode: str,
    socket_group: str,
    user: str,
    virtual: str,
    rules: str,
    language: str,
    workers: int,
    connections: int,
    max_size: int,
    max_recipients: int,
    session_timeout: float,
    recipient_timeout: float,
    stop_timeout: float,
    spool: str,
    metrics: str,
) -> None:
    """Deliver the mail that a mail server passes on by LMTP, with the rules of each recipient.

    Started by root, it serves every user, and delivers as that user.  Started by another user, it serves only that
    user, or with --virtual addresses without accounts.

    \b
      pyprocmail lmtp --listen unix:/run/pyprocmail/lmtp.sock --socket-group postfix
      pyprocmail lmtp --listen 127.0.0.1:2424 --user vmail --virtual /var/vmail --rules /etc/virtual.rc

    See pyprocmail-lmtp(8).
    """
    if bool(virtual) != bool(rules):
        raise click.UsageError("--virtual and --rules need each other")
    try:
        places = [listening.parse(text) for text in addresses]
    except listening.AddressError as error:
        raise click.UsageError(str(error)) from error
    host = Host()
    mode, gid = permissions(socket_mode), serving.group_named("lmtp", socket_group)
    identity = serving.user_named("lmtp", host, user)
    if virtual and (os.geteuid() if identity is None else identity.uid) == 0:
        raise click.UsageError("--virtual must not run as root; name the owner of the folders with --user")
    listeners, names = serving.listen("lmtp", places, mode=mode, gid=gid)
    settings = Settings(
        socket.gethostname().encode(),
        Limits(max_size, recipients=max_recipients),
        workers=workers,
        connections=connections,
        session_s=session_timeout,
        recipient_s=recipient_timeout,
        stop_s=stop_timeout,
        spool=spool,
        metrics=Path(metrics).absolute() if metrics else None,
    )
    folder = os.fsencode(Path(virtual).absolute()) if virtual else b""
    try:
        serving.become("lmtp", host, identity)
        serving.check_folder("lmtp", "--spool", spool)
        serving.check_place("lmtp", "--metrics", metrics)
        if virtual:
            serving.check_folder("lmtp", "--virtual", virtual)
            serving.check_rules("lmtp", host, "--rules", str(Path(rules).absolute()), own=language == "procmail")
        make = _maker(language, os.fsencode(Path(rules).absolute()) if rules else b"")
        # Before the first client: so no client's data is in the memory of workers.
        starter = Starter([delivering.Desk(make).serve, _look_up])
        failed = asyncio.run(_serve(settings, starter, folder, listeners))
    finally:
        names.remove()
        for each in listeners:
            each.close()
    if failed:
        raise SystemExit(EX_TEMPFAIL)


async def _serve(settings: Settings, starter: Starter, folder: bytes, listeners: list[socket.socket]) -> bool:
    """Serve until the server stops; whether it stopped because of a failure."""
    host = Host()
    apart = os.geteuid() == 0
    find = _found_by_others(starter) if apart else _find_here(host, folder)
    server = Server(settings, starter, find, apart=apart)
    log(f"serving {'every user' if apart else os.fsdecode(folder) or 'one user'} with {settings.workers} workers")
    await server.serve(listeners)
    return server.failed


def _maker(language: str, rules: bytes) -> Callable[[Host], delivering.Deliver]:
    """A function that makes a worker's deliveries; the modules that it needs are imported here, for all workers."""
    caller = {name: value for name, value in os.environb.items() if name == b"TZ"}
    if language == "maildrop":
        import sys

        from pyprocmail.commands import privileges
        from pyprocmail.maildrop.syntax import compiled

        # Makes the parser's tables now, in the memory that all workers share.
        compiled.compile_filter(b'if (/^x/)\n{\n to "x"\n}\n', b"")
        sys.setrecursionlimit(_DEEPEST)
        privileges.load_for_maildrop()
        given = {**caller, b"PATH": b"/usr/local/bin:/usr/bin:/bin"}
        return lambda host: delivering.by_filter_file(
            filters.Setup(host, b"maildrop", given, compile_filter_here, become_for_maildrop), rules
        )
    from pyprocmail.commands import privileges
    from pyprocmail.procmail.syntax import lower

    lower.compile_rcfile(b":0:\n* ^x\nx\n", strict=False, passing=None)
    privileges.load()
    return lambda _host: delivering.by_rcfile(
        rcfiles.Setup(b"procmail", caller, compile_here, become, toolbox=Toolbox()), rules
    )


# -- recipients ------------------------------------------------------------------------------


def _find_here(host: Host, folder: bytes) -> Finder:
    """A Finder for virtual recipients, or for the user who runs the server."""
    loop = asyncio.get_running_loop()
    own = host.user_by_id(os.getuid())

    def find(address: Address) -> asyncio.Future[users.Found | None]:
        future: asyncio.Future[users.Found | None] = loop.create_future()
        try:
            if folder:
                future.set_result(users.find_virtual(folder, address, host))
            else:
                future.set_result(users.find_own(address, own) if own is not None else None)
        except OSError as error:
            future.set_exception(error)
        return future

    return find


def _found_by_others(starter: Starter) -> Finder:
    """A Finder for the system's users, in separate processes: a slow directory service does not delay other clients."""
    pool = Pool(starter, LOOK_UP, size=_LOOKUPS, share=_LOOKUPS, limit_s=_LOOKUP_S)
    loop = asyncio.get_running_loop()
    recent = users.Recent(loop.time, lambda answer: len(unpack(answer)) > 1)

    def find(address: Address) -> asyncio.Future[users.Found | None]:
        name, detail = users.split_detail(address)
        future: asyncio.Future[users.Found | None] = loop.create_future()

        def done(answer: asyncio.Future[bytes]) -> None:
            if future.done():
                return
            error = answer.exception()
            if error is not None:
                future.set_exception(error)
                return
            try:
                future.set_result(_user_of(answer.result(), detail))
            except OSError as trouble:
                future.set_exception(trouble)

        answer = recent.get(name)
        if answer is None:
            answer = pool.ask(b"=" + name)
            recent.put(name, answer)
        if answer.done():
            done(answer)
        else:
            answer.add_done_callback(done)
        return future

    return find


def _look_up(name: bytes, _fd: int, _ledger: Ledger) -> bytes:
    """In a separate process: the user's entry, empty if there is none, or the error."""
    name = name.removeprefix(b"=")  # a job must not be empty
    found = Host().user_by_name(name)
    if found is None:
        from pyprocmail.commands import user_database

        try:
            user_database.check(name)
        except OSError as error:
            return pack((error.strerror or "").encode())
        return pack()
    return pack(found.name, found.uid, found.gid, found.home, found.shell)


def _user_of(answer: bytes, detail: bytes) -> users.Found | None:
    values = unpack(answer)
    if not values:
        return None
    if len(values) == 1:
        assert isinstance(values[0], bytes)
        raise OSError(os.fsdecode(values[0]))
    name, uid, gid, home, shell = values
    assert isinstance(name, bytes)
    assert isinstance(uid, int)
    assert isinstance(gid, int)
    assert isinstance(home, bytes)
    assert isinstance(shell, bytes)
    return users.Found(User(name, uid, gid, home, shell), detail)
