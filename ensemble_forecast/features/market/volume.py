"""How much was traded, and whether it went with the price."""

import numpy as np

from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.rolling import correlation, lag, mean, ratio, total, zscore
from ensemble_forecast.features.market.rolling import trend as line

LEAST_IMPACT = 1e-9


@on_candles
def volume(candles: Candles) -> Columns:
    """Volume against its past, on-balance volume, money flow, VWAP, force, ease of movement, illiquidity; free of the unit of volume."""
    traded, change, close = candles.traded(), candles.returns(1), candles.log_close()
    busy = np.log1p(ratio(traded, candles.ema(traded, 200)))  # against the usual volume, so that the logarithm does not know the unit
    typical = (candles.log_high() + candles.log_low() + close) / 3
    place = ratio(2 * close - candles.log_high() - candles.log_low(), candles.log_high() - candles.log_low())
    columns = {"busy": busy, "change": busy - lag(busy, 1)}
    for window in (5, 20, 50, 100, 168):
        columns[f"over_mean_{window}"] = np.log1p(ratio(traded, mean(traded, window)))
    for window in (20, 100):
        columns[f"zscore_{window}"] = zscore(busy, window)
        columns[f"illiquidity_{window}"] = illiquidity(candles, busy, window)
    for window in (10, 20, 50):
        whole = total(traded, window)
        columns[f"on_balance_{window}"] = ratio(total(np.sign(change) * traded, window), whole)
        columns[f"accumulation_{window}"] = ratio(total(place * traded, window), whole)
        columns[f"vwap_{window}"] = ratio(close - ratio(total(typical * traded, window), whole), candles.atr(14)) * (whole > 0)
    columns["with_return_50"] = correlation(busy, change, 50)
    columns["with_size_50"] = correlation(busy, np.abs(change), 50)
    flow = np.sign(typical - lag(typical, 1)) * traded
    for window in (14, 28):
        columns[f"money_flow_{window}"] = ratio(total(flow, window), total(np.abs(flow), window))
    columns["force_13"] = ratio(candles.ema(change * busy, 13), candles.atr(14))
    columns["oscillator_5_20"] = candles.ema(busy, 5) - candles.ema(busy, 20)
    middle = (candles.log_high() + candles.log_low()) / 2
    columns["ease_14"] = mean(ratio(ratio(middle - lag(middle, 1), candles.atr(14)), 0.1 + busy), 14)
    columns["slope_20"] = line(busy, 20)[0]
    columns["rank_100"] = candles.rank(traded, 100)
    return columns


def illiquidity(candles: Candles, busy: np.ndarray, window: int) -> np.ndarray:
    """How far the price goes per volume, of late against the last 168 rows, as a logarithm (Amihud 2002, doi:10.1016/S1386-4181(01)00024-6)."""
    impact = ratio(np.abs(candles.returns(1)), 0.1 + busy)
    return np.log((mean(impact, window) + LEAST_IMPACT) / (mean(impact, 168) + LEAST_IMPACT))
