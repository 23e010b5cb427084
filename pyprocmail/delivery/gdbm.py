"""Databases of the gdbm library, for maildrop's gdbm functions and for mailbot.  gdbm(3)

The library is called through ctypes: Python's dbm.gnu is a separate package on many systems, and often missing.
"""

from __future__ import annotations

import ctypes
import errno
import os

_LIBRARIES = ("libgdbm.so.6", "libgdbm.so.5", "libgdbm.so.4", "libgdbm.dylib")
READ, WRITE, CREATE, NEW = range(4)
"""How to open a database: GDBM_READER, GDBM_WRITER, GDBM_WRCREAT, GDBM_NEWDB."""

MODES = {b"W": WRITE, b"C": CREATE, b"N": NEW}
"""The modes that can change a database, by the letters of maildropgdbm(5)."""

_REPLACE = 1
_SYNC = 0x20


class NoLibraryError(Exception):
    """There is no gdbm library on this machine."""


class _Datum(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_int))


def _datum(text: bytes) -> _Datum:
    return _Datum(ctypes.cast(ctypes.c_char_p(text), ctypes.c_void_p), len(text))


class _Library:
    """The functions of the library."""

    __slots__ = ("open", "close", "fetch", "store", "free")

    def __init__(self) -> None:
        for name in _LIBRARIES:
            try:
                library = ctypes.CDLL(name, use_errno=True)
                break
            except OSError:
                continue
        else:
            raise NoLibraryError
        self.open, self.close = library.gdbm_open, library.gdbm_close
        self.fetch, self.store = library.gdbm_fetch, library.gdbm_store
        # The library would end the process on a fatal error if it had no function for it.
        self.open.argtypes = (ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
        self.open.restype = ctypes.c_void_p
        self.close.argtypes = (ctypes.c_void_p,)
        self.fetch.argtypes = (ctypes.c_void_p, _Datum)
        self.fetch.restype = _Datum
        self.store.argtypes = (ctypes.c_void_p, _Datum, _Datum, ctypes.c_int)
        self.free = ctypes.CDLL(None).free
        self.free.argtypes = (ctypes.c_void_p,)


class Database:
    """An open database; `mode` is READ, WRITE, CREATE or NEW, `permissions` are those of a new file.

    Raises:
        NoLibraryError: there is no gdbm.
        OSError: the file cannot be opened, is not a database, or is locked by another process.
    """

    __slots__ = ("_library", "_file")

    def __init__(self, path: bytes, mode: int, permissions: int) -> None:
        if os.path.exists(path) and not os.path.isfile(path):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        self._library = _Library()
        sync = _SYNC if mode != READ else 0
        self._file: int | None = self._library.open(path, 0, mode | sync, permissions, None)
        if not self._file:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number) if number else "no database of gdbm", path)

    def get(self, key: bytes) -> bytes | None:
        """The value of the key."""
        found = self._library.fetch(self._file, _datum(key))
        if found.data is None:
            return None
        try:
            return ctypes.string_at(found.data, found.size)
        finally:
            self._library.free(found.data)

    def __setitem__(self, key: bytes, value: bytes) -> None:
        """Store the value.

        Raises:
            OSError: it cannot be written, or the database is open for reading.
        """
        if self._library.store(self._file, _datum(key), _datum(value), _REPLACE) != 0:
            number = ctypes.get_errno()
            raise OSError(number, "the database cannot be written to")

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._library.close(self._file)
            self._file = None
