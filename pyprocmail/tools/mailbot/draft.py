"""-l: the maildir whose latest mail is the text of the answer."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host


def newest(host: Host, maildir: bytes) -> bytes | None:
    """The mail that was stored last and is not flagged as trash; None if there is none.

    Raises:
        OSError: the maildir exists and cannot be read.
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
    # Of several mails with the same time, the first.
    return max(found, key=lambda one: one[0])[1] if found else None
