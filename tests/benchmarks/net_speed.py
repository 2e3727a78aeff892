"""What the training engine costs beside a bare PyTorch loop for the same net, and what overlapping windows cost in memory.

python tests/benchmarks/net_speed.py [mlp nhits lstm ...] [--steps 400]
"""

import argparse
import copy
import statistics
import subprocess
import sys
import time

import numpy as np
import torch

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.base import build
from ensemble_forecast.learners.deep.corrections import Pinball
from ensemble_forecast.learners.deep.devices import reproducible
from ensemble_forecast.learners.deep.inputs import View, Windows
from ensemble_forecast.learners.deep.shapes import Anchored, Shapes
from ensemble_forecast.learners.deep.training import train
from ensemble_forecast.memory import peak_bytes
from ensemble_forecast.windows import Roles

ALLOWED = 1.15
ROUNDS = 5  # pairs, measured alternately
CONTEXT, HORIZON, LENGTH, BATCH = 168, 24, 20_000, 256
TASK = Task(horizon=HORIZON, season_length=24)
MEMORY_LENGTH, MEMORY_ALLOWED = 60_000, 1.05


def series(length: int) -> Panel:
    """A long series with a daily wave."""
    step = np.arange(length)
    return Panel.of([np.sin(2 * np.pi * step / 24) + 0.3 * np.random.default_rng(0).normal(size=length)], freq="h")


def bare_loop(net: torch.nn.Module, window_NLC: torch.Tensor, extras_NE: torch.Tensor, target_NH: torch.Tensor, steps: int) -> float:
    """Train on ready-made windows as a tutorial would, with the same loss, optimiser and clipping; seconds a step."""
    levels = torch.tensor(TASK.quantiles)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    net.train()
    begun = time.perf_counter()
    for _ in range(steps):
        index = torch.randint(len(window_NLC), (BATCH,))
        error = target_NH[index][..., None] - net(window_NLC[index], extras_NE[index])
        loss = torch.maximum(levels * error, (levels - 1) * error).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
    return (time.perf_counter() - begun) / steps


def engine(net: torch.nn.Module, windows: Windows, recipe: object, steps: int) -> float:
    """Train by the engine; seconds a step."""
    begun = time.perf_counter()
    train(net, Pinball(TASK.quantiles), windows, None, recipe, 0, Deadline.never())
    return (time.perf_counter() - begun) / steps


def ratio(family: str, steps: int) -> tuple[float, float]:
    """Median over pairs of the engine's time over the bare loop's, and the bare loop's milliseconds."""
    learner = build({"family": family, "params": {"steps": steps, "batch": BATCH, "context": CONTEXT}})
    view = View(CONTEXT, 24, HORIZON, np.empty(0), np.empty(0))
    windows = Windows.of(series(LENGTH), Origins.between(np.array([CONTEXT]), np.array([LENGTH - HORIZON - 1])), view, torch.device("cpu"))
    everything = torch.arange(len(windows))
    batch, loss = windows.inputs(everything), Pinball(TASK.quantiles)
    target_NH = loss.target(windows, batch, everything)
    with reproducible(0):
        shapes = Shapes(CONTEXT, 1, windows.n_extras, HORIZON, len(TASK.quantiles))
        net = Anchored(learner.net(shapes), loss.climatology(target_NH))
        pairs = []
        for _ in range(ROUNDS):
            theirs = bare_loop(copy.deepcopy(net), batch.window_BLC, batch.extras_BE, target_NH, steps)
            pairs.append((engine(copy.deepcopy(net), windows, learner, steps) / theirs, 1e3 * theirs))
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def peak_mib(stride: int) -> float:
    """Peak memory of a process that fits on every so many origins of a long series."""
    said = subprocess.run([sys.executable, __file__, "--fit-stride", str(stride)], check=True, capture_output=True, text=True).stdout
    return float(said.split()[-1])


def fit_with_stride(stride: int) -> None:
    """Fit once and print the peak memory of this process in MiB."""
    panel = series(MEMORY_LENGTH)
    steps = np.arange(CONTEXT, MEMORY_LENGTH - HORIZON, stride)
    origins = Origins(np.zeros(len(steps), dtype=int), steps)
    build({"family": "mlp", "params": {"steps": 200, "batch": BATCH, "context": CONTEXT}}).fit(panel, Roles(origins), TASK, Deadline.never())
    print(peak_bytes() / 2**20)


def main(families: list[str], steps: int) -> int:
    """Print everything; return the number of broken promises."""
    broken = 0
    for family in families:
        times, milliseconds = ratio(family, steps)
        broken += times > ALLOWED
        print(f"{family}: a step takes {times:.3f} times as long as in a bare loop ({milliseconds:.2f} ms; allowed: {ALLOWED})", flush=True)
    one, ten = peak_mib(1), peak_mib(10)
    broken += one > MEMORY_ALLOWED * ten
    print(f"peak memory with every origin {one:.0f} MiB, with every tenth {ten:.0f} MiB: {one / ten:.3f} (allowed: {MEMORY_ALLOWED})")
    return broken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", default=["mlp", "nhits", "tcn", "lstm"])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--fit-stride", type=int)
    given = parser.parse_args()
    if given.fit_stride:
        fit_with_stride(given.fit_stride)
    else:
        sys.exit(main(given.families, given.steps))
