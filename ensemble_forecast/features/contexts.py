"""Windows of history before each origin, and the scale of a series at an origin. Everything here looks backwards only."""

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel

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
    scale_N = np.full(len(origins), np.nan)
    for lag in dict.fromkeys((season, 1)):
        scale_N = np.where(scale_N > 0, scale_N, _mean_until(_absolute_difference(panel, lag), panel, origins))
    level_N = 1e-3 * _mean_until(np.abs(panel.y), panel, origins)
    return np.where(scale_N > 0, scale_N, np.where(level_N > 0, level_N, 1.0))


def _absolute_difference(panel: Panel, lag: int) -> np.ndarray:
    """|y_t - y_(t-lag)| within each series, NaN for its first steps: one entry a row."""
    difference = np.full(len(panel.y), np.nan)
    difference[lag:] = np.abs(panel.y[lag:] - panel.y[:-lag])
    step = np.arange(len(panel.y)) - np.repeat(panel.offsets[:-1], np.diff(panel.offsets))
    return np.where(step < lag, np.nan, difference)


def _mean_until(values: np.ndarray, panel: Panel, origins: Origins) -> np.ndarray:
    """Mean of the finite values of a series up to each origin; NaN where there is none.

    Running sums restart at every series: a sum over all rows would let one series' values change the rounding of another's.
    """
    finite = np.isfinite(values)
    total, count = np.empty(len(values)), np.cumsum(finite)
    for begin, end in zip(panel.offsets[:-1], panel.offsets[1:], strict=True):
        total[begin:end] = np.cumsum(np.where(finite[begin:end], values[begin:end], 0.0))
    count = np.concatenate([[0], count])
    row = origins.rows(panel)
    n = count[row + 1] - count[panel.offsets[origins.series]]
    return np.where(n > 0, total[row] / np.maximum(n, 1), np.nan)
