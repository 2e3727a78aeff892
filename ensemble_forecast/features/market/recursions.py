"""What goes on from row to row for ever: smoothers and counters that can be taken up where they were left.

Each is a function ``(state, *inputs) -> (outputs, state)`` of any number of rows; with None for a state it begins. Given the state, rows one by
one and all at once give the same bits. Inputs may be NaN in their first rows and nowhere later.
"""

from typing import Any

import numpy as np
from scipy.signal import lfilter

AF_STEP, AF_MOST = 0.02, 0.2  # Wilder's acceleration of the parabolic stop (New Concepts in Technical Trading Systems, 1978)


def smooth(state: Any, x: np.ndarray, *, weight: float, warm_up: int) -> tuple[np.ndarray, Any]:
    """Exponential mean that begins at the first value, NaN until ``warm_up`` values have come.

    Departure from TA-Lib, which begins with a plain mean of the first values: so there is no second way in, and one state.
    """
    level, seen = (np.nan, 0) if state is None else state
    out = np.full(len(x), np.nan)
    begin = 0
    if np.isnan(level):
        finite = np.flatnonzero(~np.isnan(x))
        if not len(finite):
            return out, (level, seen)
        begin = int(finite[0])
        level = x[begin]
    if len(x) == 1:  # a new candle: the filter by hand, without the library's long way in
        run = weight * x + (1.0 - weight) * level
    else:
        run, _ = lfilter([weight], [1.0, weight - 1.0], x[begin:], zi=np.array([(1.0 - weight) * level]))
    out[begin:] = run
    out[begin : begin + max(warm_up - 1 - seen, 0)] = np.nan
    return out, (float(run[-1]), seen + len(run))


def adapt(state: Any, x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, Any]:
    """Exponential mean whose weight changes from row to row; begins where the weight does."""
    level = np.nan if state is None else state
    out = []
    for value, share in zip(x.tolist(), weight.tolist(), strict=True):
        if share == share:  # not NaN
            level = value if level != level else level + share * (value - level)
        out.append(level)
    return np.array(out), level


def greatest(state: Any, x: np.ndarray) -> tuple[np.ndarray, Any]:
    """Largest value so far."""
    out = np.maximum.accumulate(x if state is None else np.concatenate([[state], x]))[-len(x) :]
    return out, float(out[-1])


def hold(state: Any, x: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, Any]:
    """Value of x at the last event so far; the first value counts as one."""
    rows = np.arange(len(x))
    if state is None or np.isnan(state):
        state = np.nan
        event = event | (rows == np.argmax(~np.isnan(x)))
    last = np.maximum.accumulate(np.where(event & ~np.isnan(x), rows, -1))
    out = np.where(last >= 0, x[last], state)
    return out, float(out[-1])


def parabolic(state: Any, high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, Any]:
    """Wilder's parabolic stop: NaN in the first row. The state is (is it rising, stop, extreme, acceleration, last two highs and lows)."""
    out = []
    for top, bottom in zip(high.tolist(), low.tolist(), strict=True):
        if state is None:
            out.append(np.nan)
            state = (True, bottom, top, AF_STEP, top, top, bottom, bottom)
            continue
        rising, stop, extreme, speed, top_1, top_2, bottom_1, bottom_2 = state
        stop += speed * (extreme - stop)
        stop = min(stop, bottom_1, bottom_2) if rising else max(stop, top_1, top_2)
        if (bottom < stop) if rising else (top > stop):
            stop = max(extreme, top, top_1) if rising else min(extreme, bottom, bottom_1)
            rising, extreme, speed = not rising, bottom if rising else top, AF_STEP
        elif (top > extreme) if rising else (bottom < extreme):
            extreme, speed = top if rising else bottom, min(speed + AF_STEP, AF_MOST)
        out.append(stop)
        state = (rising, stop, extreme, speed, top, top_1, bottom, bottom_1)
    return np.array(out), state


def drift_detector(state: Any, z: np.ndarray, *, slack: float, bound: float) -> tuple[np.ndarray, Any]:
    """Two-sided CUSUM (Page 1954, doi:10.1093/biomet/41.1-2.100): what piles up above less what piles up below, both begin anew at the bound."""
    above, below = (0.0, 0.0) if state is None else state
    out = []
    for value in z.tolist():
        if value == value:
            above, below = max(above + value - slack, 0.0), max(below - value - slack, 0.0)
        out.append(above - below if value == value else np.nan)
        above, below = above if above < bound else 0.0, below if below < bound else 0.0
    return np.array(out), (above, below)
