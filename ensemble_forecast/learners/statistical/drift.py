"""The random walk with drift."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ensemble_forecast.learners.statistical.local import LocalLearner


@dataclass(kw_only=True)
class Drift(LocalLearner):
    """Continue the straight line from the first value of the history (its last 400 steps or more) to the last one."""

    family: ClassVar[str] = "drift"
    fit_origins: ClassVar[int] = 2000

    def point(self, y_BL: np.ndarray, n_B: np.ndarray, season: int, horizon: int) -> np.ndarray:  # noqa: ARG002
        """Forecast a batch of histories: float64 (B, H)."""
        last_B = np.take_along_axis(y_BL, n_B[:, None] - 1, axis=1)[:, 0]
        drift_B = (last_B - y_BL[:, 0]) / np.maximum(n_B - 1, 1)
        return last_B[:, None] + drift_B[:, None] * np.arange(1, horizon + 1)
