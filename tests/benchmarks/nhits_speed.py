"""How long the fit of an N-HiTS takes beside NeuralForecast's: same blocks, widths, pooling, quantiles, batch, steps, data and one thread each.

Both with products in float32, and in bfloat16: ours as the spaces have it (``precision``), theirs as Lightning has it ("bf16-mixed").

python -m pip install neuralforecast      # not one of the project's own extras: it brings Lightning and Ray
python tests/benchmarks/nhits_speed.py [--steps 200]
"""

import argparse
import logging
import statistics
import sys
import time

import numpy as np
import pandas as pd
import torch
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MQLoss
from neuralforecast.models import NHITS

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.base import build
from ensemble_forecast.windows import Roles

WANTED = {512: 1.5, 64: 3.0}  # times faster, by width; 512 is NeuralForecast's default
ROUNDS = 3  # measured alternately
SERIES, LENGTH, CONTEXT, HORIZON, SEASON = 100, 1000, 168, 48, 24
BATCH, HIDDEN, POOLS = 1024, 4, (4, 2, 1)  # NeuralForecast's windows in a batch, its linear maps before a block's last, and the steps pooled
TASK = Task(horizon=HORIZON, season_length=SEASON)


def values() -> list[np.ndarray]:
    """Hourly series with a daily wave."""
    rng, step = np.random.default_rng(0), np.arange(LENGTH)
    return [np.sin(2 * np.pi * (step + rng.integers(SEASON)) / SEASON) + 0.3 * rng.normal(size=LENGTH) for _ in range(SERIES)]


def ours(panel: Panel, width: int, steps: int, precision: str) -> float:
    """Fit our own; seconds."""
    size = {"stacks": len(POOLS), "pooling": POOLS[0], "layers": HIDDEN, "width": width, "dropout": 0.0}
    learner = build({"family": "nhits", "params": size | {"steps": steps, "batch": BATCH, "context": CONTEXT, "precision": precision}})
    first, last = np.full(SERIES, CONTEXT), np.full(SERIES, LENGTH - HORIZON - 1)
    begun = time.perf_counter()
    learner.fit(panel, Roles(Origins.between(first, last)), TASK, Deadline.never())
    return time.perf_counter() - begun


def theirs(frame: pd.DataFrame, width: int, steps: int, precision: str) -> float:
    """Fit NeuralForecast's; seconds."""
    model = NHITS(
        h=HORIZON,
        input_size=CONTEXT,
        loss=MQLoss(quantiles=list(TASK.quantiles)),
        mlp_units=[[width, width]] * (HIDDEN - 1),
        n_pool_kernel_size=list(POOLS),
        n_freq_downsample=list(POOLS),
        max_steps=steps,
        windows_batch_size=BATCH,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        logger=False,
        precision=precision,
    )
    torch.set_num_threads(1)
    begun = time.perf_counter()
    NeuralForecast(models=[model], freq="h").fit(df=frame)
    return time.perf_counter() - begun


def main(steps: int) -> int:
    """Print a line for each width and precision; return the number of broken promises: ours as the spaces have it beside theirs as it comes."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    series, broken = values(), 0
    panel = Panel.of(series, freq="h")
    stamps = pd.date_range("2020-01-01", periods=LENGTH, freq="h")
    frame = pd.concat([pd.DataFrame({"unique_id": f"s{place}", "ds": stamps, "y": y}) for place, y in enumerate(series)], ignore_index=True)
    for width, wanted in WANTED.items():
        rounds = [
            {"theirs": theirs(frame, width, steps, "32-true"), "ours": ours(panel, width, steps, "float32"),
             "theirs halved": theirs(frame, width, steps, "bf16-mixed"), "ours halved": ours(panel, width, steps, "bfloat16")}
            for _ in range(ROUNDS)
        ]  # fmt: skip
        seconds = {who: statistics.median(one[who] for one in rounds) for who in rounds[0]}
        print(f"width {width}, {steps} steps of {BATCH} windows, seconds: " + ", ".join(f"{who} {taken:.1f}" for who, taken in seconds.items()))
        for slow, fast in (("theirs", "ours"), ("theirs halved", "ours halved"), ("theirs", "ours halved")):
            faster = statistics.median(one[slow] / one[fast] for one in rounds)
            print(f"  {fast} is {faster:.2f} times faster than {slow}", flush=True)
        print(f"  wanted of the last one: {wanted}")
        broken += faster < wanted
    return broken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    sys.exit(main(parser.parse_args().steps))
