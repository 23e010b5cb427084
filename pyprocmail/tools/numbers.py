"""Numbers that users and strangers write."""

LARGEST = (1 << 63) - 1


def bounded(digits: bytes) -> int:
    """The number that `digits` are; one that is too large is LARGEST, as strtol(3) has it."""
    significant = digits.lstrip(b"0")
    return min(int(significant), LARGEST) if 0 < len(significant) < 20 else LARGEST if significant else 0
