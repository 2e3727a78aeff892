"""One step of a training after the other: batches, gradients, averaged weights."""

from collections.abc import Callable

import torch

from ensemble_forecast.learners.deep.augmentation import MIXUP, augmented, mixed
from ensemble_forecast.learners.deep.blocks import WithLoss
from ensemble_forecast.learners.deep.devices import in_precision
from ensemble_forecast.learners.deep.inputs import Windows
from ensemble_forecast.learners.deep.loss import Loss
from ensemble_forecast.learners.deep.optimisers import groups_of, matrices, optimiser_for, set_rate
from ensemble_forecast.learners.deep.parallel import averaging, own_share
from ensemble_forecast.learners.deep.recipe import Recipe
from ensemble_forecast.learners.deep.recordings import Step

EVALUATED_ROWS = 512  # at a time


class Batches:
    """Positions of one shuffled pass after the other, for ever, in batches of one size that may span two passes."""

    def __init__(self, count: int, size: int, generator: torch.Generator) -> None:
        self._count, self._size, self._generator = count, size, generator
        self._queue = torch.empty(0, dtype=torch.int64, device=generator.device)

    def draw(self) -> torch.Tensor:
        """Take the next batch."""
        while len(self._queue) < self._size:
            shuffled = torch.randperm(self._count, generator=self._generator, device=self._generator.device)
            self._queue = torch.cat([self._queue, shuffled])
        batch, self._queue = self._queue[: self._size], self._queue[self._size :]
        return batch

    def state(self) -> dict[str, torch.Tensor]:
        """Tell what is left of the pass, and how the next will be shuffled."""
        return {"queue": self._queue, "generator": self._generator.get_state()}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from what `state` told."""
        self._queue = state["queue"].to(self._generator.device)
        self._generator.set_state(state["generator"])


class Updates:
    """Steps of a net's weights down the loss of one batch after the other."""

    def __init__(self, net: torch.nn.Module, loss: Loss, fit: Windows, recipe: Recipe, batches: Batches) -> None:
        self.net, self.loss, self.fit, self.recipe, self.batches = net, loss, fit, recipe, batches
        self.matrices = matrices(net)
        self._averaging = averaging(net)
        self.optimiser = optimiser_for(groups_of(net, recipe), recipe)
        self._with_loss = [module for module in net.modules() if isinstance(module, WithLoss)]

    def step(self, rate: float, done: float, launch: Step | None = None) -> torch.Tensor:
        """Make one step at a learning rate and at some share of the steps; returns the loss, on the device.

        Parameters
        ----------
        launch
            What calls `update`, see `recordings`; its loss may be overwritten by the next step.
        """
        set_rate(self.optimiser, rate, done)
        index_AB = torch.stack([own_share(self.batches.draw()) for _ in range(self.recipe.accumulate)])
        return (launch or self.update)(index_AB)

    def update(self, index_AB: torch.Tensor) -> torch.Tensor:
        """Change the weights by some batches of origins; nothing here waits for the device, or depends on what it would say."""
        self.optimiser.zero_grad()
        summed = torch.zeros((), device=self.fit.place)
        for index_B in index_AB:
            with in_precision(self.fit.place, self.recipe.precision):
                loss = self._of_batch(index_B) / self.recipe.accumulate
            loss.backward()
            summed += loss.detach()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip)
        self.optimiser.step()
        return summed

    def _of_batch(self, index_B: torch.Tensor) -> torch.Tensor:
        """Loss of a batch, its windows changed as the recipe says, with what parts of the net and the penalty on the weights add."""
        recipe, loss = self.recipe, self.loss
        batch = augmented(recipe.augmentation, self.fit.inputs(index_B), recipe.strength)
        target_BH = loss.target(self.fit, batch, index_B)
        if recipe.augmentation == MIXUP:
            batch, target_BH = mixed(batch, target_BH, recipe.strength)
        value = loss.compare(self._averaging(batch.window_BLC, batch.extras_BE).float(), target_BH, batch.weight_B)
        for part in self._with_loss:
            value = value + part.own_loss
        if recipe.l1:
            value = value + recipe.l1 * sum(weight.abs().sum() for weight in self.matrices) / sum(weight.numel() for weight in self.matrices)
        return value


def averaged_share(step: int, decay: float) -> float:
    """Share of a step's weights in the averaged ones."""
    return 1 - min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update_average(average: torch.nn.Module, net: torch.nn.Module, step: int, decay: float) -> None:
    """Move the averaged weights towards the trained ones, with a decay that grows to its value so that early weights are soon forgotten."""
    torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), averaged_share(step, decay))
    for kept, current in zip(average.buffers(), net.buffers(), strict=True):
        kept.copy_(current)


@torch.no_grad()
def evaluate(
    net: torch.nn.Module,
    objective: Callable[[torch.nn.Module, Windows, torch.Tensor], torch.Tensor],
    windows: Windows,
    at_most: int | None = None,
) -> float:
    """Mean loss over all origins of a role, or over so many evenly spaced ones."""
    everything = torch.arange(len(windows), device=windows.place)
    if at_most is not None and len(everything) > at_most:
        everything = torch.linspace(0, len(windows) - 1, at_most, device=windows.place).long()
    summed = sum(objective(net, windows, index_B) * len(index_B) for index_B in everything.split(EVALUATED_ROWS))
    return float(summed / len(everything))
