"""``kill -9`` of the whole process group, ten times at random moments, then the same command: prints what survived.

python tests/benchmarks/kill_nine.py [--kills 10] [--trials 300]
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.search.driver import search
from ensemble_forecast.search.space import canonical
from ensemble_forecast.search.spaces import parse_space
from ensemble_forecast.store import RunFolder

ALLOWED_S = 5.0  # from the end of the imports to the first new trial


def drive(path: Path, n_trials: int) -> None:
    """Run or continue a small search, as one process group."""
    begun, told = time.monotonic(), []
    rng, step = np.random.default_rng(0), np.arange(400)
    panel = Panel.of([10 + i + 3 * np.sin(2 * np.pi * step / 7) + rng.normal(size=400) for i in range(8)])
    hole = {"low": 1e-3, "high": 1.0, "log": True}
    forest = {"trees": {"low": 20, "high": 80}, "portfolio": [{"trees": 20}, {"trees": 40}]}
    space = parse_space({"naive": {}, "drift": {}, "ridge": {"penalty": hole, "portfolio": [{"penalty": 0.01}]}, "extra_trees": forest}, "kill_nine")

    def say(event: dict) -> None:
        if event["event"] == "start" and not told:
            told.append(True)
            print(f"first trial after {time.monotonic() - begun:.2f} s", flush=True)

    task = Task(horizon=7, season_length=7)
    summary = search(
        RunFolder(path),
        panel,
        task,
        {"test": 0.2, "n_windows": 4},
        space,
        deadline=Deadline.after(300),
        n_trials=n_trials,
        device="cpu",
        on_event=say,
    )
    print(summary, flush=True)


def first_trial(said: str) -> list[float]:
    """Read after how many seconds a driver started its first trial; nothing where it did not come so far or had nothing to do."""
    return [float(line.split()[3]) for line in said.splitlines() if line.startswith("first trial")]


def soak(kills: int, n_trials: int) -> list[str]:
    """Kill and continue; return the broken promises."""
    rng, broken, kept, starts = np.random.default_rng(), [], set(), []
    with tempfile.TemporaryDirectory() as root:
        folder = RunFolder(Path(root) / "study")
        command = [sys.executable, __file__, "--drive", str(folder.path), str(n_trials)]
        for kill in range(kills):
            driver = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)
            pause = float(rng.uniform(0.2, 5.0))
            time.sleep(pause)
            os.killpg(driver.pid, signal.SIGKILL)
            said = first_trial(driver.communicate()[0])
            starts += said
            done = set(folder.candidate_ids())
            broken += [f"kill {kill + 1} lost {sorted(kept - done)}"] if kept - done else []
            print(f"kill {kill + 1} after {pause:.1f} s: {len(done)} finished; first trial after {said} s", flush=True)
            kept = done
        begun = time.monotonic()
        starts += first_trial(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        lines = folder.ledger()
        finished = {line["id"]: canonical(line["family"], line["params"]) for line in lines if line["state"] == "finished"}
        n_finished = sum(line["state"] == "finished" for line in lines)
        n_ended = sum(line["state"] != "stale" for line in lines)
        promises = {
            "what had finished is in the ledger": kept <= set(finished),
            "no id stands twice": n_finished == len(finished),
            "no configuration stands twice": len(set(finished.values())) == n_finished,
            "ledger and folders agree": sorted(finished) == folder.candidate_ids(),
            "the search ends": n_ended == n_trials,
            "the first trial starts in time": max(starts) <= ALLOWED_S,
        }
        broken += [promise for promise, holds in promises.items() if not holds]
        print(f"the end after {time.monotonic() - begun:.1f} s: {n_ended} ended, {n_finished} finished, {len(lines) - n_ended} stale")
    print(f"broken promises: {broken or 'none'}")
    return broken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drive", nargs=2, metavar=("RUN", "TRIALS"))
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--trials", type=int, default=300)
    given = parser.parse_args()
    if given.drive:
        drive(Path(given.drive[0]), int(given.drive[1]))
    else:
        sys.exit(len(soak(given.kills, given.trials)))
