"""``kill -9`` at random moments, of a worker, of the driver or of all, then the same command: prints what survived.

Twice: a search that draws, and a fixed list of trials whose ensemble must forecast what that of an undisturbed run does.

python tests/benchmarks/kill_nine.py [--kills 50] [--trials 300] [--listed 60]
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
import pandas as pd
import psutil

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.search.driver import search
from ensemble_forecast.search.space import canonical
from ensemble_forecast.search.spaces import parse_space
from ensemble_forecast.store import RunFolder

SAME = 1e-9  # ids differ after a retry, and with them the order in which weights are summed
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


def strike(driver: subprocess.Popen, target: str, rng: np.random.Generator) -> None:
    """Kill a worker, the driver, or all of them."""
    if target == "all":
        os.killpg(driver.pid, signal.SIGKILL)
    elif target == "driver":
        driver.kill()
    elif workers := psutil.Process(driver.pid).children():
        rng.choice(workers).kill()


def disturb(command: list[str], folder: RunFolder, targets: list[str], rng: np.random.Generator, **how: object) -> list[str]:
    """Run a search through a series of kills, and then to its end; returns what its drivers said."""
    said, driver, kept = [], None, set()
    for kill, target in enumerate(targets, start=1):
        if driver is None or driver.poll() is not None:
            driver = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True, **how)
        if rng.random() < 0.7:  # when it is at work; else at any moment, also while it starts
            n_done, patience = len(folder.candidate_ids()), Deadline.after(60)
            while len(folder.candidate_ids()) == n_done and driver.poll() is None and not patience.passed():
                time.sleep(0.02)
        time.sleep(float(rng.uniform(0.0, 3.0)))
        if driver.poll() is None:
            strike(driver, target, rng)
        if target != "worker" or driver.poll() is not None:
            said.append(driver.communicate()[0])
        done = set(folder.candidate_ids())
        lost = sorted(kept - done)
        kept = done
        print(f"kill {kill}, {target}: {len(done)} finished" + (f", LOST {lost}" if lost else ""), flush=True)
        said += [f"lost {lost}"] if lost else []
    if driver is not None and driver.poll() is None:
        said.append(driver.communicate()[0])
    return [*said, subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **how).stdout]


def consistency(folder: RunFolder, said: list[str]) -> dict[str, bool]:
    """Promises that hold for every run, however often it was killed."""
    finished = {line["id"]: canonical(line["family"], line["params"]) for line in folder.ledger() if line["state"] == "finished"}
    n_finished = sum(line["state"] == "finished" for line in folder.ledger())
    return {
        "no finished trial is lost": not any(each.startswith("lost") for each in said),
        "no id stands twice": n_finished == len(finished),
        "no configuration stands twice": len(set(finished.values())) == n_finished,
        "ledger and folders agree": sorted(finished) == folder.candidate_ids(),
    }


def drawn(root: Path, kills: int, n_trials: int, rng: np.random.Generator) -> dict[str, bool]:
    """Kill a search that draws."""
    folder = RunFolder(root / "drawn")
    targets = rng.choice(["worker", "driver", "all"], size=kills).tolist()
    said = disturb([sys.executable, __file__, "--drive", str(folder.path), str(n_trials)], folder, targets, rng)
    starts = [second for each in said for second in first_trial(each)]
    n_ended = sum(line["state"] != "stale" for line in folder.ledger())
    print(f"{n_ended} ended, {len(folder.ledger()) - n_ended} were cut off; first trials after at most {max(starts):.2f} s", flush=True)
    promises = consistency(folder, said) | {"the search ends": n_ended >= n_trials}
    if (load := os.getloadavg()[0]) > 2 * (os.cpu_count() or 1):
        print(f"whether first trials start in time is not judged: others use this machine (load {load:.0f})", flush=True)
        return promises
    return promises | {"the first trial starts in time": max(starts) <= ALLOWED_S}


def listed(root: Path, kills: int, n_trials: int, rng: np.random.Generator) -> dict[str, bool]:
    """Kill the search of a fixed list, and compare the ensemble with that of a search that nobody disturbed.

    Workers are killed before drivers: a trial that ends two workers is poison, and would rightly be missing.
    """
    step = np.arange(500)
    prices = 50 + 5 * np.sin(2 * np.pi * step / 7) + rng.normal(size=500).cumsum() / 4
    pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=500), "y": prices}).to_csv(root / "data.csv", index=False)
    forests = "".join(f'[[trials]]\nfamily = "extra_trees"\nparams = {{ trees = {40 + tag} }}\n' for tag in range(n_trials - 2))
    trials = '[[trials]]\nfamily = "ridge"\nparams = {}\n[[trials]]\nfamily = "theta"\nparams = {}\n' + forests
    (root / "pipelines").mkdir()
    forecasts = {}
    for name, targets in {"calm": [], "killed": ["worker"] * (kills // 3) + rng.choice(["driver", "all"], size=kills - kills // 3).tolist()}.items():
        source = f'source = "{root / "data.csv"}"\nhorizon = 7\nseason = 7\nwindows = 4\nbudget = "30m"\n'
        (root / "pipelines" / f"{name}.toml").write_text(source + trials)
        verb = [sys.executable, "-m", "ensemble_forecast"]
        rest = ["--study", name, "--quiet"]
        folder = RunFolder(root / "runs" / name)
        said = disturb([*verb, "search", *rest, "--workers", "2", "--device", "cpu"], folder, targets, rng, cwd=root)
        subprocess.run([*verb, "stack", *rest, "--budget", "10m", "--device", "cpu"], check=True, cwd=root, stdout=subprocess.DEVNULL)
        subprocess.run([*verb, "predict", *rest, "--out", f"{name}.csv"], check=True, cwd=root)
        forecasts[name] = pd.read_csv(root / f"{name}.csv").drop(columns=["unique_id", "ds"]).to_numpy()
    finished = [line for line in folder.ledger() if line["state"] == "finished" and line["family"] not in {"bagged", "boosted"}]
    differ = np.abs(forecasts["killed"] / forecasts["calm"] - 1).max()
    print(f"{len(finished)} of {n_trials} finished; the forecasts of the two ensembles differ by at most {differ:.1e} of themselves", flush=True)
    return consistency(folder, said) | {"the whole list finishes": len(finished) == n_trials, "the ensembles agree": bool(differ < SAME)}


def soak(kills: int, n_trials: int, n_listed: int) -> list[str]:
    """Kill and continue; return the broken promises."""
    rng = np.random.default_rng()
    with tempfile.TemporaryDirectory() as folder:
        promises = [drawn(Path(folder), kills, n_trials, rng), listed(Path(folder), kills, n_listed, rng)]
    broken = [promise for each in promises for promise, holds in each.items() if not holds]
    print(f"broken promises: {broken or 'none'}")
    return broken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drive", nargs=2, metavar=("RUN", "TRIALS"))
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--listed", type=int, default=60)
    given = parser.parse_args()
    if given.drive:
        drive(Path(given.drive[0]), int(given.drive[1]))
    else:
        sys.exit(len(soak(given.kills, given.trials, given.listed)))
