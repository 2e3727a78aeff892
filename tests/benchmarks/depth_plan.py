"""How far the planner's forecasts of memory and time are off, each in a process of its own, on configurations drawn fresh.

python tests/benchmarks/depth_plan.py [--seed 0] [--cases 10]
"""

import argparse
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
from ensemble_forecast.learners.deep.deep import Deep
from ensemble_forecast.learners.deep.inputs import n_extras
from ensemble_forecast.learners.deep.planner import peak_bytes, step_seconds
from ensemble_forecast.learners.deep.shapes import Shapes
from ensemble_forecast.windows import Roles

MEMORY_ALLOWED, TIME_ALLOWED = 0.2, 0.4
CONTEXT, LENGTH, STEPS = 16, 2000, 10
TASK = Task(horizon=1)


def drawn(rng: np.random.Generator) -> dict[str, object]:
    """Fields of a deep net."""
    kinds = {"dense_blocks": 20, "gated_blocks": 40, "fractal_blocks": 10, "attention_blocks": 20, "expert_blocks": 20}
    own = {field: int(rng.integers(1, most)) for field, most in kinds.items() if rng.random() < 0.25}
    return {
        "width": int(rng.choice([32, 64, 128])),
        "blocks": int(rng.integers(20, 500)),
        "block_layers": int(rng.choice([2, 4])),
        "batch": int(rng.choice([64, 128, 256])),
        "keeps": str(rng.choice(["all", "segments", "ends"])),
        "norm": str(rng.choice(["layer", "batch", "none"])),
        "dropout": float(rng.choice([0.0, 0.1])),
        **own,
    }


def one(fields: dict[str, object]) -> None:
    """Forecast, train, and print both as JSON."""
    learner = Deep(**{"context": CONTEXT, "steps": STEPS, "ema": 0.9, "learning_rate": 1e-4, **fields})
    panel = Panel.of([np.random.default_rng(0).normal(size=LENGTH).cumsum()])
    shapes = Shapes(CONTEXT, 1, n_extras(1, 0, 0), 1, len(TASK.quantiles))
    told_bytes, told_s = peak_bytes(learner, shapes), step_seconds(learner, shapes)
    roles = Roles(Origins.between(np.array([CONTEXT]), np.array([LENGTH - 2])))
    begun = time.process_time()
    learner.fit(panel, roles, TASK, Deadline.never())
    short, peak = time.process_time() - begun, memory.peak_bytes()
    begun = time.process_time()
    replace(learner, steps=3 * STEPS).fit(panel, roles, TASK, Deadline.never())
    long = time.process_time() - begun
    print(json.dumps({"bytes": [told_bytes, peak], "seconds": [told_s, (long - short) / (2 * STEPS)]}))


def main(seed: int, cases: int) -> int:
    """Print every case; return the number of broken promises."""
    rng, broken = np.random.default_rng(seed), 0
    for _ in range(cases):
        fields = drawn(rng)
        said = subprocess.run([sys.executable, __file__, "--one", json.dumps(fields)], check=True, capture_output=True, text=True).stdout
        answer = json.loads(said)
        (told_bytes, peak), (told_s, took_s) = answer["bytes"], answer["seconds"]
        off = told_bytes / peak - 1, told_s / took_s - 1
        broken += (abs(off[0]) > MEMORY_ALLOWED) + (abs(off[1]) > TIME_ALLOWED)
        print(
            f"memory {told_bytes / 2**20:.0f} MiB told, {peak / 2**20:.0f} needed ({off[0]:+.0%}); a step {told_s:.3f} s told, {took_s:.3f} taken"
            f" ({off[1]:+.0%}): {fields}",
            flush=True,
        )
    print(f"{broken} forecasts beyond {MEMORY_ALLOWED:.0%} of memory or {TIME_ALLOWED:.0%} of time")
    return broken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=10)
    parser.add_argument("--one")
    given = parser.parse_args()
    if given.one:
        one(json.loads(given.one))
    else:
        sys.exit(main(given.seed, given.cases))
