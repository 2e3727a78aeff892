"""Transfer: a net begins with what an earlier fit, of other series, has learnt."""

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from ensemble_forecast import persist
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.base import Learner
from ensemble_forecast.learners.deep.recipe import Recipe
from ensemble_forecast.learners.deep.shapes import Last, Pace

FROZEN, UNFREEZE = "frozen", "unfreeze"
TRANSFERS = ("fine_tune", FROZEN, UNFREEZE)
UNFREEZING = 0.5  # share of the steps over which layers join the training one by one, the last ones first

Arrays = dict[str, np.ndarray]


def start_from(net: torch.nn.Module, recipe: Recipe, panel: Panel) -> dict[str, Pace]:
    """Give a net the weights of ``recipe.start`` wherever name and shape agree.

    Its last layers train at the recipe's pace whatever was taken. Of the rest: "fine_tune" trains every layer at ``layer_decay`` times the rate
    of the one after it (discriminative rates); "unfreeze" does that from the last layer to the first, one after the other (Howard and Ruder 2018,
    arXiv:1801.06146); "frozen" leaves it as it is.

    Returns
    -------
    the pace of what was taken and is trained, by name.

    Raises
    ------
    BadInput
        When there is no net of the family, nothing of it fits, or it has seen what these series have yet to show.
    """
    folder = Path(recipe.start)
    weights, seen = _read(folder, folder.stat().st_mtime_ns if folder.exists() else 0, recipe.family)
    _refuse_known(panel, seen, folder)
    own = dict(net.named_parameters())
    taken = [name for name, parameter in own.items() if name in weights and weights[name].shape == tuple(parameter.shape)]
    if not any(parameter.ndim > 1 for name, parameter in own.items() if name in taken and name != "anchor_HQ"):
        raise BadInput(
            f"no layer of the {recipe.family} in {folder} has the shape of one here: give both the same context, horizon, width and covariates"
        )
    with torch.no_grad():
        for name in taken:
            own[name].copy_(torch.from_numpy(weights[name].copy()))
    lasting = {name for name in taken if name not in _ends(net)}
    if recipe.transfer == FROZEN:
        for name in lasting:
            own[name].requires_grad_(False)
        return {}
    layers = list(dict.fromkeys(_layer(name) for name in own if name in lasting))
    pace = {}
    for name in lasting:
        above = len(layers) - layers.index(_layer(name))  # 1 for the layer before the head
        begins = UNFREEZING * above / len(layers) if recipe.transfer == UNFREEZE else 0.0
        pace[name] = Pace(recipe.layer_decay**above, begins)
    return pace


@lru_cache(maxsize=2)
def _read(folder: Path, changed_ns: int, family: str) -> tuple[Arrays, dict[str, str]]:  # noqa: ARG001 - read again when it changes
    """Read the weights of the first net of a family in a saved ensemble, and up to which stamp it has seen each series."""
    parts, _ = persist.load(folder)
    seen = dict(zip(parts.get("ids", ()), parts.get("until", ()), strict=True))
    for part in parts.values():
        learner = getattr(part, "member_", part)
        if isinstance(learner, Learner) and learner.family == family and hasattr(learner, "weights_"):
            return learner.weights_, seen
    raise BadInput(f"{folder} holds no {family} to start from; it holds {', '.join(sorted(_families(parts.values()))) or 'no learner'}")


def _families(parts: Collection[object]) -> set[str]:
    return {part.family for part in parts if isinstance(part, Learner)}


def _refuse_known(panel: Panel, seen: dict[str, str], folder: Path) -> None:
    """Refuse weights that know the future of a series: out of fold, its forecasts would have seen what they are scored on."""
    for position, stamp in enumerate(panel.stamps_at(np.arange(panel.n_series), np.maximum(panel.ends_S, 0))):
        known = seen.get(panel.ids[position])
        if known is not None and np.datetime64(known) > stamp:
            raise BadInput(
                f"{folder} was fitted on series {panel.ids[position]!r} up to {known}, and is to start a fit that ends at {stamp}: out of fold it"
                " would have seen the future; pretrain on other series, or on a history that ends before the first window"
            )


def _ends(net: torch.nn.Module) -> set[str]:
    """Names of the weights that speak for the net: the last layers, and the table they correct."""
    within = {f"{place}." for place, module in net.named_modules() if isinstance(module, Last)}
    return {name for name, _ in net.named_parameters() if name == "anchor_HQ" or any(name.startswith(place) for place in within)}


def _layer(name: str) -> str:
    """Place of the module that a weight belongs to."""
    return name.rpartition(".")[0]
