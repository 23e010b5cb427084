"""The reference programs of this machine: which ones exist, and what one of them does with a mail.

The program runs without network under chroot in a scratch folder, with its libraries and one user.  So no rule reaches
a file of the machine; and unless programs are allowed, there is no program that a rule could start.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("procmail", "formail", "maildrop", "reformail")
_LONGEST_RUN_S = 60
_LONGEST_LOG = 1 << 16
_FOLDERS = ("etc", "dev", "tmp", "var/mail", "var/spool")
_SHARED = ("usr", "bin", "sbin", "lib", "lib32", "lib64")
_ALONE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--")
# A link of the machine is copied as a link; a mount is made read-only if the kernel allows it.
_SHARE = """
for name in usr bin sbin lib lib32 lib64; do
    if [ -L "/$name" ]; then cp -P "/$name" "$root/$name"
    elif [ -d "/$name" ]; then
        mkdir -p "$root/$name" && mount --rbind "/$name" "$root/$name" || exit 125
        mount -o remount,bind,ro "$root/$name" || [ "$outer" != 0 ] || exit 125
    fi
done
mount --bind /dev/null "$root/dev/null" || exit 125
"""
_START = """
exec 3>&2 2> /dev/null; root=$1 outer=$2; shift 2
{share}
PATH=$PATH:/usr/sbin:/sbin; exec chroot "$root" "$@" 2>&3
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """The result: the exit status, None if it did not run or did not exit; its output; the files that it changed.

    `reason` is the reason why there is no status.
    """

    status: int | None
    said: bytes = b""
    files: Mapping[bytes, bytes] | None = None
    reason: str = ""


def installed() -> Iterator[tuple[str, Path]]:
    """The reference programs of the machine, by name: those that are not launchers of ours."""
    for name in PROGRAMS:
        path = shutil.which(name, path=os.defpath)
        if path is not None and not _is_script(path):
            yield name, Path(path)


def version(program: Path) -> str:
    """The first line of the program's output that has its version; empty if there is none."""
    try:
        done = subprocess.run(  # noqa: S603  a program of the system, asked for its version
            [str(program), "-v"], capture_output=True, check=False, timeout=_LONGEST_RUN_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    return next((line.strip() for line in lines if re.search(r"\d\.\d", line)), "")


def run(program: Path, arguments: list[bytes], mail: bytes, root: Path, user: tuple[str, str], *, allow: bool) -> Ran:
    """Run the program to deliver a mail in `root`, a folder with the rcfiles, for `user`: login and home."""
    login, home = user
    before = {path: path.read_bytes() for path in _files(root)}
    _furnish(root, login, home)
    if not allow:
        _bring(program, root)
    known = {*before, *_files(root)}
    start = _START.format(share=_SHARE if allow else "")
    words = (*_alone(), "/bin/sh", "-c", start, "sh", str(root), str(os.geteuid()), str(program))
    command = [*map(os.fsencode, words), *arguments]
    try:
        done = subprocess.run(  # noqa: S603  the reference, closed in
            command, input=mail, capture_output=True, check=False, timeout=_LONGEST_RUN_S,
            env={"PATH": "/usr/bin:/bin", "HOME": home, "LOGNAME": login}, cwd=root,
        )  # fmt: skip
    except OSError as error:
        return Ran(None, reason=f"it cannot be closed in: {error}")
    except subprocess.TimeoutExpired:
        return Ran(None, reason=f"it did not end within {_LONGEST_RUN_S} seconds")
    if done.returncode in (1, 125, 126, 127) and not done.stderr.startswith(b"procmail") and not _works():
        return Ran(None, reason="it cannot be closed in: this machine does not allow namespaces (unshare)")
    left = {path: path.read_bytes()[:_LONGEST_LOG] for path in _files(root) if path not in known or path in before}
    changed = {
        b"/" + os.fsencode(path.relative_to(root)): data for path, data in left.items() if before.get(path) != data
    }
    return Ran(done.returncode, done.stdout + done.stderr, changed)


def _is_script(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"#!"


def _alone() -> tuple[str, ...]:
    """The words before a command that isolate it; only root needs no user namespace."""
    return _ALONE if os.geteuid() == 0 else (_ALONE[0], "--map-root-user", *_ALONE[1:])


def _works() -> bool:
    """Whether this machine lets us isolate a program."""
    try:
        return subprocess.run([*_alone(), "true"], capture_output=True, check=False).returncode == 0  # noqa: S603  true(1)
    except OSError:
        return False


def _furnish(root: Path, login: str, home: str) -> None:
    for name in _FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "etc/passwd").write_text(f"{login}:x:0:0::{home}:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nmail:x:8:\n")
    (root / "dev/null").touch()


def _bring(program: Path, root: Path) -> None:
    """Copy the program with its libraries, and no other program."""
    said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout  # noqa: S603, S607
    for name in (str(program), *re.findall(r"(/\S+) \(0x", said)):
        copy = root / name.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, copy)


def _files(root: Path) -> Iterator[Path]:
    """The regular files of the root, except those of the system."""
    for folder, names, files in os.walk(root):
        if Path(folder) == root:
            names[:] = [name for name in names if name not in _SHARED]
        yield from (
            Path(folder, name) for name in files if Path(folder, name).is_file() and not Path(folder, name).is_symlink()
        )
