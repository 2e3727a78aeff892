"""Many small nets of one shape trained in one pass: what a step costs beside its arithmetic is paid once for all of them.

Each has batches, clipping, averaged weights and a best length of its own, as if `train` had it alone; without dropout the weights are the same
to rounding.
"""

import copy
import time
from collections.abc import Sequence

import numpy as np
import torch

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.deep.devices import in_precision
from ensemble_forecast.learners.deep.inputs import Windows
from ensemble_forecast.learners.deep.loss import Loss
from ensemble_forecast.learners.deep.optimisers import groups_of, optimiser_for, set_rate
from ensemble_forecast.learners.deep.recipe import Recipe
from ensemble_forecast.learners.deep.recordings import Step, launcher
from ensemble_forecast.learners.deep.schedules import Schedule
from ensemble_forecast.learners.deep.training import GLANCE, Progress, Trained, check_stable, evaluation_points, plain
from ensemble_forecast.learners.deep.updates import EVALUATED_ROWS, Batches, averaged_share

Weights = dict[str, torch.Tensor]  # by name, the member's axis first


def can_train_together(net: torch.nn.Module, recipe: Recipe) -> bool:
    """Whether copies of a net can be trained in one pass: nothing in it keeps count, and nothing in its recipe waits for one member alone."""
    plain_recipe = recipe.accumulate == 1 and recipe.augmentation == "none" and not recipe.l1 and recipe.schedule != "plateau"
    return plain_recipe and not recipe.start and not recipe.epochs and not any(True for _ in net.buffers())


def train_together(
    nets: list[torch.nn.Module],
    loss: Loss,
    fit: Windows,
    own: list[range],
    stop: Windows | None,
    recipe: Recipe,
    rates: Sequence[float],
    seeds: list[int],
    deadline: Deadline,
) -> list[Trained]:
    """Train nets that differ in their weights, data, learning rates and seeds.

    Parameters
    ----------
    fit, own
        Origins, and which of them each net learns from.
    stop
        Origins to pick the best length on, the same for all.
    rates
        Learning rate of each net; that of the recipe is not used.

    Raises
    ------
    Diverged
        See `training.train`; where rates differ, a net that blows up stops by itself and is told by its curve.
    """
    together = _Together(nets, loss, fit, own, recipe, rates, seeds)
    schedule, points = Schedule(recipe.schedule, recipe.steps, recipe.warm_up), evaluation_points(recipe.steps)
    launch = launcher(together.update, nets[0], together.optimiser, recipe)
    together.begin(stop)
    step, truncated = 0, False
    while step < recipe.steps and together.training_on() and not truncated:
        together.step(step, schedule.factor(step), launch)
        step += 1
        truncated = step < recipe.steps and deadline.passed()
        if step in points or truncated:
            together.look(step, stop)
    return [
        Trained(best, progress.best_steps, truncated and not enough, progress.curve, launch.why_not)
        for best, progress, enough in zip(together.best, together.progress, together.enough, strict=True)
    ]


