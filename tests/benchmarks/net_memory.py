"""What nets said their training would take, beside what it took: each is trained for a few steps in a process of its own.

python tests/benchmarks/net_memory.py [--draws 2] [--seed 0] [--least 100]

Configurations are drawn from the shipped spaces; such as would take less than so many MiB are left out, since what torch itself needs would hide
it. A search does not begin what would not fit, so a forecast far above 1 keeps out what would have fitted.
"""

import argparse
import json
import subprocess
import sys

import numpy as np
import optuna

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.base import Config, Size, build
from ensemble_forecast.memory import peak_bytes
from ensemble_forecast.registry import NETS
from ensemble_forecast.search.space import config_of
from ensemble_forecast.search.spaces import load_space
from ensemble_forecast.windows import roles_until

SPACES = ("default", "wide", "ultimate-2000")
TASK = Task(horizon=24, season_length=24)
LENGTH, STEPS = 4000, 12
SIZE = Size(n_series=1, n_fit=2000, n_scored=0, length=LENGTH)


def drawn(draws: int, seed: int, least_mib: float) -> list[tuple[Config, float]]:
    """Draw configurations of nets from the spaces, with the MiB that each is to take."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler, found = optuna.samplers.RandomSampler(seed=seed), []
    for space in (load_space(name).serving(TASK.kind) for name in SPACES):
        for family in sorted(set(space.families) & set(NETS)):
            for _ in range(draws):
                params = space.draw(family, optuna.create_study(sampler=sampler).ask())
                config = config_of(family, params | {"steps": STEPS, "epochs": 0, "learning_rate": 1e-4})
                mib = build(config).memory(SIZE, TASK) / 2**20
                found += [(config, mib)] if mib >= least_mib else []
    return found


def trained(config: Config) -> None:
    """Print the MiB by which training a net raised the peak of this process; a small net sets the library up before."""
    panel = Panel.of([np.random.default_rng(0).standard_normal(LENGTH).cumsum()], freq="h")
    roles = roles_until(panel, TASK, np.array([LENGTH - 1]))
    build({"family": "mlp", "params": {"steps": 2, "batch": 4, "learning_rate": 1e-4}}).fit(panel, roles, TASK, Deadline.never())
    before = peak_bytes()
    build(config).fit(panel, roles, TASK, Deadline.never())
    print((peak_bytes() - before) / 2**20)


def main(draws: int, seed: int, least_mib: float) -> None:
    """Print a line for each, and at the end how far forecasts lay off."""
    ratios = []
    for config, mib in drawn(draws, seed, least_mib):
        said = subprocess.run([sys.executable, __file__, "--train", json.dumps(config)], check=True, capture_output=True, text=True).stdout
        taken = float(said.split()[-1])
        ratios.append(mib / taken)
        print(f"{config['family']}: {taken:.0f} MiB, forecast {mib:.0f} ({ratios[-1]:.2f})", flush=True)
    low, middle, high = np.quantile(ratios, (0.0, 0.5, 1.0))
    print(f"{len(ratios)} nets: forecasts are {low:.2f} to {high:.2f} of what was taken, half of them below {middle:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=json.loads)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--least", type=float, default=100.0)
    given = parser.parse_args()
    if given.train:
        trained(given.train)
    else:
        main(given.draws, given.seed, given.least)
