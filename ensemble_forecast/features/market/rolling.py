"""Summaries of the last rows at each row, by doubling.

A summary of 2 k rows is merged from those of its halves, so that a window of w rows takes some 2 log2(w) array operations. Unlike a running sum,
which carries the rounding of everything before, the value at a row depends on its window alone, to the bit, wherever the array begins: a new
candle needs a short tail, and a spike leaves no trace once it has left the window. Rows with an incomplete window, or NaN in it, are NaN.
"""

from collections.abc import Callable, Sequence

import numpy as np

Summary = Sequence[np.ndarray]
Merge = Callable[[Summary, Summary, int, int], Summary]  # summaries of older and newer rows, and how many rows each has

MOST_ROWS = 4096  # of a window
_UNKNOWN = np.full(MOST_ROWS, np.nan)
TINY = 1e-12  # what is smaller counts as zero when something is divided by it: logs and returns of constant prices, and their rounding


def fold(merge: Merge, leaf: Summary, window: int) -> Summary:
    """Summarise the last ``window`` rows at each row.

    Parameters
    ----------
    merge
        An associative function of two summaries: ``merge(older, newer, n_older, n_newer)``.
    leaf
        Summary of each row by itself: arrays (T,).

    Returns
    -------
    arrays (T,), as many as ``leaf`` has.

    Examples
    --------
    >>> fold(lambda older, newer, *_: (older[0] + newer[0],), (np.array([1.0, 2.0, 3.0, 4.0]),), 3)[0].tolist()
    [nan, nan, 6.0, 9.0]
    """
    assert window <= MOST_ROWS
    rows = len(leaf[0])
    if rows < window:
        return [np.full(rows, np.nan, dtype=x.dtype) for x in leaf]
    piece, width = leaf, 1  # piece: summaries of `width` rows, that of the first complete window first
    whole, done = leaf, 0  # whole: those of the newest `done` rows of the window
    while True:
        if window & width:
            whole = merge([x[: len(x) - done] for x in piece], [x[width:] for x in whole], width, done) if done else piece
            done += width
        if done == window:
            return [np.concatenate([_UNKNOWN[: window - 1], x]) for x in whole]
        piece = merge([x[:-width] for x in piece], [x[width:] for x in piece], width, width)
        width *= 2


def ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Divide, with 0 where there is nothing to divide by; NaN where one of the two is."""
    return top / np.where(np.abs(bottom) <= TINY, np.inf, bottom)


def lag(x: np.ndarray, rows: int) -> np.ndarray:
    """Take the value of so many rows ago; NaN where there is none."""
    return np.concatenate([np.full(min(rows, len(x)), np.nan), x[: max(len(x) - rows, 0)]])


def total(x: np.ndarray, window: int) -> np.ndarray:
    """Sum of the last rows."""
    return fold(lambda older, newer, *_: (older[0] + newer[0],), (x,), window)[0]


def mean(x: np.ndarray, window: int) -> np.ndarray:
    """Mean of the last rows."""
    return total(x, window) / window


def highest(x: np.ndarray, window: int) -> np.ndarray:
    """Largest of the last rows."""
    return fold(lambda older, newer, *_: (np.maximum(older[0], newer[0]),), (x,), window)[0]


def lowest(x: np.ndarray, window: int) -> np.ndarray:
    """Smallest of the last rows."""
    return fold(lambda older, newer, *_: (np.minimum(older[0], newer[0]),), (x,), window)[0]


def age_of_highest(x: np.ndarray, window: int) -> np.ndarray:
    """Rows since the largest of the last rows, 0 to window - 1; of equal ones the newest."""

    def merge(older: Summary, newer: Summary, _: int, n_newer: int) -> Summary:
        return np.maximum(older[0], newer[0]), np.where(older[0] > newer[0], older[1] + n_newer, newer[1])

    return fold(merge, (x, np.zeros_like(x)), window)[1]


def weighted_mean(x: np.ndarray, window: int) -> np.ndarray:
    """Mean of the last rows with weights 1, 2 ... window, the newest the heaviest."""

    def merge(older: Summary, newer: Summary, n_older: int, _: int) -> Summary:
        return older[0] + newer[0], older[1] + newer[1] + n_older * newer[0]

    return fold(merge, (x, x), window)[1] / (window * (window + 1) / 2)


def spread(x: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (with divisor n) of the last rows; exactly 0 where they are equal (Chan, Golub and LeVeque 1983)."""

    def merge(older: Summary, newer: Summary, a: int, b: int) -> Summary:
        gap = newer[0] - older[0]
        return older[0] + gap * (b / (a + b)), older[1] + newer[1] + gap * gap * (a * b / (a + b))

    centre, squares = fold(merge, (x, np.zeros_like(x)), window)
    return centre, np.sqrt(squares / window)


