"""A Postfix for the tests of it, with the lines of examples/integration."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.conftest import MACHINE, SNIPPETS, wait_for

LOG = Path("/var/log/postfix.log")
MAIN = """\
compatibility_level = 3.6
maillog_file = /var/log/postfix.log
maillog_file_permissions = 0644
inet_interfaces = loopback-only
inet_protocols = ipv4
mydestination = localhost, machine.example
myhostname = machine.example
alias_maps =
alias_database =
biff = no
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 2s
local_transport = local
transport_maps = inline:{ filter.example=pyprocmail: }
pyprocmail_destination_recipient_limit = 1
message_size_limit = 50000000
mailbox_size_limit = 0
"""


def note(text: str) -> str:
    """The lines of a snippet that are no comments."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))


class Postfix:
    """A running Postfix."""

    def __init__(self) -> None:
        self.sent = 0

    def start(self) -> None:
        """Write its configuration, and start it."""
        main, master = (note((SNIPPETS / f"postfix-{name}.cf").read_text()) for name in ("main", "master"))
        Path("/etc/postfix/main.cf").write_text(MAIN + main)
        shipped = Path("/usr/share/postfix/master.cf.dist").read_text()
        shipped = re.sub(r"(?m)^smtp +inet.*$", "2525 inet n - n - - smtpd", shipped)
        shipped = re.sub(r"(?m)^(\w+ +\w+ +\S+ +\S+ +)y( )", r"\1n\2", shipped)
        Path("/etc/postfix/master.cf").write_text(shipped + master)
        for program in ("postdrop", "postqueue"):
            path = Path("/usr/sbin") / program
            os.chown(path, 0, 971)
            path.chmod(0o2755)
        Path("/var/spool/postfix").mkdir(exist_ok=True)
        Path("/var/lib/postfix").mkdir(exist_ok=True)
        os.chown("/var/lib/postfix", 970, 970)
        subprocess.run(["postfix", "set-permissions", "create-missing"], capture_output=True, check=False)
        subprocess.run(["postfix", "start"], check=True, capture_output=True)
        wait_for(lambda: LOG.exists() and "daemon started" in LOG.read_text(), "Postfix to start")

    def stop(self) -> None:
        """Stop it, by the process id that it has written."""
        subprocess.run(["postfix", "stop"], check=False, capture_output=True)

    def send(self, *recipients: str, body: bytes = b"hello\n", sender: str = "sender@machine.example") -> str:
        """Submit a mail; its number, which stands in its Subject."""
        self.sent += 1
        mail = b"Subject: number %d.\nFrom: %b\n\n%b" % (self.sent, sender.encode(), body)
        subprocess.run(["sendmail", "-i", "-f", sender, *recipients], input=mail, check=True)
        return f"number {self.sent}."

    def flush(self) -> None:
        """Try what is deferred now."""
        subprocess.run(["postqueue", "-f"], check=True)

    def queued(self) -> list[str]:
        """The lines about recipients whose mail is in the queue."""
        listed = subprocess.run(["postqueue", "-p"], capture_output=True, text=True, check=True).stdout
        return re.findall(r"(?m)^ {20,}(\S+@\S+)$", listed)

    def empty(self) -> None:
        """Delete what is queued, and forget the log."""
        subprocess.run(["postsuper", "-d", "ALL"], check=True, capture_output=True)
        LOG.write_text("")

    def outcome(self, recipient: str) -> str:
        """sent, deferred or bounced: the last that the log says of the recipient."""
        pattern = rf"to=<{re.escape(recipient)}>.*status=(\w+) "

        def seen() -> list[str]:
            return re.findall(pattern, LOG.read_text())

        wait_for(lambda: bool(seen()), f"an outcome for {recipient}; the log says {LOG.read_text()[-1500:]}")
        return seen()[-1]

    def becomes(self, recipient: str, outcome: str) -> None:
        """Wait until the mail for the recipient has that outcome."""
        wait_for(lambda: self.outcome(recipient) == outcome, f"{recipient} to be {outcome}: {LOG.read_text()[-1500:]}")


@pytest.fixture(scope="module")
def running() -> Iterator[Postfix]:
    """One Postfix for all scenes."""
    if MACHINE not in os.environ:
        pytest.skip("run by `make test-integration`")
    found = Postfix()
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture
def postfix(running: Postfix) -> Iterator[Postfix]:
    """Postfix with an empty queue."""
    running.empty()
    yield running
    running.empty()
