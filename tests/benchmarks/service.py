"""Print how the service bears mixed good and bad load at its limit: as many clients as its queue takes, half of what they send unusable.

Wanted: no 5xx for good requests, p99 of good ones below 250 ms, bad ones 4xx with a reason, memory flat (the last tenth of the time against the
second). ``python tests/benchmarks/service.py [SECONDS [RUNS STUDY]]``; without a study the pipeline smoke is run first.
"""

import contextlib
import http.client
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import psutil

from ensemble_forecast.data.samples import btc_usd_daily

CLIENTS = 4
WANTED_MS, WANTED_GROWTH = 250, 1.05
JSON = {"Content-Type": "application/json"}


@dataclass
class Figures:
    """What came back: seconds of good requests, statuses of good and bad ones, reasons that were missing; memory in MiB, and CPU-seconds."""

    good_s: list[float] = field(default_factory=list)
    good: Counter = field(default_factory=Counter)
    bad: Counter = field(default_factory=Counter)
    without_reason: int = 0
    mib: list[float] = field(default_factory=list)
    cpu_s: float = 0.0

    @property
    def p99_ms(self) -> float:
        """99th percentile of good requests."""
        return 1000 * float(np.quantile(self.good_s, 0.99))

    @property
    def growth(self) -> float:
        """Memory in the last tenth over that in the second tenth."""
        tenth = max(1, len(self.mib) // 10)
        return float(np.median(self.mib[-tenth:]) / np.median(self.mib[tenth : 2 * tenth]))


def history() -> dict[str, list]:
    """Return the sample as the columns of a request."""
    frame = btc_usd_daily().reset_index().rename(columns={"date": "ds"})
    return {name: column.tolist() for name, column in frame.assign(ds=frame["ds"].dt.strftime("%Y-%m-%d")).items()}


def bad_requests() -> list[tuple[str, str, bytes | None, dict[str, str]]]:
    """Return requests that must be refused: method, path, body, headers."""
    columns = history()
    spoilt = {
        "text": columns | {"close": ["many"] * len(columns["ds"])},
        "gap": {name: values[:100] + values[110:] for name, values in columns.items()},
        "uneven": columns | {"close": [1.0]},
        "unsorted": {name: values[::-1] for name, values in columns.items()},
        "no target": {"ds": columns["ds"]},
        "infinity": columns | {"close": [float("inf")] * len(columns["ds"])},
    }
    bodies = [json.dumps({"columns": spoiled}).encode() for spoiled in spoilt.values()]
    bodies += [b"", b"{", b"[" * 100_000, b'{"columns": {}}', b'{"columns": 3}', b'\xff\xfe{"columns": {}}', b'{"columns": {"y": [[1]]}}']
    requests: list[tuple[str, str, bytes | None, dict[str, str]]] = [("POST", "/predict", body, JSON) for body in bodies]
    return [
        *requests,
        ("GET", "/predict", None, {}),
        ("POST", "/nowhere", b"{}", JSON),
        ("POST", "/predict", None, JSON | {"Content-Length": str(2**33)}),
    ]


@contextlib.contextmanager
def served(runs: str, study: str):
    """Run the service in a process of its own; yields its address and the process."""
    argv = [sys.executable, "-m", "ensemble_forecast", "serve", "--study", study, "--runs", runs, "--port", "0", "--queue", str(CLIENTS), "--json"]
    process = psutil.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(process.stdout.readline())["url"], process
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def hammer(url: str, process: psutil.Popen, seconds: float) -> Figures:
    """Ask for so long, from all clients at once, good and bad in turn."""
    figures, lock, until = Figures(), threading.Lock(), time.monotonic() + seconds
    good = json.dumps({"columns": history()}).encode()
    address = urllib.parse.urlsplit(url).netloc

    def ask(method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(address, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def client(number: int) -> None:
        bad = bad_requests()
        for turn in itertools.count(number):
            if time.monotonic() > until:
                return
            begun = time.monotonic()
            status, _ = ask("POST", "/predict" if turn % 3 else "/predict_proba", good, JSON)
            took = time.monotonic() - begun
            refused, reason = ask(*bad[turn % len(bad)])
            with lock:
                figures.good_s.append(took)
                figures.good[status] += 1
                figures.bad[refused] += 1
                figures.without_reason += b'"error"' not in reason or b"Traceback" in reason

    def watch() -> None:
        while time.monotonic() < until:
            figures.mib.append(process.memory_info().rss / 2**20)
            time.sleep(0.1)

    ask("POST", "/predict", good, JSON)  # the first forecast builds the nets
    before = process.cpu_times()
    with ThreadPoolExecutor(CLIENTS + 1) as crowd:
        done = [crowd.submit(watch), *(crowd.submit(client, number) for number in range(CLIENTS))]
    for each in done:
        each.result()
    after = process.cpu_times()
    figures.cpu_s = after.user + after.system - before.user - before.system
    return figures


def main() -> None:
    """Serve and ask."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    with tempfile.TemporaryDirectory() as folder:
        runs, study = (sys.argv[2], sys.argv[3]) if len(sys.argv) > 3 else (f"{folder}/runs", "smoke")
        if len(sys.argv) <= 3:
            for verb, budget in (("search", "12s"), ("stack", "25s")):
                argv = [sys.executable, "-m", "ensemble_forecast", verb, "--study", study, "--runs", runs, "--budget", budget, "--quiet"]
                subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        with served(runs, study) as (url, process):
            figures = hammer(url, process, seconds)
    print(f"good requests: {dict(figures.good)}; median {1000 * np.median(figures.good_s):.0f} ms, p99 {figures.p99_ms:.0f} ms (wanted: {WANTED_MS})")
    pair = 1000 * figures.cpu_s / len(figures.good_s)  # what waiting for other programs cannot blur
    print(f"a good request and a bad one together: {pair:.0f} ms of CPU time; served for {figures.cpu_s / seconds:.0%} of a core")
    print(f"bad requests: {dict(figures.bad)}; without a reason: {figures.without_reason}")
    print(f"memory: {figures.mib[-1]:.0f} MiB, last tenth over second {figures.growth:.3f} (wanted: below {WANTED_GROWTH})")


if __name__ == "__main__":
    main()
