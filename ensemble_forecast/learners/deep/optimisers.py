"""Optimisers by name. Only matrices decay: a decayed bias or norm would pull forecasts towards an arbitrary zero."""

from collections.abc import Callable
from typing import Any

import torch

from ensemble_forecast.learners.deep.names import named
from ensemble_forecast.learners.deep.recipe import Recipe

BETA2 = 0.999  # decay of the second moment
SPARED = ("bias", "scale_in", "scale_out", "original0")  # with an axis of members or channels, but no matrices: the last is a weight norm's gain

Groups = list[dict[str, Any]]

OPTIMISERS: dict[str, Callable[[Groups, Recipe], torch.optim.Optimizer]] = {
    "sgd": lambda groups, recipe: torch.optim.SGD(groups, recipe.learning_rate),
    "momentum": lambda groups, recipe: torch.optim.SGD(groups, recipe.learning_rate, recipe.momentum, nesterov=recipe.momentum > 0),
    "rmsprop": lambda groups, recipe: torch.optim.RMSprop(groups, recipe.learning_rate, momentum=recipe.momentum),
    "adam": lambda groups, recipe: torch.optim.Adam(groups, recipe.learning_rate, (recipe.momentum, BETA2), fused=True),
    "adamw": lambda groups, recipe: torch.optim.AdamW(groups, recipe.learning_rate, (recipe.momentum, BETA2), fused=True),
    "radam": lambda groups, recipe: torch.optim.RAdam(groups, recipe.learning_rate, (recipe.momentum, BETA2), decoupled_weight_decay=True),
}


def optimiser_for(net: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Build the optimiser of a recipe; decay is decoupled in "adamw" and "radam", part of the gradient in the others.

    Raises
    ------
    BadInput
        When no optimiser has the name.

    References
    ----------
    Kingma and Ba (2015), arXiv:1412.6980; Loshchilov and Hutter (2019), arXiv:1711.05101; Liu et al. (2020), RAdam, arXiv:1908.03265.
    """
    build = named("optimiser", recipe.optimiser, OPTIMISERS)
    groups = [{"params": matrices(net), "weight_decay": recipe.weight_decay}, {"params": others(net), "weight_decay": 0.0}]
    return build([group for group in groups if group["params"]], recipe)


def matrices(net: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Parameters that decay and are penalised."""
    return [parameter for name, parameter in net.named_parameters() if _is_matrix(name, parameter)]


def others(net: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Biases, norms, gains."""
    return [parameter for name, parameter in net.named_parameters() if parameter.requires_grad and not _is_matrix(name, parameter)]


def _is_matrix(name: str, parameter: torch.nn.Parameter) -> bool:
    return parameter.requires_grad and parameter.ndim > 1 and name.rsplit(".", 1)[-1] not in SPARED
