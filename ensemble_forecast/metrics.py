"""How far off a forecast is. Smaller is better; arrays in, one number out; missing truth (NaN) is never scored.

Every registered metric takes ``(truth_NH, forecast_NHQ, scale_N, quantiles)`` so that a name in a pipeline is enough to call it. For the kind
``direction`` truth is the place of a class and the Q axis holds the probabilities of the classes, (down, up) or (stop, timeout, take).
"""

import numpy as np

Levels = tuple[float, ...]


def pinball(truth_NH: np.ndarray, forecast_NHQ: np.ndarray, quantiles: Levels) -> np.ndarray:
    """Twice the mean quantile loss over the levels: NH, in the target's unit (Koenker and Bassett 1978, doi:10.2307/1913643)."""
    error_NHQ = truth_NH[..., None] - forecast_NHQ
    levels = np.asarray(quantiles)
    return 2 * np.maximum(levels * error_NHQ, (levels - 1) * error_NHQ).mean(axis=-1)


def cross_entropy(truth_NH: np.ndarray, forecast_NHQ: np.ndarray) -> np.ndarray:
    """Negative log probability of what happened: NH, in nats."""
    return -np.log(given_to(truth_NH, forecast_NHQ))


def given_to(truth_NH: np.ndarray, forecast_NHQ: np.ndarray) -> np.ndarray:
    """Probability that was given to what happened: NH, NaN where that is unknown."""
    place_NH1 = np.nan_to_num(truth_NH).astype(np.int64)[..., None]
    return np.where(np.isnan(truth_NH), np.nan, np.take_along_axis(forecast_NHQ, place_NH1, axis=-1)[..., 0])


def cell_loss(truth_NH: np.ndarray, forecast_NHQ: np.ndarray, scale_N: np.ndarray, quantiles: Levels, kind: str) -> np.ndarray:
    """Loss of every single cell, NH: scaled pinball for quantiles, log loss for direction. What the contest and the verdict compare."""
    if kind == "direction":
        return cross_entropy(truth_NH, forecast_NHQ)
    return pinball(truth_NH, forecast_NHQ, quantiles) / scale_N[:, None]


def median_of(forecast_NHQ: np.ndarray, quantiles: Levels) -> np.ndarray:
    """Return the point forecast: the 0.5 quantile, NH."""
    return forecast_NHQ[..., quantiles.index(0.5)]


def sql(truth_NH: np.ndarray, forecast_NHQ: np.ndarray, scale_N: np.ndarray, quantiles: Levels) -> float:
    """Scaled quantile loss: pinball over the in-sample seasonal-naive error of the series."""
    return float(np.nanmean(pinball(truth_NH, forecast_NHQ, quantiles) / scale_N[:, None]))


def wql(truth_NH: np.ndarray, forecast_NHQ: np.ndarray, scale_N: np.ndarray, quantiles: Levels) -> float:  # noqa: ARG001
    """Weighted quantile loss: summed pinball over summed absolute truth."""
    return float(np.nansum(pinball(truth_NH, forecast_NHQ, quantiles)) / np.nansum(np.abs(truth_NH)))


def mase(truth_NH: np.ndarray, forecast_NHQ: np.ndarray, scale_N: np.ndarray, quantiles: Levels) -> float:
    """Mean absolute scaled error of the median (Hyndman and Koehler 2006, doi:10.1016/j.ijforecast.2006.03.001)."""
    return float(np.nanmean(np.abs(truth_NH - median_of(forecast_NHQ, quantiles)) / scale_N[:, None]))


def smape(truth_NH: np.ndarray, forecast_NHQ: np.ndarray, scale_N: np.ndarray, quantiles: Levels) -> float:  # noqa: ARG001
    """Symmetric mean absolute percentage error of the median, in percent (0 to 200)."""
    point_NH = median_of(forecast_NHQ, quantiles)
    size_NH = np.abs(truth_NH) + np.abs(point_NH)
    return float(200 * np.nanmean(np.abs(truth_NH - point_NH) / np.where(size_NH == 0, np.nan, size_NH)))


def rmse(truth_NH: np.ndarray, forecast_NHQ: np.ndarray, scale_N: np.ndarray, quantiles: Levels) -> float:  # noqa: ARG001
    """Root mean squared error of the median, in the target's unit."""
    return float(np.sqrt(np.nanmean((truth_NH - median_of(forecast_NHQ, quantiles)) ** 2)))


def coverage(truth_NH: np.ndarray, forecast_NHQ: np.ndarray) -> float:
    """Share of the truth inside the outermost quantiles."""
    inside = (truth_NH >= forecast_NHQ[..., 0]) & (truth_NH <= forecast_NHQ[..., -1])
    return float(inside[np.isfinite(truth_NH)].mean())


def log_loss(truth_NH: np.ndarray, forecast_NHQ: np.ndarray, scale_N: np.ndarray, quantiles: Levels) -> float:  # noqa: ARG001
    """Mean cross-entropy, in nats; a coin has 0.693, even odds for three classes 1.099."""
    return float(np.nanmean(cross_entropy(truth_NH, forecast_NHQ)))


def brier(truth_NH: np.ndarray, forecast_NHQ: np.ndarray, scale_N: np.ndarray, quantiles: Levels) -> float:  # noqa: ARG001
    """Half the mean squared error of all probabilities (Brier 1950): of two classes, that of the probability of up; a coin has 0.25."""
    return float(np.nanmean(squared_error(truth_NH, forecast_NHQ)))


def squared_error(truth_NH: np.ndarray, forecast_NHQ: np.ndarray) -> np.ndarray:
    """Half the squared error of the probabilities of all classes: NH."""
    happened_NHQ = truth_NH[..., None] == np.arange(forecast_NHQ.shape[-1])
    return np.where(np.isnan(truth_NH), np.nan, ((happened_NHQ - forecast_NHQ) ** 2).sum(axis=-1) / 2)
