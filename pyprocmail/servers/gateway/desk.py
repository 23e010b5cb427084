"""What the gateway does with one mail: the table, the rules, the next server, the replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyprocmail.servers.gateway import plan as plans
from pyprocmail.servers.gateway.mail import Mail, Marks
from pyprocmail.servers.gateway.relay import Relay
from pyprocmail.servers.gateway.table import Row, Table
from pyprocmail.servers.outcome import Kind, OnError, Outcome, Sending, after_error
from pyprocmail.servers.policy import Question, Rules

Make = Callable[[bytes, bool], Rules]
"""From the path of a file, and whether it is a maildrop filter file, to its rules."""
_LOOP = b"554 5.4.6 Mail loop: "


@dataclass(slots=True)
class Desk:
    """Decides about mails.  `together`: one reply answers for all recipients of a mail.  `log` logs a line."""

    table: Table
    make: Make
    marks: Marks
    relay: Relay
    on_error: OnError
    log: Callable[[str], None]
    together: bool

    def pass_on(self, mail: Mail) -> list[bytes]:
        """The reply about each recipient.  After a 2xx the gateway has no further duty and keeps no copy."""
        numbers = range(len(mail.recipients))
        loop = self.marks.loop(mail.text)
        if loop:
            replies = [_LOOP + loop for _ in numbers]
            self._tell(mail, numbers, replies[0])
            return replies
        decided = [(group, self._decide(mail, row, group)) for row, group in self._groups(mail)]
        plan = plans.make(mail, decided)
        before = self.marks.received(mail)
        replies = self.relay.pass_on(plan, numbers, mail.parameters, before, together=self.together)
        for number, reply in zip(numbers, replies, strict=True):
            self._tell(mail, [number], reply)
        return replies

    def is_apart(self, sender: bytes, recipient: bytes) -> bool:
        """Whether the rules run for this recipient alone."""
        return self.table.find(sender, recipient).each

    def _groups(self, mail: Mail) -> list[tuple[Row, list[int]]]:
        """The recipients in groups, by number: the rules of the row run once for each group."""
        found: list[tuple[Row, list[int]]] = []
        for number, recipient in enumerate(mail.recipients):
            row = self.table.find(mail.sender, recipient.address)
            known = next((group for each, group in found if each is row and not row.each), None)
            if known is None:
                found.append((row, [number]))
            else:
                known.append(number)
        return found

    def _decide(self, mail: Mail, row: Row, numbers: Sequence[int]) -> Outcome:
        unchanged = Sending(mail.sender, None, mail.text)
        if not row.rules:
            return Outcome(Kind.PASSED, (unchanged,))
        addresses = [mail.recipients[number].address for number in numbers]
        told = {b"CLIENT_NAME": mail.greeting, b"CLIENT_ADDR": mail.peer, b"PROTOCOL": mail.protocol}
        outcome = self.make(row.rules, row.maildrop).decide(Question(mail.sender, addresses, mail.text, told))
        outcome = after_error(outcome, self.on_error, unchanged)
        for fault in outcome.faults:
            self._tell(mail, numbers, b"%b: %b" % (row.rules, fault))
        return outcome

    def _tell(self, mail: Mail, numbers: Sequence[int], what: bytes) -> None:
        to = b", ".join(b"<%b>" % mail.recipients[number].address for number in numbers)
        self.log((b"from <%b> to %b: %b" % (mail.sender, to, what)).decode("utf-8", "backslashreplace"))
