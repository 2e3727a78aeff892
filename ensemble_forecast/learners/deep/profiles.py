"""How signals and gradients fare along the depth of a net: what tells a stack that cannot be trained from data that hold nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ensemble_forecast.learners.deep.inputs import Windows
from ensemble_forecast.learners.deep.loss import Loss
from ensemble_forecast.learners.deep.recipe import Recipe
from ensemble_forecast.learners.deep.recomputing import rewound
from ensemble_forecast.learners.deep.schedules import Schedule
from ensemble_forecast.learners.deep.skips import Added
from ensemble_forecast.learners.deep.trunk import Trunk
from ensemble_forecast.learners.deep.updates import Batches, Updates

ROWS = 32  # that a profile is measured on: it keeps everything of them, whatever the net keeps
TINY = 1e-38  # in place of a size of zero, where it is divided by

Weights = list[list[torch.Tensor]]  # of each block


@dataclass(frozen=True)
class Profile:
    """Sizes by depth, after some step; every list has a number for each block.

    Parameters
    ----------
    gradient_L
        Norm of the loss's gradient on the weights of a block: zero at first, for heads start at zero.
    update_L
        Norm of the step's change of a block's weights, as a share of theirs.
    activation_L
        Root mean square of the stream after a block.
    signal_L
        Root mean square of what differs from row to row in it.
    reach_L
        Root mean square of the gradient there, as a share of that at the end of the stack, where a random one is laid: it needs no head that speaks.
    residual_L
        Size of what a block adds, as a share of what it reads.
    gain_L
        Mean size of its gain; 1 where it has none.
    """

    step: int
    gradient_L: np.ndarray
    update_L: np.ndarray
    activation_L: np.ndarray
    signal_L: np.ndarray
    reach_L: np.ndarray
    residual_L: np.ndarray
    gain_L: np.ndarray

    def as_lists(self) -> dict[str, object]:
        """Write it as JSON can: what is not finite as None."""
        return {
            name: value if isinstance(value, int) else [float(f"{x:.3g}") if np.isfinite(x) else None for x in value]
            for name, value in vars(self).items()
        }


def watch(
    net: torch.nn.Module, trunk: Trunk, loss: Loss, fit: Windows, recipe: Recipe, seed: int, steps: int, looks: Sequence[int]
) -> tuple[list[Profile], list[float]]:
    """Train for some steps and look along the depth after those that are named.

    Parameters
    ----------
    net, trunk
        The net, which is changed, and the deep part of it.
    steps
        To train; the schedule is that of the recipe's own length.

    Returns
    -------
    profiles, and the loss of every step; both end where the loss is not finite.
    """
    updates = Updates(net, loss, fit, recipe, Batches(len(fit), recipe.batch, torch.Generator(fit.place).manual_seed(seed)))
    schedule, profiles, losses = Schedule(recipe.schedule, recipe.steps, recipe.warm_up), [], []
    net.train()
    for step in range(steps):
        before = _weights(trunk) if step in looks else None
        losses.append(float(updates.step(recipe.learning_rate * schedule.factor(step), step / recipe.steps)))
        if before is not None:
            profiles.append(_profile(step, trunk, before, fit))
        if not np.isfinite(losses[-1]):
            break
    return profiles, losses


def _profile(step: int, trunk: Trunk, before: Weights, fit: Windows) -> Profile:
    """Look at the weights' last gradients and change, and at a few rows on their way there and back."""
    gradient_L = np.array([_norm([weight.grad for weight in block.parameters() if weight.grad is not None]) for block in trunk.blocks])
    change_L = [[new - old for new, old in zip(now, then, strict=True)] for now, then in zip(_weights(trunk), before, strict=True)]
    update_L = np.array([_norm(change) / max(_norm(own), TINY) for change, own in zip(change_L, before, strict=True)])
    batch = fit.inputs(torch.linspace(0, len(fit) - 1, min(ROWS, len(fit)), device=fit.place).long())
    with torch.random.fork_rng(), rewound(list(trunk.buffers())):
        states, residual_L = _stream(trunk, batch.window_BLC, batch.extras_BE)
        gradients = torch.autograd.grad(states[-1], states, torch.randn_like(states[-1]))
    return Profile(
        step,
        gradient_L,
        update_L,
        np.array([_size(state) for state in states[1:]]),
        np.array([_size(state - state.mean(dim=0)) for state in states[1:]]),
        np.array([_size(gradient) / max(_size(gradients[-1]), TINY) for gradient in gradients[:-1]]),
        residual_L,
        np.array([float(torch.as_tensor(getattr(block, "gain", 1.0)).detach().abs().mean()) for block in trunk.blocks]),
    )


def _stream(trunk: Trunk, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> tuple[list[torch.Tensor], np.ndarray]:
    """Give the stream before the first and after every block, and what each block adds as a share of what it reads."""
    before_BW = state_BW = trunk.lift(window_BLC, extras_BE).detach().requires_grad_()
    states, residual = [state_BW], []
    for block in trunk.blocks:
        if trunk.coupled and isinstance(block, Added):
            before_BW, after_BW = state_BW, before_BW + block.change(state_BW)
        else:
            after_BW = block(state_BW)
        residual.append(_size(after_BW - state_BW) / max(_size(state_BW), TINY))
        state_BW = after_BW
        states.append(state_BW)
    return states, np.array(residual)


def _weights(trunk: Trunk) -> Weights:
    return [[weight.detach().clone() for weight in block.parameters()] for block in trunk.blocks]


def _norm(tensors: list[torch.Tensor]) -> float:
    return float(sum(float(tensor.detach().double().square().sum()) for tensor in tensors)) ** 0.5


def _size(tensor: torch.Tensor) -> float:
    return float(tensor.detach().double().square().mean().sqrt())
