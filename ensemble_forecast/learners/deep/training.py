"""The one training loop of all nets, to be read from top to bottom.

Lengths are steps, never seconds: the same seed gives the same bytes, and a deadline only truncates. Prediction weights are the exponential
moving average (EMA) of the trained ones; the stop role, where there is one, picks the best of a few snapshots.
"""

import contextlib
import copy
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, Diverged
from ensemble_forecast.learners.deep.inputs import Windows

WARM_UP = 0.05  # share of the steps in which the learning rate rises
GRADIENT_NORM = 1.0
EMA_DECAY = 0.998
PATIENCE = 4  # stop when the best snapshot is so many times shorter than the training by now
LEAST_SHARE = 1 / 4  # of the steps is always trained: a loss may rise before it falls
FIRST_POINT = 1 / 32  # share of the steps before the first evaluation
EVALUATED_ROWS = 512
EXPLODED = 1e3  # mean loss in window units (nats for direction), where climatology has about 1

Objective = Callable[[torch.nn.Module, Windows, torch.Tensor], torch.Tensor]  # mean loss of the origins at some positions


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How long and how fast to train."""

    steps: int
    batch: int
    learning_rate: float
    weight_decay: float


@dataclass(frozen=True)
class Trained:
    """Prediction weights, the steps they took, and whether a deadline cut them short."""

    weights: dict[str, np.ndarray]
    steps: int
    truncated: bool


def train(net: torch.nn.Module, objective: Objective, fit: Windows, stop: Windows | None, recipe: Recipe, seed: int, deadline: Deadline) -> Trained:
    """Train a net by AdamW with warm-up, cosine decay, gradient clipping and weight averaging.

    Parameters
    ----------
    net
        On the device of the windows; its weights are changed. Dropout draws from torch's global stream: call within `reproducible`.
    fit, stop
        Origins to learn from, and to pick the best length on; with ``stop=None`` exactly ``recipe.steps`` steps are made.

    Raises
    ------
    Diverged
        When the loss is not finite, or a thousand times what climatology would cost.

    References
    ----------
    Loshchilov and Hutter (2019), Decoupled weight decay regularization, arXiv:1711.05101.
    """
    optimiser = torch.optim.AdamW(_parameter_groups(net, recipe.weight_decay), lr=recipe.learning_rate, fused=True)
    average = copy.deepcopy(net).eval()
    points = evaluation_points(recipe.steps)
    batches = shuffled_batches(len(fit), recipe.batch, torch.Generator(fit.place).manual_seed(seed))
    summed = torch.zeros((), device=fit.place)
    best_loss, best_steps, best = math.inf, 0, _arrays(average)
    step, truncated = 0, False
    net.train()
    while step < recipe.steps and not truncated:
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * rate_factor(step, recipe.steps)
        with torch.autocast("cuda", torch.bfloat16, enabled=fit.place.type == "cuda"):
            loss = objective(net, fit, next(batches))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), GRADIENT_NORM)
        optimiser.step()
        summed += loss.detach()
        update_average(average, net, step)
        step += 1
        truncated = step < recipe.steps and deadline.passed()
        if step in points or truncated:
            _check_loss(float(summed) / step, step, recipe)
            stop_loss = -float(step) if stop is None else evaluate(average, objective, stop)  # without a stop role, the longest is the best
            if stop_loss < best_loss:
                best_loss, best_steps, best = stop_loss, step, _arrays(average)
            if step >= max(PATIENCE * best_steps, LEAST_SHARE * recipe.steps):
                break
    return Trained(best, best_steps, truncated)


def rate_factor(step: int, steps: int) -> float:
    """Learning rate at a step, as a share of its peak: a linear rise over the first 5 % of the steps, then half a cosine down to zero."""
    rising = max(1.0, WARM_UP * steps)
    if step + 1 < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step + 1 - rising) / (steps + 1 - rising)))


def evaluation_points(steps: int) -> set[int]:
    """Lengths at which snapshots are compared: about a factor of the square root of 2 apart, for length matters on a log scale."""
    count = round(-2 * math.log2(FIRST_POINT))
    return {max(1, round(steps * 2 ** (-k / 2))) for k in range(count + 1)}


def shuffled_batches(count: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Yield positions of one shuffled pass after the other, for ever, in batches of one size that may span two passes."""
    queue = torch.empty(0, dtype=torch.int64, device=generator.device)
    while True:
        while len(queue) < size:
            queue = torch.cat([queue, torch.randperm(count, generator=generator, device=generator.device)])
        yield queue[:size]
        queue = queue[size:]


@torch.no_grad()
def update_average(average: torch.nn.Module, net: torch.nn.Module, step: int) -> None:
    """Move the averaged weights towards the trained ones, with a decay that grows to 0.998 so that early weights are soon forgotten."""
    decay = min(EMA_DECAY, (1 + step) / (10 + step))
    for slow, fast in zip(average.parameters(), net.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)
    for kept, current in zip(average.buffers(), net.buffers(), strict=True):
        kept.copy_(current)


@torch.no_grad()
def evaluate(net: torch.nn.Module, objective: Objective, windows: Windows) -> float:
    """Mean loss over all origins of a role."""
    everything = torch.arange(len(windows), device=windows.place).split(EVALUATED_ROWS)
    summed = sum(objective(net, windows, index_B) * len(index_B) for index_B in everything)
    return float(summed / len(windows))


def device() -> torch.device:
    """Choose the device by the variable ENSEMBLE_FORECAST_DEVICE: cpu, cuda, or auto (the default: cuda where there is one).

    Raises
    ------
    BadInput
        When the variable says anything else, or cuda where there is none.
    """
    wish = os.environ.get("ENSEMBLE_FORECAST_DEVICE", "auto")
    if wish not in {"cpu", "cuda", "auto"}:
        raise BadInput(f"ENSEMBLE_FORECAST_DEVICE must be cpu, cuda or auto; got {wish!r}")
    if wish == "cuda" and not torch.cuda.is_available():
        raise BadInput("ENSEMBLE_FORECAST_DEVICE is cuda, but torch finds no CUDA device here; use cpu or auto")
    return torch.device("cpu" if wish == "cpu" or not torch.cuda.is_available() else "cuda")


@contextlib.contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Give initial weights and dropout a stream of their own, and sums one order: neither the caller's random state nor its threads matter."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if torch.cuda.is_available() else []):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _parameter_groups(net: torch.nn.Module, weight_decay: float) -> list[dict]:
    """Decay matrices only: a decayed bias or norm would pull forecasts towards an arbitrary zero."""
    matrices = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _check_loss(mean: float, step: int, recipe: Recipe) -> None:
    """Refuse to go on from an absurd loss; looked at rarely, for every look waits for the device."""
    if not mean <= EXPLODED:
        raise Diverged(
            f"the mean training loss must stay below {EXPLODED:g}; it was {mean:g} after {step} steps at learning_rate={recipe.learning_rate:g}: "
            "lower the learning rate"
        )


def _arrays(net: torch.nn.Module) -> dict[str, np.ndarray]:
    """Copy the state of a module as plain float32 arrays."""
    return {name: tensor.detach().float().cpu().numpy().copy() for name, tensor in net.state_dict().items()}
