"""-l: the maildir that has the text of an answer as its latest mail."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host


def newest(host: Host, maildir: bytes) -> bytes | None:
    """The mail that was stored last, of those that are not in the trash; None when there is none.

    Raises:
        OSError: the maildir is there and cannot be read.
    """
    found: list[tuple[float, bytes]] = []
    for part in (b"/cur/", b"/new/"):
        try:
            names = sorted(host.listdir(maildir + part))
        except FileNotFoundError:
            continue
        for name in names:
            if name.startswith(b".") or b"T" in name.partition(b":2,")[2]:
                continue
            path = maildir + part + name
            try:
                found.append((host.stat(path).st_mtime, path))
            except FileNotFoundError:
                continue  # it was moved or removed meanwhile
    # Of those of one moment the first one.
    return max(found, key=lambda one: one[0])[1] if found else None
