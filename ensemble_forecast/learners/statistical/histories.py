"""Histories of many origins as one ragged batch: left-aligned rows, longest first, in chunks that stay in the processor's cache.

Every row is computed by elementwise operations and by sums over its own time axis, whose length depends on the season only. So a forecast
does not depend, to the last bit, on which other origins are in the call.
"""

from collections.abc import Callable, Iterator

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.features.contexts import gather

CHUNK_ROWS = 64  # the states of so many rows under 200 parameter sets fit the second-level cache

Point = Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]  # (y_BL, n_B, season, horizon) -> point_BH


def cap(season: int) -> int:
    """Return how many steps of history are read: whole seasons, at least 400 steps; 12 seasons where that is below 1000 steps, never fewer than 4."""
    return season * max(-(-400 // season), min(12, 1000 // season), 4)


def histories(panel: Panel, origins: Origins, season: int) -> tuple[np.ndarray, np.ndarray]:
    """Gather the history up to each origin, from its first observed step on, each row starting at column 0.

    Returns
    -------
    y_NL
        float64 (N, cap(season)): gaps filled forward, zeros after the end of a row.
    n_N
        int64: steps in each row; 0 where nothing was observed yet.
    """
    length = cap(season)
    observed_NL = np.isfinite(gather(panel.y, panel, origins, length))
    n_N = np.where(observed_NL.any(axis=1), length - observed_NL.argmax(axis=1), 0)
    column_NL = np.arange(length) + (length - n_N)[:, None]
    y_NL = np.take_along_axis(gather(panel.y_filled, panel, origins, length), np.minimum(column_NL, length - 1), axis=1)
    return np.where(column_NL < length, y_NL, 0.0), n_N


def forecast_points(point: Point, panel: Panel, origins: Origins, season: int, horizon: int, deadline: Deadline) -> np.ndarray:
    """Apply a batched point forecast chunk by chunk.

    Each forecast is `bounded`.

    Returns
    -------
    float64 (N, H); NaN where nothing was observed yet, and in the chunks, after the first, that the deadline left no time for.
    """
    point_NH = np.full((len(origins), horizon), np.nan)
    order = np.argsort(-origins.step, kind="stable")
    for first in range(0, len(order), CHUNK_ROWS):
        if first and deadline.passed():
            break
        chunk = order[first : first + CHUNK_ROWS]
        y_BL, n_B = histories(panel, origins.take(chunk), season)
        served = np.argsort(-n_B, kind="stable")[: int((n_B > 0).sum())]
        if len(served):
            y_BL, n_B = y_BL[served], n_B[served]
            point_NH[chunk[served]] = bounded(point(y_BL, n_B, season, horizon), y_BL, n_B)
    return point_NH


def stretches(n_B: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Cut time into stretches within which the same rows have data: (first step, end, number of rows); rows are longest first."""
    begin = 0
    for end in np.unique(n_B):
        yield begin, int(end), int((n_B >= end).sum())
        begin = int(end)


def inside(y_BL: np.ndarray, n_B: np.ndarray) -> np.ndarray:
    """Mask of the columns that hold history: bool (B, L)."""
    return np.arange(y_BL.shape[1]) < n_B[:, None]


def bounded(point_BH: np.ndarray, y_BL: np.ndarray, n_B: np.ndarray) -> np.ndarray:
    """Keep forecasts within [min - range, max + 1.5 range] of their histories, so that no trend runs away."""
    has = inside(y_BL, n_B)
    low_B, high_B = np.where(has, y_BL, np.inf).min(axis=1), np.where(has, y_BL, -np.inf).max(axis=1)
    range_B = high_B - low_B
    return np.clip(point_BH, (low_B - range_B)[:, None], (high_B + 1.5 * range_B)[:, None])
