"""The yardsticks: the last value, and the value one season ago."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ensemble_forecast.learners.statistical.local import LocalLearner


@dataclass(kw_only=True)
class Naive(LocalLearner):
    """Repeat the last value; for kind ``direction``, forecast how often each class happened before."""

    family: ClassVar[str] = "naive"
    kinds: ClassVar[tuple[str, ...]] = ("quantiles", "direction", "barrier")
    fit_origins: ClassVar[int] = 2000

    def point(self, y_BL: np.ndarray, n_B: np.ndarray, season: int, horizon: int) -> np.ndarray:  # noqa: ARG002
        """Forecast a batch of histories: float64 (B, H)."""
        return np.repeat(np.take_along_axis(y_BL, n_B[:, None] - 1, axis=1), horizon, axis=1)


@dataclass(kw_only=True)
class SeasonalNaive(LocalLearner):
    """Repeat the last season; the last value where there is no whole season yet.

    Parameters
    ----------
    long_season
        Whether to use the next longer period of the calendar (weeks in hours, years in weeks ...).
    """

    family: ClassVar[str] = "seasonal_naive"
    fit_origins: ClassVar[int] = 2000

    long_season: bool = False

    def point(self, y_BL: np.ndarray, n_B: np.ndarray, season: int, horizon: int) -> np.ndarray:
        """Forecast a batch of histories: float64 (B, H)."""
        column_BH = (n_B - season)[:, None] + np.arange(horizon) % season
        return np.take_along_axis(y_BL, np.where((n_B >= season)[:, None], column_BH, n_B[:, None] - 1), axis=1)
