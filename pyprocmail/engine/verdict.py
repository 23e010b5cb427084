"""What became of a mail, as plain data; commands and servers turn it into an exit status or a reply."""

from __future__ import annotations

import marshal

from pyprocmail.exits import EX_OK
from pyprocmail.message.visible import blanked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Stored: TypeAlias = tuple[bytes, int]
    Refused: TypeAlias = tuple[bytes, bytes]

_ONE_LINE = bytes.maketrans(b"\t\n", b"  ")


class Verdict:
    """The outcome of one mail for one recipient.

    `status` is the exit status for the caller: 0 means that the caller may delete its copy.
    `stored` names the folders that have the mail and the bytes that each got, copies included; `forwarded` the command
    lines that took it.  `refused` names what did not take it, each with the reason.
    `reply` is the rcfile's REPLY, empty if it has none.
    `told_early`: DELIVERED=yes has reported success already, and a child process does the rest.
    `untouched`: no rcfile could be read, so nothing was tried.

    It does not include what a clone in another process did.
    """

    __slots__ = ("status", "stored", "refused", "forwarded", "reply", "told_early", "untouched")

    def __init__(self, status: int = EX_OK) -> None:
        self.status = status
        self.stored: list[Stored] = []
        self.refused: list[Refused] = []
        self.forwarded: list[bytes] = []
        self.reply = b""
        self.told_early = False
        self.untouched = False

    def refuse(self, what: bytes, why: bytes) -> None:
        """Remember that `what` (a folder, a program, a lockfile, an rcfile) did not take the mail."""
        self.refused.append((what, why))

    def reason(self) -> bytes:
        """Why the mail was not taken, fit for a log line or a reply: one line of printable bytes, empty if unknown."""
        return blanked(b"; ".join(b"%b: %b" % each if each[0] else each[1] for each in self.refused)).translate(
            _ONE_LINE
        )

    def pack(self) -> bytes:
        """The verdict as bytes, for another process of ours."""
        return marshal.dumps(tuple(getattr(self, name) for name in self.__slots__))

    @classmethod
    def unpack(cls, data: bytes) -> Verdict:
        """The verdict in the bytes that `pack` made.

        Raises:
            ValueError: they are something else, or incomplete.
        """
        try:
            values = marshal.loads(data)  # noqa: S302  from a process of ours
        except (EOFError, TypeError) as error:
            raise ValueError(str(error)) from error
        if not isinstance(values, tuple) or len(values) != len(cls.__slots__):
            raise ValueError("not a verdict")
        verdict = cls()
        for name, value in zip(cls.__slots__, values, strict=True):
            setattr(verdict, name, value)
        return verdict
