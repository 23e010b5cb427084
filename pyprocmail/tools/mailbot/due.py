"""-d: the database of the addresses that have got an answer."""

from __future__ import annotations

import os
import sys

from pyprocmail.delivery import gdbm
from pyprocmail.numerals import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host
    from pyprocmail.tools.mailbot.options import Options

_DAY_S = 86400
_TIME_BYTES = 8


def is_due(host: Host, options: Options, recipient: bytes) -> bool:
    """-d: whether the address got no answer for -D days; if so, records the answer now.

    As with the reference, NAME.gdbm has the time of the last answer, a C time_t, under the lower-case address;
    NAME.lock is locked meanwhile.

    Raises:
        OSError, NoLibraryError: the database cannot be used.
    """
    days = whole(options.values.get(b"D", b"1").strip())
    wait_s = (1 if days is None else days) * _DAY_S
    now = int(host.time())
    name = options.values[b"d"]
    fd = host.open(name + b".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        host.lock_to_end(fd)
        senders = gdbm.Database(name + b".gdbm", gdbm.CREATE, 0o666)
        try:
            key = recipient.lower()
            last = senders.get(key)
            if last is not None and len(last) == _TIME_BYTES and now < int.from_bytes(last, sys.byteorder) + wait_s:
                return False
            senders[key] = now.to_bytes(_TIME_BYTES, sys.byteorder)
        finally:
            senders.close()
    finally:
        host.close(fd)
    return True
