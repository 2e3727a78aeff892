"""Arithmetic of forecasts: arrays of shape (N, H, Q) in the target's own unit, and the frame users see.

The mean column is computed once, from the final quantiles in level space: the integral of the quantile function by the trapezoidal rule,
with the outermost quantiles carried flat to 0 and 1; the flat tails bias it towards the median.
"""

import numpy as np
import pandas as pd

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task

PROBABILITY_FLOOR = 1e-4  # a probability of 0 or 1 would make one miss cost the whole log loss


def quantile_mean(forecast_NHQ: np.ndarray, quantiles: tuple[float, ...]) -> np.ndarray:
    """Mean of the distribution that the quantiles describe: shape (N, H)."""
    levels = np.concatenate([[0.0], quantiles, [1.0]])
    weight_Q = np.diff(levels)[:-1] / 2 + np.diff(levels)[1:] / 2
    weight_Q[0] += levels[1] / 2
    weight_Q[-1] += (1 - levels[-2]) / 2
    return forecast_NHQ @ weight_Q


def residual_quantiles(residual_NH: np.ndarray, quantiles: tuple[float, ...], at_least: int = 50) -> np.ndarray:
    """Empirical quantiles of residuals for each horizon step, pooling neighbouring steps until each has ``at_least`` finite scores.

    Returns
    -------
    float64 (H, Q), increasing along Q; zeros where there is no residual at all.
    """
    horizon = residual_NH.shape[1]
    counts_H = np.isfinite(residual_NH).sum(axis=0)
    table_HQ = np.zeros((horizon, len(quantiles)))
    for h in range(horizon):
        reach = 0
        while counts_H[max(0, h - reach) : h + reach + 1].sum() < at_least and reach < horizon:
            reach += 1
        pool = residual_NH[:, max(0, h - reach) : h + reach + 1]
        pool = pool[np.isfinite(pool)]
        if len(pool):
            table_HQ[h] = np.quantile(pool, quantiles)
    return table_HQ


def normalise(probability_NHQ: np.ndarray) -> np.ndarray:
    """Bound class probabilities away from 0 and make them sum to 1."""
    bounded = np.clip(probability_NHQ, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    return bounded / bounded.sum(axis=-1, keepdims=True)


def tidy(forecast_NHQ: np.ndarray, task: Task) -> np.ndarray:
    """Make a forecast coherent: quantiles increase, class probabilities sum to 1. NaN rows stay NaN."""
    return normalise(forecast_NHQ) if task.kind == "direction" else np.sort(forecast_NHQ, axis=-1)


def probability_up(forecast_NHQ: np.ndarray, last_N: np.ndarray, quantiles: tuple[float, ...]) -> np.ndarray:
    """Probability that the target lies above its last value, read off the distribution function of a quantile forecast: (N, H).

    Linear between quantiles; beyond the outermost ones the outermost slope is continued, within (0, 1).
    """
    below = _distribution(np.repeat(last_N, forecast_NHQ.shape[1]), forecast_NHQ.reshape(-1, len(quantiles)), np.asarray(quantiles))
    return np.clip(1 - below, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR).reshape(forecast_NHQ.shape[:2])


def _distribution(value_R: np.ndarray, quantile_RQ: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Distribution function at one value a row, from quantiles and their levels: (R,)."""
    last = len(levels) - 1
    is_below, is_above = value_R <= quantile_RQ[:, 0], value_R >= quantile_RQ[:, -1]
    left_R = np.clip((quantile_RQ <= value_R[:, None]).sum(axis=1) - 1, 0, last - 1)
    inner_R = np.where(is_below, 0, np.where(is_above, last, left_R))
    outer_R = np.where(is_below, 1, np.where(is_above, last - 1, left_R + 1))
    row = np.arange(len(value_R))
    beyond_R = value_R - quantile_RQ[row, inner_R]
    width_R = np.abs(quantile_RQ[row, inner_R] - quantile_RQ[row, outer_R])
    slope_R = np.abs(levels[inner_R] - levels[outer_R]) / np.where(width_R == 0, 1.0, width_R)
    step_R = np.where(beyond_R == 0, levels[inner_R], beyond_R > 0)  # a distribution without width
    return np.where(width_R == 0, step_R, levels[inner_R] + slope_R * beyond_R)


def frame(panel: Panel, origins: Origins, columns: dict[str, np.ndarray], *, with_origin: bool = False) -> pd.DataFrame:
    """Lay out NH arrays as the long table users see: unique_id, ds, the columns, and on request the origin's stamp."""
    horizon = next(iter(columns.values())).shape[1]
    series_R = np.repeat(origins.series, horizon)
    step_NH = origins.step[:, None] + np.arange(1, horizon + 1)
    table = pd.DataFrame({"unique_id": np.array(panel.ids, dtype=object)[series_R], "ds": panel.stamps_at(series_R, step_NH.ravel())})
    if with_origin:
        table["origin"] = np.repeat(panel.stamps_at(origins.series, origins.step), horizon)
    return table.assign(**{name: values.reshape(-1) for name, values in columns.items()})
