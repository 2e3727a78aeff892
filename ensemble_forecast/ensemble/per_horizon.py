"""Simplex weights by horizon bucket, because a member that sees tomorrow clearly may be blind for next month."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Combiner, Rows, served
from ensemble_forecast.ensemble.cells import MAX_VALUES, sample
from ensemble_forecast.ensemble.groups import bucket_of, weighted_by_group
from ensemble_forecast.ensemble.simplex import shrinkage, simplex_weights
from ensemble_forecast.learners.base import check_fitted

BUCKETS = 4  # of the horizon, at most
LEAST_ROWS = 200  # scored in each bucket; below, there are fewer buckets
PULL = 0.5  # towards the weights of the whole horizon: the loss then differs by 0.1 % from theirs, either way


@dataclass(kw_only=True)
class PerHorizon(Combiner):
    """Weigh by `Simplex` in each of up to four horizon buckets, half shrunk to the weights of the whole horizon.

    Every bucket needs 200 scored rows; with fewer there are fewer buckets, and with a single one, or once the deadline has passed, this is
    `Simplex`.

    After `fit`: `weights_BM_` by bucket, `bucket_H_` (bucket of each step), and `weights_M_`, the mean over the steps.
    """

    family: ClassVar[str] = "per_horizon"

    def fit(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> Self:
        """Learn the weights of the whole horizon, then those of each bucket; see `Combiner.fit`."""
        shrink = shrinkage(rows, task.horizon)
        whole_M = simplex_weights(sample(forecasts_NHQM, truth_NH, rows, task), shrink, deadline)
        self.kind_ = task.kind
        self.bucket_H_ = buckets(np.isfinite(truth_NH) & served(forecasts_NHQM).any(axis=1, keepdims=True))
        n_buckets = int(self.bucket_H_[-1]) + 1
        self.weights_BM_ = np.tile(whole_M, (n_buckets, 1))
        for bucket in range(n_buckets) if n_buckets > 1 else []:
            if deadline.passed():
                break
            mine_H = self.bucket_H_ == bucket
            cells = sample(forecasts_NHQM[:, mine_H], truth_NH[:, mine_H], rows, task, MAX_VALUES // n_buckets)
            self.weights_BM_[bucket] = (1 - PULL) * simplex_weights(cells, shrink, deadline) + PULL * whole_M
        self.weights_M_ = self.weights_BM_[self.bucket_H_].mean(axis=0)
        return self

    def combine(self, forecasts_NHQM: np.ndarray, rows: Rows) -> np.ndarray:  # noqa: ARG002
        """Average every bucket by its weights; see `Combiner.combine`."""
        check_fitted(self)
        return weighted_by_group(forecasts_NHQM, self.weights_BM_, self.bucket_H_, 1, self.kind_)


def buckets(scored_NH: np.ndarray) -> np.ndarray:
    """Cut the horizon into as many buckets, four at most, as leave each of them enough scored rows: int64 (H,)."""
    horizon = scored_NH.shape[1]
    for n_buckets in range(min(BUCKETS, horizon), 1, -1):
        bucket_H = bucket_of(horizon, n_buckets)
        if all(scored_NH[:, bucket_H == bucket].any(axis=1).sum() >= LEAST_ROWS for bucket in range(n_buckets)):
            return bucket_H
    return np.zeros(horizon, dtype=int)
