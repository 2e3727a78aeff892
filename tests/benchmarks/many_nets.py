"""What it saves to train the members of a bag of tiny nets in one pass.

python tests/benchmarks/many_nets.py
"""

import statistics
import sys
import time

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.base import Learner
from ensemble_forecast.learners.deep.mlp import Mlp
from ensemble_forecast.threads import one_thread

WANTED = 4.0
MEMBERS, LENGTH, STEPS, ROUNDS = 64, 600, 100, 3
NEVER = Deadline.never()


@one_thread
def main() -> int:
    """Print a line for each batch size; return 1 where the usual one is not worth it."""
    panel = Panel.of([np.sin(np.arange(LENGTH) / 4) + 0.1 * np.random.default_rng(0).normal(size=LENGTH)])
    origins, tasks = Origins.between(np.array([30]), np.array([LENGTH - 10])), [Task(horizon=6, seed=seed) for seed in range(MEMBERS)]
    fits = [origins] * MEMBERS
    faster = {}
    for batch in (32, 64, 256):
        learner = Mlp(width=16, blocks=0, context=24, batch=batch, dropout=0.0, steps=STEPS)
        pairs = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            Learner.fit_many(learner, panel, fits, None, tasks, NEVER)
            between = time.perf_counter()
            learner.fit_many(panel, fits, None, tasks, NEVER)
            pairs.append((between - begun, time.perf_counter() - between))
        faster[batch] = statistics.median(alone / together for alone, together in pairs)
        print(
            f"{MEMBERS} nets of 16 units, batches of {batch}: {faster[batch]:.1f} times faster in one pass"
            f" ({pairs[0][0]:.1f} s one by one; wanted: {WANTED})",
            flush=True,
        )
    return int(faster[64] < WANTED)


if __name__ == "__main__":
    sys.exit(main())
