"""Fixtures and options that several tests share."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import installation
import pytest
from clamd import Clamd

pytest_plugins = ["lmtp_server"]
ROOT = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-cases` is for a developer, `--fail-on-skip` for CI."""
    parser.addoption("--update-cases", action="store_true", help="rewrite the expectations under tests/cases")
    parser.addoption("--fail-on-skip", action="store_true", help="a skipped test makes the run fail")


def pytest_configure(config: pytest.Config) -> None:
    """Have signals do what they do at a prompt, whatever the caller ignores; make a place for an installation."""
    reset_signals()
    if installation.VARIABLE not in os.environ:
        folder = installation.begin()
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def reset_signals() -> None:
    """Undo what nohup(1), a shell in the background or a supervisor did: the programs under test would inherit it.

    SIGPIPE is Python's to ignore; what Python starts gets it back.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGKILL, signal.SIGSTOP, signal.SIGXFSZ}:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Make a run with skipped tests fail when `--fail-on-skip` is given."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--fail-on-skip") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def update_cases(pytestconfig: pytest.Config) -> bool:
    """Whether expectations are to be rewritten."""
    return bool(pytestconfig.getoption("--update-cases"))


@pytest.fixture(scope="session")
def launchers() -> Iterator[Path]:
    """A directory made by `pyprocmail links`, which every user may read and execute."""
    directory = Path(tempfile.mkdtemp(prefix="launchers."))
    directory.chmod(0o755)
    try:
        installation.launchers(directory)
        yield directory
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def reference() -> Path:
    """The directory of the installed reference procmail and formail."""
    found = [shutil.which(name, path=os.defpath) for name in ("procmail", "formail")]
    if None in found:
        pytest.skip("the reference procmail and formail are not installed (apt-get install procmail)")
    return Path(str(found[0])).parent


@pytest.fixture
def clamd(tmp_path: Path) -> Iterator[Clamd]:
    """A scanner on a socket."""
    server = Clamd(tmp_path / "clamd")
    yield server
    server.close()
