"""From what the rules decided to what is sent to the next server, and whose fate hangs on it.

A Leg is one transaction: a sender, a text, and targets.  A target is an address with those recipients of the mail whose
rules want it there.  A recipient is done when all of its targets have the mail.
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
    """`wanted` are the numbers of the recipients that need it; `copy`: it is a copy for somebody else."""

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
        """Whether nobody gets it but those whom rules added."""
        return all(target.copy for target in self.targets)


@dataclass(slots=True)
class Plan:
    """`legs` in the order in which they end; `fates` are the replies for recipients that are decided already."""

    legs: list[Leg] = field(default_factory=list)
    fates: dict[int, bytes] = field(default_factory=dict)

    def without(self, doomed: Iterable[int]) -> list[Leg]:
        """The legs as they are when nothing is sent for the doomed recipients alone."""
        gone = set(doomed)
        found = []
        for leg in self.legs:
            targets = [target for target in leg.targets if target.wanted - gone]
            if targets:
                found.append(Leg(leg.sender, leg.text, targets))
        return found


def apart(plan: Plan) -> list[Plan]:
    """The plan as several, of which no two have to do with the same recipient: each may be carried out by itself."""
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
    # A copy that is there twice does less harm than a mail: should a later leg fail, the client sends all again.
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
        # Nobody who sent the mail is told of what became of copies.
        parameters = (b"NOTIFY=NEVER",)
    else:
        # What they all asked for still holds where the rules send the mail; ORCPT is that of one only.
        first, *others = [mail.recipients[number].parameters for number in numbers]
        parameters = tuple(word for word in first if all(word in other for other in others))
    for address in sending.recipients:
        _target(leg, address, parameters, set(numbers), copy=sending.copy)


def _target(leg: Leg, address: bytes, parameters: tuple[bytes, ...], wanted: set[int], *, copy: bool) -> None:
    """Once an address; as a recipient of the mail if it is one and gets a copy, too."""
    found = next((target for target in leg.targets if target.address == address), None)
    if found is None:
        leg.targets.append(Target(address, parameters, wanted, copy))
        return
    if found.copy and not copy:
        found.parameters, found.copy = parameters, False
    found.wanted |= wanted


def reply_about(target: Target, reply: bytes) -> bytes:
    """What the client hears when this is what the next server says of the target.

    A copy that is refused for good is a matter for whoever wrote the rules: until then the client keeps the mail.
    """
    if target.copy and reply.startswith(b"5"):
        return _COPY_LATER + reply[:300]
    return reply


def worst(replies: Sequence[bytes]) -> bytes:
    """The one reply for several: a 4xx if there is one, so that all is tried again; else a 5xx; else the first."""
    for kind in (b"4", b"5"):
        for reply in replies:
            if reply.startswith(kind):
                return reply
    return replies[0]
