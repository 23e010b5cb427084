"""The first part of a bundle: the finder that imports modules from it.

A launcher runs this module's code from the bundle before it imports anything of the package; see `bundle`.  This module
imports only modules that every Python has already loaded; `__future__` would be another import.
"""

import sys
from marshal import loads
from posix import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import TypeAlias

    Stamp: TypeAlias = tuple[int, int, int, int]
    Entry: TypeAlias = tuple[str, bool, Stamp, int, int]

_NAME = "pyprocmail"


def stamp(path: str) -> "Stamp":
    """The values that change with a file: its inode, size, and the times of its content and of its inode.

    Raises:
        OSError: there is no such file.
    """
    status = stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def install(index: "dict[str, Entry]", data: memoryview, home: str) -> bool:
    """Import the modules of the `index` from the code in `data` from now on; False if it is stale and not used.

    An entry of the index has the path of a module below `home`, the folder of the package; whether it is a package; the
    stamp of its source; and the place of its code in the data.
    """
    if not _is_found(home):
        return True
    try:
        for path, _, wanted, _, _ in index.values():
            if stamp(home + path) != wanted:
                return False
    except OSError:
        return False
    sys.meta_path.insert(0, _Finder(index, data, home))
    return True


def _is_found(home: str) -> bool:
    """Whether the package in `home` is the one that Python would find."""
    for folder in sys.path:
        place = f"{folder}/{_NAME}"
        if place == home:
            return True
        for path in (f"{place}/__init__.py", f"{place}.py"):
            try:
                stat(path)
            except OSError:
                continue
            return False
    return False


class _Finder:
    """Finder and loader of the modules in a bundle; other modules are left to other finders."""

    __slots__ = ("_index", "_data", "_home", "_spec")

    def __init__(self, index: "dict[str, Entry]", data: memoryview, home: str) -> None:
        self._index = index
        self._data = data
        self._home = home
        self._spec: type[ModuleSpec] = type(sys.__spec__)

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> "ModuleSpec | None":
        """The module `name`, if it is in the bundle."""
        entry = self._index.get(name)
        if entry is None:
            return None
        path = self._home + entry[0]
        spec = self._spec(name, self, origin=path, is_package=entry[1])  # type: ignore[arg-type]  # as install
        if entry[1]:
            spec.submodule_search_locations = [path[: path.rindex("/")]]
        return spec

    def create_module(self, _spec: object) -> None:
        """None: Python makes the module as usual."""

    def exec_module(self, module: "ModuleType") -> None:
        """Run the code of the module."""
        path, _, _, start, end = self._index[module.__name__]
        module.__file__ = self._home + path
        exec(loads(self._data[start:end]), module.__dict__)  # noqa: S102, S302  it is as trusted as the module's file
