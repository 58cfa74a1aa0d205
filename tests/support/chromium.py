"""Opens a page in headless Chromium and evaluates expressions in it, over the pipe of its debugging protocol."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
READ_FD, WRITE_FD = 3, 4
"""The file descriptors that --remote-debugging-pipe reads and writes."""


class BrowserPage:
    """A page in a browser.

    Attributes:
        requests: The URLs that the page has requested.
        messages: Errors and warnings of its console, uncaught exceptions and violations of its security policy.

    """

    def __init__(self, commands: int, events: int) -> None:
        """Attach to the first page of a browser by its two pipes."""
        self.requests: list[str] = []
        self.messages: list[str] = []
        self._commands, self._events, self._buffer, self._number, self._session = commands, events, b"", 0, ""
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in targets if one["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def open(self, file: Path) -> None:
        """Load a file and wait until its scripts have run."""
        self.call("Page.navigate", url=file.as_uri())
        while self.evaluate("location.protocol + document.readyState") != "file:complete":
            pass

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def call(self, method: str, **parameters: Any) -> Any:
        """Send a command of the protocol, note the events before its response, and return the response."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            received = self._receive()
            if received.get("id") == self._number:
                assert "result" in received, received
                return received["result"]
            self._note(received)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            read = os.read(self._events, 1 << 20)
            assert read, "the browser has ended"
            self._buffer += read
        raw, self._buffer = self._buffer.split(b"\0", 1)
        received: dict[str, Any] = json.loads(raw)
        return received

    def _note(self, event: dict[str, Any]) -> None:
        values = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(values["request"]["url"])
            case "Log.entryAdded":
                self.messages.append(values["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.messages.append(str(values["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.messages.append(str(values["args"]))


@contextmanager
def browser_page(directory: Path) -> Iterator[BrowserPage]:
    """Start a browser with an empty profile; the test is skipped where none is installed.

    Args:
        directory: An empty directory for the profile.

    Yields:
        An empty page.

    """
    program = next((path for name in NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("chromium is not installed")
    child_reads, commands = os.pipe()
    events, child_writes = os.pipe()

    def connect() -> None:
        # The pipes may have the numbers 3 and 4 themselves, in any order.
        first, second = os.dup(child_reads), os.dup(child_writes)
        os.dup2(first, READ_FD)
        os.dup2(second, WRITE_FD)

    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
    browser = subprocess.Popen(
        [program, *options, f"--user-data-dir={directory}", "about:blank"],
        preexec_fn=connect,
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(directory), "XDG_CONFIG_HOME": str(directory), "XDG_CACHE_HOME": str(directory)},
    )
    os.close(child_reads)
    os.close(child_writes)
    try:
        yield BrowserPage(commands, events)
    finally:
        browser.kill()
        browser.wait()
        os.close(commands)
        os.close(events)
