"""Feature sets by name: those of the registry, and a user's own by their import string."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.errors import BadInput
from ensemble_forecast.registry import find

FeatureSet = Callable[[Panel], Panel]


def own_sets(names: Sequence[str]) -> tuple[str, ...]:
    """Pick the names that are import strings: naming one runs the user's own code, so nothing that is loaded may do it unasked."""
    return tuple(name for name in names if ":" in name)


def find_set(name: str) -> FeatureSet:
    """Find a feature set by its registered name, or import it by ``"package.module:function"``.

    Raises
    ------
    BadInput
        When no set has the name, or it cannot be imported.
    """
    if ":" not in name:
        found: FeatureSet = find(name, "features")
        return found
    module, _, attribute = name.partition(":")
    try:
        own: FeatureSet = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadInput(f"feature set {name!r} cannot be imported ({error}); it is written 'package.module:function'") from error
    if not callable(own):
        raise BadInput(f"feature set {name!r} must be a function from a Panel to a Panel; it is a {type(own).__name__}")
    return own


def with_features(panel: Panel, names: Sequence[str]) -> Panel:
    """Let each feature set read the same panel, and put what they make side by side.

    A set returns its panel with past covariates appended. One that leaves some out, as ``candles`` does with the raw prices, leaves them out of
    the result, though not from the sight of the others.

    Raises
    ------
    BadInput
        When a set is unknown, changes anything but the past covariates, changes one of these, or makes one that is there already.
    """
    answers = {name: find_set(name)(panel) for name in names}
    for name, answer in answers.items():
        _check(name, panel, answer)
    kept = [j for j, column in enumerate(panel.past_names) if all(column in answer.past_names for answer in answers.values())]
    blocks, made = [panel.past[:, kept]], [panel.past_names[j] for j in kept]
    for name, answer in answers.items():
        new = [j for j, column in enumerate(answer.past_names) if column not in panel.past_names]
        columns = [answer.past_names[j] for j in new]
        if twice := sorted({column for column in columns if column in made or columns.count(column) > 1}):
            raise BadInput(f"feature set {name!r} makes columns that are there already: {', '.join(twice)}; give them other names")
        blocks.append(answer.past[:, new])
        made += columns
    if tuple(made) == panel.past_names:
        return panel
    return replace(panel, past=np.concatenate(blocks, axis=1), past_names=tuple(made))


def columns_of(name: str, panel: Panel) -> list[str]:
    """Name the columns that a set makes from a panel."""
    return [column for column in find_set(name)(panel).past_names if column not in panel.past_names]


def _check(name: str, panel: Panel, answer: Panel) -> None:
    """Refuse an answer that is not the same panel with other past covariates."""
    if not isinstance(answer, Panel) or answer.past.shape != (len(panel.y), len(answer.past_names)):
        raise BadInput(f"feature set {name!r} must return its panel with columns appended to past and past_names, one row a step; it did not")
    if answer.ids != panel.ids or not np.array_equal(answer.y, panel.y, equal_nan=True):
        raise BadInput(f"feature set {name!r} must leave ids and target as they are; return dataclasses.replace(panel, past=..., past_names=...)")
    for j, column in enumerate(answer.past_names):
        if column not in panel.past_names:
            continue
        if not np.array_equal(answer.past[:, j], panel.past[:, panel.past_names.index(column)], equal_nan=True):
            raise BadInput(f"feature set {name!r} changes the column {column!r}, which others read too; give what it makes a name of its own")
