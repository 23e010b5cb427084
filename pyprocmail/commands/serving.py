"""Checks of the servers at their start: their user, sockets and rules; each fault has an exit status."""

from __future__ import annotations

import grp
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from pyprocmail.exits import EX_CANTCREAT, EX_NOINPUT, EX_NOPERM, EX_NOUSER, EX_TEMPFAIL
from pyprocmail.host import Host, User
from pyprocmail.procmail.rcfiles import is_suspicious, locate
from pyprocmail.servers import listening
from pyprocmail.servers.listening import Address, Names


def refuse(server: str, text: str, status: int) -> NoReturn:
    """Exit with a message and a status."""
    click.echo(f"pyprocmail {server}: {text}", err=True)
    raise SystemExit(status)


def user_named(server: str, host: Host, name: str) -> User | None:
    """The user of that name; None without a name."""
    found = host.user_by_name(os.fsencode(name)) if name else None
    if name and found is None:
        refuse(server, f"there is no user {name}", EX_NOUSER)
    return found


def group_named(server: str, name: str) -> int:
    """The id of the group; -1 without a name."""
    try:
        return grp.getgrnam(name).gr_gid if name else -1
    except KeyError:
        refuse(server, f"there is no group {name}", EX_NOUSER)


def become(server: str, host: Host, user: User | None) -> None:
    """Become the user for good."""
    if user is None or os.geteuid() == user.uid:
        return
    if os.geteuid() != 0:
        refuse(server, f"only root may become {os.fsdecode(user.name)}: start it as root or as that user", EX_NOPERM)
    try:
        host.become(user)
    except OSError as error:
        refuse(server, f"cannot become {os.fsdecode(user.name)}: {error.strerror}", EX_TEMPFAIL)


def listen(
    server: str, addresses: Sequence[Address], *, mode: int, uid: int = -1, gid: int = -1
) -> tuple[list[socket.socket], Names]:
    """Listening sockets and their names; Unix sockets get this mode, user and group (-1: ours)."""
    found: list[socket.socket] = []
    names = Names()
    for address in addresses:
        try:
            found.append(listening.listen(address, mode=mode, uid=uid, gid=gid))
        except OSError as error:
            names.remove()
            for each in found:
                each.close()
            refuse(server, f"cannot listen on {address}: {error.strerror}", EX_CANTCREAT)
        names.add(address)
    return found, names


def check_rules(server: str, host: Host, option: str, path: str, *, own: bool = True) -> None:
    """Exit if the rules in the file cannot be used.  `own`: other users must not be able to write the file."""
    user = host.user_by_id(os.geteuid())
    name = os.fsdecode(user.name) if user else f"user {os.geteuid()}"
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
    except OSError as error:
        refuse(server, f"{option} {path}: {error.strerror}: name a file that {name} can read", EX_NOINPUT)
    rcfile = user and locate(os.fsencode(path), user, mail_filter=True)
    if own and user and rcfile and is_suspicious(host, user, rcfile, status):
        owners = name if name == "root" else f"root or {name}"
        refuse(
            server,
            f"{option} {path}: not run, because others could have written it:"
            f" {owners} must own it, and nobody else may write to it or to its folder",
            EX_NOPERM,
        )


def check_folder(server: str, option: str, path: str) -> None:
    """Exit if files cannot be made in the folder."""
    try:
        if not stat.S_ISDIR(os.stat(path).st_mode):
            refuse(server, f"{option} {path}: that is not a folder", EX_CANTCREAT)
    except OSError as error:
        refuse(server, f"{option} {path}: {error.strerror}: make the folder, or name another", EX_CANTCREAT)
    if not os.access(path, os.W_OK | os.X_OK, effective_ids=True):
        refuse(server, f"{option} {path}: the server may not make files there", EX_CANTCREAT)


def check_place(server: str, option: str, path: str | Path | None) -> None:
    """Exit if the file cannot be made at its path; without a path there is nothing to check."""
    if path is not None and path != "":
        check_folder(server, option, os.path.dirname(os.path.abspath(path)))
