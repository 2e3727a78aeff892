"""Who chooses the next configuration of a family, by name; all but the grid are Optuna's."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from ensemble_forecast.search.space import FamilySpace, Hole, Params
from ensemble_forecast.seeds import generator

RANDOM_AT_LEAST = 4  # trials before a model is trusted
POINTS = 5  # of a range on the grid

SAMPLERS: dict[str, Callable[[int, int], BaseSampler]] = {  # of a seed, and of the trials before a model is trusted
    "tpe": lambda seed, first: optuna.samplers.TPESampler(
        multivariate=True, constant_liar=True, group=False, n_startup_trials=first, seed=seed
    ),  # Watanabe (2023), arXiv:2304.11127
    "random": lambda seed, first: optuna.samplers.RandomSampler(seed=seed),  # noqa: ARG005 - one signature for all
    "gp": lambda seed, first: optuna.samplers.GPSampler(seed=seed, n_startup_trials=first, warn_independent_sampling=False),
    "cmaes": lambda seed, first: optuna.samplers.CmaEsSampler(seed=seed, n_startup_trials=first, warn_independent_sampling=False),
}
GRID = "grid"
NAMES = (*SAMPLERS, GRID)


def sampler_for(name: str, table: FamilySpace, seed: int) -> BaseSampler:
    """Build a sampler; the grid needs none, for its points are entered."""
    return SAMPLERS["random" if name == GRID else name](seed, max(len(table.entries), RANDOM_AT_LEAST))


class GridTrial:
    """A trial at one point of the grid: answers as Optuna's would."""

    def __init__(self, point: Params) -> None:
        self._point = point

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float:  # noqa: ARG002
        """Return the point's value."""
        return float(self._point[name])

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:  # noqa: ARG002
        """Return the point's value."""
        return int(self._point[name])

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:  # noqa: ARG002
        """Return the point's value."""
        return self._point[name]


def grid(table: FamilySpace, seed: int) -> Iterator[Params]:
    """Yield every point of a family's grid once, in an order that no hole dominates: five values of a range, all choices.

    A point names holes that its own values rule out; the draw leaves them out, and what is then equal counts as seen.
    """
    values = {name: _values(hole) for name, hole in table.holes.items()}
    size = math.prod(len(each) for each in values.values())
    rng = generator(seed, "grid", table.family)
    stride = next(stride for stride in itertools.count(int(rng.integers(1, size + 1))) if math.gcd(stride, size) == 1)  # so that all are met once
    place = int(rng.integers(size))
    for _ in range(size):
        rest, point = place, {}
        for name, each in values.items():
            rest, position = divmod(rest, len(each))
            point[name] = each[position]
        yield point
        place = (place + stride) % size


def _values(hole: Hole) -> list[Any]:
    """List what a hole may hold on the grid."""
    if hole.low is None or hole.high is None:
        return hole.labels
    low, high = float(hole.low), float(hole.high)
    shares = [position / (POINTS - 1) for position in range(POINTS)]
    points = [low * (high / low) ** share if hole.log else low + (high - low) * share for share in shares]
    if hole.step or hole.is_whole:
        step = hole.step or 1
        points = sorted({low + round((point - low) / step) * step for point in points})
    return [int(point) if hole.is_whole else min(point, high) for point in points]
