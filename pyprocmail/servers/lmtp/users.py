"""Whom an address belongs to.  Names are looked up; a name is part of a path only where it is checked here first."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from pyprocmail.host import Host, User
from pyprocmail.servers.lmtp.paths import Address

UNKNOWN = b"550 5.1.1"
_KEPT_S = 10.0
_MOST_KEPT = 1000
_SAFE = b"abcdefghijklmnopqrstuvwxyz0123456789._-="


@dataclass(frozen=True, slots=True)
class Found:
    """The user, and what stands after the + of the address."""

    user: User
    detail: bytes


class Recent:
    """What was asked of the system a moment ago, or is being asked: a name is not asked for twice at a time.

    An answer of which `is_good` holds is kept for ten seconds; a user who has just been made is not unknown still.
    """

    def __init__(self, clock: Callable[[], float], is_good: Callable[[bytes], bool]) -> None:
        self._clock = clock
        self._is_good = is_good
        self._answers: OrderedDict[bytes, tuple[float, asyncio.Future[bytes]]] = OrderedDict()

    def get(self, name: bytes) -> asyncio.Future[bytes] | None:
        """The answer, or the one to come; None if it has to be asked for."""
        began, answer = self._answers.get(name, (0.0, None))
        if answer is None:
            return None
        if not answer.done():
            return answer
        fresh = self._clock() - began <= _KEPT_S and not answer.cancelled()
        if fresh and answer.exception() is None and self._is_good(answer.result()):
            return answer
        del self._answers[name]
        return None

    def put(self, name: bytes, answer: asyncio.Future[bytes]) -> None:
        """The name is being asked for."""
        self._answers[name] = (self._clock(), answer)
        while len(self._answers) > _MOST_KEPT:
            self._answers.popitem(last=False)


def split_detail(address: Address) -> tuple[bytes, bytes]:
    """Name and detail of `name+detail@domain`, the name in lower case."""
    name, _, detail = address.local.partition(b"+")
    return name.lower(), detail


def find_virtual(folder: bytes, address: Address, host: Host) -> Found | None:
    """The owner of `folder`/domain/name, a folder that is there; everybody's mail is ours.

    Raises:
        OSError: it cannot be said now.
    """
    name, detail = split_detail(address)
    domain = address.domain.lower()
    for part in (name, domain):
        if not part or part.startswith((b".", b"-")) or part.translate(None, _SAFE):
            return None
    home = b"%b/%b/%b" % (folder, domain, name)
    try:
        status = os.stat(home)
    except (FileNotFoundError, NotADirectoryError):
        # A folder that is not mounted now is no reason to return mail.
        os.stat(folder)
        return None
    if not os.path.isdir(home):
        return None
    assert status.st_mode
    return Found(User(name, host.getuid(), host.getgid(), home, b"/bin/sh"), detail)


def find_own(address: Address, user: User) -> Found | None:
    """Ourselves, in whatever domain."""
    name, detail = split_detail(address)
    return Found(user, detail) if name == user.name.lower() else None
