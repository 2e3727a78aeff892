"""Optimisers by name. Only matrices decay: a decayed bias or norm would pull forecasts towards an arbitrary zero."""

from collections.abc import Callable
from typing import Any

import torch

from ensemble_forecast.learners.deep.names import named
from ensemble_forecast.learners.deep.recipe import Recipe
from ensemble_forecast.learners.deep.shapes import Pace

BETA2 = 0.999  # decay of the second moment
SPARED = ("bias", "scale_in", "scale_out", "original0")  # with an axis of members or channels, but no matrices: the last is a weight norm's gain

Groups = list[dict[str, Any]]
Parameters = list[torch.nn.Parameter]

OPTIMISERS: dict[str, Callable[[Groups, Recipe], torch.optim.Optimizer]] = {
    "sgd": lambda groups, recipe: torch.optim.SGD(groups, recipe.learning_rate),
    "momentum": lambda groups, recipe: torch.optim.SGD(groups, recipe.learning_rate, recipe.momentum, nesterov=recipe.momentum > 0),
    "rmsprop": lambda groups, recipe: torch.optim.RMSprop(groups, recipe.learning_rate, momentum=recipe.momentum),
    "adam": lambda groups, recipe: torch.optim.Adam(groups, recipe.learning_rate, (recipe.momentum, BETA2), fused=True),
    "adamw": lambda groups, recipe: torch.optim.AdamW(groups, recipe.learning_rate, (recipe.momentum, BETA2), fused=True),
    "radam": lambda groups, recipe: torch.optim.RAdam(groups, recipe.learning_rate, (recipe.momentum, BETA2), decoupled_weight_decay=True),
}


def optimiser_for(groups: Groups, recipe: Recipe) -> torch.optim.Optimizer:
    """Build the optimiser of a recipe over groups of weights; decay is decoupled in "adamw" and "radam", part of the gradient in the others.

    On a GPU all but "sgd" and "momentum" keep their learning rate there: a step can then be recorded, see `recordings`.

    Raises
    ------
    BadInput
        When no optimiser has the name.

    References
    ----------
    Kingma and Ba (2015), arXiv:1412.6980; Loshchilov and Hutter (2019), arXiv:1711.05101; Liu et al. (2020), RAdam, arXiv:1908.03265.
    """
    optimiser = named("optimiser", recipe.optimiser, OPTIMISERS)(groups, recipe)
    for group in optimiser.param_groups:
        place = group["params"][0].device
        if place.type == "cuda" and "capturable" in group:
            group.update(capturable=True, lr=torch.tensor(group["lr"], device=place))
    return optimiser


def groups_of(net: torch.nn.Module, recipe: Recipe) -> Groups:
    """Sort the weights of a net by whether they decay, and by their `Pace` where it gives some their own."""
    pace: dict[str, Pace] = getattr(net, "pace", {})
    sorted_by: dict[tuple[Pace, bool], Parameters] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            sorted_by.setdefault((pace.get(name, Pace()), _is_matrix(name, parameter)), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": recipe.weight_decay if decays else 0.0, "pace": own} for (own, decays), parameters in sorted_by.items()
    ]


def set_rate(optimiser: torch.optim.Optimizer, rate: float, done: float) -> None:
    """Set the learning rate of every group, at some share of the steps."""
    for group in optimiser.param_groups:
        pace: Pace = group["pace"]
        own = pace.share * rate if done >= pace.begins else 0.0
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(own)
        else:
            group["lr"] = own


def matrices(net: torch.nn.Module) -> Parameters:
    """Parameters that decay and are penalised."""
    return [parameter for name, parameter in net.named_parameters() if _is_matrix(name, parameter)]


def _is_matrix(name: str, parameter: torch.nn.Parameter) -> bool:
    return parameter.requires_grad and parameter.ndim > 1 and name.rsplit(".", 1)[-1] not in SPARED
