"""Simplex weights by group of levels, because the member with the best median need not have the best tails."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Combiner, Needs, Rows, served, weighted
from ensemble_forecast.ensemble.cells import sample
from ensemble_forecast.ensemble.simplex import shrinkage, simplex_weights
from ensemble_forecast.learners.base import check_fitted

MIDDLE = (1 / 3, 2 / 3)  # levels between these are the middle
PULL = 0.5  # towards the weights of all levels


@dataclass(kw_only=True)
class PerQuantile(Combiner):
    """Weigh by `Simplex` in the low, the middle and the high levels, half shrunk to the weights of all levels.

    Class probabilities have no levels: for kind ``direction``, and once the deadline has passed, this is `Simplex`.

    After `fit`: `weights_GM_` by group, `group_Q_` (group of each level), and `weights_M_`, the mean over the levels.
    """

    family: ClassVar[str] = "per_quantile"
    needs: ClassVar[Needs] = Needs(kinds=("quantiles",))

    def fit(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> Self:
        """Learn the weights of all levels, then those of each group; see `Combiner.fit`."""
        shrink = shrinkage(rows, task.horizon)
        cells = sample(forecasts_NHQM, truth_NH, rows, task)
        all_M = simplex_weights(cells, shrink, deadline)
        self.kind_ = task.kind
        self.group_Q_ = level_groups(task.quantiles) if task.kind == "quantiles" else np.zeros(task.n_outputs, dtype=int)
        n_groups = int(self.group_Q_[-1]) + 1
        self.weights_GM_ = np.tile(all_M, (n_groups, 1))
        for group in range(n_groups) if n_groups > 1 else []:
            if deadline.passed():
                break
            mine_Q = self.group_Q_ == group
            levels = tuple(level for level, mine in zip(task.quantiles, mine_Q, strict=True) if mine)
            tail = replace(cells, values_CQM=cells.values_CQM[:, mine_Q], quantiles=levels)
            self.weights_GM_[group] = (1 - PULL) * simplex_weights(tail, shrink, deadline) + PULL * all_M
        self.weights_M_ = self.weights_GM_[self.group_Q_].mean(axis=0)
        return self

    def combine(self, forecasts_NHQM: np.ndarray, rows: Rows) -> np.ndarray:  # noqa: ARG002
        """Average every group by its weights, and sort; see `Combiner.combine`."""
        check_fitted(self)
        return weighted_by_level(forecasts_NHQM, self.weights_GM_, self.group_Q_, self.kind_)


def level_groups(quantiles: tuple[float, ...]) -> np.ndarray:
    """Sort levels into low, middle and high, those that there are: int64 (Q,), from 0."""
    return np.unique(np.searchsorted(MIDDLE, quantiles), return_inverse=True)[1].reshape(-1)


def weighted_by_level(forecasts_NHQM: np.ndarray, weights_GM: np.ndarray, group_Q: np.ndarray, kind: str) -> np.ndarray:
    """Average members with the weights of each level's group: float64 (N, H, Q), coherent, NaN rows where nobody serves.

    Parameters
    ----------
    weights_GM
        One set of weights a group.
    group_Q
        int64, not decreasing: group of each level; all 0 for kind ``direction``, where a probability cannot be averaged without its other.
    """
    served_NM = served(forecasts_NHQM)
    if not served_NM.all():  # a member serves a whole row or none of it, in every group alike
        forecasts_NHQM = np.where(served_NM[:, None, None, :], forecasts_NHQM, np.nan)
    parts = [weighted(forecasts_NHQM[:, :, group_Q == group], weights_M, kind) for group, weights_M in enumerate(weights_GM)]
    combined_NHQ = np.concatenate(parts, axis=2)
    combined_NHQ[np.isnan(combined_NHQ).any(axis=(1, 2))] = np.nan
    return np.sort(combined_NHQ, axis=-1) if kind == "quantiles" else combined_NHQ
