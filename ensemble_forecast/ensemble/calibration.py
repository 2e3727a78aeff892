"""Calibration of the combined forecast on windows its weights did not see.

Quantiles are shifted in units of the forecast's own width, each level by itself (asymmetric conformalised quantile regression; Romano,
Patterson and Candes 2019, arXiv:1905.03222), pooled over series in buckets of the horizon. At full strength the share of truth below each level
becomes the level. The median is never moved: that cost 0 to 1 % of MASE. Log-odds are bent by the curve that clearly pays, if any does (`curves`),
and how strange an outcome may be before a set of classes leaves it out is learnt on cells which that curve had not seen (`conformal_sets`).

Departures from the paper, whose coverage is promised for exchangeable scores only:

* No finite-sample level ceil((n + 1) q) / n: the plain empirical quantile differs from it by less than two order statistics, and shrinkage
  outweighs that.
* Shifts have three parts. The width (what mirrored levels have with opposite signs) is learnt from as many independent scores as there are
  series. But one shock moves all series of a window together, so of the place (the median's shift) there are only as many independent
  scores as windows, and the skew (the rest) lies in between: on six panel tasks with one window to learn from, all three parts at nine tenths
  raised the loss on the next window by 2.6 %, once by 11 %; the width alone lowered it by 0.6 %. Each part is shrunk
  by its own number of independent scores; with many windows, all are at full strength.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.ensemble.base import Rows, closed, clusters, opened
from ensemble_forecast.ensemble.buckets import bucket_of
from ensemble_forecast.ensemble.conformal_sets import thresholds
from ensemble_forecast.ensemble.curves import AS_IS, bend, choose
from ensemble_forecast.learners.base import check_fitted

BUCKETS = 4  # of the horizon; as good as one a step
LEAST_SCORES = 50  # a bucket; below, all horizons are pooled
HALF_STRENGTH = 50  # clusters at which widths are corrected by half
HALF_PLACE = 10  # windows, or blocks of H origins, at which places are
NARROWEST = 1e-6  # scales: a forecast without width says nothing about widths


@dataclass(kw_only=True)
class Calibration:
    """Shifts of quantiles, or a curve of log-odds; follows the conventions of combiners.

    After `fit`: `strength_` and `place_strength_` in [0, 1); `shifts_BQ_` (horizon buckets x levels, in widths; empty for direction); `curve_` and
    `numbers_` (``"as_is"`` and empty for quantiles); `thresholds_`, one for each of ``conformal_sets.PROMISED`` (empty for quantiles, and where
    nothing was there to learn from).
    """

    family: ClassVar[str] = "conformal"

    def fit(self, forecast_NHQ: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task) -> Self:
        """Learn from forecasts whose weights were learnt on other rows; from no rows at all the identity is learnt.

        Parameters
        ----------
        forecast_NHQ
            Combined out-of-fold forecasts; rows with NaN are left out.
        truth_NH
            ``data.origins.outcome``.
        """
        known_N = np.isfinite(truth_NH).any(axis=1) & np.isfinite(forecast_NHQ).all(axis=(1, 2))
        forecast_NHQ, truth_NH, rows = forecast_NHQ[known_N], truth_NH[known_N], rows.take(known_N)
        label_N = clusters(rows, task.horizon)
        n_clusters = len(np.unique(label_N))
        self.kind_, self.median_ = task.kind, task.quantiles.index(0.5)
        n_times = independent_times(rows, task.horizon)
        self.strength_, self.place_strength_ = n_clusters / (n_clusters + HALF_STRENGTH), n_times / (n_times + HALF_PLACE)
        self.curve_, self.numbers_, self.thresholds_ = AS_IS, np.empty(0), np.empty(0)
        self.shifts_BQ_ = np.zeros((0, 0))
        if task.kind == "quantiles":
            width_BQ, skew_BQ, place_BQ = parts(shifts(forecast_NHQ, truth_NH, rows.scale, task), task.quantiles)
            skew_strength = self.strength_ * (1 + self.place_strength_) / 2
            self.shifts_BQ_ = self.strength_ * width_BQ + skew_strength * skew_BQ + self.place_strength_ * place_BQ
        elif n_clusters:
            chosen = choose(opened(forecast_NHQ, task.kind, axis=-1), truth_NH, rows, task)
            self.curve_, self.numbers_ = chosen.name, chosen.numbers
            self.thresholds_ = thresholds(closed(chosen.unseen_NHQ, task.kind), truth_NH, n_clusters)
        return self

    def apply(self, forecast_NHQ: np.ndarray) -> np.ndarray:
        """Calibrate a forecast: float64 (N, H, Q), coherent; NaN rows stay NaN.

        Raises
        ------
        NotFitted
            When `fit` was not called before.
        """
        check_fitted(self)
        if self.kind_ == "direction":
            if self.curve_ == AS_IS:
                return forecast_NHQ
            return closed(bend(self.curve_, self.numbers_, opened(forecast_NHQ, self.kind_, axis=-1)), self.kind_)
        shift_HQ = self.shifts_BQ_[bucket_of(forecast_NHQ.shape[1], len(self.shifts_BQ_))]
        shifted = forecast_NHQ + shift_HQ * (forecast_NHQ[..., -1:] - forecast_NHQ[..., :1])
        middle = forecast_NHQ[..., self.median_ : self.median_ + 1]
        below, above = shifted[..., : self.median_], shifted[..., self.median_ + 1 :]
        return np.sort(np.concatenate([np.minimum(below, middle), middle, np.maximum(above, middle)], axis=-1), axis=-1)


def independent_times(rows: Rows, horizon: int) -> int:
    """Count the blocks of H consecutive origins in the series that has most: what moves all series at once was seen that often."""
    blocks_K3 = np.unique(np.stack([rows.series, rows.window, rows.step // horizon], axis=1), axis=0)
    return int(np.unique(blocks_K3[:, 0], return_counts=True)[1].max(initial=0))


def shifts(forecast_NHQ: np.ndarray, truth_NH: np.ndarray, scale_N: np.ndarray, task: Task) -> np.ndarray:
    """Full-strength shift of each level, the median's too, in units of the outer quantiles' distance, by horizon bucket: (B, Q).

    B is 4, or 1 where any bucket would hold fewer than 50 scores (or the horizon is shorter than 4).
    """
    width_NH = forecast_NHQ[..., -1] - forecast_NHQ[..., 0]
    usable_NH = np.isfinite(truth_NH) & (width_NH > NARROWEST * scale_N[:, None])
    score_NHQ = (truth_NH[..., None] - forecast_NHQ) / np.where(usable_NH, width_NH, 1.0)[..., None]
    bucket_H = bucket_of(task.horizon, BUCKETS if task.horizon >= BUCKETS else 1)
    if np.bincount(bucket_H, usable_NH.sum(axis=0)).min() < LEAST_SCORES:
        bucket_H = np.zeros(task.horizon, dtype=int)
    shifts_BQ = np.zeros((bucket_H[-1] + 1, len(task.quantiles)))
    for bucket in range(len(shifts_BQ)):
        scores_CQ = score_NHQ[:, bucket_H == bucket][usable_NH[:, bucket_H == bucket]]
        for index, level in enumerate(task.quantiles):
            if len(scores_CQ):
                shifts_BQ[bucket, index] = np.quantile(scores_CQ[:, index], level)
    return shifts_BQ


def parts(shifts_BQ: np.ndarray, quantiles: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split shifts into width, skew and place: three (B, Q) that sum to them, but for the median's, which are zero in each.

    Where the mirror of a level is not among the levels, its shift is read off the line between its neighbours.
    """
    levels_Q = np.asarray(quantiles)
    place_BQ = np.repeat(shifts_BQ[:, [quantiles.index(0.5)]], len(quantiles), axis=1)
    centred_BQ = shifts_BQ - place_BQ
    mirrored_BQ = np.array([np.interp(1 - levels_Q, levels_Q, centred_Q) for centred_Q in centred_BQ])
    return (centred_BQ - mirrored_BQ) / 2, (centred_BQ + mirrored_BQ) / 2, np.where(levels_Q == 0.5, 0.0, place_BQ)
