"""What patterns find in a mailbox when it is decoded, and what when it is not: `found.py MAILBOX` prints Markdown.

docs/DECODED.md has what it prints for a corpus.
"""

from __future__ import annotations

import sys
from pathlib import Path

from decoded import messages

from pyprocmail.matching.regex import Area, Regex
from pyprocmail.message.decoded import Decoded
from pyprocmail.message.model import Message

PATTERNS = (
    ("MIME_HEADER", r"^Subject:.*[à-ÿ]"),
    ("MIME_HEADER", r"^From:.*[à-ÿ]"),
    ("MIME_HEADER", r"^Subject:.*[一-鿿]"),
    ("MIME_TEXT", "click here to unsubscribe"),
    ("MIME_TEXT", "remove.*from.*list"),
    ("MIME_TEXT", "million (us )?dollars"),
    ("MIME_TEXT", "free of charge|risk.free"),
    ("MIME_TEXT", "mortgage rates?"),
    ("MIME_TEXT", "don.t miss"),
    ("MIME_TEXT", "[€£©]"),
)
_MOST_NAMED = 12
_LONGEST = 60


def raw(message: Message, name: str) -> bytes:
    """What the same pattern would search without decoding."""
    if name == "MIME_TEXT":
        return message.body
    return message.head.replace(b"\n ", b"  ").replace(b"\n\t", b" \t")


def subject(decoded: Decoded) -> str:
    """The Subject, short enough for a list."""
    for line in decoded.text(b"MIME_HEADER").decode().splitlines():
        if line.lower().startswith("subject:"):
            text = line[8:].strip().replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
            return text[:_LONGEST] + "…" * (len(text) > _LONGEST)
    return "(without Subject)"


def main() -> int:
    """Search, and print what was found."""
    mails = [Message(data) for data in messages(Path(sys.argv[1]).read_bytes())]
    rows, lists = [], []
    for name, pattern in PATTERNS:
        counts = [0, 0, 0, 0]
        gained = []
        for number, message in enumerate(mails, 1):
            decoded = Decoded(message.data, message.split)
            area = Area(decoded.text(name.encode()), unicode=True)
            now = Regex(pattern.encode(), True, unicode=True).search(area)
            before = Regex(pattern.encode(), True).search(Area(raw(message, name)))
            counts = [
                count + one
                for count, one in zip(counts, (before, now, now and not before, before and not now), strict=True)
            ]
            if now and not before:
                gained.append(f"{number} *{subject(decoded)}*")
        shown = pattern.replace("|", "\\|")
        rows.append(f"| `{name} ?? {shown}` | " + " | ".join(map(str, counts)) + " |")
        more = f"; and {len(gained) - _MOST_NAMED} more" if len(gained) > _MOST_NAMED else ""
        lists.append(f"- `{name} ?? {pattern}`: " + "; ".join(gained[:_MOST_NAMED]) + more)
    print("| condition | H or B finds | decoded | only decoded | only H or B |\n|---|---|---|---|---|")
    print("\n".join(rows) + "\n\n" + "\n".join(lists))
    return 0


if __name__ == "__main__":
    sys.exit(main())
