"""Summaries of the last rows at each row, by doubling.

A summary of 2 k rows is merged from those of its halves, so that a window of w rows takes some 2 log2(w) array operations. Unlike a running sum,
which carries the rounding of everything before, the value at a row depends on its window alone, to the bit, wherever the array begins: a new
candle needs a short tail, and a spike leaves no trace once it has left the window. Rows with an incomplete window, or NaN in it, are NaN.
"""

from collections.abc import Callable

import numpy as np

Merge = Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]  # summaries of older and newer rows, and how many rows each has

TINY = 1e-12  # what is smaller counts as zero when something is divided by it: logs and returns of constant prices, and their rounding


def fold(merge: Merge, leaf: np.ndarray, window: int) -> np.ndarray:
    """Summarise the last ``window`` rows at each row.

    Parameters
    ----------
    merge
        An associative function of two summaries: ``merge(older, newer, n_older, n_newer)``.
    leaf
        Summary of each row by itself, rows on the last axis: shape (..., T).

    Returns
    -------
    array of the shape of ``leaf``.

    Examples
    --------
    >>> fold(lambda older, newer, *_: older + newer, np.array([1.0, 2.0, 3.0, 4.0]), 3).tolist()
    [nan, nan, 6.0, 9.0]
    """
    result = np.full(leaf.shape, np.nan, dtype=leaf.dtype)
    if leaf.shape[-1] < window:
        return result
    piece, width = leaf, 1  # piece: summaries of `width` rows, that of the first complete window first
    whole, done = leaf[..., :0], 0  # whole: those of the newest `done` rows of the window
    while True:
        if window & width:
            whole = merge(piece[..., : piece.shape[-1] - done], whole[..., width:], width, done) if done else piece
            done += width
        if done == window:
            result[..., window - 1 :] = whole
            return result
        piece = merge(piece[..., :-width], piece[..., width:], width, width)
        width *= 2


def ratio(top: np.ndarray, bottom: np.ndarray | float) -> np.ndarray:
    """Divide, with 0 where there is nothing to divide by; NaN where one of the two is."""
    nothing = np.abs(bottom) <= TINY
    return np.where(nothing & ~np.isnan(top), 0.0, top / np.where(nothing, 1.0, bottom))


def lag(x: np.ndarray, rows: int) -> np.ndarray:
    """Take the value of so many rows ago; NaN where there is none."""
    return np.concatenate([np.full(min(rows, len(x)), np.nan), x[: max(len(x) - rows, 0)]])


def total(x: np.ndarray, window: int) -> np.ndarray:
    """Sum of the last rows."""
    return fold(lambda older, newer, *_: older + newer, x, window)


def mean(x: np.ndarray, window: int) -> np.ndarray:
    """Mean of the last rows."""
    return total(x, window) / window


def highest(x: np.ndarray, window: int) -> np.ndarray:
    """Largest of the last rows."""
    return fold(lambda older, newer, *_: np.maximum(older, newer), x, window)


def lowest(x: np.ndarray, window: int) -> np.ndarray:
    """Smallest of the last rows."""
    return fold(lambda older, newer, *_: np.minimum(older, newer), x, window)


def age_of_highest(x: np.ndarray, window: int) -> np.ndarray:
    """Rows since the largest of the last rows, 0 to window - 1; of equal ones the newest."""

    def merge(older: np.ndarray, newer: np.ndarray, _: int, n_newer: int) -> np.ndarray:
        return np.where(older[0] > newer[0], [older[0], older[1] + n_newer], newer)

    return fold(merge, np.stack([x, np.zeros_like(x)]), window)[1]


def weighted_mean(x: np.ndarray, window: int) -> np.ndarray:
    """Mean of the last rows with weights 1, 2 ... window, the newest the heaviest."""

    def merge(older: np.ndarray, newer: np.ndarray, n_older: int, _: int) -> np.ndarray:
        return np.stack([older[0] + newer[0], older[1] + newer[1] + n_older * newer[0]])

    return fold(merge, np.stack([x, x]), window)[1] / (window * (window + 1) / 2)


