"""Classical decomposition of a batch of histories, with the test whether a season is there at all."""

from dataclasses import dataclass

import numpy as np

from ensemble_forecast.learners.statistical.histories import inside

CRITICAL = 1.645  # of the standard normal: 90 %, two-sided (Fiorucci et al. 2016)
SMALLEST_FACTOR = 0.01  # a factor near zero would blow up what is divided by it


@dataclass(frozen=True, eq=False)
class Seasonality:
    """Season index of each phase and row: a factor around 1 where ``is_factor_B``, else a summand around 0."""

    index_BM: np.ndarray
    is_factor_B: np.ndarray

    def remove(self, y_BL: np.ndarray) -> np.ndarray:
        """Deseasonalise histories that start at phase 0."""
        index_BL = np.tile(self.index_BM, y_BL.shape[1] // self.index_BM.shape[1])
        is_factor = self.is_factor_B[:, None]
        return np.where(is_factor, y_BL / np.where(is_factor, index_BL, 1.0), y_BL - index_BL)

    def restore(self, point_BH: np.ndarray, n_B: np.ndarray) -> np.ndarray:
        """Put the season back onto forecasts that follow histories of n steps."""
        phase_BH = (n_B[:, None] + np.arange(point_BH.shape[1])) % self.index_BM.shape[1]
        index_BH = np.take_along_axis(self.index_BM, phase_BH, axis=1)
        return np.where(self.is_factor_B[:, None], point_BH * index_BH, point_BH + index_BH)


def decompose(y_BL: np.ndarray, n_B: np.ndarray, season: int, memory: int) -> Seasonality:
    """Estimate the season where the test finds one: by factors where all values are positive, else by summands.

    Parameters
    ----------
    y_BL, n_B
        Histories as from ``histories``: L is a whole number of seasons.
    season
        Steps in a season, m. Rows with fewer than two seasons, or that fail the test, get neutral indices.
    memory
        Newest seasons that the indices are estimated from.
    """
    seasonal_B = (n_B >= 2 * season) & is_seasonal(y_BL, n_B, season)
    is_factor_B = seasonal_B & (np.where(inside(y_BL, n_B), y_BL, np.inf).min(axis=1) > 0)
    index_BM = season_indices(y_BL, n_B, season, memory, is_factor_B)
    return Seasonality(np.where(seasonal_B[:, None], index_BM, 0.0), is_factor_B)


def season_indices(y_BL: np.ndarray, n_B: np.ndarray, season: int, memory: int, is_factor_B: np.ndarray) -> np.ndarray:
    """Medians, phase by phase, of what a centred moving average leaves over; centred on 1 (factors) or 0 (summands): (B, m).

    Zeros for summands where no season is complete; the two-season minimum is the caller's to check.
    """
    half, column_L, is_factor = season // 2, np.arange(y_BL.shape[1]), is_factor_B[:, None]
    last_B1 = (n_B - half)[:, None]
    known = (column_L >= half) & (column_L < last_B1) & (column_L >= last_B1 - memory * season)
    trend_BL = _moving_average(y_BL, season)
    rest_BL = np.where(is_factor, y_BL / np.where(known & is_factor, trend_BL, 1.0), y_BL - trend_BL)
    index_BM = _phase_medians(np.where(known, rest_BL, np.nan), season)
    mean_B1 = index_BM.mean(axis=1, keepdims=True)
    factor_BM = np.maximum(index_BM / np.where(is_factor, mean_B1, 1.0), SMALLEST_FACTOR)
    return np.where(is_factor, factor_BM, index_BM - mean_B1)


def is_seasonal(y_BL: np.ndarray, n_B: np.ndarray, season: int) -> np.ndarray:
    """Test the autocorrelation at the seasonal lag against Bartlett's standard error under the shorter lags: bool (B,).

    References
    ----------
    Fiorucci, Pellegrini, Louzada, Petropoulos, Koehler (2016), doi:10.1016/j.ijforecast.2016.02.005, section 3.
    """
    if season == 1:
        return np.zeros(len(n_B), dtype=bool)
    centred_BL = np.where(inside(y_BL, n_B), y_BL - (y_BL.sum(axis=1) / n_B)[:, None], 0.0)
    variance_B = (centred_BL**2).sum(axis=1)
    covariance_B, shorter_B = np.zeros(len(n_B)), np.zeros(len(n_B))
    for lag in range(1, season + 1):
        shorter_B += covariance_B**2
        covariance_B = (centred_BL[:, :-lag] * centred_BL[:, lag:]).sum(axis=1)
    return np.abs(covariance_B) > CRITICAL * np.sqrt((variance_B**2 + 2 * shorter_B) / n_B)  # not divided by the variance: it may be 0


def _moving_average(y_BL: np.ndarray, season: int) -> np.ndarray:
    """Centred moving average over one season (2 x m for even m); 1 in the columns without half a season on either side."""
    half = season // 2
    total_BL = np.concatenate([np.zeros((len(y_BL), 1)), np.cumsum(y_BL, axis=1)], axis=1)
    window_BL = total_BL[:, season:] - total_BL[:, :-season]  # column i: the sum over steps i to i + m - 1
    if season % 2 == 0:
        window_BL = (window_BL[:, :-1] + window_BL[:, 1:]) / 2
    average_BL = np.ones_like(y_BL)
    average_BL[:, half : half + window_BL.shape[1]] = window_BL / season
    return average_BL


def _phase_medians(rest_BL: np.ndarray, season: int) -> np.ndarray:
    """Median of each phase over the seasons, NaN left out, 0 where there is none: (B, m)."""
    ordered = np.sort(rest_BL.reshape(len(rest_BL), -1, season), axis=1)  # NaN last
    count = np.isfinite(ordered).sum(axis=1, keepdims=True)
    middle = [np.take_along_axis(ordered, at, axis=1)[:, 0] for at in (np.maximum(count - 1, 0) // 2, count // 2 % ordered.shape[1])]
    return np.where(count[:, 0] > 0, (middle[0] + middle[1]) / 2, 0.0)
