"""From the outcomes of the rules to the transactions with the next server, and the recipients that depend on each.

A Leg is one transaction: a sender, a text, and targets.  A Target is an address, with the recipients of the mail whose
rules send it there.  A recipient is done when all of its targets have the mail.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pyprocmail.servers.gateway.mail import Mail
from pyprocmail.servers.outcome import Kind, Outcome, Sending

_DISCARDED = b"250 2.0.0 Discarded, as the rules say"
_NO_QUARANTINE = b"550 5.7.1 The rules hold this mail back"
_COPY_LATER = b"451 4.3.0 A copy cannot be passed on now: "


@dataclass(slots=True)
class Target:
    """`wanted` are the numbers of the recipients that depend on it; `copy`: the rules added it for somebody else."""

    address: bytes
    parameters: tuple[bytes, ...]
    wanted: set[int]
    copy: bool


@dataclass(slots=True)
class Leg:
    """One transaction with the next server."""

    sender: bytes
    text: bytes
    targets: list[Target] = field(default_factory=list)

    @property
    def copies_only(self) -> bool:
        """Whether all targets are copies that the rules added."""
        return all(target.copy for target in self.targets)


@dataclass(slots=True)
class Plan:
    """`legs` in the order in which they are finished; `fates` are the replies for recipients already decided."""

    legs: list[Leg] = field(default_factory=list)
    fates: dict[int, bytes] = field(default_factory=dict)

    def without(self, doomed: Iterable[int]) -> list[Leg]:
        """The legs without the targets that only doomed recipients need."""
        gone = set(doomed)
        found = []
        for leg in self.legs:
            targets = [target for target in leg.targets if target.wanted - gone]
            if targets:
                found.append(Leg(leg.sender, leg.text, targets))
        return found


def apart(plan: Plan) -> list[Plan]:
    """The plan split into plans that share no recipient, so that each can be carried out alone."""
    found: list[tuple[set[int], list[Leg]]] = []
    for leg in plan.legs:
        numbers = {number for target in leg.targets for number in target.wanted}
        legs = [leg]
        for part in [each for each in found if each[0] & numbers]:
            found.remove(part)
            numbers |= part[0]
            legs = part[1] + legs
        found.append((numbers, legs))
    return [Plan(legs) for _, legs in found]


def make(mail: Mail, decided: Sequence[tuple[Sequence[int], Outcome]]) -> Plan:
    """The plan for a mail whose recipients, by their numbers, have these outcomes."""
    plan = Plan()
    for numbers, outcome in decided:
        if outcome.kind is Kind.PASSED:
            for sending in outcome.sendings:
                _add(plan, mail, numbers, sending)
        else:
            fate = {Kind.DISCARDED: _DISCARDED, Kind.QUARANTINED: _NO_QUARANTINE}.get(outcome.kind, outcome.reply)
            plan.fates.update(dict.fromkeys(numbers, fate))
    # Copies first: if a later leg fails, the client sends all again; a second copy does less harm than a second mail.
    plan.legs.sort(key=lambda leg: not leg.copies_only)
    return plan


def _add(plan: Plan, mail: Mail, numbers: Sequence[int], sending: Sending) -> None:
    leg = next((each for each in plan.legs if each.sender == sending.sender and each.text == sending.text), None)
    if leg is None:
        leg = Leg(sending.sender, sending.text)
        plan.legs.append(leg)
    if sending.recipients is None:
        for number in numbers:
            found = mail.recipients[number]
            _target(leg, found.address, found.parameters, {number}, copy=False)
        return
    parameters: tuple[bytes, ...] = ()
    if sending.copy:
        # The sender of the mail gets no notification about copies.
        parameters = (b"NOTIFY=NEVER",)
    else:
        # Parameters that all recipients share apply to the new address, too; ORCPT is different for each.
        first, *others = [mail.recipients[number].parameters for number in numbers]
        parameters = tuple(word for word in first if all(word in other for other in others))
    for address in sending.recipients:
        _target(leg, address, parameters, set(numbers), copy=sending.copy)


def _target(leg: Leg, address: bytes, parameters: tuple[bytes, ...], wanted: set[int], *, copy: bool) -> None:
    """Add the address, at most once to a leg; one that is both a recipient and a copy counts as a recipient."""
    found = next((target for target in leg.targets if target.address == address), None)
    if found is None:
        leg.targets.append(Target(address, parameters, wanted, copy))
        return
    if found.copy and not copy:
        found.parameters, found.copy = parameters, False
    found.wanted |= wanted


def reply_about(target: Target, reply: bytes) -> bytes:
    """The reply to the client when the next server gives this `reply` about the target.

    A copy that is refused permanently is a mistake in the rules: until they are corrected, the client keeps the mail.
    """
    if target.copy and reply.startswith(b"5"):
        return _COPY_LATER + reply[:300]
    return reply


def worst(replies: Sequence[bytes]) -> bytes:
    """One reply for several: a 4xx if there is one, so that the client tries again; else a 5xx; else the first."""
    for kind in (b"4", b"5"):
        for reply in replies:
            if reply.startswith(kind):
                return reply
    return replies[0]
