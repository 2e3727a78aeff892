"""The one training loop of all nets, to be read from top to bottom.

Lengths are steps, never seconds: the same seed gives the same bytes, and a deadline only truncates. Prediction weights are the exponential
moving average (EMA) of the trained ones; the stop role, where there is one, picks the best of a few snapshots.
"""

import copy
import math
import time
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import Diverged
from ensemble_forecast.learners.deep.blocks import Growing
from ensemble_forecast.learners.deep.checkpoints import Checkpoint
from ensemble_forecast.learners.deep.diagnosis import Point
from ensemble_forecast.learners.deep.inputs import Windows
from ensemble_forecast.learners.deep.loss import Loss
from ensemble_forecast.learners.deep.parallel import all_passed, mean_over_all
from ensemble_forecast.learners.deep.recipe import Recipe
from ensemble_forecast.learners.deep.recordings import launcher
from ensemble_forecast.learners.deep.schedules import Schedule
from ensemble_forecast.learners.deep.updates import Batches, Updates, evaluate, update_average

PATIENCE = 4  # stop when the best snapshot is so many times shorter than the training by now
EPOCHS_PATIENCE = 50  # looks without gain that end a training whose length is told in passes
LEAST_SHARE = 1 / 4  # of the steps is always trained: a loss may rise before it falls
FIRST_SHARE, FIRST_STEPS = 1 / 32, 8  # of the steps before the first evaluation; of noise, a net learns by heart what there is in a hundred
GLANCE = 512  # origins of the fit role that tell what climatology costs
EXPLODED = 1e3  # mean loss in window units (nats for direction), where climatology has about 1

R = TypeVar("R", bound=Recipe)


@dataclass(frozen=True)
class Trained:
    """Prediction weights, the steps they took, whether a deadline cut them short, the curve, and why steps were not recorded where that pays."""

    weights: dict[str, np.ndarray]
    steps: int
    truncated: bool
    curve: list[Point]
    unrecorded: str = ""


@dataclass
class Progress:
    """How far a training has come."""

    step: int = 0
    looked: int = 0  # step of the last look
    best_loss: float = math.inf
    best_steps: int = 0
    curve: list[Point] = field(default_factory=list)

    def noted(self, trained: float, stopped: float, seconds: float) -> bool:
        """Note losses in training and on the stop role; whether this length is the best so far: without a stop role the longest is."""
        self.curve.append((self.step, trained, stopped, seconds))
        better = math.isnan(stopped) or stopped < self.best_loss
        if better:
            self.best_loss, self.best_steps = stopped, self.step
        return better

    def is_enough(self, recipe: Recipe) -> bool:
        """Whether to train on, up to the end of a recipe, does not pay any more."""
        steps = recipe.steps
        if recipe.epochs:
            return self.step - self.best_steps >= EPOCHS_PATIENCE * steps // recipe.epochs
        return self.step >= max(PATIENCE * self.best_steps, LEAST_SHARE * steps)


