"""Whether moves go on or turn back, by four estimators of the Hurst exponent; 0.5 is a random walk."""

import numpy as np

from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.rolling import deviation, lag, mean, ratio, trend

LAGS = (1, 2, 4, 8, 16)
BOXES = (8, 12, 16, 24, 32)
SIZES = (16, 32, 64, 128)
QUIET = 1e-9


@on_candles
def hurst(candles: Candles) -> Columns:
    """Generalised Hurst exponents, detrended fluctuation analysis and rescaled range over windows of the log close."""
    close = candles.log_close()
    columns = {}
    for window in (100, 200, 300):
        for power in (1, 2):
            sizes = [mean(np.abs(close - lag(close, steps)) ** power, window) ** (1 / power) for steps in LAGS]
            columns[f"generalised_{power}_{window}"] = _exponent(LAGS, sizes)
        noise = [np.sqrt(mean(trend(close, box)[2], window - box)) for box in BOXES]
        columns[f"detrended_{window}"] = _exponent(BOXES, noise)
    rescaled = [ratio(candles.by_slices(_reach, close, size + 1), deviation(candles.returns(1), size)) for size in SIZES]
    columns["rescaled_128"] = _exponent(SIZES, rescaled)
    columns["generalised_change"] = columns["generalised_2_100"] - columns["generalised_2_300"]
    return columns


def _exponent(scales: tuple[int, ...], sizes: list[np.ndarray]) -> np.ndarray:
    """Slope of log size over log scale; 0 where nothing moves.

    References
    ----------
    Di Matteo 2007 (generalised exponents), Peng et al. 1994 (detrended fluctuations), Mandelbrot and Wallis 1969 (rescaled range).
    """
    x = np.log(scales) - np.log(scales).mean()
    slope = np.sum([weight * np.log(np.maximum(size, QUIET)) for weight, size in zip(x / (x * x).sum(), sizes, strict=True)], axis=0)
    return np.clip(slope, -1.0, 2.0)


def _reach(windows: np.ndarray) -> np.ndarray:
    """Range of each window around the straight line from its first to its last value: (rows,)."""
    along = np.linspace(0, 1, windows.shape[1])
    left = windows - windows[:, :1] - (windows[:, -1:] - windows[:, :1]) * along
    return left.max(axis=1) - left.min(axis=1)
