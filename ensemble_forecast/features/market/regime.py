"""Which weather it is: calm or wild, rising or falling, and for how long."""

import functools

import numpy as np

from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.recursions import drift_detector, hold
from ensemble_forecast.features.market.rolling import highest, lag, mean, ratio, trend, zscore
from ensemble_forecast.features.market.volatility import log_of

WILD = 0.5  # standard deviations of the log volatility above its mean: so much is wild, so much below is calm
MOST_ROWS = 200


@on_candles
def regime(candles: Candles) -> Columns:
    """State of volatility and trend, how long each has lasted, and drift that piles up."""
    close, change = candles.log_close(), candles.returns(1)
    state = zscore(log_of(candles.realised(24)), 200)
    wild, calm = _flag(state, state > WILD), _flag(state, state < -WILD)
    slope, explained, _ = trend(close, 100)
    rising = _flag(slope, slope > 0)
    bull = _flag(candles.average(200), close > candles.average(200))
    turned = (wild != lag(wild, 1)) & ~np.isnan(wild)
    columns = {
        "volatility_zscore": state,
        "volatility_rank_500": candles.rank(candles.realised(24), 500),
        "is_wild": wild,
        "is_calm": calm,
        "wild_share_50": mean(wild, 50),
        "calm_share_50": mean(calm, 50),
        "wild_for": _age(candles, wild, turned),
        "is_rising": rising,
        "trend_clean": np.sign(slope) * explained,
        "rising_share_50": mean(rising, 50),
        "is_bull": bull,
        "bull_share_50": mean(bull, 50),
        "bull_for": _age(candles, bull, (bull != lag(bull, 1)) & ~np.isnan(bull)),
        "wild_and_rising": wild * rising,
        "wild_and_falling": wild * (1 - rising),
        "in_drawdown_200": _flag(highest(close, 200), highest(close, 200) - close > 5 * candles.atr(14)),
    }
    z = ratio(change, lag(candles.realised(50), 1))
    for bound in (4, 8):
        columns[f"drift_{bound}"] = candles.recur(functools.partial(drift_detector, slack=0.25, bound=bound), z)
    return columns


def _flag(known: np.ndarray, condition: np.ndarray) -> np.ndarray:
    """Write a condition as 0 or 1, NaN where it is not known."""
    return np.where(np.isnan(known), np.nan, condition.astype(float))


def _age(candles: Candles, known: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Rows since the last event as a share of 200, and 1 from there on."""
    step = np.where(np.isnan(known), np.nan, candles.step.astype(float))
    return np.minimum(candles.step - candles.recur(hold, step, event), MOST_ROWS) / MOST_ROWS
