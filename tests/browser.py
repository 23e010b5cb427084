"""A page in Debian's chromium, without a window: what it shows, and what clicks and keys do."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PATIENCE_S = 120.0
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--remote-debugging-pipe",
)  # fmt: skip


class Page:
    """A page that is open.  `messages` are what the browser's console says: faults of scripts, and of the policy."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._rest = b""
        self._number = 0
        self._session = ""
        self.messages: list[str] = []
        self.requests: list[str] = []

    def open(self, place: str) -> None:
        """Load a page, and wait for it."""
        target = self._ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session = str(self._ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable", {})
        self._ask("Page.navigate", {"url": place})
        deadline = time.monotonic() + _PATIENCE_S
        while self.value("document.readyState") != "complete" or self.value("location.href") == "about:blank":
            assert time.monotonic() < deadline, "the page does not load"
            time.sleep(0.05)

    def value(self, expression: str) -> object:
        """What an expression of JavaScript is in the page."""
        answer = self._ask("Runtime.evaluate", {"expression": expression, "returnByValue": True})
        assert "exceptionDetails" not in answer, answer
        result = answer["result"]
        assert isinstance(result, dict)
        return result.get("value")

    def click(self, selector: str, number: int = 0) -> None:
        """Click into the middle of an element, with the mouse."""
        where = self.value(
            f"(() => {{const e = document.querySelectorAll({json.dumps(selector)})[{number}];"
            " e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            " return [b.left + Math.min(b.width, 60) / 2, b.top + Math.min(b.height, 16) / 2]})()"
        )
        assert isinstance(where, list)
        for kind in ("mousePressed", "mouseReleased"):
            self._ask(
                "Input.dispatchMouseEvent",
                {"type": kind, "x": where[0], "y": where[1], "button": "left", "clickCount": 1},
            )

    def type(self, text: str) -> None:
        """Type into the field that has the focus."""
        self._ask("Input.insertText", {"text": text})

    def _ask(self, method: str, parameters: dict[str, object]) -> dict[str, object]:
        self._number += 1
        question = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            question["sessionId"] = self._session
        os.write(self._commands, json.dumps(question).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result = answer["result"]
                assert isinstance(result, dict)
                return result
            self._hear(answer)

    def _hear(self, event: dict[str, object]) -> None:
        if event.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.messages.append(json.dumps(event["params"]))
        elif event.get("method") == "Network.requestWillBeSent":
            parameters = event["params"]
            assert isinstance(parameters, dict)
            self.requests.append(parameters["request"]["url"])

    def _next(self) -> dict[str, object]:
        while b"\0" not in self._rest:
            piece = os.read(self._answers, 1 << 16)
            assert piece, "the browser has ended"
            self._rest += piece
        text, _, self._rest = self._rest.partition(b"\0")
        found = json.loads(text)
        assert isinstance(found, dict)
        return found


@contextmanager
def page(place: str, profile: Path) -> Iterator[Page]:
    """The page at the place, in a browser of its own."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()
    # The browser reads commands from descriptor 3 and writes answers to 4: the ends of the pipes must not be these.
    theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (theirs_in, theirs_out)]
    null = os.open(os.devnull, os.O_RDWR)
    process = os.posix_spawn(
        browser,
        [browser, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
        os.environ,
        file_actions=[
            *((os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)),
            *((os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(theirs, 3)),
        ],
    )
    for fd in (theirs_in, theirs_out, *theirs, null):
        os.close(fd)
    try:
        opened = Page(ours_out, ours_in)
        opened.open(place)
        yield opened
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(ours_in)
        os.close(ours_out)
