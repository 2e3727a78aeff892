"""Print what the flagship run costs: seconds a verb, trials a family, peak memory of all processes together, and how fast `predict` is warm.

Wanted on two cores: all three verbs within ten minutes, at least 40 trials and 4 of each big family, below 3 GiB, a warm predict below 50 ms.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import psutil

import ensemble_forecast as ef
from ensemble_forecast.data.samples import btc_usd_daily


def sample_memory(root: psutil.Popen, peak: list[float]) -> None:
    """Keep the largest sum of proportional set sizes of a process and its children, in MiB, sampled twice a second."""
    while root.poll() is None:
        total = 0
        for process in [root, *root.children(recursive=True)]:
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
        peak[0] = max(peak[0], total / 2**20)
        time.sleep(0.5)


def run(verb: str, folder: str) -> None:
    """Run a verb of the study btc and print its seconds and memory."""
    peak, begun = [0.0], time.monotonic()
    process = psutil.Popen(
        [sys.executable, "-m", "ensemble_forecast", verb, "--study", "btc", "--quiet"], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    sampler = threading.Thread(target=sample_memory, args=(process, peak))
    sampler.start()
    output, _ = process.communicate()
    sampler.join()
    print(f"{verb}: exit code {process.returncode}, {time.monotonic() - begun:.1f} s, peak {peak[0]:.0f} MiB; {output.strip().splitlines()[-1]}")


def main() -> None:
    """Run the three verbs, then predict."""
    with tempfile.TemporaryDirectory() as folder:
        for verb in ("search", "stack", "evaluate"):
            run(verb, folder)
        lines = [json.loads(line) for line in (Path(folder) / "runs/btc/ledger.jsonl").read_text().splitlines()]
        print("finished:", dict(Counter(line["family"] for line in lines if line["state"] == "finished")))
        print("others:", dict(Counter(line["state"] for line in lines if line["state"] != "finished")))
        model, candles = ef.load(Path(folder) / "runs/btc/ensemble"), btc_usd_daily()
        milliseconds = []
        for _ in range(21):
            begun = time.perf_counter()
            model.predict(candles)
            milliseconds.append(1000 * (time.perf_counter() - begun))
        print(f"predict: first {milliseconds[0]:.0f} ms, then a median of {statistics.median(milliseconds[1:]):.1f} ms")


if __name__ == "__main__":
    main()
