"""``kill -9`` of the whole process group, ten times at random moments, then the same command: prints what survived.

    python tests/benchmarks/kill_nine.py [--kills 10] [--trials 60]
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
from ensemble_forecast.search.space import canonical, parse_space
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
        RunFolder(path), panel, task, {"test": 0.2, "n_windows": 4}, space, deadline=Deadline.after(300), n_trials=n_trials, device="cpu", on_event=say
    )
    print(summary, flush=True)


def soak(kills: int, n_trials: int) -> int:
    """Kill and continue; return the number of broken promises."""
    rng, broken, kept = np.random.default_rng(), 0, set()
    with tempfile.TemporaryDirectory() as root:
        folder = RunFolder(Path(root) / "study")
        command = [sys.executable, __file__, "--drive", str(folder.path), str(n_trials)]
        for kill in range(kills):
            driver = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)
            pause = float(rng.uniform(0.2, 5.0))
            time.sleep(pause)
            os.killpg(driver.pid, signal.SIGKILL)
            said = driver.communicate()[0].strip().splitlines()
            done = {line["id"] for line in folder.ledger() if line["state"] == "finished"} | set(folder.candidate_ids())
            broken += not kept <= done
            print(f"kill {kill + 1} after {pause:.1f} s: {len(done)} finished, {len(kept - done)} lost; {said[:1]}", flush=True)
            kept = done
        begun = time.monotonic()
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()
        lines = folder.ledger()
        finished = [line for line in lines if line["state"] == "finished"]
        keys = [canonical(line["family"], line["params"]) for line in finished]
        ended = sum(line["state"] != "stale" for line in lines)
        broken += not kept <= {line["id"] for line in finished}
        broken += len(keys) != len(set(keys))
        broken += sorted(line["id"] for line in finished) != folder.candidate_ids()
        broken += ended != n_trials
        broken += any(float(line.split()[3]) > ALLOWED_S for line in said if line.startswith("first trial"))
        print(f"the end after {time.monotonic() - begun:.1f} s: {said[0]}; {ended} ended, {len(finished)} finished, {len(lines) - ended} stale")
    print(f"{broken} broken promises")
    return broken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drive", nargs=2, metavar=("RUN", "TRIALS"))
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--trials", type=int, default=60)
    given = parser.parse_args()
    if given.drive:
        drive(Path(given.drive[0]), int(given.drive[1]))
    else:
        sys.exit(soak(given.kills, given.trials) > 0)
