"""Fixtures and options that several tests share."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-cases` is for a developer, `--fail-on-skip` for CI."""
    parser.addoption("--update-cases", action="store_true", help="rewrite the expectations under tests/cases")
    parser.addoption("--fail-on-skip", action="store_true", help="a skipped test makes the run fail")


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
        script = Path(sys.executable).with_name("pyprocmail")
        subprocess.run([script, "links", directory], check=True)
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
