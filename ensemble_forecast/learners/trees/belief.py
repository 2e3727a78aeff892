"""What trees share that forecast directions: base rates, how much of a deviation from them is believed, and classes of equal weight."""

from dataclasses import replace

import numpy as np

from ensemble_forecast.forecasts import PROBABILITY_FLOOR
from ensemble_forecast.learners.trees.rows import Rows

CONFIDENCES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
DEFAULT_CONFIDENCE = 0.5  # where there is no stop role to choose by


def base_rates(rows: Rows, horizon: int) -> np.ndarray:
    """Share of up among the training rows of each horizon step, of all rows where a step has none: (H,)."""
    count_H = np.bincount(rows.ahead_R - 1, minlength=horizon)
    up_H = np.bincount(rows.ahead_R - 1, rows.target_R, minlength=horizon)
    return np.where(count_H > 0, up_H / np.maximum(count_H, 1), rows.target_R.mean())


def balanced(rows: Rows, rate_H: np.ndarray) -> Rows:
    """Weigh labels so that at each horizon step both classes count the same where up is met at these rates."""
    rate_R = _bounded(rate_H)[rows.ahead_R - 1]
    return replace(rows, weight_R=np.where(rows.target_R > 0, 0.5 / rate_R, 0.5 / (1 - rate_R)))


def put_back(up: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Turn probabilities learnt with both classes at the same weight into those at the rate of up that was met.

    King and Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868: the odds are multiplied by those of the rate.
    """
    rate = _bounded(rate)
    return up * rate / (up * rate + (1 - up) * (1 - rate))


def _bounded(rate: np.ndarray) -> np.ndarray:
    return np.clip(rate, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
