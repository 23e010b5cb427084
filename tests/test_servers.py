"""What all servers need: where they listen, what they tell the service manager, what they count."""

from __future__ import annotations

import errno
import marshal
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pyprocmail.commands.cli import cli
from pyprocmail.commands.policy import _maker as policy_maker
from pyprocmail.commands.values import permissions
from pyprocmail.delivery.refresh import Refreshing
from pyprocmail.host import Host
from pyprocmail.servers import listening, notify
from pyprocmail.servers.listening import Address, AddressError
from pyprocmail.servers.lmtp import ledger
from pyprocmail.servers.metrics import Metrics
from pyprocmail.servers.milter import deciding
from pyprocmail.servers.milter.workers import Crew
from pyprocmail.servers.spool import Spool


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/x", Address(path="/run/x")),
        ("local:run/x", Address(path="run/x")),
        ("/run/x", Address(path="/run/x")),
        ("./x", Address(path="./x")),
        ("inet:8891@127.0.0.1", Address(host="127.0.0.1", port=8891)),
        ("fd:4", Address(fd=4)),
        ("inet:8891", Address(port=8891)),
        ("inet6:8891@[::1]", Address(host="::1", port=8891, family=socket.AF_INET6)),
        ("inet6:0@localhost", Address(host="::1", family=socket.AF_INET6)),
        ("127.0.0.1:24", Address(host="127.0.0.1", port=24)),
        ("[::1]:24", Address(host="::1", port=24, family=socket.AF_INET6)),
        ("fd:3", Address(fd=3)),
        ("systemd", Address(fd=3)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    """As libmilter, mailspy and everybody else write them; each has a form that is read again."""
    assert listening.parse(text) == address
    assert listening.parse(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", "x", "unix:", "inet:x@y", "inet:70000@y", "localhost:", "localhost:-1", "fd:x", "fd:"]
)
def test_what_is_no_address(text: str) -> None:
    """A sentence says what is wrong."""
    with pytest.raises(AddressError, match=r"."):
        listening.parse(text)


def test_a_unix_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its mode; another server is not driven out, and what a dead one left is replaced."""
    monkeypatch.chdir(tmp_path)
    address = listening.parse("./s")
    first = listening.listen(address, mode=0o660)
    assert os.stat("s").st_mode & 0o777 == 0o660
    with pytest.raises(OSError, match="another server"):
        listening.listen(address)
    first.close()
    listening.listen(address, mode=0o600).close()
    listening.Names([address]).remove()
    assert not os.path.exists("s")
    Path("s").write_text("mine")
    with pytest.raises(OSError, match="not a socket"):
        listening.listen(address)
    assert Path("s").read_text() == "mine"


def test_a_name_that_another_server_has_bound_stays(tmp_path: Path) -> None:
    """The first server still ends what it has begun, and listens no more, when the next one starts."""
    address = listening.parse(f"unix:{tmp_path}/s")
    first = listening.listen(address, mode=0o600)
    names = listening.Names([address])
    first.close()
    with listening.listen(address, mode=0o600):
        names.remove()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(address.path)
    os.unlink(address.path)
    names.remove()


def test_tcp() -> None:
    """On loopback, v4 and v6; a taken port is refused."""
    for text in ("inet:0@127.0.0.1", "[::1]:0"):
        try:
            taken = listening.listen(listening.parse(text))
        except OSError as error:
            if ":" in text[1:4]:
                pytest.skip(f"no IPv6 here: {error}")
            raise
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            listening.listen(listening.parse(text.replace(":0", f":{port}")))
        taken.close()


def test_socket_activation(tmp_path: Path) -> None:
    """A descriptor that listens, and is meant for this process."""
    made = listening.listen(Address(path=str(tmp_path / "s")))
    fd = os.dup(made.fileno())
    ours = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(fd - 2)}
    taken = listening.listen(Address(fd=fd), environ=ours)
    assert taken.getsockname() == str(tmp_path / "s")
    for environ in ({"LISTEN_PID": "1", "LISTEN_FDS": "9"}, {**ours, "LISTEN_FDS": "0"}, {**ours, "LISTEN_FDS": "x"}):
        with pytest.raises(OSError, match="no such socket"):
            listening.listen(Address(fd=fd), environ=environ)
    taken.close()
    made.close()
    with open(os.devnull) as null, pytest.raises(OSError, match=r"fd:"):
        listening.listen(Address(fd=null.fileno()), environ={})


def test_notify(tmp_path: Path) -> None:
    """What a service manager hears, and how often it wants to."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        assert notify.notify(notify.READY, {"NOTIFY_SOCKET": str(tmp_path / "n")})
        assert manager.recv(100) == b"READY=1"
    assert not notify.notify(notify.READY, {"NOTIFY_SOCKET": str(tmp_path / "n")})
    assert not notify.notify(notify.READY, {})
    assert notify.watchdog_s({"WATCHDOG_USEC": "30000000"}) == 15
    assert notify.watchdog_s({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}) == 0
    assert notify.watchdog_s({"WATCHDOG_USEC": "x"}) == notify.watchdog_s({}) == 0


def test_metrics(tmp_path: Path) -> None:
    """The file is whole, readable by everybody, and as Prometheus wants it."""
    metrics = Metrics("pyprocmail_milter")
    metrics.counter("mails_total", "Mails seen.")
    metrics.gauge("spool_depth", "Mails that wait.")
    metrics.add("mails_total")
    metrics.add("mails_total", 2)
    metrics.set("spool_depth", 5)
    metrics.write(tmp_path / "m.prom")
    assert (tmp_path / "m.prom").read_text().splitlines() == [
        "# HELP pyprocmail_milter_mails_total Mails seen.",
        "# TYPE pyprocmail_milter_mails_total counter",
        "pyprocmail_milter_mails_total 3",
        "# HELP pyprocmail_milter_spool_depth Mails that wait.",
        "# TYPE pyprocmail_milter_spool_depth gauge",
        "pyprocmail_milter_spool_depth 5",
    ]
    assert (tmp_path / "m.prom").stat().st_mode & 0o777 == 0o644
    with pytest.raises(OSError, match="No such"):
        metrics.write(tmp_path / "nowhere" / "m.prom")
    assert list(tmp_path.iterdir()) == [tmp_path / "m.prom"]


class Wishes:
    """A socket that remembers what was wanted of it."""

    def __init__(self, family: int, *, works: bool = True) -> None:
        self.family = family
        self.wanted: list[tuple[int, int, int]] = []
        self.works = works

    def setsockopt(self, level: int, option: int, value: int, /) -> None:
        self.wanted.append((level, option, value))
        if not self.works:
            raise OSError


def test_acknowledging_at_once() -> None:
    """Before each read of a TCP connection; a Unix socket has nothing to acknowledge, and a failure ends it."""
    wish = (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    for family, works, wanted in (
        (socket.AF_INET, True, [wish, wish]),
        (socket.AF_INET6, True, [wish, wish]),
        (socket.AF_UNIX, True, []),
        (socket.AF_INET, False, [wish]),
    ):
        taken = Wishes(family, works=works)
        acknowledging = listening.Acknowledging(taken)
        acknowledging.at_once()
        acknowledging.at_once()
        assert taken.wanted == wanted


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize(
    "command",
    [
        ["lmtp", "--listen", "unix:no/x", "--recipient-timeout"],
        ["gateway", "--listen", "unix:no/x", "--next-hop", "unix:no/y", "--rules", "table", "--mail-timeout"],
        ["milter", "-p", "unix:no/x", "-f", "log", "--time-limit"],
        ["deliver", "--socket", "unix:no/x", "alice", "--timeout"],
    ],
)
def test_a_time_has_an_end(command: list[str], value: str) -> None:
    """It is refused on the command line; timers would never ring, or ring at once."""
    done = CliRunner().invoke(cli, [*command, value])
    assert done.exit_code == 2, done.output
    assert f"Invalid value for '{command[-1]}': " in done.output


@pytest.mark.parametrize("mode", ["", "9", "-1", "7777777777777777777"])
def test_what_are_no_permissions(mode: str) -> None:
    """A sentence says so, and not the system."""
    with pytest.raises(click.UsageError, match="such as 0660"):
        permissions(mode)
    assert permissions("0660") == permissions("660") == 0o660


@pytest.mark.parametrize("words", [[], ["--all", "one"]])
def test_retry_wants_names_or_all(words: list[str], tmp_path: Path) -> None:
    """Without either it would do nothing, and look as if it had."""
    done = CliRunner().invoke(cli, ["spool", "--spool", str(tmp_path), "retry", *words])
    assert done.exit_code == 2
    assert "--all is for those that failed" in done.output


def test_a_server_does_not_load_the_other_commands() -> None:
    """It stays in memory, and what it loads stays there with it."""
    code = """
import sys
from pyprocmail.commands.cli import cli
from pyprocmail.commands.policy import _maker as policy_maker
cli(["lmtp", "--help"], standalone_mode=False)
print([name for name in ("pyprocmail.lint", "pyprocmail.offline", "pyprocmail.commands.milter") if name in sys.modules])
"""
    words = [sys.executable, "-P", "-c", code]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert shown.endswith("\n[]\n")


_SERVERS = {
    "lmtp": ["--listen", "unix:s"],
    "gateway": ["--listen", "unix:s", "--next-hop", "127.0.0.1:9", "--rules", "/dev/null"],
    "milter": ["-p", "unix:s", "-f", "log"],
}


@pytest.mark.parametrize("server", _SERVERS)
def test_the_same_statuses_for_the_same_faults(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user or a group that does not exist, a place where no socket can be; no socket is left behind."""
    monkeypatch.chdir(tmp_path)
    group, user = ("--group", "-u") if server == "milter" else ("--socket-group", "--user")
    words = [server, *_SERVERS[server]]
    me = [user, "nobody"] if os.geteuid() == 0 else []
    for more, status, said in (
        ([group, "no-such-group"], 67, "there is no group no-such-group"),
        ([user, "no-such-user"], 67, "there is no user no-such-user"),
        (["-p" if server == "milter" else "--listen", "unix:nowhere/s"], 73, "cannot listen on unix:nowhere/s"),
    ):
        done = CliRunner().invoke(cli, [*words, *(me if user not in more else []), *more])
        assert (done.exit_code, f"pyprocmail {server}: {said}" in done.output) == (status, True), done.output
        assert not Path("s").exists()


@pytest.mark.parametrize(
    ("server", "more"), [("lmtp", ["--metrics"]), ("milter", ["--metrics"]), ("milter", ["--check", "--pid-file"])]
)
def test_files_that_cannot_be_made(
    server: str, more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server says so at the start, and not at its first count."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, [server, *_SERVERS[server], *more, "nowhere/file"])
    assert done.exit_code == 73, done.output
    assert f"pyprocmail {server}: {more[-1]} {tmp_path}/nowhere: No such file or directory" in done.output
    assert not Path("s").exists()


@pytest.mark.parametrize("option", ["--policy", "--rules", "--at-rcpt"])
def test_rules_of_a_milter_that_others_could_write(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would decide about no mail."""
    monkeypatch.chdir(tmp_path)
    rcfile = tmp_path / "rc"
    rcfile.touch()
    words = ["milter", "-p", "unix:s", option, str(rcfile), "--spool", "spool", "--check"]
    for mode, status, said in ((0o644, 0, "it can start"), (0o666, 77, "not run, because others could have writ")):
        rcfile.chmod(mode)
        done = CliRunner().invoke(cli, words)
        assert (done.exit_code, said in done.output) == (status, True), done.output
        assert not Path("s").exists()


def test_a_worker_for_which_there_is_no_process_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The milter goes on and says so; whoever looks again later has the worker."""
    spool = Spool(tmp_path / "spool")
    spool.prepare()
    said: list[str] = []
    crew = Crew(spool, lambda _envelope, _mail: "", 1, said.append, host=Host())

    def refused() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fork", refused)
        crew.begin()
        crew.replace()
    assert said == ["a worker cannot be started now: Resource temporarily unavailable"]
    before = children()
    crew.replace()
    assert len(children() - before) == 1
    crew.end()


def test_a_worker_that_is_ended_while_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends, although the server heard the signal in another way when it forked."""
    spool = Spool(tmp_path / "spool")
    spool.prepare()
    crew = Crew(spool, lambda _envelope, _mail: "", 1, lambda _text: None, host=Host())
    fork = os.fork

    def forked() -> int:
        pid = fork()
        if not pid:
            os.kill(os.getpid(), signal.SIGTERM)
        return pid

    before = children()
    heard = signal.signal(signal.SIGTERM, lambda _signum, _frame: None)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fork", forked)
            crew.begin()
        (pid,) = map(int, children() - before)
        end = time.monotonic() + 60
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                pytest.fail("the worker waits for mail")
            time.sleep(0.02)
    finally:
        signal.signal(signal.SIGTERM, heard)


def children() -> set[str]:
    """The process ids of our children."""
    return set(Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split())


def test_a_lockfile_that_is_refreshed_is_known(tmp_path: Path) -> None:
    """It is another state of the file, and by that the lock of a killed worker is known."""
    lock = tmp_path / "x.lock"
    lock.touch()
    os.utime(lock, (1, 1))
    notes = ledger.make()
    done = threading.Event()

    class Watched(ledger.WorkerHost):
        def claim(self, path: bytes, status: os.stat_result) -> None:
            """See Host.claim."""
            super().claim(path, status)
            if status.st_mtime > 1:
                done.set()

    host = Watched(ledger.Ledger(notes))
    path = os.fsencode(lock)
    host.claim(path, lock.stat())
    with Refreshing(host, path, 1):
        assert done.wait(60)
    _, claims = ledger.read(notes)
    os.close(notes)
    assert [each.is_at(path) for each in claims] == [True]
    assert ledger.sweep(claims) == 1


@pytest.mark.parametrize(
    ("language", "text"),
    [("procmail", "LOCKFILE=the.lock\nLOCKFILE\n"), ("maildrop", 'dotlock "the.lock" {\n A="x"\n}\n')],
)
def test_the_lockfile_of_a_policy_is_noted(language: str, text: str, tmp_path: Path) -> None:
    """So that it can be removed if the worker is killed."""
    (tmp_path / "rc").write_text(text)
    noted: list[bytes] = []

    class Watched(ledger.Ledger):
        def claim(self, path: bytes, status: os.stat_result) -> None:
            """See Ledger.claim."""
            noted.append(path)
            super().claim(path, status)

    desk = deciding.Desk(policy_maker(os.fsencode(tmp_path / "rc"), language))
    case = deciding.Case(b"a@b", [b"c@d"], {}, b"Subject: x\n").pack()
    here = os.getcwd()
    notes = ledger.make()
    job = os.memfd_create("job")
    try:
        os.write(job, case)
        assert desk.serve(marshal.dumps((0, len(case))), job, Watched(notes)).isdigit()
    finally:
        os.chdir(here)
        os.close(job)
        os.close(notes)
    assert any(path.endswith(b"the.lock") for path in noted)
