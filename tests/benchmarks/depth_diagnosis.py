"""How often the diagnosis of a deep net is right, on cases drawn fresh: vanishing, exploding, no signal, linear signal and healthy, six each.

python tests/benchmarks/depth_diagnosis.py [--seed 0] [--each 6]
"""

import argparse
import sys
import time

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.deep.deep import Deep
from ensemble_forecast.learners.deep.depth_diagnosis import EXPLODING, HEALTHY, LINEAR, NO_SIGNAL, VANISHING
from ensemble_forecast.learners.deep.examination import examine

LENGTH, CUTOFF = 1500, 1000
PROMISED = 27 / 30
TASK = Task(horizon=1)


def series(rng: np.random.Generator, answer: str) -> Panel:
    """Changes that two covariates of the day before announce in a straight line, bent, or not at all."""
    told = rng.normal(size=(LENGTH, 2))
    strength = rng.uniform(1.0, 2.0)
    said = {
        LINEAR: strength * (told[:, 0] + rng.uniform(-1, 1) * told[:, 1]),
        HEALTHY: strength * (told[:, 0] * told[:, 1] if rng.random() < 0.5 else np.abs(told[:, 0]) - 0.8),
    }.get(answer, np.zeros(LENGTH))
    change = np.concatenate([[0.0], said[:-1]]) + rng.normal(size=LENGTH)
    return Panel.of([change.cumsum()], past=[told])


def stack(rng: np.random.Generator, answer: str) -> Deep:
    """A stack that cannot be trained, or one that can."""
    given = {"width": int(rng.choice([16, 32])), "context": 6, "batch": 64, "dropout": 0.0, "learning_rate": 2e-3, "block_layers": 2}
    if answer == VANISHING:
        own = {"skip": "none", "norm": "none", "initialisation": "glorot", "blocks": int(rng.integers(40, 300))}
    elif answer == EXPLODING:
        own = {"skip": "unit", "norm": "none", "initialisation": "he", "blocks": int(rng.integers(60, 300))}
    else:
        own = {"skip": str(rng.choice(["sqrt", "rezero", "skipinit"])), "blocks": int(rng.integers(8, 40)), "steps": int(rng.integers(150, 300))}
    return Deep(**{**given, "steps": 200, **own})


def main(seed: int, each: int) -> int:
    """Print every case; return whether the promise is broken."""
    right = 0
    for answer in (VANISHING, EXPLODING, NO_SIGNAL, LINEAR, HEALTHY):
        for case in range(each):
            rng = np.random.default_rng([seed, case, sum(map(ord, answer))])
            learner, panel, begun = stack(rng, answer), series(rng, answer), time.process_time()
            origins = Origins.between(np.array([CUTOFF]), np.array([LENGTH - 2]))
            found = examine(learner, panel, np.array([CUTOFF]), origins, TASK, Deadline.never())
            right += found.verdict == answer
            mark = "right" if found.verdict == answer else f"WRONG ({answer})"
            print(f"{mark}: {learner.n_layers} layers, skip {learner.skip}, {time.process_time() - begun:.1f} s: {found.sentence}", flush=True)
    print(f"{right} of {5 * each} right (promised: {PROMISED:.0%})")
    return int(right < PROMISED * 5 * each)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=6)
    given = parser.parse_args()
    sys.exit(main(given.seed, given.each))
