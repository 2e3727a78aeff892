"""Figures that other sets hold, against their own past: as z-scores and ranks, and returns in units of their deviation."""

import numpy as np

from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.price import STEPS
from ensemble_forecast.features.market.rolling import mean, ratio, zscore
from ensemble_forecast.features.market.volatility import log_of


@on_candles
def normalised(candles: Candles) -> Columns:
    """Divide returns by their deviation; take z-scores and ranks of return, range, body, ATR, volatility, relative strength and distances."""
    close, log_range = candles.log_close(), log_of(candles.log_high() - candles.log_low())
    usual = candles.realised(100)
    columns = {f"return_{steps}": ratio(candles.returns(steps), usual * np.sqrt(steps)) for steps in STEPS}
    figures = {
        "size": log_of(np.abs(candles.returns(1))),
        "range": log_range,
        "body": close - candles.log_open(),
        "day": candles.returns(24),
        "atr_14": log_of(candles.atr(14)),
        "realised_24": log_of(candles.realised(24)),
        "rsi_14": candles.rsi(14),
        "over_ema_20": close - candles.average(20),
        "over_sma_100": close - mean(close, 100),
    }
    for name, values in figures.items():
        columns[f"{name}_zscore_100"] = zscore(values, 100)
        columns[f"{name}_rank_100"] = candles.rank(values, 100)
    return columns
