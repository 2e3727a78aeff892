"""Autoregressive integrated moving averages with a season."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.statistical.library import LibraryLearner, models

ORDER_AT_MOST, SEASONAL_ORDER_AT_MOST = 5, 2
SHAPE = 7  # how many numbers the library describes an order by: p, q, P, Q, season, d, D
NO_CONSTANT, INTERCEPT, DRIFT = range(3)


@dataclass(kw_only=True)
class Arima(LibraryLearner):
    """Seasonal ARIMA of each series; a stepwise search chooses the orders by the corrected AIC, tests the differences.

    Parameters
    ----------
    max_order
        Largest autoregressive and moving-average order, 1 to 5; the seasonal ones go up to 2 at most. 2 instead of 5 takes about
        0.6 of the time where there is no season.
    seasonal
        Whether models with a season are tried; they take most of the time.

    References
    ----------
    Hyndman and Khandakar (2008), doi:10.18637/jss.v027.i03.
    """

    family: ClassVar[str] = "arima"
    numbers: ClassVar[int] = SHAPE + 1 + 2 * ORDER_AT_MOST + 2 * SEASONAL_ORDER_AT_MOST + 1
    SMOKE: ClassVar[dict[str, Any]] = {"max_order": 1, "seasonal": False}

    max_order: int = 5
    seasonal: bool = True

    def __post_init__(self) -> None:
        LibraryLearner.__post_init__(self)
        if not 1 <= self.max_order <= ORDER_AT_MOST:
            raise BadInput(f"max_order of arima must lie between 1 and {ORDER_AT_MOST}; got {self.max_order}")

    def fit_series(self, y_L: np.ndarray, seasons: list[int]) -> list[float]:
        """Fit a history: orders, kind of constant, coefficients in the library's order."""
        order, seasonal = self.max_order, min(self.max_order, SEASONAL_ORDER_AT_MOST)
        model = models().AutoARIMA(
            season_length=seasons[0] if seasons and self.seasonal else 1,
            max_p=order, max_q=order, max_P=seasonal, max_Q=seasonal, start_p=min(2, order), start_q=min(2, order),
        )  # fmt: skip
        found: dict[str, Any] = model.fit(y_L).model_
        constant = INTERCEPT if "intercept" in found["coef"] else DRIFT if "drift" in found["coef"] else NO_CONSTANT
        return [*found["arma"], constant, *found["coef"].values()]

    def forward(self, y_L: np.ndarray, numbers_P: np.ndarray, seasons: list[int], horizon: int) -> np.ndarray:  # noqa: ARG002
        """Filter a history with given coefficients and forecast it: (H,)."""
        arma = tuple(int(number) for number in numbers_P[:SHAPE])
        p, q, seasonal_p, seasonal_q, *_ = arma
        constant = int(numbers_P[SHAPE])
        names = [f"{kind}{i + 1}" for kind, order in (("ar", p), ("ma", q), ("sar", seasonal_p), ("sma", seasonal_q)) for i in range(order)]
        names += {NO_CONSTANT: [], INTERCEPT: ["intercept"], DRIFT: ["drift"]}[constant]
        counter = np.arange(1.0, len(y_L) + 1)[:, None] if constant == DRIFT else None  # the regressor behind a drift
        model = models().AutoARIMA()
        model.model_ = {
            "arma": arma, "coef": dict(zip(names, numbers_P[SHAPE + 1 :].tolist(), strict=False)),
            "xreg": counter, "x": y_L, "sigma2": 1.0, "lambda": None,
        }  # fmt: skip
        return model.forward(y_L, horizon)["mean"]

    def seconds_a_step(self, season: int) -> float:
        """Tell about how long a fit takes for each step."""
        return (5e-4 if season == 1 or not self.seasonal else 6e-4 * season) * (2 + self.max_order) / 7
