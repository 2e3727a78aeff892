"""Print whether the verdict finds skill that is there, and none where there is none.

Wanted: on 20 random walks "evidence of skill" at most once; on 20 series whose changes follow an autoregression of 0.156 (55 % of the directions at
horizon 1) weak evidence or better at least 17 times; of 500 searches for the best of 200 coins over 365 days at most 8 % with p < 0.05 (superior
ability). Both kinds of series have 4,000 steps, of which 2,000 are the test. About 10 s a study: ``verdict_power.py [studies] [first seed]``.
"""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.evaluate.resampling import block_length, stationary_indices
from ensemble_forecast.evaluate.superiority import superiority
from ensemble_forecast.judging import run_evaluate
from ensemble_forecast.pipeline import check
from ensemble_forecast.study import FRAME, open_study, silent
from ensemble_forecast.workflow import run_search, run_stack

STEPS, TEST_SHARE, MEMORY = 4000, 0.5, 0.156
STACK_S = 60.0
TRIALS = [
    *({"family": "ridge", "params": {"context": context, "transform": "log", "base": "centre"}} for context in (5, 20, 60)),
    {"family": "ridge", "params": {"context": 5, "scale": "series", "transform": "log", "base": "centre"}},
    *({"family": "xgboost", "params": {"rounds": rounds, "depth": 2, "transform": "log"}} for rounds in (20, 60)),
    {"family": "xgboost", "params": {"rounds": 40, "depth": 3, "learning_rate": 0.05, "transform": "log"}},
]


def prices(seed: int, memory: float) -> pd.DataFrame:
    """Make daily prices whose log changes are an autoregression of first order."""
    change_T = np.random.default_rng([seed, int(1000 * memory)]).normal(size=STEPS)
    for step in range(1, STEPS):
        change_T[step] += memory * change_T[step - 1]
    return pd.DataFrame({"unique_id": "made", "ds": pd.date_range("2010-01-01", periods=STEPS), "y": 100 * np.exp(0.01 * np.cumsum(change_T))})


def judged(seed: int, memory: float) -> dict:
    """Run a whole study on made prices."""
    settings = {"source": FRAME, "horizon": 1, "season": 1, "transform": "log", "test": TEST_SHARE, "budget": "60s", "seed": seed, "backtest": True}
    with tempfile.TemporaryDirectory() as folder:
        study = open_study("made", Path(folder), check(settings | {"trials": tuple(TRIALS)}, "benchmark"), frame=prices(seed, memory), log=silent)
        run_search(study, workers=1, device="cpu")
        run_stack(study, Deadline.after(STACK_S), workers=1, device="cpu")
        return run_evaluate(study)


def coins(repeats: int = 500) -> float:
    """Share of searches among coins in which the best is taken for skill."""
    p_values = []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        loss_TM, benchmark_T = rng.integers(0, 2, (365, 200)).astype(float), np.full(365, 0.5)
        index_RT = stationary_indices(365, block_length(benchmark_T[:, None] - loss_TM, 1), rng)
        p_values.append(superiority(benchmark_T, loss_TM, index_RT).spa)
    return float((np.array(p_values) < 0.05).mean())


def main() -> None:
    """Print the three figures, and a line a study."""
    n_studies, first = (int(given) for given in (*sys.argv[1:3], "20", "0")[:2]) if len(sys.argv) != 2 else (int(sys.argv[1]), 0)
    begun = time.monotonic()
    print(f"best of 200 coins over 365 days: p < 0.05 in {coins():.1%} of 500 searches ({time.monotonic() - begun:.0f} s; wanted: at most 8 %)")
    for name, memory in (("random walk", 0.0), (f"autoregression of {MEMORY}", MEMORY)):
        grades: Counter[str] = Counter()
        for seed in range(first, first + n_studies):
            begun = time.monotonic()
            verdict = judged(seed, memory)
            grades[verdict["verdict"]] += 1
            p_values = ", ".join(f"{test} {p_value:.3f}" for test, p_value in verdict["p_values"].items())
            hits = verdict["directions"]["hit_rate"]
            print(f"{name} {seed}: {verdict['verdict']} ({p_values}), {hits:.1%} right, {time.monotonic() - begun:.0f} s", flush=True)
        print(f"{name}: {dict(grades)} of {n_studies}", flush=True)


if __name__ == "__main__":
    main()
