"""Statistics of the last returns: their distribution, their memory, and where the newest stand in it."""

from collections.abc import Callable

import numpy as np

from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.rolling import correlation, lag, mean, ratio, shape, spread, total, zscore

WINDOWS = (24, 72, 168)


@on_candles
def moments(candles: Candles) -> Columns:
    """Mean, skewness and kurtosis of returns, autocorrelations of returns and of their sizes, variance ratios, quantiles, z-scores of the price."""
    close, change = candles.log_close(), candles.returns(1)
    size = np.abs(change)
    columns = {}
    for window in WINDOWS:
        centre, scale = spread(change, window)
        columns[f"t_of_mean_{window}"] = ratio(centre, scale) * np.sqrt(window)
        columns[f"skewness_{window}"], columns[f"kurtosis_{window}"] = shape(change, window)
        columns[f"autocorrelation_1_{window}"] = _memory(change, 1, window)
    for steps in (2, 3, 5, 12, 24):
        columns[f"autocorrelation_{steps}_168"] = _memory(change, steps, 168)
    for steps in (1, 24):
        columns[f"size_autocorrelation_{steps}_168"] = correlation(size, lag(size, steps), 168)
    columns["leverage_168"] = correlation(lag(change, 1), size, 168)
    for steps in (2, 5, 12, 24):  # Lo and MacKinlay 1988 (doi:10.1093/rfs/1.1.41)
        long, short = mean(candles.returns(steps) ** 2, 168), mean(change**2, 168)
        columns[f"variance_ratio_{steps}"] = np.log(np.maximum(ratio(long, steps * short), 1e-3))
    columns |= {f"price_zscore_{window}": zscore(close, window) for window in (20, 50, 200)}
    columns |= {f"return_zscore_{window}": zscore(change, window) for window in (20, 100)}
    turned = np.where(np.isnan(lag(change, 1)), np.nan, change * lag(change, 1) < 0)
    columns["turns_50"] = total(turned, 50) / 50
    for window in (50, 100):
        quarters = [candles.by_slices(_quantile(share), change, window) for share in (0.25, 0.5, 0.75)]
        columns[f"quartile_skew_{window}"] = ratio(quarters[0] + quarters[2] - 2 * quarters[1], quarters[2] - quarters[0])
        columns[f"over_median_{window}"] = ratio(change - quarters[1], quarters[2] - quarters[0])
        columns[f"quartiles_over_realised_{window}"] = ratio(quarters[2] - quarters[0], candles.realised(window))
    return columns


def _memory(change: np.ndarray, steps: int, window: int) -> np.ndarray:
    """Autocorrelation about zero, which the mean of returns is next to."""
    return np.clip(ratio(mean(change * lag(change, steps), window), mean(change**2, window)), -1.0, 1.0)


def _quantile(share: float) -> Callable[[np.ndarray], np.ndarray]:
    """Make a function that takes the value at this share of each window."""

    def take(windows: np.ndarray) -> np.ndarray:
        place = round(share * (windows.shape[1] - 1))
        picked: np.ndarray = np.partition(windows, place, axis=1)[:, place]
        return picked

    return take
