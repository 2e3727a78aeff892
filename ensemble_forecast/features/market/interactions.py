"""Polynomial and interaction terms of six figures that the other sets hold in many forms, each squeezed to plus or minus one first."""

import itertools

import numpy as np

from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.rolling import mean, ratio, zscore
from ensemble_forecast.features.market.volatility import log_of


@on_candles
def interactions(candles: Candles) -> Columns:
    """Squares, cubes and products of the last return, the day's, relative strength, trend, volatility state and place in the candle."""
    close = candles.log_close()
    base = {
        "step": ratio(candles.returns(1), candles.realised(24)),
        "day": ratio(candles.returns(24), candles.realised(24) * np.sqrt(24)),
        "strength": 2 * candles.rsi(14),
        "trend": ratio(close - mean(close, 50), 4 * candles.atr(14)),
        "calm": -zscore(log_of(candles.realised(24)), 168) / 2,
        "place": ratio(2 * close - candles.log_high() - candles.log_low(), candles.log_high() - candles.log_low()),
    }
    base = {name: np.tanh(values) for name, values in base.items()}
    columns = {f"{name}_squared": values**2 for name, values in base.items()}
    columns |= {f"{name}_cubed": values**3 for name, values in base.items()}
    return columns | {f"{one}_x_{other}": base[one] * base[other] for one, other in itertools.combinations(base, 2)}
