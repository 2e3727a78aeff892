"""What a GPU is worth: steps a second and share of the roofline of each family, what recording gains, and a bag in one pass.

python tests/benchmarks/gpu.py [mlp nhits lstm ...] [--steps 300] [--flops 989e12] [--bandwidth 4.8e12]
"""

import argparse
import sys
import time

import numpy as np
import torch

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.base import Learner, Size, build
from ensemble_forecast.learners.deep import recordings, training
from ensemble_forecast.learners.deep.devices import device, reproducible
from ensemble_forecast.learners.deep.footprint import kept_by
from ensemble_forecast.learners.deep.inputs import Windows
from ensemble_forecast.learners.deep.mlp import Mlp
from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.registry import NETS

WANTED = 8.0  # times as fast is a bag in one pass
MEMBERS, BAG_STEPS = 16, 300
CONTEXT, LENGTH, SETTLING = 168, 20_000, 10
TASK = Task(horizon=24, season_length=24)
MOVED = 12  # times 4 bytes that a weight moves in a step: read twice, its gradient, two moments and itself read and written, its average
PASSES = 3  # of multiply-adds: there, and back to inputs and to weights
NEVER = Deadline.never()


def series() -> Panel:
    """A long series with a daily wave."""
    return Panel.of([np.sin(2 * np.pi * np.arange(LENGTH) / 24) + 0.3 * np.random.default_rng(0).normal(size=LENGTH)], freq="h")


def origins() -> Origins:
    """All that have a window and a whole horizon."""
    return Origins.between(np.array([CONTEXT]), np.array([LENGTH - TASK.horizon - 1]))


def a_step_s(learner: NetLearner, panel: Panel, steps: int) -> float:
    """Seconds of a step of the engine, without looks."""
    with reproducible(0):
        given = learner.given(panel, origins(), None, TASK)
        _, loss, net = learner.untrained(panel, given, TASK, device())
        run = training._Training(net.train(), loss, Windows.of(panel, given.fit, given.view, device()), learner, 0)
        for _ in range(SETTLING):
            run.update()
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for _ in range(steps):
            run.update()
        torch.cuda.synchronize()
    return (time.perf_counter() - begun) / steps


def roofline_s(learner: NetLearner, flops: float, bandwidth: float) -> float:
    """Seconds that a step takes at least, by its arithmetic or by the memory it moves, whichever is more; the net alone."""
    size = Size(n_series=1, n_fit=len(origins()), n_scored=0, length=LENGTH)
    shapes = learner.expected_shapes(size, TASK)
    net, *inputs = learner.laid_out(shapes)
    weights = sum(weight.numel() for weight in net.parameters())
    kept_bytes = kept_by(net, *inputs)[0] / 2  # half as large in bfloat16
    arithmetic = 2 * PASSES * learner.batch * learner.multiply_adds(shapes)[0] / flops
    return max(arithmetic, (4 * MOVED * weights + PASSES * kept_bytes) / bandwidth)


def family(name: str, panel: Panel, steps: int, flops: float, bandwidth: float) -> str:
    """Measure one family at its defaults."""
    learner = build({"family": name, "params": {"context": CONTEXT, "steps": 10**6}})
    assert isinstance(learner, NetLearner)
    recorded, bound = a_step_s(learner, panel, steps), recordings.LAUNCH_BOUND
    recordings.LAUNCH_BOUND = 0
    plain = a_step_s(learner, panel, steps)
    recordings.LAUNCH_BOUND = bound
    share = roofline_s(learner, flops, bandwidth) / min(recorded, plain)
    return f"{name}: {1 / plain:.0f} steps/s, recorded {1 / recorded:.0f} ({plain / recorded:.1f} times); {share:.1%} of the roofline"


def bag(panel: Panel) -> tuple[float, float]:
    """Seconds for a bag of small nets one by one, and in one pass."""
    learner = Mlp(context=CONTEXT, steps=BAG_STEPS)
    fits, tasks = [origins()] * MEMBERS, [Task(horizon=24, season_length=24, seed=seed) for seed in range(MEMBERS)]
    Learner.fit_many(learner, panel, fits[:1], None, tasks[:1], NEVER)  # sets libraries up
    begun = time.perf_counter()
    Learner.fit_many(learner, panel, fits, None, tasks, NEVER)
    between = time.perf_counter()
    learner.fit_many(panel, fits, None, tasks, NEVER)
    return between - begun, time.perf_counter() - between


def main(families: list[str], steps: int, flops: float, bandwidth: float) -> int:
    """Print everything; return the number of broken promises."""
    if device().type != "cuda":
        print("no CUDA device: nothing was measured")
        return 0
    panel = series()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, batches of {Mlp().batch}")
    for name in families:
        print(family(name, panel, steps, flops, bandwidth), flush=True)
    alone, together = bag(panel)
    print(f"a bag of {MEMBERS}: {alone:.1f} s one by one, {together:.1f} s in one pass: {alone / together:.1f} times as fast (wanted: {WANTED})")
    return int(alone / together < WANTED)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", default=list(NETS))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--flops", type=float, default=989e12, help="bfloat16 operations a second; the default is an H200's, by its data sheet")
    parser.add_argument("--bandwidth", type=float, default=4.8e12, help="bytes a second of its memory")
    given = parser.parse_args()
    sys.exit(main(given.families, given.steps, given.flops, given.bandwidth))
