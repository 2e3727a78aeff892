"""Returns, and the shape of the candle itself."""

import numpy as np

from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.rolling import lag, mean, ratio

STEPS = (1, 2, 3, 5, 8, 12, 24, 48, 72, 120, 168)
MOST_STREAK = 50


@on_candles
def price(candles: Candles) -> Columns:
    """Take returns over one step to a week of hours, and body, shadows, gap and place of the close within its candle."""
    log_open, log_high, log_low, log_close = candles.log_open(), candles.log_high(), candles.log_low(), candles.log_close()
    width = log_high - log_low
    change = candles.returns(1)
    columns = {f"return_{steps}": candles.returns(steps) for steps in STEPS}
    return columns | {
        "gap": log_open - lag(log_close, 1),
        "body": log_close - log_open,
        "range": width,
        "body_share": ratio(log_close - log_open, width),
        "upper_shadow": ratio(log_high - np.maximum(log_open, log_close), width),
        "lower_shadow": ratio(np.minimum(log_open, log_close) - log_low, width),
        "close_in_range": ratio(2 * log_close - log_high - log_low, width),
        "typical_over_close": np.log((candles.high + candles.low + candles.close) / 3) - log_close,
        "range_change": width - lag(width, 1),
        "acceleration": change - lag(change, 1),
        "rises_10": mean(np.where(np.isnan(change), np.nan, np.sign(change)), 10),
        "rises_30": mean(np.where(np.isnan(change), np.nan, np.sign(change)), 30),
        "streak": streak(change),
    }


def streak(change: np.ndarray) -> np.ndarray:
    """Rows in a row, up to 50, that had the sign of this one; negative for falls, 0 for no change."""
    sign = np.sign(change)
    rows = np.arange(len(change))
    begins = np.maximum.accumulate(np.where(sign != np.concatenate([sign[:1], sign[:-1]]), rows, 0))
    return sign * np.minimum(rows - begins + 1, MOST_STREAK)
