"""Origins: the (series, step) pairs at which forecasts are made."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble_forecast.data.barriers import first_touch, recent_volatility
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task


@dataclass(frozen=True, eq=False)
class Origins:
    """Where forecasts start. A forecast may read steps up to and including its origin, nothing later.

    Parameters
    ----------
    series, step
        int64 of shape (N,): index of the series in its panel, and step within it.
    base_NH
        Optional point forecast in the target's unit that a learner is asked to correct (boosting).
    """

    series: np.ndarray
    step: np.ndarray
    base_NH: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.step)

    def take(self, index: np.ndarray | slice) -> "Origins":
        """Select origins by position, slice or mask."""
        return Origins(self.series[index], self.step[index], None if self.base_NH is None else self.base_NH[index])

    def spread(self, at_most: int) -> "Origins":
        """Keep so many, evenly spaced, where there are more."""
        return self.take(np.unique(np.linspace(0, len(self) - 1, at_most).astype(np.int64))) if len(self) > at_most else self

    def rows(self, panel: Panel) -> np.ndarray:
        """Row of each origin in the panel's arrays, shape (N,)."""
        return panel.offsets[self.series] + self.step

    @classmethod
    def joined(cls, parts: Sequence["Origins"]) -> "Origins":
        """Put origins one after the other; a base only where all have one."""
        bases = [part.base_NH for part in parts if part.base_NH is not None]
        base_NH = np.concatenate(bases) if bases and len(bases) == len(parts) else None
        return cls(np.concatenate([part.series for part in parts]), np.concatenate([part.step for part in parts]), base_NH)

    @classmethod
    def ends(cls, panel: Panel) -> "Origins":
        """Return the last observed step of every series that has one."""
        series = np.flatnonzero(panel.lengths_S > 0)
        return cls(series, panel.ends_S[series])

    @classmethod
    def between(cls, first_S: np.ndarray, last_S: np.ndarray) -> "Origins":
        """Every step from ``first_S`` to ``last_S`` (inclusive) of every series; none where last lies before first."""
        count_S = np.maximum(last_S - first_S + 1, 0)
        series = np.repeat(np.arange(len(count_S)), count_S)
        start = np.repeat(np.cumsum(count_S) - count_S, count_S)
        return cls(series, np.arange(len(series)) - start + np.repeat(first_S, count_S))


def truth(panel: Panel, origins: Origins, horizon: int) -> np.ndarray:
    """Gather the target after each origin: float64 NH, NaN where it is missing or lies beyond the observed steps."""
    step_NH = origins.step[:, None] + np.arange(1, horizon + 1)
    inside_NH = step_NH < panel.lengths_S[origins.series, None]
    row_NH = np.where(inside_NH, panel.offsets[origins.series, None] + step_NH, 0)
    return np.where(inside_NH, panel.y[row_NH] if len(panel.y) else np.nan, np.nan)


def last_stamp(panel: Panel) -> np.datetime64:
    """Stamp of the newest observed step of all series."""
    ends = Origins.ends(panel)
    stamp: np.datetime64 = panel.stamps_at(ends.series, ends.step).max().astype("datetime64[s]")
    return stamp


def steps_until(panel: Panel, stamp: np.datetime64) -> np.ndarray:
    """Last step of each series whose stamp is not after the given one; -1 where there is none."""
    if last_stamp(panel) <= stamp:
        return panel.ends_S
    steps = Origins.between(np.zeros(panel.n_series, dtype=np.int64), panel.ends_S)
    seen = panel.stamps_at(steps.series, steps.step) <= stamp
    return np.bincount(steps.series[seen], minlength=panel.n_series) - 1


def outcome(panel: Panel, origins: Origins, task: Task) -> np.ndarray:
    """Gather what forecasts are scored against: the target, or for kind ``direction`` the place of the class that happened, NaN where unknown; NH."""
    truth_NH = truth(panel, origins, task.horizon)
    if task.kind == "quantiles":
        return truth_NH
    last_N = panel.y_filled[origins.rows(panel)]
    if task.label == "barrier":
        return first_touch(truth_NH - last_N[:, None], recent_volatility(panel, origins.rows(panel), origins.step), task)
    return np.where(np.isnan(truth_NH), np.nan, (truth_NH > last_N[:, None]).astype(float))
