"""`make test-integration`: real mail servers, each in a machine of its own, with the snippets of examples/integration.

    python tests/integration/run.py [SERVER ...]

A machine is a set of namespaces: mounts, network, processes.  What is mounted in it (the server's packages over
/usr, a few users, an empty spool) is seen in it only, no other program can be reached from it, and all of its
processes end with it.  Packages are downloaded and unpacked, not installed: as packages the servers exclude each other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

import installation  # noqa: E402  lies in tests/

PACKAGES = {
    "postfix": ["postfix"],
    "gateway": ["postfix"],
    "exim": ["exim4-daemon-light"],
    "sendmail": ["sendmail-bin"],
    "clients": ["fetchmail", "getmail6", "liblockfile-bin"],
}
USERS = ("alice", "bob", "carol", "dave", "filter")
GROUPS = {"mail": 8, "postfix": 970, "postdrop": 971, "smmta": 972, "smmsp": 973, "Debian-exim": 974}
SYSTEM_USERS = {"postfix": (970, 970), "smmta": (972, 972), "smmsp": (973, 973), "Debian-exim": (974, 974)}
FIRST_UID = 2001
NAMES = "passwd: files\ngroup: files\nshadow: files\nhosts: files\n"


def main() -> int:
    """Run the tests of the servers that are named, or of all; the exit status."""
    if sys.argv[1:2] == ["--inside"]:
        return inside(sys.argv[2], Path(sys.argv[3]))
    strict = "--fail-on-skip" in os.environ.get("PYTEST_ADDOPTS", "")
    why = missing()
    if why:
        print(f"the tests with mail servers are skipped: {why}")
        return 1 if strict else 0
    scratch = Path(tempfile.mkdtemp(prefix="pi."))
    scratch.chmod(0o755)
    installed = installation.begin()
    status = 0
    try:
        (scratch / "bin").mkdir()
        installation.launchers(scratch / "bin")
        for name in sys.argv[1:] or PACKAGES:
            try:
                unpack(scratch, name, PACKAGES[name])
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"{name} is skipped: its packages cannot be had: {error}")
                status |= strict
                continue
            unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
            command = [*unshare, sys.executable, "-P", __file__, "--inside", name, str(scratch)]
            status |= subprocess.run(command, check=False).returncode
        show(scratch / "table")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(installed, ignore_errors=True)
    return 1 if status else 0


def missing() -> str:
    """What keeps this machine from making others; nothing if all is there."""
    if os.geteuid() != 0:
        return "only root can make a machine of its own for each server"
    for program in ("unshare", "mount", "ip", "apt-get", "dpkg"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return ""


def unpack(scratch: Path, name: str, packages: Sequence[str]) -> None:
    """Have the files of packages, and of what they need, in the folder `name`."""
    target = scratch / name
    target.mkdir()
    wanted = ["apt-get", "-s", "-qq", "install", "--no-install-recommends", *packages]
    listed = subprocess.run(wanted, capture_output=True, text=True, check=True).stdout
    new = [line.split()[1] for line in listed.splitlines() if line.startswith("Inst ")]
    archives = scratch / f"{name}.debs"
    archives.mkdir()
    archives.chmod(0o777)
    if new:
        subprocess.run(["apt-get", "-qq", "download", *new], cwd=archives, check=True, capture_output=True)
    for archive in archives.iterdir():
        subprocess.run(["dpkg", "-x", archive, target], check=True)


def inside(name: str, scratch: Path) -> int:
    """In the machine: mount what it has, and run the tests."""
    os.umask(0o022)
    run("ip", "link", "set", "lo", "up")
    run("mount", "--make-rprivate", "/")
    folder = scratch / f"{name}.machine"
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(folder))
    (folder / "home").mkdir()
    for place in ("usr", "etc"):
        lay(scratch / name / place, folder / place, f"/{place}")
    for place, mode in (("/var/spool", 0o755), ("/var/mail", 0o2775), ("/var/lib", 0o755), ("/var/log", 0o755)):
        run("mount", "-t", "tmpfs", "-o", f"mode={mode:o}", "tmpfs", place)
    os.chown("/var/mail", 0, GROUPS["mail"])
    os.chmod("/var/mail", 0o2775)
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/usr/local/bin")
    for launcher in (scratch / "bin").iterdir():
        shutil.copy(launcher, "/usr/local/bin")
    make_users(folder / "home")
    # Nobody is asked for names: there is no network.
    for file, text in (
        ("hosts", "127.0.0.1 localhost machine.example\n192.0.2.1 elsewhere.example\n"),
        ("resolv.conf", ""),
        ("nsswitch.conf", NAMES),
    ):
        path = Path("/etc", file)
        path.unlink(missing_ok=True)
        path.write_text(text)
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-m",
        "integration",
    ]
    environment = {**os.environ, "PYPROCMAIL_MACHINE": str(folder), "PYPROCMAIL_TABLE": str(scratch / "table")}
    files = sorted(HERE.glob(f"test_{name}*.py"))
    return subprocess.run([*command, *files], cwd=ROOT, env=environment, check=False).returncode


def lay(unpacked: Path, writable: Path, place: str) -> None:
    """Lay unpacked files, and a folder for what is written, over a folder of the system."""
    for part in ("upper", "work"):
        (writable / part).mkdir(parents=True)
    lower = f"{unpacked}:{place}" if unpacked.exists() else place
    upper = f"upperdir={writable}/upper,workdir={writable}/work"
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},{upper}", place)


def run(*command: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True)


def make_users(homes: Path) -> None:
    """The users of the machine: in its password file only."""
    write_without("/etc/group", GROUPS, [f"{group}:x:{gid}:" for group, gid in GROUPS.items()])
    write_without(
        "/etc/passwd",
        SYSTEM_USERS,
        [f"{user}:x:{uid}:{gid}::/var/spool/{user}:/usr/sbin/nologin" for user, (uid, gid) in SYSTEM_USERS.items()],
    )
    with open("/etc/passwd", "a") as file:
        for number, user in enumerate(USERS):
            uid = FIRST_UID + number
            file.write(f"{user}:x:{uid}:{uid}::{homes}/{user}:/bin/sh\n")
            (homes / user).mkdir(mode=0o755)
            os.chown(homes / user, uid, uid)


def write_without(path: str, names: Iterable[str], lines: Sequence[str]) -> None:
    """Put lines in place of those of the names: where a server is installed, its user has another number."""
    kept = [line for line in Path(path).read_text().splitlines() if line.partition(":")[0] not in names]
    Path(path).write_text("".join(f"{line}\n" for line in [*kept, *lines]))


def show(table: Path) -> None:
    """Print what became of the mails: a row a scene."""
    rows = [line.split("\t") for line in table.read_text().splitlines()] if table.exists() else []
    print(f"\n{'server':10} {'scene':44} outcome")
    for server, scene, outcome in rows:
        print(f"{server:10} {scene:44} {outcome}")


if __name__ == "__main__":
    sys.exit(main())
