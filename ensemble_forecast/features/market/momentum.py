"""Oscillators: how fast and how far the price went, scaled to about plus or minus one."""

import numpy as np

from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.rolling import highest, lag, lowest, mean, ratio, total, weighted_mean

MACDS = ((6, 13, 5), (12, 26, 9), (24, 52, 18))


@on_candles
def momentum(candles: Candles) -> Columns:
    """RSI, stochastics, MACD, CCI, CMO, TRIX, TSI, ultimate, awesome, KST, Coppock and DPO, of logarithms and in average true ranges."""
    close, unit = candles.log_close(), candles.atr(14)
    columns = {f"rsi_{window}": candles.rsi(window) for window in (2, 7, 14, 28)}
    columns["rsi_14_change_5"] = candles.rsi(14) - lag(candles.rsi(14), 5)
    rsi_high, rsi_low = highest(candles.rsi(14), 14), lowest(candles.rsi(14), 14)
    columns["stochastic_rsi_14"] = ratio(candles.rsi(14) - rsi_low, rsi_high - rsi_low)
    for window in (14, 50):
        top, bottom = highest(candles.log_high(), window), lowest(candles.log_low(), window)
        columns[f"stochastic_k_{window}"] = mean(ratio(close - bottom, top - bottom), 3)
        columns[f"stochastic_d_{window}"] = mean(columns[f"stochastic_k_{window}"], 3)
    for fast, slow, signal in MACDS:
        macd = candles.average(fast) - candles.average(slow)
        smooth = candles.ema(macd, signal)
        columns[f"macd_{fast}_{slow}"] = ratio(macd, unit)
        columns[f"macd_signal_{fast}_{slow}"] = ratio(smooth, unit)
        columns[f"macd_histogram_{fast}_{slow}"] = ratio(macd - smooth, unit)
    change = candles.returns(1)
    for window in (14, 28):
        columns[f"cmo_{window}"] = ratio(total(change, window), total(np.abs(change), window))
        columns[f"cci_{window}"] = commodity_channel(candles, window)
        columns[f"roc_{window}_in_atr"] = ratio(close - lag(close, window), unit * np.sqrt(window))
    third = candles.ema(candles.ema(candles.average(15), 15), 15)
    columns["trix_15"] = ratio(third - lag(third, 1), unit)
    columns["tsi_25_13"] = ratio(candles.ema(candles.ema(change, 25), 13), candles.ema(candles.ema(np.abs(change), 25), 13))
    columns["ultimate"] = ultimate(candles)
    middle = (candles.log_high() + candles.log_low()) / 2
    awesome = mean(middle, 5) - mean(middle, 34)
    columns["awesome"] = ratio(awesome, unit)
    columns["awesome_change"] = ratio(awesome - mean(awesome, 5), unit)
    pieces = ((10, 10, 1), (15, 10, 2), (20, 10, 3), (30, 15, 4))
    columns["kst"] = ratio(np.sum([mean(candles.returns(steps), span) * weight for steps, span, weight in pieces], axis=0), 10 * unit)
    columns["coppock"] = ratio(weighted_mean(candles.returns(14) + candles.returns(11), 10), unit)
    columns["dpo_20"] = ratio(lag(close, 11) - mean(close, 20), unit)
    columns["connors"] = (candles.rsi(3) + 2 * candles.rank(change, 100) - 1) / 2
    return columns


def commodity_channel(candles: Candles, window: int) -> np.ndarray:
    """CCI (Lambert 1980) over 100, of logarithms; the mean deviation is taken from the means of the rows themselves."""
    typical = (candles.log_high() + candles.log_low() + candles.log_close()) / 3
    centre = mean(typical, window)
    return ratio(typical - centre, 1.5 * mean(np.abs(typical - centre), window))


def ultimate(candles: Candles) -> np.ndarray:
    """Ultimate oscillator (Williams 1976) of logarithms, 0 to 1."""
    reach = np.fmin(candles.log_low(), lag(candles.log_close(), 1))
    bought, width = candles.log_close() - reach, candles.true_range()
    first = np.where(candles.step == 0, np.nan, 0.0)  # the first candle has no close before it
    shares = [ratio(total(bought + first, window), total(width + first, window)) for window in (7, 14, 28)]
    return (4 * shares[0] + 2 * shares[1] + shares[2]) / 7
