"""The user of an address.  A name becomes part of a path only in this module, after a check."""

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
    """The user, and the part of the address after the +."""

    user: User
    detail: bytes


class Recent:
    """A cache of look-ups, finished or under way, so that no name is looked up twice at a time.

    A finished answer is kept for ten seconds if `is_good` accepts it.  Others are not kept, so that a user who has just
    been created is found at once.
    """

    def __init__(self, clock: Callable[[], float], is_good: Callable[[bytes], bool]) -> None:
        self._clock = clock
        self._is_good = is_good
        self._answers: OrderedDict[bytes, tuple[float, asyncio.Future[bytes]]] = OrderedDict()

    def get(self, name: bytes) -> asyncio.Future[bytes] | None:
        """The answer, or the look-up under way; None if the caller must start one."""
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
        """Remember the look-up of the name."""
        self._answers[name] = (self._clock(), answer)
        while len(self._answers) > _MOST_KEPT:
            self._answers.popitem(last=False)


def split_detail(address: Address) -> tuple[bytes, bytes]:
    """Name and detail of `name+detail@domain`, the name in lower case."""
    name, _, detail = address.local.partition(b"+")
    return name.lower(), detail


def find_virtual(folder: bytes, address: Address, host: Host) -> Found | None:
    """The user of `folder`/domain/name, if that folder exists; the uid and gid are always ours.

    Raises:
        OSError: this cannot be determined now.
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
        # If the whole folder is missing, it may not be mounted: that raises an error, so that no mail bounces.
        os.stat(folder)
        return None
    if not os.path.isdir(home):
        return None
    assert status.st_mode
    return Found(User(name, host.getuid(), host.getgid(), home, b"/bin/sh"), detail)


def find_own(address: Address, user: User) -> Found | None:
    """`user` if the address is theirs, in any domain; else None."""
    name, detail = split_detail(address)
    return Found(user, detail) if name == user.name.lower() else None
