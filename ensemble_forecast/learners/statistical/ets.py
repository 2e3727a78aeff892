"""Exponential smoothing: level only, damped trend, damped trend with additive season; each averaged over a grid of parameters."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.statistical.decomposition import decompose, season_indices
from ensemble_forecast.learners.statistical.local import LocalLearner
from ensemble_forecast.learners.statistical.smoothing import ALPHAS, cross, fit_line, project, set_weights, smooth_level, smooth_trend

MODELS = ("ses", "damped", "holt_winters", "mean")
SES = cross(alpha=ALPHAS)
DAMPED = cross(  # trend_share and season_share: beta = share x alpha, gamma = share x (1 - alpha), which keeps them admissible
    alpha=[0.05, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 0.98],
    trend_share=[0.0, 0.01, 0.03, 0.1, 0.2, 0.4],
    phi=[0.8, 0.9, 0.95, 0.98],
)
HOLT_WINTERS = cross(
    alpha=[0.02, 0.06, 0.15, 0.3, 0.5, 0.7, 0.9],
    trend_share=[0.0, 0.01, 0.05],
    phi=[0.9, 0.98],
    season_share=[0.0, 0.05, 0.15, 0.3, 0.6],
)
START_STEPS = 10  # level and trend start on the line through so many first steps (Hyndman et al. 2002)


@dataclass(kw_only=True)
class Ets(LocalLearner):
    """Average of exponential smoothing models over a grid of parameters, weighted by AIC.

    Parameters
    ----------
    model
        ``"ses"`` (12 sets) and ``"damped"`` (192) smooth deseasonalised data; ``"holt_winters"`` (210) carries an additive season and is
        ``"damped"`` where there are fewer than two seasons; ``"mean"`` is the plain mean of the latter two, which was better than choosing
        between them by AIC on four of five panels.
    season_memory
        Newest seasons that the season indices are estimated from.
    long_season
        Whether to use the next longer period of the calendar (weeks in hours, years in weeks ...).

    References
    ----------
    Hyndman, Koehler, Snyder, Grose (2002), doi:10.1016/S0169-2070(01)00110-8; Gardner and McKenzie (1985), doi:10.1287/mnsc.31.10.1237.
    """

    family: ClassVar[str] = "ets"

    model: str = "holt_winters"
    season_memory: int = 4
    long_season: bool = False

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise BadInput(f"model of ets must be one of {', '.join(MODELS)}; got {self.model!r}")

    def point(self, y_BL: np.ndarray, n_B: np.ndarray, season: int, horizon: int) -> np.ndarray:
        """Forecast a batch of histories: float64 (B, H)."""
        carries_season = int((n_B >= 2 * season).sum()) if season > 1 else 0  # rows are longest first
        point_BH = np.empty((len(n_B), horizon))
        if self.model != "holt_winters" or carries_season < len(n_B):
            point_BH = self._deseasonalised(y_BL, n_B, season, horizon)
        if self.model in ("holt_winters", "mean") and carries_season:
            seasonal_BH = _holt_winters(y_BL[:carries_season], n_B[:carries_season], season, horizon, self.season_memory)
            point_BH[:carries_season] = seasonal_BH if self.model == "holt_winters" else (point_BH[:carries_season] + seasonal_BH) / 2
        return point_BH

    def n_sets(self, task: Task) -> int:
        """Count the parameter sets of the models that run."""
        plain, seasonal = len((SES if self.model == "ses" else DAMPED)["alpha"]), len(HOLT_WINTERS["alpha"])
        if task.season_length == 1:
            return plain
        return {"holt_winters": seasonal, "mean": plain + seasonal}.get(self.model, plain)

    def _deseasonalised(self, y_BL: np.ndarray, n_B: np.ndarray, season: int, horizon: int) -> np.ndarray:
        """Smooth deseasonalised data with a level, or with a level and a damped trend."""
        seasonality = decompose(y_BL, n_B, season, self.season_memory)
        smooth = _ses if self.model == "ses" else _damped
        return seasonality.restore(smooth(seasonality.remove(y_BL), n_B, horizon), n_B)


def _ses(y_BL: np.ndarray, n_B: np.ndarray, horizon: int) -> np.ndarray:
    """Forecast by simple exponential smoothing: (B, H)."""
    smoothed = smooth_level(y_BL, n_B, SES["alpha"], np.zeros((len(SES["alpha"]), len(n_B))))
    return project(smoothed, set_weights(smoothed.square_PB, y_BL, n_B), np.ones(len(SES["alpha"])), n_B, horizon)


def _damped(y_BL: np.ndarray, n_B: np.ndarray, horizon: int) -> np.ndarray:
    """Forecast by damped Holt: (B, H)."""
    smoothed = smooth_trend(y_BL, n_B, DAMPED, *fit_line(y_BL, np.minimum(n_B, START_STEPS)))
    return project(smoothed, set_weights(smoothed.square_PB, y_BL, n_B), DAMPED["phi"], n_B, horizon)


def _holt_winters(y_BL: np.ndarray, n_B: np.ndarray, season: int, horizon: int, memory: int) -> np.ndarray:
    """Forecast by damped Holt-Winters with an additive season; rows hold two seasons or more: (B, H)."""
    season_BM = season_indices(y_BL, n_B, season, memory, np.zeros(len(n_B), dtype=bool))
    plain_BL = y_BL - np.tile(season_BM, y_BL.shape[1] // season)
    line = fit_line(plain_BL, np.minimum(n_B, max(START_STEPS, season)))
    smoothed = smooth_trend(y_BL, n_B, HOLT_WINTERS, *line, season_BM)
    return project(smoothed, set_weights(smoothed.square_PB, y_BL, n_B), HOLT_WINTERS["phi"], n_B, horizon)
