"""refile with a filter file of maildrop: delivery in the real World."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from pyprocmail.delivery.results import Delivered, Failed
from pyprocmail.maildrop import run
from pyprocmail.maildrop.world import World
from pyprocmail.offline.refile import came_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyprocmail.delivery.format import Chunk, Text
    from pyprocmail.engine.trace import Trace
    from pyprocmail.host import Host, User
    from pyprocmail.maildrop.files import Compiler, FilterFiles
    from pyprocmail.offline.filters import FilterRules
    from pyprocmail.offline.taking import Item, Source

    Note = Callable[..., None]


class FilterDeliverer:
    """Delivers mails by a filter file, one after another, from the folder for relative names."""

    def __init__(self, host: Host, rules: FilterRules, source: Source, compile: Compiler) -> None:
        self._host = host
        self._world = _Refiling(host, os.path.realpath(os.fsencode(source.path)))
        self._folder = rules.folder()
        self._back = host.getcwd()
        self._recipient = rules.recipient
        self._setup = run.Setup(host, b"maildrop", rules.caller, compile, _become)

    def deliver(self, item: Item) -> str:
        """Deliver a mail; returns why it was not delivered, or nothing."""
        world = self._world
        world.begin()
        self._host.chdir(self._folder)
        try:
            data = item.data.removesuffix(b"\n") if item.data.startswith(b"From ") else item.data
            verdict = run.deliver(world, self._recipient, lambda: data, self._setup, listen=world.listen)
            return came_to(self._host, verdict, world.maildirs, item)
        finally:
            self._host.chdir(self._back)


def _become(_host: Host, user: User, _files: FilterFiles) -> None:
    raise PermissionError(errno.EPERM, f"refile runs as the user who calls it, not as {os.fsdecode(user.name)}")


class _Refiling(World):
    """The real World, except that the mail's present folder, and DEFAULT at the end of the rules, take nothing.

    `maildirs` are the files of the mail in maildirs.
    """

    __slots__ = ("_source", "_depth", "maildirs")

    def __init__(self, host: Host, source: bytes) -> None:
        super().__init__(host)
        self._source = source
        self._depth = 0
        self.maildirs: list[bytes] = []

    def begin(self) -> None:
        """Prepare for the next mail."""
        self._depth = 0
        self.maildirs = []

    def listen(self, trace: Trace) -> None:
        """Subscribe, to know when the filter files have ended."""

        def entered(_path: bytes) -> None:
            self._depth += 1

        def left(_path: bytes, _ending: str) -> None:
            self._depth -= 1

        trace.entered.append(entered)
        trace.left.append(left)

    def _stays(self, folder: bytes) -> Failed | None:
        if not self._depth or os.path.realpath(folder) == self._source:
            return Failed(folder, "the mail stays where it is", errno.EBUSY)
        return None

    def append(
        self, path: bytes, text: Text, *, lock_timeout_s: int, note: Note, done: Callable[[], None], mode: int
    ) -> Delivered | Failed:
        """As ever, unless the mail would fall through, or come back."""
        return self._stays(path) or super().append(
            path, text, lock_timeout_s=lock_timeout_s, note=note, done=done, mode=mode
        )

    def deposit(
        self, folder: bytes, chunks: Iterable[Chunk], size: int, *, flags: bytes, keywords: bytes
    ) -> Delivered | Failed:
        """As ever, unless the mail would fall through, or come back."""
        stays = self._stays(folder)
        if stays is not None:
            return stays
        result = super().deposit(folder, chunks, size, flags=flags, keywords=keywords)
        if isinstance(result, Delivered):
            self.maildirs.append(os.path.abspath(result.folder))
        return result
