"""diff: which mails would go elsewhere with a new rcfile, and because of which recipes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from pyprocmail.offline.listing import fate_json, why
from pyprocmail.offline.outcome import FOLDER, Fate, Outcome, heading, judge, open_rules
from pyprocmail.offline.replay import forget_nothing
from pyprocmail.offline.rules import Rules, Setup, with_programs
from pyprocmail.offline.sources import Part
from pyprocmail.offline.spreading import ALONE, Spread, spread

if TYPE_CHECKING:
    from pyprocmail.offline.filters import FilterRules

NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Difference:
    """A mail that goes elsewhere: the fates that only the old and only the new rules give it.

    `changed` are folders that get it in both cases, but with different contents.
    """

    source: str
    sender: str
    subject: str
    old: tuple[Fate, ...]
    new: tuple[Fate, ...]
    changed: tuple[str, ...]

    @property
    def way(self) -> tuple[str, str]:
        """The old and the new folders as texts, to count by."""
        if self.changed and not self.old and not self.new:
            return ", ".join(self.changed), "the same, with other contents"
        return _names(self.old), _names(self.new)


def _names(fates: Sequence[Fate]) -> str:
    return ", ".join(fate.where.strip() for fate in fates) or NOWHERE


def difference(old: Outcome, new: Outcome) -> Difference | None:
    """The difference for one mail; None if there is none."""
    before, after = Counter(map(_key, old.fates)), Counter(map(_key, new.fates))
    gone, come = before - after, after - before
    changed = () if gone or come else _changed(old, new)
    if not gone and not come and not changed:
        return None
    return Difference(old.source, old.sender, old.subject, _only(old.fates, gone), _only(new.fates, come), changed)


def _key(fate: Fate) -> tuple[str, str]:
    return fate.kind, fate.where


def _only(fates: Sequence[Fate], keys: Counter[tuple[str, str]]) -> tuple[Fate, ...]:
    left = keys.copy()
    found = []
    for fate in fates:
        if left[_key(fate)] > 0:
            left[_key(fate)] -= 1
            found.append(fate)
    return tuple(found)


def _changed(old: Outcome, new: Outcome) -> tuple[str, ...]:
    """The folders, maildirs and MH folders included, that get different bytes."""
    before, after = (
        {(fate.where, fate.digest) for fate in outcome.fates if fate.kind == FOLDER} for outcome in (old, new)
    )
    return tuple(sorted({where for where, _ in before ^ after}))


@dataclass(slots=True)
class Compared:
    """How many mails were compared, and how many go elsewhere."""

    mails: int = 0
    different: int = 0


def differences(
    old: Setup, new: Setup, names: Sequence[str], *, how: Spread = ALONE, count: Compared
) -> Iterator[Difference]:
    """The mails that go elsewhere, in the order of the input.  `count` is updated meanwhile.

    Raises:
        RulesError: one of the rcfiles cannot be tried.
        NoMailError: there is no mail at a path that the user named.
    """
    if not how.alone:
        for total, found in spread(partial(_of_part, with_programs(old), with_programs(new)), names, how):
            count.mails += total
            count.different += len(found)
            yield from found
        return
    with open_rules(old) as before, open_rules(new) as after:
        for part in how.parts(names):
            for mail in part.mails():
                found_one = _of_mail(before, after, mail.source, mail.data)
                count.mails += 1
                if found_one is not None:
                    count.different += 1
                    yield found_one


def _of_part(old: Setup, new: Setup, part: Part) -> tuple[int, list[Difference]]:
    with open_rules(old) as before, open_rules(new) as after:
        found = [_of_mail(before, after, mail.source, mail.data) for mail in part.mails()]
        forget_nothing(before)
        forget_nothing(after)
    return len(found), [one for one in found if one is not None]


def _of_mail(before: Rules | FilterRules, after: Rules | FilterRules, source: str, data: bytes) -> Difference | None:
    old, new = (judge(rules, source, data, digests=True, headed=False) for rules in (before, after))
    found = difference(old, new)
    if found is None:
        return None
    subject, sender, _ = heading(data)  # decoded only for the few mails that are shown
    return replace(found, subject=subject, sender=sender)


# -- for people and programs -----------------------------------------------------------------


def lines(found: Difference) -> Iterator[str]:
    """The lines to print for a mail."""
    yield f"{found.sender}  {found.subject or '(no subject)'}"
    for mark, fates in (("-", found.old), ("+", found.new)):
        for fate in fates:
            yield f"  {mark} {fate.where.strip()}{' (copy)' if fate.copy else ''}"
            yield f"      {why(fate)}"
        if not fates and not found.changed:
            yield f"  {mark} {NOWHERE}"
    for where in found.changed:
        yield f"  ! {where}: with other contents"


def summary(count: Compared, ways: Counter[tuple[str, str]]) -> Iterator[str]:
    """The sums."""
    if ways:
        yield ""
        for (old, new), number in sorted(ways.items()):
            yield f"{number:6}  {old} -> {new}"
    yield f"{count.different:,} of {count.mails:,} mails would go elsewhere"


def difference_json(found: Difference) -> dict[str, object]:
    """One mail as JSON."""
    return {
        "source": found.source,
        "from": found.sender,
        "subject": found.subject,
        "old": [fate_json(fate) for fate in found.old],
        "new": [fate_json(fate) for fate in found.new],
        "changed": list(found.changed),
    }


def summary_json(count: Compared) -> dict[str, object]:
    """The sums."""
    return {"compared": count.mails, "different": count.different}
