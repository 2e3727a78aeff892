"""Candlestick patterns, recognised by TA-Lib."""

import numpy as np
import talib

from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.rolling import mean

NAMES = (
    "belthold", "closingmarubozu", "doji", "dragonflydoji", "engulfing", "hammer", "hangingman", "harami", "highwave", "hikkake",
    "invertedhammer", "longline", "marubozu", "piercing", "shootingstar", "shortline", "spinningtop", "3inside", "3outside", "takuri",
)  # fmt: skip
WARM_UP = 20  # rows that the widest of them compares with


@on_candles
def patterns(candles: Candles) -> Columns:
    """Twenty candlestick patterns as -1, 0 or 1, inside and outside bars, and how many of them pointed up or down of late."""
    # TA-Lib keeps running sums. Of whole numbers these are exact, so that a pattern does not hang on where the array begins.
    prices = [np.rint(values * candles.unit) for values in (candles.open, candles.high, candles.low, candles.close)]
    warm = candles.step >= WARM_UP
    columns = {}
    for name in NAMES:
        found = np.sign(getattr(talib, f"CDL{name.upper()}")(*prices)) if len(candles.close) else np.empty(0)
        columns[name] = np.where(warm, found.astype(float), np.nan)
    inside = (candles.high[1:] < candles.high[:-1]) & (candles.low[1:] > candles.low[:-1])
    outside = (candles.high[1:] > candles.high[:-1]) & (candles.low[1:] < candles.low[:-1])
    pointed = np.sum(list(columns.values()), axis=0)
    first = np.full(1, np.nan)
    return columns | {
        "inside_bar": np.concatenate([first, inside.astype(float)]),
        "outside_bar": np.concatenate([first, outside.astype(float)]),
        "pointed_5": mean(pointed, 5),
        "pointed_20": mean(pointed, 20),
        "inside_bars_20": mean(np.concatenate([first, inside.astype(float)]), 20),
    }
