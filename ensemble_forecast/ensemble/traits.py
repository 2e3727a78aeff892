"""Traits of a series at an origin: a few numbers that say what kind of series it is, from the history up to there alone.

Inspired by the features of FFORMA (Montero-Manso et al. 2020, doi:10.1016/j.ijforecast.2019.02.011), kept to those that sums over time give.
All are free of the unit. Sums run over rows of one length, which depends on the season only: the traits at an origin have the same bits
whatever other origins come with it.
"""

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.ensemble.base import Rows
from ensemble_forecast.features.contexts import gather, scale_at

TRAITS = (
    "length",  # log of the steps so far
    "variation",  # standard deviation over mean absolute level
    "zeros",  # share of zeros: intermittency
    "flat",  # share of steps without change
    "trend",  # correlation with time
    "trend_strength",  # its square
    "seasonality",  # autocorrelation one season back, without the trend
    "season_gain",  # log of seasonal-naive over naive error
    "persistence",  # autocorrelation one step back, without the trend
    "turning",  # autocorrelation of the changes one step back
    "noise",  # variance of the changes over that of the level
    "calm",  # log of the newest quarter's mean absolute change over that of the whole
    "place",  # last value, in standard deviations from the mean
    "skewness",
    "spikes",  # log of the farthest value, in standard deviations
)
LEAST_STEPS, SEASONS = 128, 4  # of the newest history that are read, whichever is more
CHUNK_ROWS = 1024
FARTHEST = 10.0


def rows_at(panel: Panel, origins: Origins, window_N: np.ndarray, season: int) -> Rows:
    """Tell combiners all that is known about some scored origins."""
    return Rows(origins.series, window_N, origins.step, scale_at(panel, origins, season), traits_at(panel, origins, season))


def traits_at(panel: Panel, origins: Origins, season: int) -> np.ndarray:
    """Describe each series by its history up to each origin.

    Returns
    -------
    float64 (N, F) in the order of `TRAITS`, without NaN; zero where the history is too short to say.
    """
    traits_NF = np.empty((len(origins), len(TRAITS)))
    for first in range(0, len(origins), CHUNK_ROWS):
        chunk = origins.take(slice(first, first + CHUNK_ROWS))
        y_NL = gather(panel.y_filled, panel, chunk, max(LEAST_STEPS, SEASONS * season))
        traits_NF[first : first + CHUNK_ROWS] = _describe(y_NL, chunk.step, season)
    return traits_NF


def without_window(traits_NF: np.ndarray, series_N: np.ndarray) -> np.ndarray:
    """Give every row the length of its series' longest row, and leave the other traits as they are: what rules are to be learnt from.

    Where series are equally long, the length at an origin names the window, and trees would learn by heart what the newest period did to
    all series alike: the next one, longer still, would get it once more.
    """
    if not traits_NF.size:
        return traits_NF
    column, (_, place_N) = TRAITS.index("length"), np.unique(series_N, return_inverse=True)
    longest_S = np.full(place_N.max() + 1, -np.inf)
    np.maximum.at(longest_S, place_N, traits_NF[:, column])
    blind_NF = traits_NF.copy()
    blind_NF[:, column] = longest_S[place_N]
    return blind_NF


