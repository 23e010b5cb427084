"""formail: cases as data, what needs a process, memory, and random cases against the reference."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import gmtime, struct_time

import pytest
from conftest import ROOT
from differential import formail as differential

from pyprocmail.host import Host
from pyprocmail.tools import formail

CASES = sorted((ROOT / "tests" / "cases" / "formail").glob("*.toml"))
LAUNCHER = (
    "import sys, os; from pyprocmail.commands.formail import main; sys.exit(main([os.fsencode(a) for a in sys.argv]))"
)


class FrozenHost(Host):
    """A host on which it is always the same second."""

    def time(self) -> float:
        """The beginning of 2026."""
        return 1767225600.0

    def localtime(self) -> struct_time:
        """The same, in UTC."""
        return gmtime(self.time())

    def hostname(self) -> bytes:
        """A name."""
        return b"host.example"


def run(
    arguments: list[str], mail: bytes, environment: dict[str, str] | None = None, piece_bytes: int = sys.maxsize
) -> tuple[int, bytes, bytes]:
    """Run formail in this process: status, output and messages.  It reads at most `piece_bytes` at a time."""
    output: list[bytes] = []
    messages: list[bytes] = []
    rest = [mail]

    def read(size: int) -> bytes:
        size = min(size, piece_bytes)
        piece, rest[0] = rest[0][:size], rest[0][size:]
        return piece

    argv = [b"formail", *(word.encode() for word in arguments)]
    environ = {key.encode(): value.encode() for key, value in (environment or {}).items()}
    status = formail.run(FrozenHost(), argv, environ, read, output.append, messages.append)
    return status, b"".join(output), b"".join(messages)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    """Output, messages and exit status of one case."""
    case = tomllib.loads(path.read_text())
    status, output, messages = run(case["arguments"], case["mail"].encode(), case.get("environment"))
    assert output.decode() == case["output"]
    assert messages.decode() == case.get("messages", "")
    assert status == case.get("status", 0)


def test_generated_message_ids_differ() -> None:
    """-a Message-ID: makes a new one for each mail."""
    _, output, _ = run(["-a", "Message-ID:", "-zxMessage-ID:", "-s"], b"From a b\nTo: x\n\n1\n\nFrom a b\nTo: x\n\n2\n")
    first, second = output.split()
    assert first.startswith(b"<")
    assert first.endswith(b"@host.example>")
    assert first != second


@pytest.mark.parametrize(
    ("arguments", "starts"), [([b"-s", b"cat"], True), ([b"-s"], False), ([b"-rt"], False), ([b"-?"], False)]
)
def test_starts_programs(arguments: list[bytes], starts: bool) -> None:
    """The engine asks before it runs formail in its own process."""
    assert formail.Call([b"formail", *arguments]).starts_programs() is starts


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 5, 8, 13, 21])
@pytest.mark.parametrize("options", ["-I X:", "-czx Subject:", "-rk", "-fs", "-des", "-bBs", "-fBs"])
def test_pieces(options: str, piece_bytes: int) -> None:
    """What comes out does not depend on the pieces in which the input is read."""
    header = "Subject: x\n folded\n\t\nX : y\nTo:z\n"
    postmark = "From a@b Thu\n>From c@d Fri\n"
    babyl = f"\x1f\x0c\n0,,\n{header}\n*** EOOH ***\nSubject: x\n\nFrom x y\nTo: z\nTo: z\n\nTo: z\nTo: z\n"
    mails = [header, f"{postmark}{header}\ntext\n\n{postmark}no field\n folded\n\n{postmark}{header}", babyl * 3]
    for mail in mails:
        assert run(options.split(), mail.encode(), piece_bytes=piece_bytes) == run(options.split(), mail.encode())


def test_memory_is_flat() -> None:
    """A mailbox of 16 MB takes no more memory than one of 4 MB."""

    def peak(megabytes: int) -> int:
        mail = b"From a@b Thu\nSubject: x\n\n" + b"body text\n" * 6000 + b"From here on\n\n"
        left = megabytes * 1_000_000 // len(mail)

        def read(_: int) -> bytes:
            nonlocal left
            left -= 1
            return mail if left >= 0 else b""

        def ignore(_: bytes) -> None:
            pass

        tracemalloc.start()
        try:
            assert formail.run(Host(), [b"formail", b"-s"], {}, read, ignore, ignore) == 0
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(16) < 1.5 * peak(4)


def test_cache_is_locked(tmp_path: Path) -> None:
    """Of many processes with one new key, exactly one is told that it is new."""
    command = [sys.executable, "-c", LAUNCHER, "-D", "8192", str(tmp_path / "cache")]

    def one(_: int) -> int:
        mail = b"Message-ID: <1@x>\n\n"
        return subprocess.run(command, input=mail, cwd=ROOT, check=False).returncode

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(one, range(8))) == [0] * 7 + [1]
    assert (tmp_path / "cache").read_bytes() == b"<1@x>\0\0"


@pytest.mark.parametrize(
    ("content", "status", "after"),
    [
        (b"", 1, b"<1@x>\0\0"),
        (b"<1@x>\0\0", 0, b"<1@x>\0\0"),
        (b"<2@x>\0\0", 1, b"<2@x>\0<1@x>\0\0"),
        # Behind the mark: the rest of a key that was written over, then old keys.
        (b"<2@x>\0\0<1@x>\0", 1, b"<2@x>\0<1@x>\0\0"),
        (b"<2@x>\0\0x>\0<1@x>\0", 0, b"<2@x>\0\0x>\0<1@x>\0"),
        # Full: from the start.
        (b"<23456789@x>\0<2@x>\0\0", 1, b"<1@x>\x00\x0089@x>\0<2@x>\0\0"),
    ],
)
def test_cache(tmp_path: Path, content: bytes, status: int, after: bytes) -> None:
    """Ring and mark of the cache, 16 bytes long."""
    cache = tmp_path / "cache"
    cache.write_bytes(content)
    assert run(["-D", "16", str(cache)], b"Message-ID: <1@x>\n\n") == (status, b"", b"")
    assert cache.read_bytes() == after


def test_parallel_programs_keep_to_the_limit(tmp_path: Path) -> None:
    """-n 2: never more than two programs at a time, and formail waits for all."""
    script = (
        f"cat >/dev/null; cd {tmp_path}; : >run.$FILENO; ls run.* | wc -l >count.$FILENO; sleep 0.05; rm run.$FILENO"
    )
    command = [sys.executable, "-c", LAUNCHER, "-n", "2", "-s", "sh", "-c", script]
    subprocess.run(command, input=b"From a b\nTo: x\n\nb\n\n" * 7, cwd=ROOT, check=True)
    counts = [int(path.read_text()) for path in tmp_path.glob("count.*")]
    assert len(counts) == 7
    assert max(counts) <= 2
    assert not list(tmp_path.glob("run.*"))


def run_seeds(first: int, count: int, folder: Path) -> None:
    """Fail if a seed differs."""
    told = [text for seed in range(first, first + count) if (text := differential.difference(seed, folder))]
    assert not told, "\n".join(told)


@pytest.mark.usefixtures("reference")
def test_seeds(tmp_path: Path) -> None:
    """Random options on random mail do what they do in the reference."""
    run_seeds(100, 150, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("reference")
def test_many_seeds(tmp_path: Path) -> None:
    """Thousands of them."""
    run_seeds(1000, 8000, tmp_path)
