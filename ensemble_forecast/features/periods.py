"""The season of a panel for which nobody named one: the calendar's, unless the data show another clearly.

For every candidate m the series lose a moving average over m steps; what is left correlates with itself m steps earlier where m is a season. The
mean over series counts: a season of errors and of the seasonal naive is one for the whole panel. A walk and noise show nothing, since the moving
average leaves them slightly negative correlations.
"""

import numpy as np

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.features.seasons import cycles, usual_season

CYCLES = 4  # of a season that must fit into a typical series
LONGEST = 400
MOST_VALUES = 100_000  # of all series that are looked at: bounds the time to about a second
MOST_SERIES = 100
CLEAR = 0.3  # mean correlation, or so many standard errors where that is more
STANDARD_ERRORS = 2.0
ABSENT = 0.05  # mean correlation below which the calendar's own season is not in the data
REPEATED = 0.5  # of the correlation, at least, two seasons back: a cycle that is not lost
TOLERANCE = 0.05  # share by which a natural cycle may miss the peak: a long season's peak is broad


def automatic_season(panel: Panel) -> int:
    """Find the season length where none is given.

    Parameters
    ----------
    panel
        The rows before the first window: what is decided here must not have seen what is scored.

    Returns
    -------
    the calendar's usual season, or another one that the data show clearly where the calendar has none or the data contradict it; else 1.
    """
    usual = usual_season(panel.freq)
    histories = _histories(panel)
    longest = min(int(np.median([len(values) for values in histories])) // CYCLES if histories else 0, LONGEST)
    if usual > 1 and (longest < usual or _correlation(histories, usual, usual) > ABSENT):
        return usual
    found = _clearest(histories, longest, tuple(cycles(panel.freq).values()))
    return found or usual


def _histories(panel: Panel) -> list[np.ndarray]:
    """Gather the newest steps of an even sample of the series that change at all."""
    moving = [values for index in range(panel.n_series) if len(values := _observed(panel, index)) > CYCLES and np.ptp(values) > 0]
    every = -(-len(moving) // MOST_SERIES)
    moving = moving[:: max(every, 1)]
    return [values[-(MOST_VALUES // len(moving)) :] for values in moving]


def _observed(panel: Panel, index: int) -> np.ndarray:
    """Target of a series up to its last observed step, missing ones carried forward."""
    first = panel.offsets[index]
    return panel.y_filled[first : first + panel.lengths_S[index]]


def _clearest(histories: list[np.ndarray], longest: int, natural: tuple[int, ...]) -> int | None:
    """Find the shortest peak of the correlations that is clear and about as high as the highest."""
    if longest < 2:
        return None
    correlation_M = np.array([np.nan, np.nan, *(_correlation(histories, m, m) for m in range(2, longest + 1))])
    typical = float(np.median([len(values) for values in histories]))
    # a walk wanders as if it had a season: each cycle is one observation, and of S series that err together sqrt(S) are independent
    pieces_M = typical / np.arange(longest + 1).clip(1) * np.sqrt(len(histories))
    bar_M = np.maximum(CLEAR, STANDARD_ERRORS / np.sqrt(pieces_M))
    around_M = np.fmax(np.append(correlation_M[1:], -1.0), np.append(-1.0, correlation_M[:-1]))
    peaks = [
        m
        for m in range(2, longest + 1)
        if correlation_M[m] >= max(bar_M[m], around_M[m]) and _correlation(histories, m, 2 * m) >= REPEATED * correlation_M[m]
    ]
    if not peaks:
        return None
    highest = max(correlation_M[m] for m in peaks)
    peak = next(m for m in peaks if correlation_M[m] >= 0.9 * highest)
    near = [n for n in natural if abs(n - peak) <= TOLERANCE * n and n <= longest and correlation_M[n] >= 0.9 * correlation_M[peak]]
    return near[0] if near else peak


def _correlation(histories: list[np.ndarray], window: int, lag: int) -> float:
    """Correlate what a moving average leaves over with itself so many steps earlier: the mean over series that are long enough."""
    found = [_own_correlation(values, window, lag) for values in histories if len(values) >= CYCLES * window]
    return float(np.mean(found)) if found else -1.0


def _own_correlation(values: np.ndarray, window: int, lag: int) -> float:
    """Correlate one series with itself after a moving average is taken off; 0 where nothing is left."""
    total = np.concatenate([[0.0], np.cumsum(values - values.mean())])
    mean = (total[window:] - total[:-window]) / window
    if window % 2 == 0:  # an even window has no middle: the mean of two that straddle a step
        mean = (mean[1:] + mean[:-1]) / 2
    middle = window // 2
    rest = values[middle : middle + len(mean)] - values.mean() - mean
    power = float(rest @ rest)
    if power <= 1e-20 * float(values @ values):
        return 0.0
    return float(rest[lag:] @ rest[:-lag]) / power * len(rest) / (len(rest) - lag)