def train(
    net: torch.nn.Module,
    loss: Loss,
    fit: Windows,
    stop: Windows | None,
    recipe: Recipe,
    seed: int,
    deadline: Deadline,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train a net.

    Parameters
    ----------
    net
        On the device of the windows; its weights are changed. Dropout and augmentation draw from torch's global stream: call within
        `reproducible`.
    fit, stop
        Origins to learn from, and to pick the best length on; with ``stop=None`` exactly ``recipe.steps`` steps are made.
    checkpoint
        Where the state is kept on the way; a training that finds one there goes on from it, to the same weights.

    Raises
    ------
    Diverged
        When the loss is not finite, or a thousand times what climatology would cost.
    """
    training = _Training(net, loss, fit, recipe, seed)
    if checkpoint is not None and (state := checkpoint.read()) is not None:
        training.restore(state)
    else:
        training.begin(stop)
    net.train()
    try:
        truncated = _run(training, stop, deadline, checkpoint)
    finally:
        if checkpoint is not None:  # it is for those that are killed, and they do not come here
            checkpoint.remove()
    return Trained(training.best, training.progress.best_steps, truncated, training.progress.curve, training.launch.why_not)


def _run(training: "_Training", stop: Windows | None, deadline: Deadline, checkpoint: Checkpoint | None) -> bool:
    """Train to the end of the recipe, to where it does not pay any more, or to the deadline; returns whether that cut it short."""
    now, steps = training.progress, training.recipe.steps
    points, truncated = evaluation_points(steps, training.recipe.epochs), False
    while now.step < steps and not truncated:
        training.update()
        truncated = now.step < steps and all_passed(deadline, now.step, training.fit.place)
        if now.step in points or truncated:
            deadline.told(training.look(stop), now.curve)
            if now.is_enough(training.recipe):
                break
        if checkpoint is not None and checkpoint.due():
            checkpoint.write(training.state())
    return truncated


class _Training:
    """A net in training, with everything that a resumed one needs to go on to the last bit."""

    def __init__(self, net: torch.nn.Module, loss: Loss, fit: Windows, recipe: Recipe, seed: int) -> None:
        self.net, self.loss, self.fit, self.recipe = net, loss, fit, recipe
        self.batches = Batches(len(fit), recipe.batch, torch.Generator(fit.place).manual_seed(seed))
        self.updates = Updates(net, loss, fit, recipe, self.batches)
        self.launch = launcher(self.updates.update, net, self.updates.optimiser, recipe)
        self.schedule = Schedule(recipe.schedule, recipe.steps, recipe.warm_up, recipe.epochs)
        self.average = copy.deepcopy(net).to(fit.place).eval()  # `to` lays a recurrent net's weights side by side again
        self.progress, self.best = Progress(), arrays(self.average)
        self._begun = time.monotonic()
        self._growing = [module for module in net.modules() if isinstance(module, Growing)]
        self._summed = torch.zeros((), device=fit.place)  # training losses since the last look; on the device: to read it is to wait for it

    def begin(self, stop: Windows | None) -> None:
        """Note what climatology costs: an untrained net says nothing else."""
        trained = self.loss.shown(evaluate(self.average, self.loss, self.fit, GLANCE))
        stopped = math.nan if stop is None else self.loss.shown(evaluate(self.average, self.loss, stop))
        self.progress.curve.append((0, trained, stopped, 0.0))

    def update(self) -> None:
        """Make one step."""
        done = self.progress.step / self.recipe.steps
        grown = [module.grow(done) for module in self._growing]
        if any(grown):
            self.launch.anew()
        self._summed += self.updates.step(self.recipe.learning_rate * self.schedule.factor(self.progress.step), done, self.launch)
        update_average(self.average, self.net, self.progress.step, self.recipe.ema)
        self.progress.step += 1

    def look(self, stop: Windows | None) -> float:
        """See how far the training has come, and keep the averaged weights if they are the best so far.

        Returns
        -------
        loss on the stop role as a share of climatology's; NaN without one.
        """
        now = self.progress
        mean_loss = mean_over_all(self._summed) / (now.step - now.looked)
        self._summed.zero_()
        now.looked = now.step
        check_stable(mean_loss, now.step, self.recipe)
        trained, stopped = self.loss.shown(mean_loss), math.nan if stop is None else self.loss.shown(evaluate(self.average, self.loss, stop))
        self.schedule.judge(trained if stop is None else stopped)
        if now.noted(trained, stopped, time.monotonic() - self._begun):
            self.best = arrays(self.average)
        return stopped / now.curve[0][2] if now.curve[0][2] else math.nan

    def state(self) -> dict[str, Any]:
        """Tell all that a resumed training needs: nested dicts of tensors, arrays, numbers."""
        return {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "best": self.best,
            "optimiser": self.updates.optimiser.state_dict()["state"],
            "schedule": self.schedule.state(),
            "batches": self.batches.state(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state() if self.fit.place.type == "cuda" else None,
            "progress": vars(self.progress),
            "summed": float(self._summed),
            "seconds": time.monotonic() - self._begun,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` told."""
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.best = state["best"]
        self.updates.optimiser.load_state_dict({"state": state["optimiser"], "param_groups": self.updates.optimiser.state_dict()["param_groups"]})
        self.schedule.restore(state["schedule"])
        self.batches.restore(state["batches"])
        torch.set_rng_state(state["random"])
        if state["random_cuda"] is not None:
            torch.cuda.set_rng_state(state["random_cuda"])
        vars(self.progress).update(state["progress"])
        self._summed.fill_(state["summed"])
        self._begun = time.monotonic() - state["seconds"]


def check_stable(mean_loss: float, steps: int, recipe: Recipe) -> None:
    """Refuse to train on what has blown up.

    Raises
    ------
    Diverged
        When the loss is not finite, or a thousand times what climatology would cost.
    """
    if not mean_loss <= EXPLODED:
        raise Diverged(
            f"the mean training loss must stay below {EXPLODED:g}; it was {mean_loss:g} after {steps} steps at "
            f"learning_rate={recipe.learning_rate:g}: lower the learning rate"
        )


def in_steps(recipe: R, n_fit: int) -> R:
    """Say the length of a training in steps where it is told in passes over so many origins."""
    return replace(recipe, steps=recipe.epochs * -(-n_fit // (recipe.batch * recipe.accumulate))) if recipe.epochs else recipe


def evaluation_points(steps: int, epochs: int = 0) -> set[int]:
    """Lengths at which snapshots are compared: after every pass, where these are told.

    Else about a factor of the square root of 2 apart, for length matters on a log scale.
    """
    if epochs:
        return set(range(steps // epochs, steps + 1, steps // epochs))
    count = round(2 * math.log2(max(1 / FIRST_SHARE, steps / FIRST_STEPS)))
    return {max(1, round(steps * 2 ** (-k / 2))) for k in range(count + 1)}


def arrays(net: torch.nn.Module) -> dict[str, np.ndarray]:
    """Copy the state of a module as plain float32 arrays."""
    return plain(net.state_dict())


def plain(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Copy tensors as plain float32 arrays."""
    return {name: tensor.detach().float().cpu().numpy().copy() for name, tensor in state.items()}
