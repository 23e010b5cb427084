"""Launchers: scripts of a few lines that start us under the name of another program.

An installer's own scripts import more than a delivery does.  A launcher names its interpreter and the place of our
modules.  With `-I` the caller's environment and folder do not decide what Python imports, and `-S` saves the search for
packages at each start.  Modules come from the `bundle`, if there is a trusted one.  Some variables still affect
Python despite `-I`: env(1) removes them.  After a failure before our first line it exits with 75: the mail server keeps
the mail.
"""

from __future__ import annotations

import ast
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from pyprocmail.commands import bundle
from pyprocmail.commands.main import PROGRAMS

NAMES = ("pyprocmail", "procmail", "mailspy", *(name.decode() for name in PROGRAMS))
MARK = "# A launcher of pyprocmail.commands.main, written by `pyprocmail links`.\n"
"""The second line of a launcher.  Other modules recognize a launcher by the module's name in its first bytes."""

_LIMIT_BYTES = 255
"""How much Linux reads of the first line."""
_UNSET = ("PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__", "OPENSSL_CONF")
_START = """\
sys.executable = {interpreter!r}
sys.path += {path!r}
try:
    try:
        from marshal import loads
        from posix import close, fstat, geteuid, open, read, stat
        fd = open({bundle!r}, {flags})
        try:
            file, owner = fstat(fd), stat({home!r}).st_uid
            data = b""
            if file.st_uid == owner and file.st_mode & 0o170022 == 0o100000:
                data = read(fd, file.st_size)
        finally:
            close(fd)
        end = data.find(b"\\n") + 1
        tag = sys.implementation.cache_tag.encode()
        if end and data[:end] == b"pyprocmail start 1 %d %b %d\\n" % (sys.hexversion, tag, len(data) - end):
            code, size, index = loads(memoryview(data)[end:])
            finder = {{"__name__": "bundle_finder"}}
            exec(code, finder)
            current = finder["install"](index, memoryview(data)[len(data) - size :], {home!r})
        else:
            current = False
        if not current and geteuid() == owner:
            from pyprocmail.commands import bundle
            bundle.refresh()
    except Exception:
        pass
    from pyprocmail.commands.main import main
    main()
except SystemExit:
    raise
except BaseException as fault:
    from posix import _exit, write
    try:
        write(2, f"{{sys.argv[0]}}: cannot start: {{type(fault).__name__}}: {{fault}}\\n".encode())
    finally:
        _exit(75)
"""


class ForeignProgramError(Exception):
    """The program or manual page `path` exists, and is not ours."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path


def write(folder: Path, *, force: bool = False) -> list[Path]:
    """Write the launchers into `folder`, made if missing; ours are replaced, others only with `force`.

    Raises:
        ForeignProgramError: a program of that name is not ours; nothing was written.
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in NAMES]
    for path in paths:
        if not force and path.exists() and not is_launcher(path):
            raise ForeignProgramError(path)
    text = _launcher()
    for path in paths:
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(text)
        temporary.chmod(0o755)
        temporary.replace(path)
    try:
        bundle.write()
    except (OSError, SyntaxError, ValueError):
        pass  # launchers also start without the bundle
    return paths


def remove(folder: Path) -> list[Path]:
    """Remove the launchers in `folder`, and nothing else.

    Raises:
        OSError: the folder cannot be written to.
    """
    found = [folder / name for name in NAMES if is_launcher(folder / name)]
    for path in found:
        path.unlink()
    if found:
        bundle.remove()
    return found


def is_launcher(path: Path) -> bool:
    """Whether the file is a launcher of ours."""
    try:
        with path.open("rb") as file:
            return b"pyprocmail.commands.main" in file.read(512)
    except OSError:
        return False


def copy_pages(folder: Path, *, force: bool = False) -> list[Path]:
    """Copy the manual pages into man1, man5 and so on below `folder`; ours are replaced, others only with `force`.

    Raises:
        ForeignProgramError: a page of that name is not ours; nothing was written.
        OSError: there are no pages beside this installation, or the folder cannot be written to.
    """
    copies = _copies(folder)
    for target in copies:
        if not force and target.exists() and not _is_page(target):
            raise ForeignProgramError(target)
    for target, page in copies.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, target)
    return list(copies)


