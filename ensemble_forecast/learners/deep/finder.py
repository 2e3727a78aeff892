"""Learning-rate finder: a short training whose rate rises geometrically shows where the loss falls, and where it blows up."""

import copy
import math

import torch

from ensemble_forecast.learners.deep.inputs import Windows
from ensemble_forecast.learners.deep.loss import Loss
from ensemble_forecast.learners.deep.recipe import Recipe
from ensemble_forecast.learners.deep.updates import Batches, Updates

LOWEST, HIGHEST = 1e-5, 1.0
STEPS = 100
SMOOTHING = 0.9  # decay of the mean loss
BLOWN_UP = 2.0  # times the least mean loss: no larger rate is tried
BACK = 10.0  # the rate where the loss is least is already near the edge: so many times lower is taken


def find_rate(net: torch.nn.Module, loss: Loss, fit: Windows, recipe: Recipe, seed: int) -> float:
    """Find a learning rate for a recipe; the net is left as it is.

    References
    ----------
    Smith (2017), Cyclical learning rates for training neural networks, arXiv:1506.01186 (the range test).
    """
    trial = Updates(copy.deepcopy(net).train(), loss, fit, recipe, Batches(len(fit), recipe.batch, torch.Generator(fit.place).manual_seed(seed)))
    mean, least, best = 0.0, math.inf, LOWEST
    for step in range(STEPS):
        rate = LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))
        mean = SMOOTHING * mean + (1 - SMOOTHING) * float(trial.step(rate, step / STEPS))
        smooth = loss.shown(mean / (1 - SMOOTHING ** (step + 1)))
        if not smooth < BLOWN_UP * least:
            break
        if smooth < least:
            least, best = smooth, rate
    return max(best / BACK, LOWEST)
