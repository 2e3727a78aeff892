"""Averages that learn nothing: the mean, the median and the trimmed mean of the members."""

import abc
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Combiner, Rows, WeightedCombiner, closed, opened, served
from ensemble_forecast.learners.base import check_fitted


@dataclass(kw_only=True)
class Mean(WeightedCombiner):
    """Equal weights: hard to beat when weights are noisy (Wang, Hyndman, Li and Kang 2023, doi:10.1016/j.ijforecast.2022.11.005)."""

    family: ClassVar[str] = "mean"

    def learn(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> np.ndarray:  # noqa: ARG002
        """Count the members."""
        return equal_weights(forecasts_NHQM)


@dataclass(kw_only=True)
class MiddleAverage(Combiner, abc.ABC):
    """The mean of the members in the middle of every cell and level."""

    @abc.abstractmethod
    def left_out(self, count: int) -> int:
        """Say how many members to leave out at either end, of so many that serve a row."""

    def fit(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> Self:  # noqa: ARG002
        """Count the members; see `Combiner.fit`."""
        self.weights_M_, self.kind_ = equal_weights(forecasts_NHQM), task.kind
        return self

    def combine(self, forecasts_NHQM: np.ndarray, rows: Rows) -> np.ndarray:  # noqa: ARG002
        """Average what lies between the ends; see `Combiner.combine`."""
        check_fitted(self)
        served_NM = served(forecasts_NHQM)
        count_N = served_NM.sum(axis=-1)
        values = opened(np.where(served_NM[:, None, None, :], forecasts_NHQM, np.nan), self.kind_)
        ordered = np.sort(values.astype(float), axis=-1)  # NaN comes last
        averaged = np.full(ordered.shape[:-1], np.nan)
        for count in np.unique(count_N[count_N > 0]).tolist():
            low = self.left_out(count)
            averaged[count_N == count] = ordered[count_N == count][..., low : count - low].mean(axis=-1)
        return closed(averaged, self.kind_)


@dataclass(kw_only=True)
class Median(MiddleAverage):
    """The middle member of every cell and level, or the mean of the two in the middle: one exploded member does not move it."""

    family: ClassVar[str] = "median"

    def left_out(self, count: int) -> int:
        """Leave out all but the middle."""
        return (count - 1) // 2


@dataclass(kw_only=True)
class TrimmedMean(MiddleAverage):
    """The mean without the lowest and highest members of every cell and level.

    Parameters
    ----------
    trim
        Share of the members left out at either end, below 0.5.
    """

    family: ClassVar[str] = "trimmed_mean"
    trim: float = 0.2

    def left_out(self, count: int) -> int:
        """Leave out a share."""
        return int(self.trim * count)


def equal_weights(forecasts_NHQM: np.ndarray) -> np.ndarray:
    """Give all members the same weight."""
    n_members = forecasts_NHQM.shape[-1]
    return np.full(n_members, 1 / n_members)
