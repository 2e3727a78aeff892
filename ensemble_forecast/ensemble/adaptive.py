"""Adaptive conformal inference for a live series: levels that follow its errors since the ensemble was fitted.

The forecast for level q is read off the ensemble's own quantile function at an effective level, which rises by g (q - err) after each origin
whose truth has come in, err being the share of truth that lay below the forecast (Gibbs and Candes 2021, arXiv:2106.00170). Several learning
rates g run side by side and are averaged by exponential weights on their pinball losses (Zaffran et al. 2022, arXiv:2202.07282), so that
nobody has to choose one; a rate of zero is among them, which is the ensemble as it stands, and weighs most until another has shown to be better.

Departures from the papers: where labels come d steps late, d origins have told of one stretch before any answer to it is seen, so that each
moves the levels by g / d (moved by g, they swing). Levels are one-sided, one for each quantile, and kept within 0.001 to 0.999, where the papers
answer with an infinite interval; losses are measured on the scale where the forecast is standard normal, and so do not depend on unit or
volatility; a bucket of horizon steps shares its levels and learns from an origin once its last label is known, which delays it by that many
steps. Only the last hundred origins are replayed. The median is never moved.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ensemble_forecast.ensemble.buckets import bucket_of

REPLAY = 100  # origins before the one asked for, whose labels are known: older errors say little about a live series
BUCKETS = 4  # of the horizon
RATES = (0.0, 0.01, 0.03, 0.1)  # learning rates g
PRIOR = (0.7, 0.1, 0.1, 0.1)  # their weights before any loss: most series do not change, and following their noise costs
SHARPNESS = 1.0  # of the exponential weights, in standard normal units of loss; over the delay as well, a change would be seen too late
OUTERMOST = 1e-3  # effective levels stay within this and its mirror
FARTHEST = 30.0  # normal scores: an outlier counts as this far off


@dataclass(frozen=True, eq=False)
class Replay:
    """Past forecasts of one series by the ensemble that is asked now, and what has happened since.

    Parameters
    ----------
    step
        int64 (P,), increasing: origins after the last step that the ensemble was fitted on.
    forecast_PHQ
        The ensemble's forecasts from them; rows with NaN count for nothing.
    truth_PH
        Target after them; NaN where unknown. Whoever asks for step o is told by nothing later than o, whatever stands here.
    """

    step: np.ndarray
    forecast_PHQ: np.ndarray
    truth_PH: np.ndarray


def adapt(forecast_NHQ: np.ndarray, step_N: np.ndarray, past: Replay, quantiles: tuple[float, ...]) -> np.ndarray:
    """Adapt forecasts of one series to its errors so far: float64 (N, H, Q), coherent; NaN rows stay NaN.

    Each origin's forecast depends on no other origin in the call, and on the past only through labels at or before it.

    Parameters
    ----------
    forecast_NHQ
        The ensemble's calibrated forecasts.
    step_N
        int64 (N,): their origins within the series.
    past
        Forecasts from earlier origins; those more than 100 steps and a horizon before an origin are not read.
    """
    horizon = forecast_NHQ.shape[1]
    bucket_H = bucket_of(horizon, min(BUCKETS, horizon))
    score_PH = normal_scores(past.truth_PH, past.forecast_PHQ, quantiles)
    adapted_NHQ = forecast_NHQ.copy()
    for row, step in enumerate(step_N.tolist()):
        recent = (past.step >= step - REPLAY - horizon) & (past.step < step)
        for bucket in range(int(bucket_H[-1]) + 1):
            mine_H = bucket_H == bucket
            delay = int(np.flatnonzero(mine_H)[-1]) + 1
            wanted_Q = effective_levels(past.step[recent], score_PH[recent][:, mine_H], step, delay, quantiles)
            adapted_NHQ[row, mine_H] = read_at(forecast_NHQ[row, mine_H], wanted_Q, quantiles)
    middle = quantiles.index(0.5)
    median_NH1 = forecast_NHQ[..., middle : middle + 1]
    adapted_NHQ[..., :middle] = np.minimum(adapted_NHQ[..., :middle], median_NH1)
    adapted_NHQ[..., middle:] = np.maximum(adapted_NHQ[..., middle:], median_NH1)
    adapted_NHQ[..., middle] = median_NH1[..., 0]
    return np.sort(adapted_NHQ, axis=-1)


def effective_levels(step_P: np.ndarray, score_PK: np.ndarray, now: int, delay: int, quantiles: tuple[float, ...]) -> np.ndarray:
    """Run the recursion over the origins before one, and return the levels (Q,) in force there, as normal scores.

    Parameters
    ----------
    step_P
        int64, increasing: earlier origins.
    score_PK
        Normal scores of what followed them, in the K horizon steps of a bucket; NaN where unknown.
    now
        The origin asked for.
    delay
        Steps until the whole bucket is known: an origin o teaches those from o + delay on.
    """
    target_Q, rate_G1 = np.asarray(quantiles), np.array(RATES)[:, None] / delay
    lowest, highest = min(OUTERMOST, quantiles[0]), max(1 - OUTERMOST, quantiles[-1])
    level_GQ = np.tile(target_Q, (len(RATES), 1))
    loss_GQ = np.zeros(level_GQ.shape)
    in_force_PGQ = np.empty((len(step_P), *level_GQ.shape))  # the normal scores that each origin was answered with
    taught = 0
    for position, step in enumerate([*step_P.tolist(), now]):
        while taught < position and step_P[taught] + delay <= step:
            score_K = score_PK[taught][np.isfinite(score_PK[taught])]
            if len(score_K):
                error_KGQ = score_K[:, None, None] - in_force_PGQ[taught]
                level_GQ = level_GQ + rate_G1 * (target_Q - (error_KGQ <= 0).mean(axis=0))
                loss_GQ = loss_GQ + np.maximum(target_Q * error_KGQ, (target_Q - 1) * error_KGQ).mean(axis=0)
            taught += 1
        answer_GQ = ndtri(np.clip(level_GQ, lowest, highest))
        if position < len(step_P):
            in_force_PGQ[position] = answer_GQ
    weight_GQ = np.array(PRIOR)[:, None] * np.exp(-SHARPNESS * (loss_GQ - loss_GQ.min(axis=0)))
    first_Q = answer_GQ[0]  # means are taken of distances from it, so that answers which agree are left to the last bit
    wanted_Q: np.ndarray = first_Q + (weight_GQ * (answer_GQ - first_Q)).sum(axis=0) / weight_GQ.sum(axis=0)
    return wanted_Q


def normal_scores(truth_NH: np.ndarray, forecast_NHQ: np.ndarray, quantiles: tuple[float, ...]) -> np.ndarray:
    """Place truth on the scale where the forecast is standard normal: (N, H), NaN where either is unknown.

    Linear between quantiles; beyond the outermost ones as far as it lies from the median, in their distance. Where that distance is nothing,
    as in a forecast of a constant, a miss lies as far off as levels reach.
    """
    score_Q = ndtri(quantiles)
    middle = quantiles.index(0.5)
    farthest = float(ndtri(1 - OUTERMOST))
    scores_NH = np.full(truth_NH.shape, np.nan)
    known_NH = np.isfinite(truth_NH) & np.isfinite(forecast_NHQ).all(axis=-1)
    for index in zip(*np.nonzero(known_NH), strict=True):
        truth, quantile_Q = truth_NH[index], forecast_NHQ[index]
        if quantile_Q[0] == quantile_Q[-1]:
            scores_NH[index] = farthest * np.sign(truth - quantile_Q[0])
        elif quantile_Q[0] <= truth <= quantile_Q[-1]:
            scores_NH[index] = np.interp(truth, quantile_Q, score_Q)
        else:
            outer = 0 if truth < quantile_Q[0] else -1
            reach = quantile_Q[outer] - quantile_Q[middle]
            scores_NH[index] = score_Q[outer] * (truth - quantile_Q[middle]) / reach if reach else farthest * np.sign(truth - quantile_Q[middle])
    return np.clip(scores_NH, -FARTHEST, FARTHEST)


def read_at(forecast_KQ: np.ndarray, wanted_Q: np.ndarray, quantiles: tuple[float, ...]) -> np.ndarray:
    """Read the quantile functions of forecasts at other levels, given as normal scores: (K, Q); the way back from `normal_scores`."""
    score_Q = ndtri(quantiles)
    middle_K1 = forecast_KQ[:, quantiles.index(0.5), None]
    read_KQ = np.stack([np.interp(wanted_Q, score_Q, quantile_Q) for quantile_Q in forecast_KQ])
    low_KQ = middle_K1 + (forecast_KQ[:, :1] - middle_K1) * wanted_Q / score_Q[0]
    high_KQ = middle_K1 + (forecast_KQ[:, -1:] - middle_K1) * wanted_Q / score_Q[-1]
    return np.where(wanted_Q < score_Q[0], low_KQ, np.where(wanted_Q > score_Q[-1], high_KQ, read_KQ))
