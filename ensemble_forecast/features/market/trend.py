"""Whether there is a trend, which way, and how clean."""

import numpy as np

from ensemble_forecast.features.market import rolling
from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.recursions import parabolic
from ensemble_forecast.features.market.rolling import age_of_highest, highest, lag, lowest, mean, ratio, total

TENKAN, KIJUN, SPAN = 9, 26, 52  # Hosoda's windows of the Ichimoku chart


@on_candles
def trend(candles: Candles) -> Columns:
    """ADX, Aroon, Ichimoku, vortex, parabolic stop, regression lines, efficiency and choppiness."""
    close, unit = candles.log_close(), candles.atr(14)
    columns = ichimoku(candles)
    for window in (14, 28):
        columns |= directional(candles, window)
        rise = np.abs(candles.log_high() - lag(candles.log_low(), 1))
        fall = np.abs(candles.log_low() - lag(candles.log_high(), 1))
        columns[f"vortex_{window}"] = ratio(total(rise, window) - total(fall, window), total(rise + fall, window))
        width = highest(candles.log_high(), window) - lowest(candles.log_low(), window)
        columns[f"choppiness_{window}"] = np.log(np.maximum(ratio(total(candles.true_range(), window), width), 1.0)) / np.log(window)
    for window in (25, 50):
        up = 1 - age_of_highest(candles.log_high(), window + 1) / window
        down = 1 - age_of_highest(-candles.log_low(), window + 1) / window
        columns[f"aroon_up_{window}"], columns[f"aroon_down_{window}"], columns[f"aroon_{window}"] = up, down, up - down
    for window in (20, 50, 200):
        slope, explained, left = rolling.trend(close, window)
        columns[f"slope_{window}"] = ratio(slope * np.sqrt(window), unit)
        columns[f"line_fit_{window}"] = np.sign(slope) * explained
        columns[f"line_noise_{window}"] = ratio(np.sqrt(left), unit)
    stop = candles.recur(parabolic, candles.log_high(), candles.log_low())
    columns["parabolic"] = ratio(close - stop, unit)
    for window in (10, 20, 50):
        columns[f"efficiency_{window}"] = np.sign(candles.returns(window)) * candles.efficiency(window)
    change = np.sign(candles.returns(1))
    for window in (20, 50, 100):
        columns[f"up_steps_{window}"] = mean(change, window)
    return columns


def directional(candles: Candles, window: int) -> Columns:
    """Wilder's directional movement (1978): which of high and low moved on, over the true range; 0 to 1."""
    up, down = candles.log_high() - lag(candles.log_high(), 1), lag(candles.log_low(), 1) - candles.log_low()
    smoothed = [candles.wilder(np.where(one > other, np.maximum(one, 0.0), 0.0 * one), window) for one, other in ((up, down), (down, up))]
    plus, minus = (ratio(each, candles.atr(window)) for each in smoothed)
    index = ratio(np.abs(plus - minus), plus + minus)
    return {
        f"plus_di_{window}": plus,
        f"minus_di_{window}": minus,
        f"di_{window}": ratio(plus - minus, plus + minus),
        f"adx_{window}": candles.wilder(index, window),
    }


def ichimoku(candles: Candles) -> Columns:
    """Place of the close against Hosoda's lines, in average true ranges; the cloud at a row is that drawn 26 steps before."""
    close, unit = candles.log_close(), candles.atr(14)
    lines = {window: (highest(candles.log_high(), window) + lowest(candles.log_low(), window)) / 2 for window in (TENKAN, KIJUN, SPAN)}
    first, second = lag((lines[TENKAN] + lines[KIJUN]) / 2, KIJUN), lag(lines[SPAN], KIJUN)
    return {
        "tenkan": ratio(close - lines[TENKAN], unit),
        "kijun": ratio(close - lines[KIJUN], unit),
        "tenkan_over_kijun": ratio(lines[TENKAN] - lines[KIJUN], unit),
        "over_cloud": ratio(close - (first + second) / 2, unit),
        "cloud": ratio(first - second, unit),
        "chikou": ratio(close - lag(close, KIJUN), unit),
    }
