"""How much of a deviation from the base rate a forecast of direction is believed: what trees share whose leaves are sure too soon."""

import numpy as np

from ensemble_forecast.learners.trees.rows import Rows

CONFIDENCES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
DEFAULT_CONFIDENCE = 0.5  # where there is no stop role to choose by


def base_rates(rows: Rows, horizon: int) -> np.ndarray:
    """Share of up among the training rows of each horizon step, of all rows where a step has none: (H,)."""
    count_H = np.bincount(rows.ahead_R - 1, minlength=horizon)
    up_H = np.bincount(rows.ahead_R - 1, rows.target_R, minlength=horizon)
    return np.where(count_H > 0, up_H / np.maximum(count_H, 1), rows.target_R.mean())
