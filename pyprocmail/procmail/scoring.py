"""Weighted conditions: the score of a recipe after each.  procmailsc(5)."""

from __future__ import annotations

from math import copysign, inf, isfinite, isnan, nan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyprocmail.matching.regex import Match
    from pyprocmail.procmail.compiled.conditions import Weight

MAXIMUM = 2147483647.0
MINIMUM = -2147483647.0
_NOT_A_NUMBER = -(1 << 63)


class Tally:
    """The score of one recipe."""

    __slots__ = ("total", "weighted")

    def __init__(self) -> None:
        self.total = 0.0
        self.weighted = False

    @property
    def saturated(self) -> bool:
        """Whether weighted conditions can no longer change it."""
        return self.total >= MAXIMUM

    @property
    def hopeless(self) -> bool:
        """Whether the recipe can no longer match."""
        return self.total <= MINIMUM

    def displayed(self) -> int:
        """`$=`: truncated, but a score just above 0 shows as 1."""
        total = self.total
        return 1 if 0 < total < 1 else truncated(total)


def logged(total: float) -> bytes:
    """A score as the log shows it."""
    return b"     +0" if 0 < total < 1 else b"%7d" % truncated(total)


def added(total: float, amount: float) -> float:
    """The score after `amount` is added to it, between the bounds."""
    # Infinity wins, also over a NaN.
    total = amount if amount in (inf, -inf) else total + amount
    # A NaN stays: both comparisons are false.
    return MAXIMUM if total > MAXIMUM else MINIMUM if total < MINIMUM else total  # noqa: FURB136  see above


def counted(total: float, weight: Weight, matches: Iterable[Match]) -> float:
    """The score after w, w*x, w*x*x ... for the matches; an empty match is the limit of infinitely many.

    Stops if the weight is 0, if the score has left its bounds, or if weights below 1 in
    size fall: the rest would hardly count.
    """
    w, x = weight
    if x == 1 and isfinite(w):
        return _counted_alike(total, w, matches)
    for match in matches:
        if match.empty:
            return with_limit(total, (w, x))
        total = added(total, w)
        before = w
        w *= x
        if w == 0 or not MINIMUM < total < MAXIMUM or w * w < before * before < 1:
            break
    return total


def _counted_alike(total: float, w: float, matches: Iterable[Match]) -> float:
    """As `counted`, but each match is worth the same: there may be millions."""
    for match in matches:
        if match.empty:
            return with_limit(total, (w, 1))
        total += w
        if not MINIMUM < total < MAXIMUM:
            break
    return added(total, 0)


def truncated(number: float) -> int:
    """`number` without its fraction, as C converts it to a long: the smallest long where that is undefined."""
    return int(number) if isfinite(number) else _NOT_A_NUMBER


def with_limit(total: float, weight: Weight) -> float:
    """The score after w, and then the sum of w*x, w*x*x ...; if that sum is infinite, the largest score.

    So a score that was below 0 does not reach its bound, and later conditions still count.
    """
    w, x = weight
    total = added(total, w)
    if 0 < x < 1:
        return added(total, w * x / (1 - x))
    if x >= 1 and w:
        return added(total, MAXIMUM if w > 0 else MINIMUM)
    return total


def size_share(weight: Weight, size: int, limit: int, *, larger: bool, strict: bool) -> float:
    """What `w^x > limit` (or `<`) adds for `size` bytes: w*(size/limit)^x, or its reverse."""
    w, x = weight
    above, below = (size, limit) if larger else (limit, size)
    if not below:
        # Division by zero.  For `<` an empty area decides, whatever the weight.
        return -inf if not larger and above <= 0 else inf
    share = w * _power(above / below, x)
    # NaN (a fractional power of a negative limit, or zero times infinity) matches in procmail.
    return 0.0 if isnan(share) and not strict else share


def _power(base: float, exponent: float) -> float:
    """C's pow(3), which raises no exception."""
    try:
        power = base**exponent
    except (ZeroDivisionError, OverflowError):
        return copysign(inf, base) if exponent % 2 == 1 else inf
    return nan if isinstance(power, complex) else power


def with_program(total: float, weight: Weight, status: int, *, negated: bool) -> float:
    """The score after `w^x ? program`: w for success, x for failure.

    If negated, the exit code counts as the number of matches.
    """
    w, x = weight
    if not negated:
        return added(total, w if status == 0 else x)
    amount = 0.0
    for _ in range(status):
        amount += w
        w *= x
        # The bounds apply to the sum with the conditions before.
        if not MINIMUM < total + amount < MAXIMUM:
            break
    return added(total, amount)
