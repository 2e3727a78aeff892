"""The losses that forecasts are compared by: the first decides, the others are told."""

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.metrics import cross_entropy, given_to, median_of, pinball, squared_error


def cell_losses(truth_NH: np.ndarray, forecast_NHQ: np.ndarray, scale_N: np.ndarray, task: Task) -> dict[str, np.ndarray]:
    """Loss of every cell by name, NH each: NaN where the truth is unknown.

    For quantiles: scaled pinball, and the absolute and squared errors of the median in units of the scale. For kind ``direction``: log loss, squared
    error of the probabilities, and misses of the likeliest class, of which an even chance of two is half a one.
    """
    if task.kind == "direction":
        likeliest_NHQ = forecast_NHQ == forecast_NHQ.max(axis=-1, keepdims=True)
        miss_NH = 1 - given_to(truth_NH, likeliest_NHQ / np.maximum(likeliest_NHQ.sum(axis=-1, keepdims=True), 1))
        return {
            "log_loss": cross_entropy(truth_NH, forecast_NHQ),
            "brier": squared_error(truth_NH, forecast_NHQ),
            "misses": np.where(np.isnan(forecast_NHQ[..., 0]), np.nan, miss_NH),
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
