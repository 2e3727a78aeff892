"""How much surprise there is in the order, the signs, the sizes and the cycles of the last returns; each 0 to about 1."""

import numpy as np

from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.rolling import deviation, fourier, lag, ratio

EDGES = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)  # of returns in standard deviations
Words = tuple[np.ndarray, int]  # number of each row's word, NaN where there is none, and how many different ones there may be
TOLERANCE = 0.2  # of sample entropy, in standard deviations, as Richman and Moorman have it


@on_candles
def entropy(candles: Candles) -> Columns:
    """Permutation, sign-word, histogram, sample and spectral entropy of returns."""
    change = candles.returns(1)
    columns = {}
    for order, window in ((3, 50), (3, 100), (4, 100), (4, 200)):
        columns[f"permutation_{order}_{window}"] = word_entropy(candles, _order_words(change, order), window)
    signs = np.where(np.isnan(change), np.nan, change > 0)
    for window in (50, 100, 200):
        words = _sequence_words(signs, 3)
        columns[f"signs_{window}"] = word_entropy(candles, words, window)
        columns[f"next_sign_{window}"] = 3 * columns[f"signs_{window}"] - 2 * word_entropy(candles, _sequence_words(signs, 2), window)
    z = ratio(change, candles.realised(100))
    bins = np.where(np.isnan(z), np.nan, np.searchsorted(EDGES, z))
    for window in (50, 100):
        columns[f"histogram_{window}"] = word_entropy(candles, (bins, len(EDGES) + 1), window)
    columns["sample_60"] = candles.by_slices(sample_entropy, change, 60)
    power = np.stack([np.abs(fourier(change, 64, 64 / harmonic)) ** 2 for harmonic in range(1, 32)])
    share = ratio(power, power.sum(axis=0))
    columns["spectral_64"] = -(share * np.log(np.maximum(share, 1e-12))).sum(axis=0) / np.log(len(share))
    columns["spectral_64"] *= np.where(np.isnan(deviation(change, 64)), np.nan, 1.0)
    return columns


def word_entropy(candles: Candles, words: Words, window: int) -> np.ndarray:
    """Shannon entropy of the words of the last rows over that of equally frequent ones (Bandt and Pompe 2002, doi:10.1103/PhysRevLett.88.174102)."""
    word, count = words

    def summed(windows: np.ndarray) -> np.ndarray:
        small, surprise = windows.astype(np.int8), np.zeros(len(windows))
        for value in range(count):
            share = np.count_nonzero(small == value, axis=1) / window
            surprise -= share * np.log(np.maximum(share, 1e-12))
        return surprise / np.log(count)

    return candles.by_slices(summed, word, window)


def _order_words(x: np.ndarray, order: int) -> Words:
    """Give a number to the order in which the last values lie, one of ``order!``; of equal ones the older counts as larger."""
    older = [lag(x, order - 1 - place) for place in range(order)]
    word, base = np.zeros(len(x)), 1
    for place in range(order - 1):  # Lehmer code: how many later ones lie below
        word += base * np.sum([older[later] <= older[place] for later in range(place + 1, order)], axis=0)
        base *= order - place
    return np.where(np.isnan(older[0]), np.nan, word), base


def _sequence_words(letters: np.ndarray, length: int) -> Words:
    """Give a number to the last letters, each 0 or 1."""
    return np.sum([2**place * lag(letters, place) for place in range(length)], axis=0), 2**length


def sample_entropy(windows: np.ndarray) -> np.ndarray:
    """Sample entropy with patterns of two, one match added to each count so that none is 0 (Richman and Moorman 2000): (rows,)."""
    reach = TOLERANCE * windows.std(axis=1, keepdims=True)
    two = three = np.ones(len(windows))
    for shift in range(1, windows.shape[1] - 2):
        near = np.abs(windows[:, shift:] - windows[:, :-shift]) <= reach
        pairs = near[:, :-2] & near[:, 1:-1]
        two = two + np.count_nonzero(pairs, axis=1)
        three = three + np.count_nonzero(pairs & near[:, 2:], axis=1)
    return np.log(two / three)
