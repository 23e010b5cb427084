"""Whether a user is really unknown, or the user database cannot be read now: perhaps a directory server is down.

The module `pwd` does not tell the two apart.  This module is loaded only after a recipient was not found.
"""

from __future__ import annotations

import ctypes
import errno
import os

_NO_SUCH_USER = (0, errno.ENOENT, errno.ESRCH, errno.EBADF, errno.EPERM)
_ENTRY_BYTES = 1 << 20


def check(name: bytes) -> None:
    """Look up the user `name` once more, who was not found.  getpwnam_r(3), ERRORS

    Raises:
        OSError: the user database could not be read.
    """
    entry, text, found = ctypes.create_string_buffer(256), ctypes.create_string_buffer(_ENTRY_BYTES), ctypes.c_void_p()
    number = ctypes.CDLL(None).getpwnam_r(name, entry, text, ctypes.sizeof(text), ctypes.byref(found))
    if not found.value and number not in _NO_SUCH_USER:
        raise OSError(number, os.strerror(number))
