"""The outcome of a trade: which of three barriers is met first, the one above, the one below, or the end of the time."""

import numpy as np

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.ragged import accumulate
from ensemble_forecast.data.task import Task

VOLATILITY_STEPS = 50  # newest changes that the width of the barriers is read off


def first_touch(change_NH: np.ndarray, volatility_N: np.ndarray, task: Task) -> np.ndarray:
    """Label each origin and horizon step by the triple-barrier method (Lopez de Prado 2018, Advances in Financial Machine Learning, chapter 3).

    The barriers lie `Task.take_profit` above and `Task.stop_loss` below the last value, in units of its volatility times the root of H. They stay
    where they are, and step h asks what happened up to there. The observed values count, not what lay between them.

    Parameters
    ----------
    change_NH
        Target after each origin less the last value before; NaN where unknown.
    volatility_N
        Of one step, as `recent_volatility` gives it.

    Returns
    -------
    float64 (N, H): place in `Task.classes`, 0 stopped, 1 out of time, 2 taken; NaN from the first unknown step on, unless a barrier was met before.
    """
    width_N1 = (volatility_N * np.sqrt(task.horizon))[:, None]
    above_NH, below_NH = change_NH > task.take_profit * width_N1, change_NH < -task.stop_loss * width_N1
    label_NH = np.where(np.isnan(change_NH), np.nan, 1.0 + above_NH - below_NH)
    for h in range(1, task.horizon):
        label_NH[:, h] = np.where(label_NH[:, h - 1] == 1.0, label_NH[:, h], label_NH[:, h - 1])
    return label_NH


def recent_volatility(panel: Panel, row_N: np.ndarray, step_N: np.ndarray) -> np.ndarray:
    """Root mean square of the newest 50 changes of a series up to some rows, at these steps of it: (N,); 0 where there is none yet."""
    change = np.diff(panel.y_filled, prepend=0.0)
    change[panel.offsets[:-1][np.diff(panel.offsets) > 0]] = 0.0
    squares = accumulate(np.add, change**2, panel.offsets)
    count_N = np.minimum(step_N, VOLATILITY_STEPS)
    return np.sqrt(np.maximum(squares[row_N] - squares[row_N - count_N], 0.0) / np.maximum(count_N, 1))
