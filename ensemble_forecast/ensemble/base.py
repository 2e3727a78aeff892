"""The contract of everything that combines forecasts, and the functions that average them.

Combiners keep the conventions of learners (``learners.base``): the dataclass fields are the recipe and are never changed by `fit`; what was
learnt lives in attributes that end in ``_`` and is plain data; `family` is the registered name.

Quantiles are averaged level by level and sorted, which averages quantile functions (Vincentisation; Lichtendahl, Grushka-Cockayne and
Winkler 2013, doi:10.1287/mnsc.1120.1667). Class probabilities are averaged as log-odds (Satopaa et al. 2014,
doi:10.1016/j.ijforecast.2013.09.009) and never sorted. A member that is not finite at an origin is left out there, and the weights of the others
are renormalised; where no member with a weight serves, the forecast is NaN.
"""

import abc
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
from scipy.special import softmax

from ensemble_forecast.data.task import ASKED, Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.forecasts import PROBABILITY_FLOOR, normalise
from ensemble_forecast.learners.base import check_fitted
from ensemble_forecast.windows import FEW_SERIES

BLOCK_VALUES = 1 << 20  # numbers worked on at a time: bounds the temporary memory to 8 MiB


@dataclass(frozen=True, eq=False)
class Rows:
    """What is known about each of N forecast rows besides the forecasts.

    Parameters
    ----------
    series
        int64 (N,): index of the series; -1 for one that was not there when the weights were learnt.
    window
        int64 (N,): the fold that scored the row, oldest 0; -1 in a forecast.
    step
        int64 (N,): step of the origin within its series.
    scale
        float64 (N,), above zero: mean seasonal-naive error of the series up to the origin; divides errors of quantiles.
    traits_NF
        float64 (N, F) without NaN: `traits.traits_at`; F = 0 where nobody asked for them (`Needs.traits`).
    """

    series: np.ndarray
    window: np.ndarray
    step: np.ndarray
    scale: np.ndarray
    traits_NF: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    def __post_init__(self) -> None:
        if not self.traits_NF.size:
            object.__setattr__(self, "traits_NF", np.empty((len(self.step), 0)))

    def __len__(self) -> int:
        return len(self.step)

    def take(self, index: np.ndarray | slice) -> "Rows":
        """Select rows by position, slice or mask."""
        return Rows(self.series[index], self.window[index], self.step[index], self.scale[index], self.traits_NF[index])


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a combiner must have to be worth a place in the contest; with less, its `fit` learns what it can.

    Parameters
    ----------
    series, cells
        Least series, and least scored (row, step) pairs.
    kinds
        Kinds of task, of ``data.task.ASKED``.
    traits
        Whether it reads `Rows.traits_NF`.
    """

    series: int = 1
    cells: int = 1
    kinds: tuple[str, ...] = ASKED
    traits: bool = False

    def lacking(self, truth_NH: np.ndarray, rows: Rows, task: Task) -> str:
        """Say what is missing; empty where nothing is."""
        known_NH = np.isfinite(truth_NH)
        n_series, n_cells = len(np.unique(rows.series[known_NH.any(axis=1)])), int(known_NH.sum())
        if task.asked not in self.kinds:
            return f"it combines {' and '.join(self.kinds)}, not {task.asked}"
        if n_series < self.series:
            return f"it needs {self.series} series to learn from; there are {n_series}"
        if n_cells < self.cells:
            return f"it needs {self.cells} scored steps to learn from; there are {n_cells}"
        return ""


@dataclass(kw_only=True)
class Combiner(abc.ABC):
    """Recipe that turns the forecasts of M members into one.

    Every fitted combiner has `weights_M_` (float64, not negative, sum 1); a member whose weight is zero need not be evaluated. Where a rule
    has no weights, as the median, they are equal.
    """

    family: ClassVar[str]
    needs: ClassVar[Needs] = Needs()

    @abc.abstractmethod
    def fit(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> Self:
        """Learn from out-of-fold forecasts.

        Parameters
        ----------
        forecasts_NHQM
            Out-of-fold forecasts of M members, of either float type, in the target's unit (kind ``direction``: probabilities of the classes);
            NaN where a member does not serve.
        truth_NH
            ``data.origins.outcome``; NaN where unknown.
        rows
            Series, window, step, scale and traits of each row.
        task
            Quantile levels, kind and seed.
        deadline
            Truncates long optimisation.
        """

    @abc.abstractmethod
    def combine(self, forecasts_NHQM: np.ndarray, rows: Rows) -> np.ndarray:
        """Combine forecasts of the same M members, in the same order: float64 (N, H, Q), NaN rows where nobody serves.

        Raises
        ------
        NotFitted
            When `fit` was not called before.
        """


@dataclass(kw_only=True)
class WeightedCombiner(Combiner, abc.ABC):
    """A combiner that learns one weight a member and averages by it."""

    @abc.abstractmethod
    def learn(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> np.ndarray:
        """Learn the weights (M,), not negative, sum 1; parameters as in `fit`."""

    def fit(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> Self:
        """Learn the weights; see `Combiner.fit`."""
        self.weights_M_, self.kind_ = self.learn(forecasts_NHQM, truth_NH, rows, task, deadline), task.kind
        return self

    def combine(self, forecasts_NHQM: np.ndarray, rows: Rows) -> np.ndarray:  # noqa: ARG002
        """Average by weight; see `Combiner.combine`."""
        check_fitted(self)
        return weighted(forecasts_NHQM, self.weights_M_, self.kind_)


def weights_of(combiner: Combiner) -> np.ndarray:
    """Return the weights of a fitted combiner, float64 (M,): where it is zero, the member need not be evaluated."""
    check_fitted(combiner)
    weights_M: np.ndarray = vars(combiner)["weights_M_"]
    return weights_M


def blocks(n_rows: int, row_values: int) -> Iterator[slice]:
    """Cut rows of so many values into blocks that fit into memory, at least one."""
    length = max(1, BLOCK_VALUES // max(1, row_values))
    for first in range(0, max(n_rows, 1), length):
        yield slice(first, first + length)


def served(forecasts_NHQM: np.ndarray) -> np.ndarray:
    """Which members forecast each row completely: bool (N, M)."""
    n_rows, *sizes = forecasts_NHQM.shape
    served_NM = np.ones((n_rows, sizes[-1]), dtype=bool)
    for block in blocks(n_rows, int(np.prod(sizes))):
        finite = np.isfinite(forecasts_NHQM[block])
        if not finite.all():  # the usual case is told in a tenth of the time
            served_NM[block] = finite.all(axis=(1, 2))
    return served_NM


def opened(forecasts: np.ndarray, kind: str, axis: int = -2) -> np.ndarray:
    """Put forecasts on the scale where they are averaged: quantiles as they are, class probabilities as log-odds against the first class (Q - 1)."""
    if kind == "quantiles":
        return forecasts
    bounded = np.clip(forecasts, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    logarithm = np.log(bounded)
    first, *others = np.split(logarithm, logarithm.shape[axis], axis)
    return np.concatenate(others, axis) - first


def closed(values_NHQ: np.ndarray, kind: str) -> np.ndarray:
    """Undo `opened` after averaging and make the forecast coherent."""
    if kind == "quantiles":
        return np.sort(values_NHQ, axis=-1)
    return normalise(classes_of(values_NHQ))


def classes_of(log_odds: np.ndarray) -> np.ndarray:
    """Probabilities of all classes from log-odds of each against the first, on the last axis."""
    if log_odds.shape[-1] == 1:
        up = 1 / (1 + np.exp(-log_odds))
        return np.concatenate([1 - up, up], axis=-1)
    shares: np.ndarray = softmax(np.concatenate([np.zeros_like(log_odds[..., :1]), log_odds], axis=-1), axis=-1)
    return shares


def weighted(forecasts_NHQM: np.ndarray, weights_M: np.ndarray, kind: str) -> np.ndarray:
    """Average members by weight, with those that are missing in a row left out there: float64 (N, H, Q).

    Sums run over the last axis of a product, never through BLAS, so that the forecast of a row has the same bits whatever rows come with it.
    """
    n_rows, *sizes = forecasts_NHQM.shape
    parts = []
    for block in blocks(n_rows, int(np.prod(sizes))):
        values = opened(forecasts_NHQM[block], kind)
        if np.isfinite(values).all():
            parts.append(closed(np.multiply(values, weights_M, order="C", dtype=float).sum(axis=-1), kind))
        else:
            parts.append(_renormalised(values, weights_M, kind))
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def weighted_rows(forecasts_NHQM: np.ndarray, weights_NM: np.ndarray, kind: str) -> np.ndarray:
    """Average as `weighted` does, with weights of its own for every row, in any unit: float64 (N, H, Q)."""
    n_rows, *sizes = forecasts_NHQM.shape
    parts = [_renormalised(opened(forecasts_NHQM[block], kind), weights_NM[block], kind) for block in blocks(n_rows, int(np.prod(sizes)))]
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _renormalised(values: np.ndarray, weights: np.ndarray, kind: str) -> np.ndarray:
    """Average opened values by weights, (M,) or (N, M), of which those of missing members go to the others of the row."""
    served_NM = served(values)
    share_NM = np.where(served_NM, weights, 0.0)
    total_N = share_NM.sum(axis=-1)
    share_NM /= np.where(total_N > 0, total_N, np.nan)[:, None]
    filled = np.where(served_NM[:, None, None, :], values, 0.0)
    return closed(np.multiply(filled, share_NM[:, None, None, :], order="C", dtype=float).sum(axis=-1), kind)


def clusters(rows: Rows, horizon: int) -> np.ndarray:
    """Label the groups of rows that can be taken for independent of each other: int64 (N,), from 0.

    On a panel a cluster is a series. On few series it is a block of ``horizon`` consecutive origins, because forecasts from neighbouring
    origins share most of their labels.
    """
    if len(np.unique(rows.series)) >= FEW_SERIES:
        return np.unique(rows.series, return_inverse=True)[1].reshape(-1)
    keys = np.stack([rows.series, rows.window, rows.step // horizon], axis=1)
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
