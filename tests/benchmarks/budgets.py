"""Time budgets kept: seconds of ``fit`` over its budget, and what a ``fit`` that is killed early leaves behind.

python tests/benchmarks/budgets.py [10 30 60] [--series 300]
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

import ensemble_forecast as ef
from ensemble_forecast.data.synthetic import monthly_panel

ALLOWED = 1.05  # of the budget
HORIZON, SEASON, KILLED_BUDGET_S = 12, 12, 60
EARLY_S, EARLY_SHARE = 5.0, 0.05
BEGUN = "fit begins"


def panel(n_series: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make a panel; return its history and the last horizon of every series."""
    frame = monthly_panel(n_series, seed=1)
    from_end = frame.groupby("unique_id", sort=False).cumcount(ascending=False)
    return frame[from_end >= HORIZON].reset_index(drop=True), frame[from_end < HORIZON].reset_index(drop=True)


def fit(runs: str, budget: str, n_series: int) -> None:
    """Fit once, in this process, and print how long it took."""
    history, _ = panel(n_series)
    model = ef.EnsembleForecaster(HORIZON, budget=budget, runs=runs, name="budgets")
    print(BEGUN, flush=True)
    begun = time.monotonic()
    model.fit(history)
    print(f"seconds {time.monotonic() - begun:.2f}", flush=True)


def command(*arguments: object) -> list[str]:
    """Write the command that runs `fit` in a process of its own."""
    return [sys.executable, __file__, "--fit", *map(str, arguments)]


def fit_seconds(budget_s: int, n_series: int) -> float:
    """Measure one fit."""
    with tempfile.TemporaryDirectory() as runs:
        said = subprocess.run(command(runs, f"{budget_s}s", n_series), check=True, capture_output=True, text=True).stdout
    return float(said.split()[-1])


def import_seconds() -> float:
    """Measure what a worker imports: the better of two, the first one may read from disk."""

    def once() -> float:
        begun = time.monotonic()
        subprocess.run([sys.executable, "-c", "import ensemble_forecast.search.worker, ensemble_forecast.search.trial"], check=True)
        return time.monotonic() - begun

    return min(once(), once())


def score(forecast: pd.DataFrame, column: str, truth: pd.DataFrame, history: pd.DataFrame) -> float:
    """Mean absolute error over the in-sample seasonal change, averaged over the series that change at all."""
    scale = history.groupby("unique_id")["y"].apply(lambda y: np.abs(y.to_numpy()[SEASON:] - y.to_numpy()[:-SEASON]).mean())
    both = truth.merge(forecast, on=["unique_id", "ds"], validate="1:1")
    error = (both["y"] - both[column]).abs().groupby(both["unique_id"]).mean()
    return float((error / scale[scale > 0]).dropna().mean())


def killed(n_series: int) -> tuple[bool, str]:
    """Kill a fit early; return whether an ensemble better than the seasonal naive is left, and what was found."""
    history, truth = panel(n_series)
    naive = truth.assign(naive=history.groupby("unique_id", sort=False)["y"].tail(SEASON).to_numpy())[["unique_id", "ds", "naive"]]
    pause_s = max(EARLY_SHARE * KILLED_BUDGET_S, EARLY_S) + import_seconds()
    with tempfile.TemporaryDirectory() as runs:
        process = subprocess.Popen(command(runs, f"{KILLED_BUDGET_S}s", n_series), start_new_session=True, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline().strip() == BEGUN
        time.sleep(pause_s)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        folder = Path(runs) / "budgets" / "ensemble"
        if not folder.exists():
            return False, f"killed after {pause_s:.1f} s: no ensemble is left"
        model = ef.load(folder)
        ours = score(model.predict(history), "0.5", truth, history)
        theirs = score(naive, "naive", truth, history)
        members = [member["id"] for member in model.manifest_["members"]]
    return ours < theirs, f"killed after {pause_s:.1f} s: MASE {ours:.3f} against {theirs:.3f} of the seasonal naive; members {', '.join(members)}"


def main(budgets_s: list[int], n_series: int) -> int:
    """Print everything; return the number of broken promises."""
    broken = 0
    for budget_s in budgets_s:
        seconds = fit_seconds(budget_s, n_series)
        broken += seconds > ALLOWED * budget_s
        print(f"budget {budget_s} s: fit took {seconds:.1f} s, {seconds / budget_s:.3f} of it (allowed: {ALLOWED})", flush=True)
    holds, found = killed(n_series)
    print(found)
    return broken + (not holds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("budgets", nargs="*", type=int, default=[10, 30, 60])
    parser.add_argument("--series", type=int, default=300)
    parser.add_argument("--fit", nargs=3, metavar=("RUNS", "BUDGET", "SERIES"))
    given = parser.parse_args()
    if given.fit:
        fit(given.fit[0], given.fit[1], int(given.fit[2]))
    else:
        sys.exit(main(given.budgets, given.series))
