"""Exim with the transports of examples/integration, as they stand: a pipe, and LMTP."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from integration import lmtp, scenes
from integration.conftest import SNIPPETS, User

pytestmark = pytest.mark.integration

LOG = Path("/var/log/exim4/mainlog")
CONFIGURATION = """\
primary_hostname = machine.example
domainlist local_domains = machine.example
qualify_domain = machine.example
spool_directory = /var/spool/exim4
log_file_path = /var/log/exim4/%slog
exim_user = Debian-exim
exim_group = Debian-exim
never_users =
disable_ipv6
keep_environment =
message_size_limit = 100M
begin routers
local:
  driver = accept
  domains = +local_domains
  check_local_user
  local_part_suffix = +*
  local_part_suffix_optional
  transport = {name}
begin transports
{transport}
begin retry
* * F,1h,1s
"""


class Exim:
    """Exim, without a daemon: each mail is tried when it is submitted."""

    domain = "machine.example"

    def __init__(self, name: str, snippet: str) -> None:
        transport = (SNIPPETS / snippet).read_text()
        Path("/etc/exim4").mkdir(exist_ok=True)
        Path("/etc/exim4/exim4.conf").write_text(CONFIGURATION.format(name=name, transport=transport))
        for folder in ("/var/spool/exim4", "/var/log/exim4"):
            Path(folder).mkdir(exist_ok=True)
            os.chown(folder, 974, 974)
        Path("/usr/sbin/exim4").chmod(0o4755)
        self.sent = 0

    def _run(self, *arguments: str, mail: bytes = b"") -> bytes:
        return subprocess.run(["exim4", *arguments], input=mail, capture_output=True, check=False, timeout=120).stdout

    def send(self, *recipients: str, body: bytes = b"hello\n") -> str:
        self.sent += 1
        mail = b"Subject: number %d.\n\n%b" % (self.sent, body)
        self._run("-odf", "-i", "-f", "sender@elsewhere.example", *recipients, mail=mail)
        return f"number {self.sent}."

    def retry(self) -> None:
        self._run("-qff")

    def queued(self) -> int:
        listed = self._run("-bpr").decode()
        return len([line for line in re.findall(r"(?m)^ *\S+ +\S+ +\S+ <(.*)>", listed) if line])

    def bounced(self) -> int:
        return LOG.read_text().count(" ** ")

    def empty(self) -> None:
        """Delete what is queued, and forget the log."""
        for identity in re.findall(r"(?m)^ *\S+ +\S+ +(\S+) <", self._run("-bpr").decode()):
            self._run("-Mrm", identity)
        LOG.write_text("")
        os.chown(LOG, 974, 974)


@pytest.mark.parametrize("scene", scenes.ALL, ids=lambda scene: scene.__name__)
def test_scene(scene: scenes.Scene, users: dict[str, User], tell: Callable[[str], None]) -> None:
    exim = Exim("procmail_pipe", "exim.conf")
    exim.empty()
    tell(scene(exim, users))


@pytest.mark.parametrize("scene", scenes.OF_FATES, ids=lambda scene: scene.__name__)
def test_lmtp(scene: scenes.Scene, users: dict[str, User], tell: Callable[[str], None]) -> None:
    exim = Exim("pyprocmail_lmtp", "exim-lmtp.conf")
    exim.empty()
    with lmtp.serving(Path("/run/pyprocmail/lmtp.sock"), "--socket-group", "Debian-exim"):
        tell(scene(exim, users))
