"""Channels around the price, where it lies in them, and how far it broke out."""

import numpy as np

from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.recursions import greatest
from ensemble_forecast.features.market.rolling import age_of_highest, deviation, highest, lag, lowest, mean, ratio, spread

WINDOWS = (20, 55, 120)


@on_candles
def channels(candles: Candles) -> Columns:
    """Donchian, Bollinger and Keltner channels: place, width, squeeze, breakouts in average true ranges, and distance to the all-time high."""
    close, high, low, unit = candles.log_close(), candles.log_high(), candles.log_low(), candles.atr(14)
    columns = {}
    for window in WINDOWS:
        top, bottom = highest(high, window), lowest(low, window)
        columns[f"donchian_{window}"] = ratio(2 * close - top - bottom, top - bottom)
        columns[f"donchian_width_{window}"] = ratio(top - bottom, unit * np.sqrt(window))
        columns[f"breakout_up_{window}"] = ratio(close - lag(top, 1), unit)
        columns[f"breakout_down_{window}"] = ratio(close - lag(bottom, 1), unit)
        columns[f"since_high_{window}"] = age_of_highest(high, window) / (window - 1)
        columns[f"since_low_{window}"] = age_of_highest(-low, window) / (window - 1)
    for window in (20, 50):
        centre, scale = spread(close, window)
        columns[f"bollinger_{window}"] = ratio(close - centre, 2 * scale)
        columns[f"bollinger_width_{window}"] = ratio(scale, unit)
        columns[f"bollinger_rank_{window}"] = candles.rank(deviation(close, window), 120)
        columns[f"keltner_{window}"] = ratio(close - candles.average(window), 2 * unit)
    narrow = 2 * deviation(close, 20) < 1.5 * unit  # the Bollinger bands within the Keltner channel
    columns["squeeze_20"] = np.where(np.isnan(deviation(close, 20) + unit), np.nan, narrow)
    columns["high_ever"] = close - candles.recur(greatest, high)
    columns["low_ever"] = np.log1p(close + candles.recur(greatest, -low))
    columns["shelf_20"] = ratio(mean(np.abs(close - lag(close, 1)), 20), highest(high, 20) - lowest(low, 20))
    return columns