def deviation(x: np.ndarray, window: int) -> np.ndarray:
    """Root mean square distance of the last rows to their mean."""
    return spread(x, window)[1]


def zscore(x: np.ndarray, window: int) -> np.ndarray:
    """How many standard deviations a row lies above the mean of the last rows, itself included: within plus or minus sqrt(window - 1)."""
    centre, scale = spread(x, window)
    return ratio(x - centre, scale)


def shape(x: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Skewness and excess kurtosis of the last rows; 0 where they are equal (Pebay 2008, doi:10.2172/1028931)."""

    def merge(older: Summary, newer: Summary, a: int, b: int) -> Summary:
        part = (newer[0] - older[0]) / (a + b)
        square = part * part
        second = square * (a * b * (a + b))
        return (
            older[0] + part * b,
            older[1] + newer[1] + second,
            older[2] + newer[2] + second * part * (a - b) + part * (3 * a * newer[1] - 3 * b * older[1]),
            older[3]
            + newer[3]
            + second * square * (a * a - a * b + b * b)
            + square * (6 * a * a * newer[1] + 6 * b * b * older[1])
            + part * (4 * a * newer[2] - 4 * b * older[2]),
        )

    zero = np.zeros_like(x)
    _, second, third, fourth = (each / window for each in fold(merge, (x, zero, zero, zero), window))
    scale = np.sqrt(second)
    return ratio(third / np.maximum(second, TINY**2), scale), np.where(scale > TINY, fourth / np.maximum(second * second, TINY**4) - 3, 0 * second)


def correlation(x: np.ndarray, y: np.ndarray, window: int) -> np.ndarray:
    """Correlation of two columns over the last rows; 0 where one of them is constant."""

    def merge(older: Summary, newer: Summary, a: int, b: int) -> Summary:
        gap_x, gap_y, share, weight = newer[0] - older[0], newer[1] - older[1], b / (a + b), a * b / (a + b)
        heavy_x = weight * gap_x
        return (
            older[0] + gap_x * share,
            older[1] + gap_y * share,
            older[2] + newer[2] + heavy_x * gap_x,
            older[3] + newer[3] + heavy_x * gap_y,
            older[4] + newer[4] + weight * gap_y * gap_y,
        )

    zero = np.zeros_like(x)
    _, _, xx, xy, yy = fold(merge, (x, y, zero, zero, zero), window)
    return np.clip(ratio(ratio(xy, np.sqrt(xx)), np.sqrt(yy)), -1.0, 1.0)


def trend(x: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Straight line through the last rows: slope per row, share of the variance it explains (0 where there is none), variance it leaves."""

    def merge(older: Summary, newer: Summary, a: int, b: int) -> Summary:
        gap, weight = newer[0] - older[0], a * b / (a + b)
        return (
            older[0] + gap * (b / (a + b)),
            older[1] + newer[1] + gap * gap * weight,
            older[2] + newer[2] + gap * (weight * (a + b) / 2),
        )

    zero = np.zeros_like(x)
    _, xx, tx = fold(merge, (x, zero, zero), window)
    tt = window * (window * window - 1) / 12
    explained = tx * tx / tt
    return tx / tt, np.minimum(ratio(explained, xx), 1.0), np.maximum(xx - explained, 0.0) / window


def drawdown(x: np.ndarray, window: int) -> np.ndarray:
    """Largest fall from an earlier to a later row among the last rows, 0 or more."""

    def merge(older: Summary, newer: Summary, *_: int) -> Summary:
        worst = np.maximum(np.maximum(older[2], newer[2]), older[0] - newer[1])
        return np.maximum(older[0], newer[0]), np.minimum(older[1], newer[1]), worst

    return fold(merge, (x, x, np.zeros_like(x)), window)[2]


def fourier(x: np.ndarray, window: int, period: float) -> np.ndarray:
    """Fourier coefficient of a period over the last rows: complex, its angle is the phase of the cycle at the row itself."""

    def merge(older: Summary, newer: Summary, _: int, n_newer: int) -> Summary:
        return (newer[0] + older[0] * np.exp(2j * np.pi * n_newer / period),)

    return fold(merge, (x.astype(complex),), window)[0] * (2 / window)