def spread(x: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (with divisor n) of the last rows; exactly 0 where they are equal (Chan, Golub and LeVeque 1983)."""

    def merge(older: np.ndarray, newer: np.ndarray, a: int, b: int) -> np.ndarray:
        gap = newer[0] - older[0]
        return np.stack([older[0] + gap * (b / (a + b)), older[1] + newer[1] + gap * gap * (a * b / (a + b))])

    centre, squares = fold(merge, np.stack([x, np.zeros_like(x)]), window)
    return centre, np.sqrt(squares / window)


def deviation(x: np.ndarray, window: int) -> np.ndarray:
    """Standard deviation of the last rows."""
    return spread(x, window)[1]


def zscore(x: np.ndarray, window: int) -> np.ndarray:
    """How many standard deviations a row lies above the mean of the last rows, itself included: within plus or minus sqrt(window - 1)."""
    centre, scale = spread(x, window)
    return ratio(x - centre, scale)


def shape(x: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Skewness and excess kurtosis of the last rows; 0 where they are equal (Pebay 2008, doi:10.2172/1028931)."""

    def merge(older: np.ndarray, newer: np.ndarray, a: int, b: int) -> np.ndarray:
        n, gap = a + b, newer[0] - older[0]
        part = gap / n
        second = gap * part * (a * b)
        return np.stack(
            [
                older[0] + part * b,
                older[1] + newer[1] + second,
                older[2] + newer[2] + second * part * (a - b) + 3 * part * (a * newer[1] - b * older[1]),
                older[3]
                + newer[3]
                + second * part * part * (a * a - a * b + b * b)
                + 6 * part * part * (a * a * newer[1] + b * b * older[1])
                + 4 * part * (a * newer[2] - b * older[2]),
            ]
        )

    zero = np.zeros_like(x)
    _, second, third, fourth = fold(merge, np.stack([x, zero, zero, zero]), window) / window
    scale = np.sqrt(second)
    return ratio(ratio(ratio(third, scale), scale), scale), np.where(scale > TINY, ratio(ratio(fourth, second), second) - 3, 0 * second)


def correlation(x: np.ndarray, y: np.ndarray, window: int) -> np.ndarray:
    """Correlation of two columns over the last rows; 0 where one of them is constant."""

    def merge(older: np.ndarray, newer: np.ndarray, a: int, b: int) -> np.ndarray:
        gap_x, gap_y, weight = newer[0] - older[0], newer[1] - older[1], a * b / (a + b)
        moments = older[2:] + newer[2:] + weight * np.stack([gap_x * gap_x, gap_x * gap_y, gap_y * gap_y])
        return np.concatenate([older[:2] + np.stack([gap_x, gap_y]) * (b / (a + b)), moments])

    zero = np.zeros_like(x)
    _, _, xx, xy, yy = fold(merge, np.stack([x, y, zero, zero, zero]), window)
    return np.clip(ratio(ratio(xy, np.sqrt(xx)), np.sqrt(yy)), -1.0, 1.0)


def trend(x: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Straight line through the last rows: slope per row, share of the variance it explains (0 where there is none), variance it leaves."""

    def merge(older: np.ndarray, newer: np.ndarray, a: int, b: int) -> np.ndarray:
        gap, weight = newer[0] - older[0], a * b / (a + b)
        time_gap = (a + b) / 2
        centre = older[0] + gap * (b / (a + b))
        return np.stack([centre, older[1] + newer[1] + gap * gap * weight, older[2] + newer[2] + gap * (time_gap * weight)])

    zero = np.zeros_like(x)
    _, xx, tx = fold(merge, np.stack([x, zero, zero]), window)
    tt = window * (window * window - 1) / 12
    explained = tx * tx / tt
    return tx / tt, np.minimum(ratio(explained, xx), 1.0), np.maximum(xx - explained, 0.0) / window


def drawdown(x: np.ndarray, window: int) -> np.ndarray:
    """Largest fall from an earlier to a later row among the last rows, 0 or more."""

    def merge(older: np.ndarray, newer: np.ndarray, *_: int) -> np.ndarray:
        worst = np.maximum(np.maximum(older[2], newer[2]), older[0] - newer[1])
        return np.stack([np.maximum(older[0], newer[0]), np.minimum(older[1], newer[1]), worst])

    return fold(merge, np.stack([x, x, np.zeros_like(x)]), window)[2]


def fourier(x: np.ndarray, window: int, period: float) -> np.ndarray:
    """Fourier coefficient of a period over the last rows: complex, its angle is the phase of the cycle at the row itself."""

    def merge(older: np.ndarray, newer: np.ndarray, _: int, n_newer: int) -> np.ndarray:
        return newer + older * np.exp(2j * np.pi * n_newer / period)

    return fold(merge, x.astype(complex), window) * (2 / window)
