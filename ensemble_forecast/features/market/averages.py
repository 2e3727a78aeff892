"""Moving averages of the log close: how far the price is from each, how steep they are, and which lies above which."""

import math

from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.rolling import lag, mean, ratio, weighted_mean

WINDOWS = (5, 10, 20, 50, 200)
CROSSES = ((5, 20), (10, 50), (50, 200))
SLOPE_STEPS = 5


@on_candles
def averages(candles: Candles) -> Columns:
    """Distance of the close to SMA, EMA, WMA, KAMA, Hull, double and triple averages, their slopes and crosses, in average true ranges."""
    close, unit = candles.log_close(), candles.atr(14)
    columns = {}
    for window in WINDOWS:
        columns[f"sma_{window}"] = ratio(close - mean(close, window), unit)
        columns[f"ema_{window}"] = ratio(close - candles.average(window), unit)
        columns[f"wma_{window}"] = ratio(close - weighted_mean(close, window), unit)
        columns[f"ema_slope_{window}"] = ratio(candles.average(window) - lag(candles.average(window), SLOPE_STEPS), unit)
    for window in (16, 49):  # squares: the last smoothing takes their root (Hull 2005)
        hull = weighted_mean(2 * weighted_mean(close, window // 2) - weighted_mean(close, window), math.isqrt(window))
        columns[f"hull_{window}"] = ratio(close - hull, unit)
        columns[f"hull_slope_{window}"] = ratio(hull - lag(hull, 2), unit)
    for window in (10, 30):
        columns[f"kama_{window}"] = ratio(close - candles.kama(window), unit)
        columns[f"kama_slope_{window}"] = ratio(candles.kama(window) - lag(candles.kama(window), SLOPE_STEPS), unit)
        second = candles.ema(candles.average(window), window)
        third = candles.ema(second, window)
        columns[f"dema_{window}"] = ratio(close - (2 * candles.average(window) - second), unit)
        columns[f"tema_{window}"] = ratio(close - (3 * candles.average(window) - 3 * second + third), unit)
    for fast, slow in CROSSES:
        columns[f"cross_{fast}_{slow}"] = ratio(candles.average(fast) - candles.average(slow), unit)
    return columns
