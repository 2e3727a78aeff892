"""Ten thousand series: how the cost of candidates grows, what a fit takes in time and memory, how fast unseen series are answered.

python tests/benchmarks/many_series.py [--budget 300] [--series 10000] [--only growth|fit|unseen]

Wanted: a cost that grows no faster than series^1.05, a 300 s fit below 6 GiB for all processes together and better than the seasonal naive, and
359 weekly series under new ids forecast in under 5 s.
"""

import argparse
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import psutil

from ensemble_forecast import EnsembleForecaster
from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.frames import to_panel
from ensemble_forecast.data.origins import Origins, truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.synthetic import monthly_panel, monthly_values
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.learners.base import Config
from ensemble_forecast.learners.statistical.naive import SeasonalNaive
from ensemble_forecast.metrics import mase, sql
from ensemble_forecast.search.trial import Outcome, Stages, run_trial
from ensemble_forecast.windows import roles_until

HORIZON, SEASON, WEEKS_AHEAD = 12, 12, 13
SMALL = 1000
CANDIDATES: dict[str, Config] = {
    "naive": {"family": "naive", "params": {}},
    "seasonal_naive": {"family": "seasonal_naive", "params": {}},
    "drift": {"family": "drift", "params": {}},
    "theta": {"family": "theta", "params": {}},
    "ets": {"family": "ets", "params": {"model": "mean"}},
    "ridge, last": {"family": "ridge", "params": {"centre": "last", "base": "seasonal_naive", "scale": "series"}},
    "ridge, season": {"family": "ridge", "params": {"centre": "season", "base": "centre", "scale": "std"}},
    "log ridge": {"family": "transformed", "params": {"transform": "log", "member": {"family": "ridge", "params": {}}}},
    "xgboost": {"family": "xgboost", "params": {"rounds": 100}},
    "extra_trees": {"family": "extra_trees", "params": {"trees": 20}},
    "mlp": {"family": "mlp", "params": {"steps": 200}},
}


