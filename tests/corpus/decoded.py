"""The decoded areas of a mailbox beside what the standard library's `email` makes of it: `decoded.py MAILBOX`.

Prints each mail in which the two differ, and why, where the reason is a known one. `differences` does it for one mail.
"""

from __future__ import annotations

import email
import email.policy
import re
import sys
from collections import Counter
from collections.abc import Iterator
from email.header import decode_header
from email.message import Message as Parsed
from pathlib import Path

from pyprocmail.message import charsets, decoded, transfer
from pyprocmail.message.model import Message


def messages(data: bytes) -> Iterator[bytes]:
    """The mails of an mbox file, without their From_ lines."""
    yield from re.split(rb"(?m)^From .*\n", data)[1:]


def theirs_header(parsed: Parsed) -> list[str]:
    """The fields as `email` decodes them."""
    lines = []
    for name, value in parsed.raw_items():
        text = str(value)
        raw = re.sub(r"\r?\n", "", text)
        if "=?" in raw:
            raw = "".join(
                piece if isinstance(piece, str) else charsets.decode(piece, (charset or "").encode())
                for piece, charset in decode_header(raw)
            )
        else:
            raw = charsets.guess(raw.encode("ascii", "surrogateescape"), ours_charset(parsed))
        lines.append(f"{name}: {raw}")
    return lines


def ours_charset(parsed: Parsed) -> bytes:
    """The character set of the mail, for 8-bit fields."""
    return str(parsed.get_param("charset") or "").encode("ascii", "replace")


def theirs_leaves(parsed: Parsed) -> list[tuple[str, bytes]]:
    """The type and the decoded body of each leaf, as `email` has them."""
    leaves = []
    for part in parsed.walk():
        if part.is_multipart():
            continue
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        leaves.append((part.get_content_type(), payload))
    return leaves


def ours_leaves(data: bytes) -> list[tuple[str, bytes]]:
    """The same, as ours has them."""
    message = Message(data)
    root = decoded.Decoded(data, message.split).parts.root
    return [
        (part.kind.decode("latin-1"), transfer.decode(part.raw, part.encoding))
        for part in root.walk()
        if not part.children
    ]


def squeezed(text: str) -> str:
    """The text without blanks: how a fold is undone is not what is compared."""
    return re.sub(r"\s+", "", text)


def differences(data: bytes) -> list[str]:
    """What differs in one mail, in words."""
    parsed = email.message_from_bytes(data, policy=email.policy.compat32)
    found = []
    ours = decoded.Decoded(data, Message(data).split)
    lines = ours.header().decode().splitlines()
    theirs = theirs_header(parsed)
    if [squeezed(line) for line in lines] != [squeezed(line) for line in theirs]:
        odd = [pair for pair in zip(lines, theirs, strict=False) if squeezed(pair[0]) != squeezed(pair[1])]
        found.append(f"header: {odd[:1] or (len(lines), len(theirs))}")
    mine, other = ours_leaves(data), theirs_leaves(parsed)
    if [kind for kind, _ in mine] != [kind for kind, _ in other]:
        found.append(f"structure: {[kind for kind, _ in mine]} and {[kind for kind, _ in other]}")
    else:
        for (kind, body), (_, their) in zip(mine, other, strict=True):
            if body.rstrip(b"\r\n") != their.rstrip(b"\r\n"):
                found.append(f"body of {kind}: {len(body)} and {len(their)} bytes")
    return found


def main() -> int:
    """Compare, and print what differs."""
    kinds: Counter[str] = Counter()
    count = 0
    for count, data in enumerate(messages(Path(sys.argv[1]).read_bytes()), 1):
        for difference in differences(data):
            kinds[difference.partition(":")[0]] += 1
            print(f"{count}: {difference}")
    print(f"{count} mails", dict(kinds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
