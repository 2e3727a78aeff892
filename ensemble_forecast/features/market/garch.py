"""Conditional variance by recursions with fixed parameters: nothing is estimated, so nothing can be estimated from later rows."""

import functools

import numpy as np

from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.recursions import smooth
from ensemble_forecast.features.market.rolling import lag, ratio
from ensemble_forecast.features.market.volatility import log_of

FIXED = {"slow": (0.05, 0.0, 0.93), "fast": (0.15, 0.0, 0.80), "leverage": (0.03, 0.08, 0.90)}  # reaction, extra to falls, persistence
HALVES = (0.94, 0.97)  # decay of RiskMetrics for days and for months (1996)
LONG_RUN, AHEAD, WARM_UP = 500, 24, 50


@on_candles
def garch(candles: Candles) -> Columns:
    """Volatility expected next by RiskMetrics, GARCH(1, 1) and GJR, its ratio to the usual one, the return in its units, and its term structure."""
    change = candles.returns(1)
    squared = change**2
    usual = candles.recur(functools.partial(smooth, weight=1 / LONG_RUN, warm_up=WARM_UP), squared)
    early = candles.recur(functools.partial(smooth, weight=1 / LONG_RUN, warm_up=1), squared)
    columns: Columns = {}
    for decay in HALVES:
        variance = candles.recur(functools.partial(smooth, weight=1 - decay, warm_up=WARM_UP), squared)
        columns |= _read(f"ewma_{round(100 * decay)}", variance, usual, change)
    for name, (reaction, extra, persistence) in FIXED.items():
        falls = np.where(change < 0, squared, 0.0 * squared)
        left = 1 - reaction - extra / 2 - persistence
        fed = (left * early + reaction * squared + extra * falls) / (1 - persistence)
        variance = candles.recur(functools.partial(smooth, weight=1 - persistence, warm_up=WARM_UP), fed)
        columns |= _read(name, variance, usual, change)
        gone = (1 - left) ** np.arange(AHEAD)
        columns[f"{name}_ahead_{AHEAD}"] = log_of(np.sqrt(usual + (variance - usual) * gone.mean())) - log_of(np.sqrt(variance))
    columns["fast_over_slow"] = columns["fast"] - columns["slow"]
    return columns


def _read(name: str, variance: np.ndarray, usual: np.ndarray, change: np.ndarray) -> Columns:
    """Tell what to expect by one recursion, against what is usual, and how far the last return went beyond what was expected."""
    volatility = np.sqrt(variance)
    return {
        name: log_of(volatility),
        f"{name}_over_usual": log_of(volatility) - log_of(np.sqrt(usual)),
        f"{name}_surprise": ratio(change, lag(volatility, 1)),
    }
