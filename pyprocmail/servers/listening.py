"""Where a server listens: Unix sockets, TCP, and sockets that a service manager has opened.  sd_listen_fds(3)"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

BACKLOG = 128
"""How many connections may wait to be taken."""
_FIRST_INHERITED = 3
_LARGEST_PORT = 65535
_QUICK_ACK: int = getattr(socket, "TCP_QUICKACK", 0)


class _Socket(Protocol):
    """A socket, or what asyncio shows of one."""

    @property
    def family(self) -> int: ...

    def setsockopt(self, level: int, option: int, value: int, /) -> None:
        """See socket.setsockopt."""


class AddressError(ValueError):
    """The text is not an address to listen on; the message shows the valid forms."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: `path` of a Unix socket, or `host` and `port`, or the descriptor `fd` that we were given."""

    path: str = ""
    host: str = ""
    port: int = 0
    family: int = socket.AF_INET
    fd: int = -1

    def __str__(self) -> str:
        if self.fd >= 0:
            return f"fd:{self.fd}"
        if self.path:
            return f"unix:{self.path}"
        return f"{'inet6' if self.family == socket.AF_INET6 else 'inet'}:{self.port}@{self.host}"


def parse(text: str) -> Address:
    """The address that the text names.

    `unix:PATH`, `local:PATH` or a path with a slash; `inet:PORT@HOST`, `inet6:PORT@HOST`, `HOST:PORT` or `[HOST]:PORT`;
    `fd:N`, or `systemd` for the first descriptor of socket activation.

    Raises:
        AddressError: it is not an address.
    """
    kind, colon, rest = text.partition(":")
    if kind in ("unix", "local") and colon:
        if not rest:
            raise AddressError(f"{text}: the path of the socket is missing")
        return Address(path=rest)
    if kind in ("inet", "inet6") and colon:
        port, at, host = rest.partition("@")
        family = socket.AF_INET6 if kind == "inet6" else socket.AF_INET
        return Address(host=_host(host, family) if at else "", port=_port(text, port), family=family)
    if text == "systemd":
        return Address(fd=_FIRST_INHERITED)
    if kind == "fd" and colon:
        if not (rest.isascii() and rest.isdigit() and len(rest) < 6):
            raise AddressError(f"{text}: {rest!r} is not a descriptor; write its number, such as fd:3")
        return Address(fd=int(rest))
    if "/" in text:
        return Address(path=text)
    host, colon, port = text.rpartition(":")
    if not colon:
        raise AddressError(f"{text}: not an address; write unix:PATH, HOST:PORT, inet:PORT@HOST or systemd")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    return Address(host=_host(host, family), port=_port(text, port), family=family)


def _host(host: str, family: int) -> str:
    host = host.removeprefix("[").removesuffix("]")
    return "::1" if host == "localhost" and family == socket.AF_INET6 else host


def _port(text: str, port: str) -> int:
    if not (port.isascii() and port.isdigit() and len(port) < 6 and int(port) <= _LARGEST_PORT):
        raise AddressError(f"{text}: {port!r} is not a port")
    return int(port)


def listen(
    address: Address,
    *,
    mode: int | None = None,
    uid: int = -1,
    gid: int = -1,
    environ: Mapping[str, str] = os.environ,
) -> socket.socket:
    """A socket that listens there, without blocking.

    A Unix socket gets the permissions `mode` and belongs to `uid` and `gid` (-1: the system's default).  A stale one,
    on which no process listens, is replaced; after an error none is left.

    Raises:
        OSError: another process listens there, a file that is not a socket has this name, or permission is denied.
    """
    if address.fd >= 0:
        return _inherited(address.fd, environ)
    if address.path:
        return _unix(address.path, mode, uid, gid)
    taken = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.family == socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind((address.host, address.port))
        taken.listen(BACKLOG)
    except OSError as error:
        taken.close()
        raise OSError(error.errno, error.strerror, str(address)) from error
    taken.setblocking(False)
    return taken


def _inherited(fd: int, environ: Mapping[str, str]) -> socket.socket:
    """The socket with that descriptor; under socket activation it must be passed to this very process."""
    if fd >= _FIRST_INHERITED and "LISTEN_PID" in environ:
        count = environ.get("LISTEN_FDS", "")
        ours = environ["LISTEN_PID"] == str(os.getpid())
        if not ours or not count.isdigit() or fd >= _FIRST_INHERITED + int(count):
            raise OSError(errno.EBADF, "the service manager passed no such socket", f"fd:{fd}")
    try:
        taken = socket.socket(fileno=fd)
        if not taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            taken.detach()
            raise OSError(errno.EINVAL, "it does not listen")
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"fd:{fd}") from error
    taken.set_inheritable(False)
    taken.setblocking(False)
    return taken


def _unix(path: str, mode: int | None, uid: int, gid: int) -> socket.socket:
    taken = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound = False
    try:
        _make_room(path)
        # Nobody may connect before it has its permissions.
        mask = os.umask(0o177 if mode is not None else 0o117)
        try:
            taken.bind(path)
        finally:
            os.umask(mask)
        bound = True
        if (uid, gid) != (-1, -1):
            os.chown(path, uid, gid)
        if mode is not None:
            os.chmod(path, mode)
        taken.listen(BACKLOG)
    except OSError as error:
        taken.close()
        if bound:
            os.unlink(path)
        raise OSError(error.errno, error.strerror or str(error), path) from error
    taken.setblocking(False)
    return taken


def _make_room(path: str) -> None:
    """Remove a socket that an earlier server left."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EEXIST, "a file that is not a socket has this name")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            pass
        except TimeoutError:
            raise OSError(errno.EADDRINUSE, "another server listens there") from None
        else:
            raise OSError(errno.EADDRINUSE, "another server listens there")
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


class Acknowledging:
    """Has the kernel acknowledge TCP data at once.

    A mail server that sends a mail in small packets would otherwise wait for the kernel's acknowledgement: 40 ms each
    time.  Linux resets the option, so it is set before each read.  tcp(7)
    """

    def __init__(self, taken: _Socket) -> None:
        self._socket = taken if taken.family in (socket.AF_INET, socket.AF_INET6) and _QUICK_ACK else None

    def at_once(self) -> None:
        """Acknowledge at once until the kernel resets the option."""
        if self._socket is not None:
            try:
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
            except OSError:
                self._socket = None


class Names:
    """The Unix sockets that this server has bound, to remove them when it exits."""

    def __init__(self, addresses: Iterable[Address] = ()) -> None:
        self._known: list[tuple[str, tuple[int, int, int] | None]] = []
        for address in addresses:
            self.add(address)

    def add(self, address: Address) -> None:
        """Add a socket that has just been bound."""
        if address.path:
            self._known.append((address.path, _identity(address.path)))

    def remove(self) -> None:
        """Remove the sockets, except those that another server has bound meanwhile."""
        for path, identity in self._known:
            if identity is not None and _identity(path) == identity:
                try:
                    os.unlink(path)
                except OSError:
                    pass


def _identity(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    # The inode number of a removed file is used again, so the time is compared, too.
    return status.st_dev, status.st_ino, status.st_mtime_ns
