"""Windows of history before each origin, and the scale of a series at an origin. Everything here looks backwards only."""

from weakref import WeakKeyDictionary

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.ragged import accumulate

_SCALES: WeakKeyDictionary[Panel, dict[int, np.ndarray]] = WeakKeyDictionary()  # a worker's trials all ask for the same ones
MIN_STEPS = 3  # of history up to and including an origin: fewer give neither a scale nor a shape, and no learner serves them


def gather(values: np.ndarray, panel: Panel, origins: Origins, length: int) -> np.ndarray:
    """Gather the last ``length`` steps up to each origin.

    Parameters
    ----------
    values
        Shape (rows,) or (rows, C), rows as in ``panel.y`` (pass ``panel.y_filled`` for the target, ``panel.past`` for covariates).

    Returns
    -------
    array of shape (N, L) or (N, L, C); steps before the start of a series are NaN.
    """
    step_NL = origins.step[:, None] + np.arange(1 - length, 1)
    inside_NL = step_NL >= 0
    context = values[np.where(inside_NL, panel.offsets[origins.series, None] + step_NL, 0)]
    context = np.array(context, dtype=float)
    context[~inside_NL] = np.nan
    return context


def scale_at(panel: Panel, origins: Origins, season: int) -> np.ndarray:
    """Mean absolute seasonal-naive error of each series over its steps up to the origin: float64 (N,), above zero.

    The denominator of MASE and SQL (Hyndman and Koehler 2006, doi:10.1016/j.ijforecast.2006.03.001). A series too short for its season
    uses lag 1; one without any change uses a thousandth of its mean level, or 1.
    """
    known = _SCALES.setdefault(panel, {})
    if season not in known:
        known[season] = _running_scale(panel, season)
    return known[season][origins.rows(panel)]


def _running_scale(panel: Panel, season: int) -> np.ndarray:
    """Scale of each series over its steps up to each row."""
    scale = np.full(len(panel.y), np.nan)
    for lag in dict.fromkeys((season, 1)):
        scale = np.where(scale > 0, scale, _running_mean(_absolute_difference(panel, lag), panel))
    level = 1e-3 * _running_mean(np.abs(panel.y), panel)
    return np.where(scale > 0, scale, np.where(level > 0, level, 1.0))


def _absolute_difference(panel: Panel, lag: int) -> np.ndarray:
    """|y_t - y_(t-lag)| within each series, NaN for its first steps: one entry a row."""
    difference = np.full(len(panel.y), np.nan)
    difference[lag:] = np.abs(panel.y[lag:] - panel.y[:-lag])
    step = np.arange(len(panel.y)) - np.repeat(panel.offsets[:-1], np.diff(panel.offsets))
    return np.where(step < lag, np.nan, difference)


def _running_mean(values: np.ndarray, panel: Panel) -> np.ndarray:
    """Mean of the finite values of a series up to each row; NaN where there is none."""
    finite = np.isfinite(values)
    total = accumulate(np.add, np.where(finite, values, 0.0), panel.offsets)
    count = accumulate(np.add, finite.astype(np.int64), panel.offsets)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
