"""Carries out a plan so that no mail is lost and as little as possible is sent twice.

First it brings all transactions to their final dot; it sends the dots only when no recipient is refused any more.
Until then it can cancel everything.  With one reply for all (SMTP), a refused recipient cancels everything; with one
reply each (LMTP), the others get the mail.  After the first dot nothing can be cancelled: on a failure the client gets
4xx and sends again what was already sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyprocmail.servers.gateway.hop import Hop, HopError
from pyprocmail.servers.gateway.plan import Leg, Plan, Target, apart, reply_about, worst

_STOPPED = b"451 4.3.0 Not sent, because other recipients are refused"
_SENT = b"250 2.0.0 Passed on: "


class Relay:
    """Sends mails to the next server.  `connect` makes a connection; the first one is kept for the next mail."""

    def __init__(self, connect: Callable[[], Hop]) -> None:
        self._connect = connect
        self._hops: list[Hop] = []

    def close(self) -> None:
        """Close all connections to the next server."""
        for hop in self._hops:
            hop.close()
        self._hops.clear()

    def pass_on(
        self, plan: Plan, numbers: Sequence[int], parameters: Sequence[bytes], before: bytes, *, together: bool
    ) -> list[bytes]:
        """Carry out the plan, with the header field `before` in front of the mail; the reply about each recipient.

        `together`: one reply answers for all, so all of them get the mail or none does.
        """
        fates = dict(plan.fates)
        # Keep few transactions open at once: next servers have limits.
        for part in [plan] if together else apart(plan):
            legs = self._prepared(part, fates, parameters, before, together=together)
            self._finish(legs, fates, together=together)
            for hop in self._hops[1:]:
                hop.close()
            del self._hops[1:]
        return _for_all(numbers, fates) if together else [fates[number] for number in numbers]

    def _prepared(
        self, plan: Plan, fates: dict[int, bytes], parameters: Sequence[bytes], before: bytes, *, together: bool
    ) -> list[Leg]:
        """The legs that wait for their final dot; adds the replies for refused recipients to `fates`."""
        while True:
            refused = {number for number, reply in fates.items() if not reply.startswith(b"2")}
            legs = [] if together and refused else plan.without(refused)
            failed = self._prepare(legs, parameters, before)
            if not failed:
                return legs
            self._take_back()
            for target, reply in failed:
                for number in target.wanted - refused:
                    fates[number] = worst([reply_about(target, reply), *filter(None, [fates.get(number)])])

    def _prepare(self, legs: Sequence[Leg], parameters: Sequence[bytes], before: bytes) -> list[tuple[Target, bytes]]:
        """Bring each leg to its final dot; stops early and returns the targets with their replies if any is refused."""
        while len(self._hops) < len(legs):
            self._hops.append(self._connect())
        failed: list[tuple[Target, bytes]] = []
        for hop, leg in zip(self._hops, legs, strict=False):
            try:
                replies = hop.begin(leg.sender, parameters, leg.targets, [before, leg.text])
            except HopError as error:
                replies = [error.reply] * len(leg.targets)
            refusals = zip(leg.targets, replies, strict=True)
            failed += [(target, reply) for target, reply in refusals if not reply.startswith(b"2")]
        if failed:
            return failed
        for hop, leg in zip(self._hops, legs, strict=False):
            try:
                hop.body([before, leg.text])
            except HopError as error:
                return [(target, error.reply) for target in leg.targets]
        return []

    def _finish(self, legs: Sequence[Leg], fates: dict[int, bytes], *, together: bool) -> None:
        """Send the dots.  After a failure no further one for the same recipients; `together`: no further one at all."""
        for hop, leg in zip(self._hops, legs, strict=False):
            well = [_is_well(fates.get(each)) for target in leg.targets for each in target.wanted]
            if not any(well) or (together and not all(map(_is_well, fates.values()))):
                hop.take_back()
                for number in {number for target in leg.targets for number in target.wanted}:
                    fates.setdefault(number, _STOPPED)
                continue
            reply = hop.finish()
            for target in leg.targets:
                said = _SENT + reply if reply.startswith(b"2") else reply_about(target, reply)
                for number in target.wanted:
                    fates[number] = worst([said, *filter(None, [fates.get(number)])])

    def _take_back(self) -> None:
        for hop in self._hops:
            hop.take_back()


def _for_all(numbers: Sequence[int], fates: dict[int, bytes]) -> list[bytes]:
    """One reply for all: that of a refused recipient if there is one."""
    return [worst([fates[number] for number in numbers if number in fates])] * len(numbers)


def _is_well(reply: bytes | None) -> bool:
    return reply is None or reply.startswith(b"2")