class _Together:
    """K nets in training: their weights stacked, their windows drawn apart."""

    def __init__(
        self,
        nets: list[torch.nn.Module],
        loss: Loss,
        fit: Windows,
        own: list[range],
        recipe: Recipe,
        rates: Sequence[float],
        seeds: list[int],
    ) -> None:
        self.loss, self.fit, self.recipe = loss, fit, recipe
        self.first_K = torch.tensor([origins.start for origins in own], device=fit.place)
        self.count_K = torch.tensor([len(origins) for origins in own], device=fit.place)
        generators = [torch.Generator(fit.place).manual_seed(seed) for seed in seeds]
        self.batches = [Batches(len(origins), recipe.batch, generator) for origins, generator in zip(own, generators, strict=True)]
        self.rate = max(rates)
        self.share_K = None if len(set(rates)) == 1 else torch.tensor(rates, device=fit.place) / self.rate
        self.weights, _ = torch.func.stack_module_state(nets)
        self.average = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self.shape = copy.deepcopy(nets[0]).to("meta")
        name_of = {id(parameter): name for name, parameter in nets[0].named_parameters()}
        groups = [group | {"params": [self.weights[name_of[id(one)]] for one in group["params"]]} for group in groups_of(nets[0], recipe)]
        self.optimiser = optimiser_for(groups, recipe)
        self.progress, self.enough = [Progress() for _ in nets], [False] * len(nets)
        self.best = [self._weights_of(member) for member in range(len(nets))]
        self.summed_K = torch.zeros(len(nets), device=fit.place)
        self.looked, self.begun = 0, time.monotonic()

    def training_on(self) -> bool:
        """Whether any net still gains by it."""
        return not all(self.enough)

    def begin(self, stop: Windows | None) -> None:
        """Note what climatology costs."""
        share_G = torch.linspace(0, 1, GLANCE, device=self.fit.place)
        glance_KG = self.first_K[:, None] + ((self.count_K[:, None] - 1) * share_G).long()
        for progress, trained, stopped in zip(self.progress, self._evaluate(self.fit, glance_KG), self._stopped(stop), strict=True):
            progress.curve.append((0, trained, stopped, 0.0))

    def step(self, step: int, factor: float, launch: Step) -> None:
        """Make one step of every net, at so much of its learning rate; ``launch`` calls `update`, see `recordings`."""
        set_rate(self.optimiser, self.rate * factor, step / self.recipe.steps)
        self.summed_K += launch(self.first_K[:, None] + torch.stack([batches.draw() for batches in self.batches]))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), list(self.weights.values()), averaged_share(step, self.recipe.ema))

    def update(self, index_KB: torch.Tensor) -> torch.Tensor:
        """Change the weights of each net by its batch, and return its loss; nothing here waits for the device."""
        self.optimiser.zero_grad()
        with in_precision(self.fit.place, self.recipe.precision):
            loss_K = self._losses(self.shape.train(), self.weights, self.fit, index_KB)
        loss_K.sum().backward()
        self._clip()
        self._move()
        return loss_K.detach()

    def look(self, step: int, stop: Windows | None) -> None:
        """See how far each net has come; one that has trained enough keeps what it had by then."""
        trained_K = (self.summed_K / (step - self.looked)).tolist()
        self.summed_K.zero_()
        self.looked = step
        stopped_K = self._stopped(stop)
        for member, progress in enumerate(self.progress):
            if self.enough[member]:
                continue
            progress.step = step
            if self.share_K is None:
                check_stable(trained_K[member], step, self.recipe)
            if progress.noted(self.loss.shown(trained_K[member]), stopped_K[member], time.monotonic() - self.begun):
                self.best[member] = self._weights_of(member)
            self.enough[member] = progress.is_enough(self.recipe) and step < self.recipe.steps

    def _stopped(self, stop: Windows | None) -> list[float]:
        """Loss of each net's averaged weights on the stop role; NaN without one."""
        if stop is None:
            return [float("nan")] * len(self.progress)
        return self._evaluate(stop, torch.arange(len(stop), device=stop.place).expand(len(self.progress), -1))

    @torch.no_grad()
    def _evaluate(self, windows: Windows, index_KN: torch.Tensor) -> list[float]:
        """Mean loss of each net's averaged weights over its origins."""
        net = self.shape.eval()
        summed_K = sum(self._losses(net, self.average, windows, index_KB) * index_KB.shape[1] for index_KB in index_KN.split(EVALUATED_ROWS, dim=1))
        return [self.loss.shown(value) for value in (torch.as_tensor(summed_K) / index_KN.shape[1]).tolist()]

    def _losses(self, net: torch.nn.Module, weights: Weights, windows: Windows, index_KB: torch.Tensor) -> torch.Tensor:
        """Mean loss of each net on its batch."""
        index_N = index_KB.flatten()
        batch = windows.inputs(index_N)
        given = (batch.window_BLC, batch.extras_BE, self.loss.target(windows, batch, index_N), batch.weight_B)

        def of_one(own: Weights, window_BLC: torch.Tensor, extras_BE: torch.Tensor, target_BH: torch.Tensor, weight_B: torch.Tensor) -> torch.Tensor:
            output_BHQ = torch.func.functional_call(net, own, (window_BLC, extras_BE))
            return self.loss.compare(output_BHQ.float(), target_BH, weight_B)

        return torch.vmap(of_one, randomness="different")(weights, *(tensor.unflatten(0, index_KB.shape) for tensor in given))

    @torch.no_grad()
    def _move(self) -> None:
        """Change the weights; where rates differ, by each net's share of the change at the largest: every optimiser here steps in proportion."""
        if self.share_K is None:
            self.optimiser.step()
            return
        before = {name: weight.clone() for name, weight in self.weights.items()}
        self.optimiser.step()
        for name, weight in self.weights.items():
            weight.copy_(before[name].lerp(weight, _along(self.share_K, weight)))

    def _clip(self) -> None:
        """Shorten the gradient of each net that is too long."""
        gradients = [weight.grad for weight in self.weights.values() if weight.grad is not None]
        norm_K = torch.stack([gradient.flatten(1).square().sum(dim=1) for gradient in gradients]).sum(dim=0).sqrt()
        factor_K = (self.recipe.clip / (norm_K + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(_along(factor_K, gradient))

    def _weights_of(self, member: int) -> dict[str, np.ndarray]:
        """Copy the averaged weights of one net."""
        return plain({name: weight[member] for name, weight in self.average.items()})


def _along(value_K: torch.Tensor, stacked: torch.Tensor) -> torch.Tensor:
    """Lay a number of each net along the first axis of its stacked weights."""
    return value_K.view(-1, *[1] * (stacked.ndim - 1))
