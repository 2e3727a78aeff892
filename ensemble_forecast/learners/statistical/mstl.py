"""Several seasons taken off by local regression, exponential smoothing of the rest."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ensemble_forecast.learners.statistical.library import LibraryLearner, models

ADDITIVE, MULTIPLICATIVE = range(2)


@dataclass(kw_only=True)
class Mstl(LibraryLearner):
    """Seasonal and trend decomposition by LOESS for one or two seasons, each repeated; exponential smoothing without a season forecasts the rest.

    A series is decomposed by the seasons it holds two of; with none of them it is smoothed as it is. Where the smoothing starts and how it
    goes on is fitted once; the decomposition, which has no parameters, is made anew at every origin.

    Parameters
    ----------
    long_season
        Whether to take off the next longer period of the calendar too (weeks in hours, years in weeks ...).

    References
    ----------
    Bandara, Hyndman, Bergmeir (2021), arXiv:2107.13462.
    """

    family: ClassVar[str] = "mstl"
    numbers: ClassVar[int] = 10  # seasons, errors, trend, damping; four smoothing parameters; level and trend at the start

    long_season: bool = True

    def fit_series(self, y_L: np.ndarray, seasons: list[int]) -> list[float]:
        """Fit a history: how many seasons it holds, form and parameters of the smoothing."""
        smoother = models().AutoETS(model="ZZN")
        if not seasons:
            smoother.fit(y_L)
        else:
            smoother = models().MSTL(season_length=seasons, trend_forecaster=smoother).fit(y_L).trend_forecaster
        found: dict[str, Any] = smoother.model_
        error, trend, _, damping = found["components"]
        return [len(seasons), MULTIPLICATIVE if error == "M" else ADDITIVE, trend == "A", damping == "D", *found["par"]]

    def forward(self, y_L: np.ndarray, numbers_P: np.ndarray, seasons: list[int], horizon: int) -> np.ndarray:
        """Decompose a history and smooth what is left with given parameters: (H,)."""
        n_seasons, error, has_trend, damped = (int(number) for number in numbers_P[:4])
        par_P = numbers_P[4 : 10 if has_trend else 9]
        smoother = models().AutoETS(model="ZZN")
        components = f"{'AM'[error]}{'A' if has_trend else 'N'}N{'D' if damped else 'N'}"
        smoother.model_ = {"m": 1, "components": components, "par": par_P, "fit": None, "n_params": len(par_P)}
        model = models().MSTL(season_length=seasons[:n_seasons], trend_forecaster=smoother) if n_seasons else smoother
        return model.forward(y_L, horizon)["mean"]

    def seconds_a_step(self, season: int) -> float:  # noqa: ARG002
        """Tell about how long a fit takes for each step."""
        return 1e-4