def processor_seconds(work: Callable[[], object]) -> float:
    """Processor seconds that a call takes in this process; other processes do not disturb them much."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def costs(n_series: int) -> Iterator[tuple[str, float]]:
    """Yield the processor seconds of the door with the cutting of the folds, and of every candidate on them."""
    frame, held = monthly_panel(n_series), []

    def cut() -> None:
        stages = Stages(to_panel(frame, Columns()), Task(horizon=HORIZON, season_length=SEASON), {"test": 0.0, "n_windows": None})
        held.append(stages)
        for window in range(len(stages.plan.folds)):
            _ = stages[window]

    yield "door and folds", processor_seconds(cut)
    for name, config in CANDIDATES.items():
        yield name, processor_seconds(lambda: run_trial(config, held[0], "sql", Deadline.never(), [], Outcome()))  # noqa: B023


def growth(n_series: int) -> None:
    """Print the exponent with which costs grow; importing libraries is paid by a first round that does not count."""
    dict(costs(60))
    small, large = dict(costs(SMALL)), {}
    print(f"{'processor seconds':18s} {SMALL:>8d} {n_series:>8d}  exponent", flush=True)
    for name, high in costs(n_series):
        large[name] = high
        _print_growth(name, small[name], high, n_series)
    _print_growth("all together", sum(small.values()), sum(large.values()), n_series)


def _print_growth(name: str, low: float, high: float, n_series: int) -> None:
    """Print one line of `growth`."""
    print(f"{name:18s} {low:8.2f} {high:8.2f} {math.log(high / low) / math.log(n_series / SMALL):9.2f}", flush=True)


class Memory:
    """Largest memory of this process and its children together while a block runs, each shared page counted once, in MiB."""

    def __enter__(self) -> "Memory":
        self.peak_mib, self._done = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.25):
            own = psutil.Process()
            sizes = [_proportional_mib(process) for process in (own, *own.children(recursive=True))]
            if sum(sizes) > self.peak_mib:
                self.peak_mib, self.parts_mib = sum(sizes), sizes


def _proportional_mib(process: psutil.Process) -> float:
    """Proportional set size; nothing for a process that has just ended."""
    try:
        return float(process.memory_full_info().pss) / 2**20
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0


def fit(n_series: int, budget_s: float) -> None:
    """Fit on all but the last horizon and score that one."""
    frame = monthly_panel(n_series)
    panel = to_panel(frame, Columns())
    origins = Origins(np.arange(n_series), panel.ends_S - HORIZON)
    seen = frame[frame["ds"] < frame["ds"].max() - pd.DateOffset(months=HORIZON - 1)]
    model = EnsembleForecaster(horizon=HORIZON, budget=budget_s)
    with Memory() as memory:
        begun = time.perf_counter()
        model.fit(seen)
        fitted_s = time.perf_counter() - begun
    parts = " + ".join(f"{mib:.0f}" for mib in memory.parts_mib)
    print(f"fit of {n_series} series with a budget of {budget_s:.0f} s: {fitted_s:.1f} s, at most {memory.peak_mib:.0f} MiB ({parts})", flush=True)
    print(model.leaderboard_.head(12)[["rank", "id", "family", "value", "seconds"]].to_string(index=False), flush=True)
    begun = time.perf_counter()
    forecast = model.predict()
    print(f"predict: {time.perf_counter() - begun:.1f} s", flush=True)
    levels = tuple(model.quantiles)
    ours_NHQ = forecast[[f"{level:g}" for level in levels]].to_numpy().reshape(n_series, HORIZON, -1)
    naive_NHQ = _seasonal_naive(panel.cut(origins.step), origins, levels)
    truth_NH, scale_N = truth(panel, origins, HORIZON), scale_at(panel, origins, SEASON)
    for metric in (sql, mase):
        ours, naive = metric(truth_NH, ours_NHQ, scale_N, levels), metric(truth_NH, naive_NHQ, scale_N, levels)
        print(f"{metric.__name__}: {ours:.4f}, seasonal naive {naive:.4f}, ratio {ours / naive:.3f}", flush=True)


def _seasonal_naive(panel: Panel, origins: Origins, levels: tuple[float, ...]) -> np.ndarray:
    """Forecast of the yardstick, with the quantiles of its past errors."""
    task = Task(horizon=HORIZON, season_length=SEASON, quantiles=levels)
    roles = roles_until(panel, task, panel.ends_S, with_stop=False)
    return SeasonalNaive().fit(panel, roles, task, Deadline.never()).predict(panel, origins, Deadline.never())


def weekly_panel(prefix: str, seed: int) -> pd.DataFrame:
    """Make 359 weekly series of 80 to 2600 steps."""
    lengths_S = np.linspace(80, 2600, 359).astype(int)
    values_SL = monthly_values(len(lengths_S), int(lengths_S.max()), seed)
    parts: list[dict[str, Any]] = [
        {"unique_id": f"{prefix}{i}", "ds": pd.date_range("1970-01-04", periods=size, freq="W"), "y": values_SL[i, -size:]}
        for i, size in enumerate(lengths_S)
    ]
    return pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)


def unseen(budget_s: float) -> None:
    """Fit on weekly series and forecast others, under ids the model never saw."""
    model = EnsembleForecaster(horizon=WEEKS_AHEAD, budget=budget_s).fit(weekly_panel("W", 0))
    other = weekly_panel("new ", 1)
    begun = time.perf_counter()
    table = model.predict(other)
    seconds = time.perf_counter() - begun
    members = ", ".join(f"{member['id']} {member['weight']:.2f}" for member in model.manifest_["members"])
    print(f"predict of {table['unique_id'].nunique()} unseen weekly series of {len(other)} steps: {seconds:.2f} s, by {members}")


def main() -> None:
    """Do what was asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=300.0, help="seconds of the fit")
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--only", choices=("growth", "fit", "unseen"))
    given = parser.parse_args()
    if given.only in (None, "growth"):
        growth(given.series)
    if given.only in (None, "fit"):
        fit(given.series, given.budget)
    if given.only in (None, "unseen"):
        unseen(min(given.budget, 60.0))


if __name__ == "__main__":
    main()
