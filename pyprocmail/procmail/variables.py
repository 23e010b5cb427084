"""The variables of a run: their values, and the settings of the special ones.  procmailrc(5), Environment.

`effects` has what an assignment causes.
"""

from __future__ import annotations

from pyprocmail.procmail.compiled.variables import ENVIRONMENT, NUMBERS

_SETTINGS = {name: default for name, default, _ in ENVIRONMENT if default is not None}
_NUMBERS = {name: int(default) for name, default, _ in NUMBERS if default is not None}


class Variables:
    """The values, and the meaning of special variables.

    `environment` is for programs.  `arguments` are $1 and so on.  `numbers` has the variables that are numbers,
    most of them seconds; `linebuf` is LINEBUF in bytes.  `exitcode` is EXITCODE: None without, TRAP_DECIDES if it is
    empty or not a number.  `usable` has DEFAULT and ORGMAIL where mail may go there, `unset` the removed variables.
    `foreign` names those that may contain a stranger's text.  `comsat` is the server for COMSAT.
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
        """The value of a variable that has a default even if -p keeps it out of the environment."""
        value = self.environment.get(name)
        if value is None:
            value = b"" if name in self.unset else _SETTINGS.get(name, b"")
        return value

    def is_foreign(self, name: bytes) -> bool:
        """Whether the value may be a stranger's text: from the mail, or from the address ($1).

        `foreign` has MATCH, the output of programs that read the mail, and what was made of these.
        """
        return name in self.foreign or name == b"-" or (name.isdigit() and name != b"0")

    def copy(self) -> Variables:
        """A copy for a clone."""
        other = Variables(self.environment.copy())
        other.arguments, other.numbers = self.arguments.copy(), self.numbers.copy()
        other.linebuf, other.exitcode, other.comsat = self.linebuf, self.exitcode, self.comsat
        other.usable, other.unset, other.foreign = self.usable.copy(), self.unset.copy(), self.foreign.copy()
        return other