def remove_pages(folder: Path) -> list[Path]:
    """Remove our manual pages below `folder`, and nothing else.

    Raises:
        OSError: there are no pages beside this installation, or the folder cannot be written to.
    """
    found = [target for target in _copies(folder) if _is_page(target)]
    for target in found:
        target.unlink()
    return found


def shut_off() -> Path | None:
    """The first folder above the files a launcher needs that other users may not search; None if there is none."""
    for needed in (Path(sys.executable), Path(sys.executable).resolve(), Path(bundle.HOME)):
        for folder in reversed(needed.absolute().parents):
            if not folder.stat().st_mode & stat.S_IXOTH:
                return folder
    return None


def first_in_path(folder: Path) -> Path | None:
    """The `procmail` that the PATH leads to, if it is not the launcher in `folder`.

    `folder` itself if the PATH does not contain it.
    """
    folders = [os.path.realpath(name) for name in os.get_exec_path()]
    if os.path.realpath(folder) not in folders:
        return folder
    found = shutil.which("procmail")
    return None if found is None or os.path.samefile(found, folder / "procmail") else Path(found)


def _copies(folder: Path) -> dict[Path, Path]:
    """The place below `folder` for each manual page."""
    return {folder / f"man{page.suffix[1:]}" / page.name: page for page in sorted(pages())}


def _is_page(path: Path) -> bool:
    """Whether the file is a manual page of ours: all of them contain the word pyprocmail."""
    try:
        return b"pyprocmail" in path.read_bytes()
    except OSError:
        return False


def _is_page_of_ours(name: str) -> bool:
    return name == "pyprocmail" or name.startswith("pyprocmail-")


def pages() -> list[Path]:
    """The manual pages: of a checkout, or installed ones."""
    checkout = Path(__file__).parent.parent.parent / "man"
    found = list(checkout.glob("*.[1-8]"))
    names = {"pyprocmailrc", "maildropfilter", *NAMES}
    # sys.prefix is wrong under a launcher's -S: it is the base of a virtual environment.
    shared = Path(__file__).parents[5] / "share" / "man"
    found = found or [page for page in shared.glob("man*/*.[1-8]") if page.stem in names or _is_page_of_ours(page.stem)]
    if not found:
        raise FileNotFoundError(f"no manual pages in {checkout} or {shared}")
    return found


def _launcher() -> str:
    """The launcher's text: with -S, which skips the search for packages, if our modules are found then too."""
    usual, bare = _search_path("-I"), _search_path("-IS")
    added = [folder for folder in usual if folder not in bare]
    check = [sys.executable, "-IS", "-c", f"import sys\nsys.path += {added!r}\nimport pyprocmail, lark, re2._re2"]
    quick = subprocess.run(check, capture_output=True, check=False).returncode == 0  # noqa: S603  our own interpreter
    start = _START.format(
        interpreter=sys.executable,
        path=added if quick else [],
        bundle=bundle.path(),
        flags=os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK,
        home=bundle.HOME,
    )
    return f"{_first_line('-IS' if quick else '-I')}\n{MARK}import sys\n{start}"


def _first_line(options: str) -> str:
    unset = " ".join(f"-u {name}" for name in _UNSET)
    line = f"#!/usr/bin/env -S {unset} {_quoted(sys.executable)} {options}"
    if len(line.encode()) < _LIMIT_BYTES:
        return line
    return f"#!{sys.executable} {options}"


def _quoted(path: str) -> str:
    """The path quoted for env -S."""
    if not set(path) & set(" \t\"'\\$#"):
        return path
    for special in '\\"$':
        path = path.replace(special, "\\" + special)
    return f'"{path}"'


def _search_path(options: str) -> list[str]:
    """The module search path of Python started with the options."""
    command = [sys.executable, options, "-c", "import sys; print(sys.path)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  our own interpreter
    found = ast.literal_eval(done.stdout)
    assert isinstance(found, list)
    return found
