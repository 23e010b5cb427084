"""The variables of a run: their values, and what is remembered of the special ones.  procmailrc(5), Environment.

What assigning one does stands in `effects`.
"""

from __future__ import annotations

from pyprocmail.procmail.compiled.variables import ENVIRONMENT, NUMBERS

_SETTINGS = {name: default for name, default, _ in ENVIRONMENT if default is not None}
_NUMBERS = {name: int(default) for name, default, _ in NUMBERS if default is not None}


class Variables:
    """The values, and what special variables mean.

    `environment` is what programs get.  `arguments` are $1 and so on.  `numbers` holds the variables that are numbers,
    most of them seconds; `linebuf` is LINEBUF in bytes.  `exitcode` is EXITCODE: None without, TRAP_DECIDES when it is
    empty or no number.  `usable` are those of DEFAULT and ORGMAIL that mail may go to, `unset` what was removed.
    `foreign` names those that may hold text of a stranger.  `comsat` is where COMSAT is told.
    """

    TRAP_DECIDES = -2

    __slots__ = ("environment", "arguments", "numbers", "linebuf", "exitcode", "usable", "unset", "foreign", "comsat")

    def __init__(self, environment: dict[bytes, bytes]) -> None:
        self.environment = environment
        self.arguments: list[bytes] = []
        self.numbers = _NUMBERS.copy()
        self.linebuf = 2048
        self.exitcode: int | None = None
        self.usable: set[bytes] = set()
        self.unset: set[bytes] = set()
        self.foreign: set[bytes] = {b"MATCH", b"LASTFOLDER"}
        self.comsat: tuple[str, int] | None = None

    def setting(self, name: bytes) -> bytes:
        """A variable that has a default even where -p keeps it out of the environment."""
        value = self.environment.get(name)
        if value is None:
            value = b"" if name in self.unset else _SETTINGS.get(name, b"")
        return value

    def is_foreign(self, name: bytes) -> bool:
        """Whether the value may be text that a stranger wrote: of the mail, or of the address ($1).

        `foreign` holds MATCH, what programs said of the mail, and what was made of these.
        """
        return name in self.foreign or name == b"-" or (name.isdigit() and name != b"0")

    def copy(self) -> Variables:
        """The same, for a clone."""
        other = Variables(self.environment.copy())
        other.arguments, other.numbers = self.arguments.copy(), self.numbers.copy()
        other.linebuf, other.exitcode, other.comsat = self.linebuf, self.exitcode, self.comsat
        other.usable, other.unset, other.foreign = self.usable.copy(), self.unset.copy(), self.foreign.copy()
        return other