def _describe(y_NL: np.ndarray, step_N: np.ndarray, season: int) -> np.ndarray:
    """Compute the traits of a few rows; steps before the start of a series are NaN."""
    inside_NL = np.isfinite(y_NL)
    size_N = np.abs(np.where(inside_NL, y_NL, 0.0)).max(axis=1)
    y_NL = np.where(inside_NL, y_NL, 0.0) / np.where(size_N > 0, size_N, 1.0)[:, None]
    mean_N = _mean(y_NL, inside_NL)
    around_NL = np.where(inside_NL, y_NL - mean_N[:, None], 0.0)
    deviation_N = np.sqrt(_mean(around_NL**2, inside_NL))
    time_NL = np.broadcast_to(np.arange(y_NL.shape[1], dtype=float), y_NL.shape)
    time_NL = np.where(inside_NL, time_NL - _mean(time_NL, inside_NL)[:, None], 0.0)
    slope_N = _ratio((time_NL * around_NL).sum(axis=1), (time_NL**2).sum(axis=1))
    trend_N = _ratio((time_NL * around_NL).sum(axis=1), np.sqrt((time_NL**2).sum(axis=1) * (around_NL**2).sum(axis=1)))
    rest_NL = around_NL - slope_N[:, None] * time_NL
    change_NL, moved_NL = _change(y_NL, inside_NL, 1)
    seasonal_NL, seasoned_NL = _change(y_NL, inside_NL, season)
    naive_N, seasonal_N = _mean(np.abs(change_NL), moved_NL), _mean(np.abs(seasonal_NL), seasoned_NL)
    newest = slice(-(y_NL.shape[1] // 4), None)
    recent_N = _mean(np.abs(change_NL[:, newest]), moved_NL[:, newest])
    standard_NL = around_NL * _ratio(np.ones(len(y_NL)), deviation_N)[:, None]
    columns = (
        np.log(step_N + 1.0),
        np.minimum(_ratio(deviation_N, _mean(np.abs(y_NL), inside_NL)), FARTHEST),
        _mean((y_NL == 0).astype(float), inside_NL),
        _mean((change_NL == 0).astype(float), moved_NL),
        trend_N,
        trend_N**2,
        _autocorrelation(rest_NL, inside_NL, season),
        _log_ratio(seasonal_N, naive_N),
        _autocorrelation(rest_NL, inside_NL, 1),
        _autocorrelation(change_NL, moved_NL, 1),
        np.minimum(_ratio(_mean(change_NL**2, moved_NL), deviation_N**2), FARTHEST),
        _log_ratio(recent_N, naive_N),
        np.clip(standard_NL[:, -1], -FARTHEST, FARTHEST),
        np.clip(_mean(standard_NL**3, inside_NL), -FARTHEST, FARTHEST),
        np.log1p(np.abs(standard_NL).max(axis=1)),
    )
    return np.stack(columns, axis=1)


def _mean(values_NL: np.ndarray, inside_NL: np.ndarray) -> np.ndarray:
    """Mean of each row where it is inside; zero for a row that has nothing inside."""
    return np.where(inside_NL, values_NL, 0.0).sum(axis=1) / np.maximum(inside_NL.sum(axis=1), 1)


def _change(y_NL: np.ndarray, inside_NL: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Change over a lag, zero where there is none, and where there is one; both (N, L)."""
    both_NL = np.zeros_like(inside_NL)
    both_NL[:, lag:] = inside_NL[:, lag:] & inside_NL[:, :-lag]
    change_NL = np.zeros_like(y_NL)
    change_NL[:, lag:] = y_NL[:, lag:] - y_NL[:, :-lag]
    return np.where(both_NL, change_NL, 0.0), both_NL


def _autocorrelation(values_NL: np.ndarray, inside_NL: np.ndarray, lag: int) -> np.ndarray:
    """Correlate each row, zero where it is not inside, with itself a lag earlier."""
    power_N = _mean(values_NL**2, inside_NL)
    product_NL, both_NL = values_NL[:, lag:] * values_NL[:, :-lag], inside_NL[:, lag:] & inside_NL[:, :-lag]
    return np.clip(_ratio(_mean(product_NL, both_NL), power_N), -1.0, 1.0)


def _ratio(above_N: np.ndarray, below_N: np.ndarray) -> np.ndarray:
    """Divide; zero where the divisor is nothing but rounding of values up to one."""
    solid_N = below_N > 1e-12
    return np.where(solid_N, above_N / np.where(solid_N, below_N, 1.0), 0.0)


def _log_ratio(above_N: np.ndarray, below_N: np.ndarray) -> np.ndarray:
    """Logarithm of a ratio of two errors, bounded; zero where either is nothing."""
    solid_N = (above_N > 1e-12) & (below_N > 1e-12)
    return np.where(solid_N, np.clip(np.log(np.where(solid_N, above_N, 1.0) / np.where(solid_N, below_N, 1.0)), -FARTHEST, FARTHEST), 0.0)
