"""Running sums, minima and maxima within each series of a ragged array, for all series at once."""

import numpy as np


def accumulate(ufunc: np.ufunc, values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Apply ``ufunc.accumulate`` to each series by itself.

    Series of similar length are laid out as the rows of one table, left-aligned, so that the number of calls grows with the variety of
    lengths and not with the number of series. Each result has the bits that its series alone would give: a running sum over all rows would
    let one series' values change the rounding of another's.

    Parameters
    ----------
    values
        One entry a row.
    offsets
        Series i holds the rows ``offsets[i]:offsets[i + 1]``.

    Examples
    --------
    >>> accumulate(np.add, np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 3, 4])).tolist()
    [1.0, 3.0, 6.0, 4.0]
    """
    size_S = np.diff(offsets)
    bucket_S = np.ceil(np.log2(np.maximum(size_S, 1))).astype(np.int64)  # no table is more than half empty
    result = np.empty_like(values)
    for bucket in np.unique(bucket_S[size_S > 0]):
        members = np.flatnonzero((bucket_S == bucket) & (size_S > 0))
        step_L = np.arange(size_S[members].max())
        inside_SL = step_L < size_S[members, None]
        row_SL = np.where(inside_SL, offsets[members, None] + step_L, 0)
        table_SL = np.where(inside_SL, values[row_SL], 0).astype(values.dtype)
        result[row_SL[inside_SL]] = ufunc.accumulate(table_SL, axis=1)[inside_SL]
    return result
