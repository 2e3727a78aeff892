"""Waves: the last turning points of the price, and the cycles in its returns."""

import numpy as np

from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.recursions import hold
from ensemble_forecast.features.market.rolling import deviation, fourier, highest, lag, ratio

WINDOW = 64
PERIODS = (64, 32, 16, 8, 4)  # octaves of the window
CYCLES = (8, 16, 32, 64)
MOST_ROWS = 200


@on_candles
def waves(candles: Candles) -> Columns:
    """Distance to and age of the last confirmed pivots, Fourier energies of returns by octave, phase and strength of cycles."""
    change, close, unit = candles.returns(1), candles.log_close(), candles.atr(14)
    columns = {}
    for side in (2, 5, 10):
        places = {}
        for name, edge, sign in (("high", candles.log_high(), 1.0), ("low", -candles.log_low(), -1.0)):
            pivot = lag(edge, side)  # confirmed by the rows after it, so that it is known only now
            confirmed = pivot >= highest(edge, 2 * side + 1)
            places[name] = sign * candles.recur(hold, pivot, confirmed)
            age = candles.step - candles.recur(hold, lag(candles.step.astype(float), side), confirmed)
            columns[f"over_pivot_{name}_{side}"] = ratio(close - places[name], unit)
            columns[f"since_pivot_{name}_{side}"] = np.minimum(age, MOST_ROWS) / MOST_ROWS
        columns[f"pivot_width_{side}"] = ratio(places["high"] - places["low"], unit)
    scale = deviation(change, WINDOW)
    shares = {period: ratio(np.abs(fourier(change, WINDOW, period)), np.sqrt(2) * scale) ** 2 for period in PERIODS}
    columns |= {f"energy_{period}": share for period, share in shares.items()}
    whole = np.sum(list(shares.values()), axis=0)
    columns["octave"] = ratio(np.sum([np.log2(period) * share for period, share in shares.items()], axis=0), whole)
    columns["purity"] = ratio(np.max(list(shares.values()), axis=0), whole)
    for period in CYCLES:
        wave = fourier(change, 2 * period, period)
        columns[f"cycle_sine_{period}"] = ratio(wave.imag, np.abs(wave))
        columns[f"cycle_cosine_{period}"] = ratio(wave.real, np.abs(wave))
        columns[f"cycle_strength_{period}"] = ratio(np.abs(wave), deviation(change, 2 * period))
    return columns
