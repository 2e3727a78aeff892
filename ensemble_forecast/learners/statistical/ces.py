"""Complex exponential smoothing."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.statistical.library import LibraryLearner, models

SEASONALITIES = {"auto": "Z", "none": "N", "simple": "S", "partial": "P", "full": "F"}
LETTERS = "NSPF"


@dataclass(kw_only=True)
class Ces(LibraryLearner):
    """Complex exponential smoothing of each series: level and its potential as one complex number, which needs no choice of a trend.

    The library does not keep the parameters where the recursion is stable. A fit serves its own origin well all the same, but carried one to nine
    steps on, an unstable one left the range of its series; so every origin gets a fit of its own, which costs milliseconds.

    Parameters
    ----------
    seasonality
        ``"none"``, ``"simple"`` (the lags are a season apart), ``"partial"`` (with a real season), ``"full"`` (with a complex one), or
        ``"auto"``: the best of them by the corrected AIC. Below two seasons of history: none.

    References
    ----------
    Svetunkov, Kourentzes, Ord (2022), doi:10.1002/nav.22074.
    """

    family: ClassVar[str] = "ces"
    carries: ClassVar[bool] = False
    numbers: ClassVar[int] = 6  # season, form, and up to four smoothing parameters

    seasonality: str = "auto"

    def __post_init__(self) -> None:
        LibraryLearner.__post_init__(self)
        if self.seasonality not in SEASONALITIES:
            raise BadInput(f"seasonality of ces must be one of {', '.join(SEASONALITIES)}; got {self.seasonality!r}")

    def fit_series(self, y_L: np.ndarray, seasons: list[int]) -> list[float]:
        """Fit a history: season, form, smoothing parameters."""
        model = models().AutoCES(season_length=seasons[0] if seasons else 1, model=SEASONALITIES[self.seasonality])
        found: dict[str, Any] = model.fit(y_L).model_
        return [found["m"], LETTERS.index(found["seasontype"]), *(found["par"][name] for name in ("alpha_0", "alpha_1", "beta_0", "beta_1"))]

    def forward(self, y_L: np.ndarray, numbers_P: np.ndarray, seasons: list[int], horizon: int) -> np.ndarray:  # noqa: ARG002
        """Forecast a history with given smoothing parameters: (H,)."""
        model = models().AutoCES()
        par = dict(zip(("alpha_0", "alpha_1", "beta_0", "beta_1"), numbers_P[2:].tolist(), strict=True))
        model.model_ = {"m": int(numbers_P[0]), "seasontype": LETTERS[int(numbers_P[1])], "par": par}
        return model.forward(y_L, horizon)["mean"]

    def seconds_a_step(self, season: int) -> float:
        """Tell about how long a fit takes for each step: the seasonal forms are most of it."""
        return 2e-6 if season == 1 or self.seasonality == "none" else 2e-5
