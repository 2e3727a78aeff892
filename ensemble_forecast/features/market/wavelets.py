"""Energy of returns by scale, of a wavelet transform that keeps every row and looks backwards only."""

import numpy as np

from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.rolling import lag, mean, ratio

LEVELS, WINDOW = 5, 64
ROOT_3 = np.sqrt(3.0)
SCALING = np.array([1 + ROOT_3, 3 + ROOT_3, 3 - ROOT_3, 1 - ROOT_3]) / 8  # Daubechies' filter of four, for the maximal-overlap transform
WAVELET = np.array([SCALING[3], -SCALING[2], SCALING[1], -SCALING[0]])


@on_candles
def wavelets(candles: Candles) -> Columns:
    """Details of the log return at five scales, their share of the energy over 64 rows, and how energy grows with scale (Daubechies 4)."""
    rest, details = candles.returns(1), []
    for level in range(LEVELS):
        older = [lag(rest, 2**level * place) for place in range(len(SCALING))]
        details.append(sum(weight * x for weight, x in zip(WAVELET, older, strict=True)))
        rest = sum(weight * x for weight, x in zip(SCALING, older, strict=True))
    energies = [mean(np.square(each), WINDOW) for each in [*details, rest]]
    whole = np.sum(energies, axis=0)
    columns = {}
    for level, (detail, energy) in enumerate(zip([*details, rest], energies, strict=True), start=1):
        name = f"{2**level}" if level <= LEVELS else "rest"
        columns[f"share_{name}"] = ratio(np.sqrt(energy), np.sqrt(whole)) ** 2
        columns[f"detail_{name}"] = ratio(np.asarray(detail), np.sqrt(energy))
    columns["centre"] = np.sum([level * columns[f"share_{2**level}"] for level in range(1, LEVELS + 1)], axis=0) / LEVELS
    columns["fine_over_coarse"] = np.log(np.maximum(ratio(np.sqrt(energies[0]), np.sqrt(energies[-2])), 1e-3))
    return columns
