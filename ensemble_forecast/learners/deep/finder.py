"""Learning-rate finders: a short training whose rate rises shows where the loss falls and where it blows up; or the first rung of several tells."""

import copy
import math
from dataclasses import replace

import numpy as np
import torch

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import Diverged
from ensemble_forecast.learners.deep.inputs import Windows
from ensemble_forecast.learners.deep.loss import Loss
from ensemble_forecast.learners.deep.parallel import mean_over_all
from ensemble_forecast.learners.deep.recipe import Recipe
from ensemble_forecast.learners.deep.together import can_train_together, train_together
from ensemble_forecast.learners.deep.training import Trained, train
from ensemble_forecast.learners.deep.updates import Batches, Updates

FINDERS = ("range_test", "sweep")

LOWEST, HIGHEST = 1e-5, 1.0
STEPS = 100
SMOOTHING = 0.9  # decay of the mean loss
BLOWN_UP = 2.0  # times the least mean loss: no larger rate is tried
BACK = 10.0  # the rate where the loss is least is already near the edge: so many times lower is taken
SWEPT = tuple(np.geomspace(3e-4, 3e-2, 7).tolist())
SWEEP_SHARE = 1 / 9  # of the steps
STOPPED = 2  # place in a point of a curve: loss on the stop role


def range_test(net: torch.nn.Module, loss: Loss, fit: Windows, recipe: Recipe, seed: int) -> float:
    """Find a learning rate for a recipe; the net is left as it is.

    References
    ----------
    Smith (2017), Cyclical learning rates for training neural networks, arXiv:1506.01186 (the range test).
    """
    batches = Batches(len(fit), recipe.batch, torch.Generator(fit.place).manual_seed(seed))
    trial = Updates(copy.deepcopy(net).to(fit.place).train(), loss, fit, recipe, batches)
    mean, least, best = 0.0, math.inf, LOWEST
    for step in range(STEPS):
        rate = LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))
        mean = SMOOTHING * mean + (1 - SMOOTHING) * mean_over_all(trial.step(rate, step / STEPS))
        smooth = loss.shown(mean / (1 - SMOOTHING ** (step + 1)))
        if not smooth < BLOWN_UP * least:
            break
        if smooth < least:
            least, best = smooth, rate
    return max(best / BACK, LOWEST)


def sweep(
    net: torch.nn.Module, loss: Loss, fit: Windows, stop: Windows | None, recipe: Recipe, seed: int, deadline: Deadline, *, in_one_pass: bool
) -> float:
    """Train copies of a net for a ninth of the steps, each at a rate of its own, and take the best one's rate; the net is left as it is.

    Parameters
    ----------
    stop
        Origins that tell which is best; without them the training losses do.
    in_one_pass
        Whether copies can be trained together, and are quicker so.
    """
    short = replace(recipe, steps=max(1, round(SWEEP_SHARE * recipe.steps)), epochs=0)
    copies = [copy.deepcopy(net).to(fit.place) for _ in SWEPT]
    if in_one_pass and can_train_together(net, short):
        everything = [range(len(fit))] * len(SWEPT)
        results: list[Trained | None] = [*train_together(copies, loss, fit, everything, stop, short, SWEPT, [seed] * len(SWEPT), deadline)]
    else:
        results = [
            _trained(own, loss, fit, stop, replace(short, learning_rate=rate), seed, deadline) for own, rate in zip(copies, SWEPT, strict=True)
        ]
    losses = [math.inf if result is None else _least_loss(result) for result in results]
    return SWEPT[int(np.argmin(losses))]


def _trained(net: torch.nn.Module, loss: Loss, fit: Windows, stop: Windows | None, recipe: Recipe, seed: int, deadline: Deadline) -> Trained | None:
    """Train one copy; None where it blows up."""
    try:
        return train(net, loss, fit, stop, recipe, seed, deadline)
    except Diverged:
        return None


def _least_loss(result: Trained) -> float:
    """Least loss on the stop role; without one the last in training; infinite where there is none."""
    points = [point for point in result.curve[1:] if math.isfinite(point[1])]
    stopped = [point[STOPPED] for point in points if math.isfinite(point[STOPPED])]
    return min(stopped) if stopped else points[-1][1] if points else math.inf
