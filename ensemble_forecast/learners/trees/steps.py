"""The table of a learner that looks one step ahead: features of a window of values, which may end in the learner's own forecasts.

All values are compared with the newest one, or with the base, in units of a scale that stays that of the origin while the window moves on.
"""

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.features.stamps import calendar_at
from ensemble_forecast.features.tabular import Layout

LAGS = 7
CHANGES = 3  # newest seasonal changes: what a model of seasonal differences sees
PHASES = 3  # values at the target's phase, for each season


def window_length(layout: Layout) -> int:
    """Return how many steps of history the features reach back to."""
    return max(LAGS + 1, 2 * layout.unit, layout.season + CHANGES, *(PHASES * p + 1 for p in layout.seasons))


def base_of(window_NL: np.ndarray, season: int) -> np.ndarray:
    """Seasonal naive forecast of the next step, the newest value where the window does not hold a season: (N,)."""
    last_N, base_N = window_NL[:, -1], window_NL[:, -season]
    return np.where(np.isfinite(base_N), base_N, last_N)


def step_columns(window_NL: np.ndarray, scale_N: np.ndarray, layout: Layout, panel: Panel, series_N: np.ndarray, step_N: np.ndarray) -> np.ndarray:
    """Compute the features of the step after each window.

    Parameters
    ----------
    window_NL
        The newest ``window_length`` values, oldest first; NaN before the start of a series.
    step_N
        Step of each window's newest value; it may lie beyond the data, of which only stamps and known covariates are read.

    Returns
    -------
    float32 (N, F); NaN where the window does not reach.
    """
    last_N, base_N, unit = window_NL[:, -1], base_of(window_NL, layout.season), max(layout.unit, 4)
    columns = [(window_NL[:, -1 - k] - last_N) / scale_N for k in range(1, LAGS + 1)] + [(base_N - last_N) / scale_N]
    if layout.season > 1:
        columns += [(window_NL[:, -1 - k] - window_NL[:, -1 - k - layout.season]) / scale_N for k in range(CHANGES)]
    for p in layout.seasons:
        columns += [(window_NL[:, -k * p] - base_N) / scale_N for k in range(1, PHASES + 1)]
        columns += [(window_NL[:, -p - 1] - base_N) / scale_N, (window_NL[:, -p + 1] - base_N) / scale_N]
    for length in sorted({3, max(unit // 2, 3), unit, 2 * unit}):
        mean_N, spread_N = _mean_and_spread((window_NL[:, -length:] - last_N[:, None]) / scale_N[:, None])
        columns += [mean_N, spread_N]
    level_N, _ = _mean_and_spread(np.abs(window_NL[:, -2 * unit :]))
    columns.append(np.log(scale_N / np.maximum(level_N, 1e-6 * scale_N)))
    parts = [np.stack(columns, axis=1), calendar_at(panel, series_N, step_N + 1, layout.calendar), panel.static[series_N]]
    if layout.known:
        now_NK, next_NK = _known(panel, series_N, step_N), _known(panel, series_N, step_N + 1)
        parts += [next_NK, next_NK - now_NK]
    return np.concatenate(parts, axis=1).astype(np.float32)


def one_step(origins: Origins, horizon: int) -> Origins:
    """Return every step whose successor lies within the horizon of one of the origins, each once, in order."""
    width = int(origins.step.max(initial=0)) + horizon
    pairs = np.unique((origins.series * width)[:, None] + origins.step[:, None] + np.arange(horizon))
    return Origins(pairs // width, pairs % width)


def _mean_and_spread(values_NL: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the finite values along the last axis; zero where there is none."""
    finite_NL = np.isfinite(values_NL)
    count_N = np.maximum(finite_NL.sum(axis=1), 1)
    mean_N = np.where(finite_NL, values_NL, 0.0).sum(axis=1) / count_N
    deviation_NL = np.where(finite_NL, values_NL - mean_N[:, None], 0.0)
    return mean_N, np.sqrt((deviation_NL**2).sum(axis=1) / count_N)


def _known(panel: Panel, series_N: np.ndarray, step_N: np.ndarray) -> np.ndarray:
    """Known covariates at (series, step) pairs; NaN beyond the last row of a series."""
    row_N = panel.offsets[series_N] + step_N
    inside_N = row_N < panel.offsets[series_N + 1]
    return np.where(inside_N[:, None], panel.known[np.where(inside_N, row_N, 0)], np.nan)
