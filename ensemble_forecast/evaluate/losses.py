"""The losses that forecasts are compared by: the first decides, the others are told."""

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.metrics import cross_entropy, median_of, pinball


def cell_losses(truth_NH: np.ndarray, forecast_NHQ: np.ndarray, scale_N: np.ndarray, task: Task) -> dict[str, np.ndarray]:
    """Loss of every cell by name, NH each: NaN where the truth is unknown.

    For quantiles: scaled pinball, and the absolute and squared errors of the median in units of the scale. For kind ``direction``: log loss, squared
    error of the probability, and misses, of which an even chance is half a one.
    """
    if task.kind == "direction":
        up_NH = forecast_NHQ[..., 1]
        miss_NH = np.where(up_NH == 0.5, 0.5, (up_NH > 0.5) != (truth_NH > 0.5))
        unknown_NH = np.isnan(truth_NH) | np.isnan(up_NH)
        return {
            "log_loss": cross_entropy(truth_NH, forecast_NHQ),
            "brier": (truth_NH - up_NH) ** 2,
            "misses": np.where(unknown_NH, np.nan, miss_NH),
        }
    error_NH = (truth_NH - median_of(forecast_NHQ, task.quantiles)) / scale_N[:, None]
    return {
        "sql": pinball(truth_NH, forecast_NHQ, task.quantiles) / scale_N[:, None],
        "absolute_error": np.abs(error_NH),
        "squared_error": error_NH**2,
    }


def deciding_loss(task: Task) -> str:
    """Name the loss that the verdict is about: the one that combiners are judged by, too."""
    return "log_loss" if task.kind == "direction" else "sql"
