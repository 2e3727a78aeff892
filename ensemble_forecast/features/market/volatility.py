"""How much the price moves, by seven estimators, and how that changes. Volatilities are logarithms of deviations per step."""

import numpy as np

from ensemble_forecast.features.market.candles import QUIET_LOG, Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.rolling import deviation, lag, mean, ratio, zscore

WINDOWS = (10, 24, 168)


def log_of(volatility: np.ndarray) -> np.ndarray:
    """Logarithm of a volatility, which may be 0."""
    return np.log(np.maximum(volatility, QUIET_LOG))


def log_root(variance: np.ndarray) -> np.ndarray:
    """Logarithm of the root of a variance, which rounding may have made negative."""
    return log_of(np.sqrt(np.maximum(variance, 0.0)))


@on_candles
def volatility(candles: Candles) -> Columns:
    """ATR, realised, Parkinson, Garman-Klass, Rogers-Satchell and Yang-Zhang volatility, up and down, jumps, and their ratios."""
    change = candles.returns(1)
    columns = {f"atr_{window}": log_of(candles.atr(window)) for window in (7, 14, 28)}
    columns["atr_7_over_28"] = log_of(candles.atr(7)) - log_of(candles.atr(28))
    columns["true_range_in_atr"] = ratio(candles.true_range(), lag(candles.atr(14), 1))
    for window in WINDOWS:
        realised = candles.realised(window)
        columns[f"realised_{window}"] = log_of(realised)
        for name, variance in range_variances(candles, window).items():
            columns[f"{name}_{window}"] = log_root(variance)
        up, down = mean(np.maximum(change, 0.0) ** 2, window), mean(np.minimum(change, 0.0) ** 2, window)
        columns[f"up_share_{window}"] = ratio(up - down, up + down) * (realised > QUIET_LOG)
        pairs = np.pi / 2 * mean(np.abs(change) * np.abs(lag(change, 1)), window)  # bipower: what is left without jumps
        columns[f"jump_share_{window}"] = np.clip(1 - ratio(pairs, realised**2), -1.0, 1.0) * (realised > QUIET_LOG)
    log_range = np.log(np.maximum(candles.log_high() - candles.log_low(), QUIET_LOG))
    for window in (24, 72):
        columns[f"of_volatility_{window}"] = deviation(log_of(candles.realised(10)), window)
        columns[f"range_zscore_{window}"] = zscore(log_range, window)
    columns["realised_10_over_24"] = columns["realised_10"] - columns["realised_24"]
    columns["realised_24_over_168"] = columns["realised_24"] - columns["realised_168"]
    columns["range_over_realised_24"] = columns["parkinson_24"] - columns["realised_24"]
    return columns


def range_variances(candles: Candles, window: int) -> Columns:
    """Variance per step from open, high, low and close.

    References
    ----------
    Parkinson 1980; Garman and Klass 1980; Rogers and Satchell 1991; Yang and Zhang 2000 (doi:10.1086/209650).
    """
    log_open = candles.log_open()
    high, low, close = candles.log_high() - log_open, candles.log_low() - log_open, candles.log_close() - log_open
    gap = log_open - lag(candles.log_close(), 1)
    rogers_satchell = mean(high * (high - close) + low * (low - close), window)
    k = 0.34 / (1.34 + (window + 1) / (window - 1))
    bessel = window / (window - 1)
    return {
        "parkinson": mean((high - low) ** 2, window) / (4 * np.log(2)),
        "garman_klass": mean(0.5 * (high - low) ** 2 - (2 * np.log(2) - 1) * close**2, window),
        "rogers_satchell": rogers_satchell,
        "yang_zhang": bessel * (deviation(gap, window) ** 2 + k * deviation(close, window) ** 2) + (1 - k) * rogers_satchell,
    }
