"""What holding the series over the last rows would have cost and earned."""

import numpy as np

from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.rolling import deviation, drawdown, highest, lowest, mean, ratio, total

WINDOWS = (24, 168)
TAIL = 0.05


@on_candles
def risk(candles: Candles) -> Columns:
    """Drawdowns, value at risk, expected shortfall, tail ratio, Sharpe, Sortino, Calmar, Omega and ulcer index over windows."""
    close, change = candles.log_close(), candles.returns(1)
    columns = {}
    for window in WINDOWS:
        centre, usual = mean(change, window), candles.realised(window)
        below = np.sqrt(mean(np.minimum(change, 0.0) ** 2, window))
        fall = drawdown(close, window)
        columns[f"drawdown_{window}"] = close - highest(close, window)
        columns[f"drawup_{window}"] = close - lowest(close, window)
        columns[f"worst_drawdown_{window}"] = fall
        columns[f"sharpe_{window}"] = ratio(centre, deviation(change, window)) * np.sqrt(window)
        columns[f"sortino_{window}"] = ratio(centre, below) * np.sqrt(window)
        columns[f"calmar_{window}"] = ratio(candles.returns(window), fall)
        columns[f"omega_{window}"] = ratio(centre, mean(np.abs(change), window))
        columns[f"ulcer_{window}"] = ratio(np.sqrt(mean((close - highest(close, window)) ** 2, window)), usual * np.sqrt(window))
        columns[f"worst_step_{window}"] = ratio(lowest(change, window), usual)
        columns[f"best_step_{window}"] = ratio(highest(change, window), usual)
    for window in (100, 200):
        tails = {name: candles.by_slices(function, change, window) for name, function in TAILS.items()}
        columns |= {f"{name}_{window}": values for name, values in tails.items()}
        up, down = tails["upper_shortfall"], tails["expected_shortfall"]
        columns[f"tail_balance_{window}"] = ratio(up + down, up - down)
    columns["pain_72"] = ratio(total(close - highest(close, 72), 72), 72 * candles.realised(72))
    return columns


def _lowest_tail(windows: np.ndarray) -> np.ndarray:
    """Lowest twentieth of each window, in order."""
    count = max(round(TAIL * windows.shape[1]), 1)
    return np.sort(np.partition(windows, count, axis=1)[:, :count], axis=1)


TAILS = {
    "value_at_risk": lambda windows: _lowest_tail(windows)[:, -1],
    "expected_shortfall": lambda windows: _lowest_tail(windows).mean(axis=1),
    "upper_shortfall": lambda windows: -_lowest_tail(-windows).mean(axis=1),
}
