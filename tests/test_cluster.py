"""--cluster: a scheduler and two workers of Dask on this machine, one of which is killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from conftest import ROOT

from pyprocmail.offline.replay import Summary, sum_of_part, summed
from pyprocmail.offline.rules import Setup, with_programs
from pyprocmail.offline.spreading import ClusterError, Spread, spread

INBOX = ROOT / "examples" / "inbox.mbox"
PATIENCE_S = 300

# Dask's own threads and sockets are not what is tested here.
pytestmark = [pytest.mark.torture, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address of a scheduler, and its two workers."""
    pytest.importorskip("distributed", reason="the extra cluster is not installed")
    address = tmp_path / "scheduler.json"
    environment = {**os.environ, "DASK_DISTRIBUTED__DASHBOARD__LINK": "", "PYTHONPATH": str(ROOT)}

    def start(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]]
        with (tmp_path / "log").open("ab") as log:
            return subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=log)

    scheduler = start(
        "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(address)
    )
    processes = [scheduler]
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not address.exists() or not address.read_text():
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.2)
        place = str(json.loads(address.read_text())["address"])
        workers = [start("worker", place, "--nthreads", "1", "--no-nanny", "--no-dashboard") for _ in range(2)]
        processes += workers
        _wait_for_workers(place, deadline)
        yield place, workers
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def _wait_for_workers(place: str, deadline: float) -> None:
    from distributed import Client

    with Client(place, timeout=PATIENCE_S, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=max(deadline - time.monotonic(), 1))


def test_a_worker_is_killed(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes out is what one process says, to the byte; a relative rcfile is that of the caller."""
    place, workers = cluster
    (tmp_path / "home" / "Mail").mkdir(parents=True)
    (tmp_path / "rc").write_text("MAILDIR=$HOME/Mail\nDEFAULT=inbox\n:0:\n* ^List-Id:.*<\\/[a-z0-9-]+\nlist-$MATCH\n")
    box = tmp_path / "box"
    box.write_bytes(INBOX.read_bytes() * 60)
    monkeypatch.chdir(tmp_path)
    setup = Setup("rc", home="home")
    alone = summed(setup, ["box"])
    together = Summary()
    for found in spread(partial(sum_of_part, with_programs(setup), timed=False), ["box"], Spread(cluster=place)):
        if not together.mails:
            # One part is back, and the others are on their way.
            os.kill(workers[0].pid, signal.SIGKILL)
        together.merge(found)
    assert workers[0].wait(PATIENCE_S) == -signal.SIGKILL
    assert together == alone
    assert together.mails == 12000
    assert summed(setup, ["box"], how=Spread(cluster=place)) == alone  # by the worker that is left


def test_there_is_no_cluster() -> None:
    """An error in one line."""
    pytest.importorskip("distributed", reason="the extra cluster is not installed")
    with pytest.raises(ClusterError):
        list(spread(len, [str(INBOX)], Spread(cluster="tcp://127.0.0.1:1")))  # type: ignore[arg-type]  # never called
