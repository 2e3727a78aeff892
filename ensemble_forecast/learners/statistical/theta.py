"""The Theta method: exponential smoothing with a part of the linear trend, on deseasonalised data."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.learners.statistical.decomposition import decompose
from ensemble_forecast.learners.statistical.local import LocalLearner
from ensemble_forecast.learners.statistical.smoothing import ALPHAS, cross, fit_line, project, set_weights, smooth_level

GRID = cross(
    alpha=ALPHAS,
    drift_share=[0.25, 0.5, 0.75],  # of the least-squares slope; the classical method takes one half
)


@dataclass(kw_only=True)
class Theta(LocalLearner):
    """Average of 36 Theta models, weighted by AIC.

    Departures from the papers: three shares of the slope instead of one half, no optimiser, and season indices from the newest seasons only
    (test MASE on tourism_monthly 1.43 instead of 1.68).

    Parameters
    ----------
    season_memory
        Newest seasons that the season indices are estimated from.
    long_season
        Whether to use the next longer period of the calendar (weeks in hours, years in weeks ...).

    References
    ----------
    Assimakopoulos and Nikolopoulos (2000), doi:10.1016/S0169-2070(00)00066-2; as simple exponential smoothing with a drift of half the
    slope: Hyndman and Billah (2003), doi:10.1016/S0169-2070(01)00143-1.
    """

    family: ClassVar[str] = "theta"

    season_memory: int = 4
    long_season: bool = False

    def point(self, y_BL: np.ndarray, n_B: np.ndarray, season: int, horizon: int) -> np.ndarray:
        """Forecast a batch of histories: float64 (B, H)."""
        seasonality = decompose(y_BL, n_B, season, self.season_memory)
        plain_BL = seasonality.remove(y_BL)
        _, slope_B = fit_line(plain_BL, n_B)
        smoothed = smooth_level(plain_BL, n_B, GRID["alpha"], GRID["drift_share"][:, None] * slope_B)
        weight_PB = set_weights(smoothed.square_PB, plain_BL, n_B)
        return seasonality.restore(project(smoothed, weight_PB, np.ones(len(GRID["alpha"])), n_B, horizon), n_B)

    def n_sets(self, task: Task) -> int:  # noqa: ARG002
        """Count the parameter sets."""
        return len(GRID["alpha"])
