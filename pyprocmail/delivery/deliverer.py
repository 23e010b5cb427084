"""Storing a message in folders: the one way mail gets onto the disk."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from pyprocmail.delivery.results import Delivered, Failed
    from pyprocmail.host import Host
    from pyprocmail.message.model import Message

    class Observer(Protocol):
        """Is told what a delivery does, in the order in which procmail logs it."""

        def note(self, kind: str, *texts: bytes) -> None:
            """Something of the table in engine/log happened."""

        def last_folder(self, name: bytes) -> None:
            """LASTFOLDER becomes `name`; procmail logs the assignment now.

            A delivery to several folders lengthens the name without logging it: assign
            `Delivered.folder` silently when it is over.
            """


class Deliverer:
    """Stores messages in mbox files, maildirs, MH folders and directories, and on standard output."""

    __slots__ = ("_host", "_observer")

    def __init__(self, host: Host, observer: Observer) -> None:
        self._host = host
        self._observer = observer

    def deliver(
        self,
        names: Sequence[bytes],
        message: Message,
        *,
        header: bool = True,
        body: bool = True,
        raw: bool = False,
        content_length: bool = True,
        prefix: bytes = b"msg.",
        lock_timeout_s: int = 0,
        strict: bool = False,
    ) -> Delivered | Failed:
        """Store the message in the folder names[0], with hard links in the further ones.

        `header` and `body` choose the parts (recipe flags h, b).  `raw` is flag r.  With
        `content_length` a Content-Length field exempts what it covers from escaping (no -Y).
        `prefix` is MSGPREFIX.  The kernel lock is waited for `lock_timeout_s` seconds, 0 is for ever.
        `strict` writes what procmail writes where that lets a mail forge another one.  A name that
        begins with `|` is standard output.  The umask and the working directory are the process's.

        A signal raises Interrupted; the folder is then as it was.
        """
        raise NotImplementedError
