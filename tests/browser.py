"""A headless Chromium, driven by the DevTools protocol over a pipe: messages are JSON, each ended by a zero byte."""

import fcntl
import json
import os
import shutil
import subprocess
from contextlib import contextmanager

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW_TO_GET_IT = "no Chromium found: make soak installs it (apt-get install chromium), and then runs these tests"


class Browser:
    """One tab; what the page says to the console and asks of the network is kept."""

    def __init__(self, reads, writes):
        self._reads, self._writes = reads, writes
        self._sent, self._session = 0, None
        self.events = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method, **params):
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": params} | ({"sessionId": self._session} if self._session else {})
        self._writes.write(json.dumps(message).encode() + b"\0")
        self._writes.flush()
        while "id" not in (answer := self._next()):
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, path, width, height=800, scheme="light"):
        """Open a page at a width of screen; returns when it has loaded."""
        self.events.clear()
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.ask("Page.navigate", url=path.resolve().as_uri())
        while not self._told("Page.loadEventFired"):
            self.events.append(self._next())

    def value(self, expression):
        """Evaluate JavaScript in the page."""
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def complaints(self):
        """Everything the page has said to the console, and every exception."""
        return [event for name in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled") for event in self._told(name)]

    def addresses(self):
        """Every address that the page has asked for."""
        return [event["request"]["url"] for event in self._told("Network.requestWillBeSent")]

    def _told(self, method):
        return [event["params"] for event in self.events if event["method"] == method]

    def _next(self):
        message = bytearray()
        while (letter := self._reads.read(1)) != b"\0":
            assert letter, "the browser has ended"
            message += letter
        return json.loads(message)


@contextmanager
def browser(profile):
    """Start a browser with a profile folder of its own."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, HOW_TO_GET_IT
    theirs_in, ours_out, ours_in, theirs_out = *os.pipe(), *os.pipe()
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out)]  # the browser reads from 3 and writes to 4
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
    wired = ["bash", "-c", f'exec "$@" 3<&{ends[0]} 4>&{ends[1]}', "bash", found, *flags, "about:blank"]
    process = subprocess.Popen(wired, pass_fds=ends, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for end in (theirs_in, theirs_out, *ends):
        os.close(end)
    with open(ours_in, "rb") as reads, open(ours_out, "wb") as writes:
        try:
            yield Browser(reads, writes)
        finally:
            process.terminate()
            process.wait(timeout=30)
