"""Whether the presets of very deep nets do what they are for: a hundred steps of every entry of their portfolios, each in a process of its own.

python tests/benchmarks/depth_presets.py

Those that can be trained must lower their training loss, `ultimate-2000` in less than 1 GiB. Plain stacks, and the recipe that goes round for 2000
passes at a rate of 1e-5, must run; their diagnosis is printed.
"""

import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np

from ensemble_forecast import memory
from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.base import build, training_of
from ensemble_forecast.learners.deep.examination import examine
from ensemble_forecast.search.space import config_of
from ensemble_forecast.search.spaces import load_space
from ensemble_forecast.windows import Roles

PRESETS = ("dense-75", "dense-800", "dense-1000", "ultimate-2000")
STEPS, CONTEXT, LENGTH, CUTOFF = 100, 16, 1500, 1200
MOST_MIB = {"ultimate-2000": 1024}
TASK = Task(horizon=1, kind="direction")


def rises() -> Panel:
    """Changes that two covariates of the day before announce."""
    rng = np.random.default_rng(0)
    told = rng.normal(size=(LENGTH, 2))
    change = np.concatenate([[0.0], (told[:, 0] + told[:, 0] * told[:, 1])[:-1]]) + 0.5 * rng.normal(size=LENGTH)
    return Panel.of([change.cumsum()], past=[told])


def one(preset: str, rank: int) -> None:
    """Train an entry, and print as JSON how its training loss went, its memory, and of a plain one the diagnosis."""
    learner = build(config_of("deep", load_space(preset).portfolio("deep")[rank]))
    plain = learner.skip == "none" or learner.epochs > 0
    learner = replace(learner, steps=STEPS, epochs=0, context=CONTEXT)
    panel, cutoff_S = rises(), np.array([CUTOFF])
    begun = time.process_time()
    fitted = learner.fit(panel, Roles(Origins.between(np.array([CONTEXT]), cutoff_S - 2)), TASK, Deadline.never())
    curve, _ = training_of(fitted)
    told = {"seconds": time.process_time() - begun, "losses": [point[1] for point in curve], "mib": memory.peak_bytes() / 2**20}
    if plain:
        late = Origins.between(cutoff_S, np.array([LENGTH - 2]))
        told["diagnosis"] = examine(learner, panel, cutoff_S, late, TASK, Deadline.never(), with_data=False).sentence
    print(json.dumps(told))


def main() -> int:
    """Print a line for every entry; return the number of broken promises."""
    broken = 0
    for preset in PRESETS:
        for rank, params in enumerate(load_space(preset).portfolio("deep")):
            said = subprocess.run([sys.executable, __file__, preset, str(rank)], check=True, capture_output=True, text=True).stdout
            told = json.loads(said)
            first, last = told["losses"][0], told["losses"][-1]
            fails = told["mib"] > MOST_MIB.get(preset, np.inf) or ("diagnosis" not in told and not last < first)
            broken += fails
            went = f"training loss {first:.4f} to {last:.4f} in {STEPS} steps, {told['seconds']:.0f} s, {told['mib']:.0f} MiB."
            print(f"{'BROKEN: ' * fails}{preset} {rank + 1}, skip {params.get('skip', 'sqrt')}: {went} {told.get('diagnosis', '')}", flush=True)
    return broken


if __name__ == "__main__":
    sys.exit(main() if len(sys.argv) == 1 else one(sys.argv[1], int(sys.argv[2])))
