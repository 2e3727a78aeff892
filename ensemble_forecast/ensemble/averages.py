"""Averages that learn nothing: the mean, the median and the trimmed mean of the members."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Combiner, Rows, check_fitted, closed, opened, served, weighted


@dataclass(kw_only=True)
class Mean(Combiner):
    """Equal weights: hard to beat when weights are noisy (Wang, Hyndman, Li and Kang 2023, doi:10.1016/j.ijforecast.2022.11.005)."""

    family: ClassVar[str] = "mean"

    def fit(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> Self:  # noqa: ARG002
        """Count the members."""
        self.weights_M_, self.kind_ = equal_weights(forecasts_NHQM), task.kind
        return self

    def combine(self, forecasts_NHQM: np.ndarray, rows: Rows) -> np.ndarray:  # noqa: ARG002
        """Average."""
        check_fitted(self)
        return weighted(forecasts_NHQM, self.weights_M_, self.kind_)


@dataclass(kw_only=True)
class Median(Combiner):
    """The middle member of every cell and level: one exploded member does not move it."""

    family: ClassVar[str] = "median"

    def fit(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> Self:  # noqa: ARG002
        """Count the members."""
        self.weights_M_, self.kind_ = equal_weights(forecasts_NHQM), task.kind
        return self

    def combine(self, forecasts_NHQM: np.ndarray, rows: Rows) -> np.ndarray:  # noqa: ARG002
        """Take the middle member, or the mean of the two in the middle."""
        check_fitted(self)
        return middle(forecasts_NHQM, lambda count: (count - 1) // 2, self.kind_)


@dataclass(kw_only=True)
class TrimmedMean(Combiner):
    """The mean without the lowest and highest members of every cell and level.

    Parameters
    ----------
    trim
        Share of the members left out at either end, below 0.5.
    """

    family: ClassVar[str] = "trimmed_mean"
    trim: float = 0.2

    def fit(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> Self:  # noqa: ARG002
        """Count the members."""
        self.weights_M_, self.kind_ = equal_weights(forecasts_NHQM), task.kind
        return self

    def combine(self, forecasts_NHQM: np.ndarray, rows: Rows) -> np.ndarray:  # noqa: ARG002
        """Average what lies between the trimmed ends."""
        check_fitted(self)
        return middle(forecasts_NHQM, lambda count: int(self.trim * count), self.kind_)


def equal_weights(forecasts_NHQM: np.ndarray) -> np.ndarray:
    """Give all members the same weight."""
    n_members = forecasts_NHQM.shape[-1]
    return np.full(n_members, 1 / n_members)


def middle(forecasts_NHQM: np.ndarray, left_out: Callable[[int], int], kind: str) -> np.ndarray:
    """Average the members in the middle of every cell and level: float64 (N, H, Q).

    Parameters
    ----------
    left_out
        Number of members to leave out at either end, given how many serve the row.
    """
    served_NM = served(forecasts_NHQM)
    count_N = served_NM.sum(axis=-1)
    values = opened(np.where(served_NM[:, None, None, :], forecasts_NHQM, np.nan), kind)
    ordered = np.sort(values.astype(float), axis=-1)  # NaN comes last
    averaged = np.full(ordered.shape[:-1], np.nan)
    for count in np.unique(count_N[count_N > 0]).tolist():
        low = left_out(count)
        averaged[count_N == count] = ordered[count_N == count][..., low : count - low].mean(axis=-1)
    return closed(averaged, kind)
