"""The environment as the caller set it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_NONE = (b"", b"C", b"POSIX")


def given(environ: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """The environment without Python's own addition: it sets LC_CTYPE if the caller has no locale.  PEP 538."""
    found = dict(environ)
    if found.get(b"LC_CTYPE") == b"C.UTF-8" and found.get(b"LC_ALL", b"") in _NONE and found.get(b"LANG", b"") in _NONE:
        del found[b"LC_CTYPE"]
    return found
