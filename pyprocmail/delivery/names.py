"""Unique names of files: of temporary files, and of messages."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host

_DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_SERIALS = (b".", b",", b"+", b"%")


def encode(number: int) -> bytes:
    """The number in digits of six bits, the lowest first, as procmail writes inodes and process ids."""
    digits = bytearray()
    while True:
        digits.append(_DIGITS[number & 63])
        number >>= 6
        if not number:
            return bytes(digits)


def temporary(host: Host, folder: bytes) -> tuple[bytes, ...]:
    """The names to try for a temporary file in `folder` (a prefix that ends in a slash, or empty)."""
    pid, now, name = encode(host.getpid()), encode(int(host.time())), host_name(host)
    return tuple(folder + b"_" + pid + serial + now + b"." + name for serial in _SERIALS)


def unique(host: Host) -> bytes:
    """`time.pid_n.host`, the name of a maildir file; n counts the names that this process has made."""
    return b"%d.%d_%d.%s" % (int(host.time()), host.getpid(), host.next_number(), host_name(host))


def host_name(host: Host) -> bytes:
    """The name of this machine, escaped for a file name: maildir(5) gives `/` and `:` a meaning."""
    name = host.hostname()
    for character in (b"\\", b"/", b":"):
        name = name.replace(character, b"\\%03o" % character[0])
    return name


def folder_of(path: bytes) -> bytes:
    """The directory of `path` as a prefix: with its slash, or empty."""
    return path[: path.rfind(b"/") + 1]
