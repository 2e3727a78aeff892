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
    levels = np.asarray(quantiles)
    flat = forecast_NHQ.reshape(-1, len(levels))
    last = np.repeat(last_N, forecast_NHQ.shape[1])
    below = np.array([_distribution(value, row, levels) for value, row in zip(last, flat, strict=True)])
    return np.clip(1 - below, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR).reshape(forecast_NHQ.shape[:2])


def _distribution(value: float, quantile_Q: np.ndarray, levels: np.ndarray) -> float:
    """Distribution function at a value, from quantiles and their levels."""
    if quantile_Q[0] < value < quantile_Q[-1]:
        return float(np.interp(value, quantile_Q, levels))
    inner, outer = (0, 1) if value <= quantile_Q[0] else (-1, -2)
    width = abs(quantile_Q[inner] - quantile_Q[outer])
    if width == 0:
        return float(levels[inner]) if value == quantile_Q[inner] else float(value > quantile_Q[inner])
    return float(levels[inner] + (value - quantile_Q[inner]) / width * abs(levels[inner] - levels[outer]))


def frame(panel: Panel, origins: Origins, columns: dict[str, np.ndarray], *, with_origin: bool = False) -> pd.DataFrame:
    """Lay out NH arrays as the long table users see: unique_id, ds, the columns, and on request the origin's stamp."""
    horizon = next(iter(columns.values())).shape[1]
    calendars = {int(i): panel.stamps(int(i), 0, int(origins.step[origins.series == i].max()) + horizon + 1) for i in np.unique(origins.series)}
    stamps = [calendars[int(i)][step + 1 : step + 1 + horizon] for i, step in zip(origins.series, origins.step, strict=True)]
    table = pd.DataFrame({"unique_id": np.repeat(np.array(panel.ids, dtype=object)[origins.series], horizon), "ds": np.concatenate(stamps)})
    if with_origin:
        table["origin"] = np.repeat([calendars[int(i)][step] for i, step in zip(origins.series, origins.step, strict=True)], horizon)
    return table.assign(**{name: values.reshape(-1) for name, values in columns.items()})
