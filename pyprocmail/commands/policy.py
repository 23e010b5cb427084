"""`pyprocmail milter --policy`: examines which parts of a mail the rules use, and makes workers for the rules."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from pyprocmail.commands.compiler import compile_filter_here, compile_here
from pyprocmail.commands.toolbox import Toolbox
from pyprocmail.host import LARGEST_RULES_BYTES, Host, User
from pyprocmail.maildrop import run as filters
from pyprocmail.procmail import run as rcfiles
from pyprocmail.procmail.syntax.lower import compile_rcfile
from pyprocmail.servers import policy as deciders
from pyprocmail.servers.lmtp.ledger import sweep
from pyprocmail.servers.lmtp.pool import Pool
from pyprocmail.servers.lmtp.starter import Starter
from pyprocmail.servers.metrics import Metrics
from pyprocmail.servers.milter import deciding, demands
from pyprocmail.servers.milter.conversation import Mail
from pyprocmail.servers.milter.policy import Policy, Stage
from pyprocmail.servers.outcome import OnError

EARLY_LIMIT_S = 25.0
"""How long rules may take for a recipient or a header: Postfix waits 30 s, and takes no progress reply then."""

_MAIL, _RECIPIENT = 0, 1
"""The kinds of workers."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The command line's options about the rules: files, their language, and how to run them; "" for no file."""

    policy: str
    at_rcpt: str
    language: str
    workers: int
    limit_s: float
    on_error: OnError


class Examined:
    """The parts of a mail that the rules use, examined anew when a file has changed.

    `told` has information for the administrator, `wrong` the rules that give no answer to a mail server.
    """

    def __init__(self, rules: Rules) -> None:
        """Examine them.

        Raises:
            OSError: a file cannot be read.
        """
        self._rules = rules
        self.told: list[str] = []
        self.wrong: list[str] = []
        self._stage = Stage.BODY
        self._seen: dict[str, tuple[int, ...]] = {}
        self._examine()

    def stage(self) -> Stage:
        """The stage at which the rules have everything that they use."""
        if any(_identity(path) != seen for path, seen in self._seen.items()):
            try:
                self._examine()
            except OSError:
                self._stage = Stage.BODY
        return self._stage

    def _examine(self) -> None:
        rules = self._rules
        self.told, self.wrong = [], []
        if rules.language == "maildrop":
            for path in filter(None, (rules.policy, rules.at_rcpt)):
                _read(path)
            return
        if rules.policy:
            found = demands.of_rcfile(os.path.abspath(rules.policy), _read, compile_rcfile)
            self._seen = {path: _identity(path) for path in found.files}
            self._stage = found.stage
            reason = f", because of {found.reason}" if found.reason else ""
            self.told.append(f"{rules.policy} decides {found.stage.value}{reason}")
            self.wrong += found.faults
        if rules.at_rcpt:
            found = demands.of_rcfile(os.path.abspath(rules.at_rcpt), _read, compile_rcfile)
            self.wrong += [*found.faults, *found.searches]


def _identity(path: str) -> tuple[int, ...]:
    """Values that change when a file does."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _read(path: str) -> bytes:
    return Host().read_file(os.fsencode(path), LARGEST_RULES_BYTES)


def start(rules: Rules) -> Starter:
    """The process that makes workers: started before any mail server connects, so that no mail is in its memory.

    Raises:
        OSError: the process could not be started.
    """
    return Starter([_desk(rules, rules.policy).serve, _desk(rules, rules.at_rcpt).serve])


def begin(
    rules: Rules,
    starter: Starter,
    examined: Examined,
    metrics: Metrics,
    complain: Callable[[str], None],
    heard: Callable[[Mail], None] | None,
) -> Policy:
    """The policy; its workers are made when they are needed."""
    limit_s = rules.limit_s if examined.stage() == Stage.BODY else min(rules.limit_s, EARLY_LIMIT_S)
    mail = _pool(rules, starter, _MAIL, limit_s) if rules.policy else None
    recipient = _pool(rules, starter, _RECIPIENT, min(rules.limit_s, EARLY_LIMIT_S)) if rules.at_rcpt else None
    return Policy(mail, recipient, examined.stage, rules.on_error, metrics, complain, heard)


def _pool(rules: Rules, starter: Starter, kind: int, limit_s: float) -> Pool:
    # The workers run as our user, so we may remove their lockfiles.
    return Pool(
        starter, kind, size=rules.workers, share=rules.workers, limit_s=limit_s,
        left_behind=lambda _job, claims: sweep(claims),
    )  # fmt: skip


def _desk(rules: Rules, path: str) -> deciding.Desk:
    return deciding.Desk(_maker(os.fsencode(os.path.abspath(path)), rules.language))


def _maker(path: bytes, language: str) -> Callable[[Callable[[], Host]], deciders.Rules]:
    def make(new_host: Callable[[], Host]) -> deciders.Rules:
        host = new_host()
        found = host.user_by_id(os.geteuid())
        assert found is not None, "the milter has a user"
        # The shell of a system user cannot run programs.
        user = User(found.name, found.uid, found.gid, found.home, b"/bin/sh")
        if language == "maildrop":
            from pyprocmail.maildrop.syntax import compiled as _compiled  # noqa: F401  to have it

            filter_setup = filters.Setup(host, b"maildrop", os.environb, compile_filter_here, lambda *_: None)
            return deciders.FilterFileRules(user, filter_setup, path, new_host)
        setup = rcfiles.Setup(
            b"pyprocmail", os.environb, compile_here, lambda *_: None, toolbox=Toolbox(), content_length=False
        )
        return deciders.RcfileRules(user, setup, path, new_host)

    return make


def count(metrics: Metrics) -> None:
    """Add the counters of a policy."""
    metrics.counter("accepted_total", "Mails that the rules accepted.")
    metrics.counter("refused_total", "Mails that the rules refused for good.")
    metrics.counter("deferred_total", "Mails that are to be sent again later.")
    metrics.counter("discarded_total", "Mails that the rules discarded.")
    metrics.counter("held_total", "Mails that the rules had held.")
    metrics.counter("recipients_refused_total", "Recipients that the rules refused.")
    metrics.counter("policy_failures_total", "Mails and recipients about which the rules decided nothing.")
