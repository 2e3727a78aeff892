"""What trees share that forecast directions: base rates, how much of a deviation from them is believed, and classes of equal weight.

Q classes, as `Task.classes` names them; the shares of a row sum to 1.
"""

from dataclasses import replace

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.forecasts import PROBABILITY_FLOOR
from ensemble_forecast.learners.trees.rows import Rows

CONFIDENCES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
DEFAULT_CONFIDENCE = 0.5  # where there is no stop role to choose by


def base_rates(rows: Rows, task: Task) -> np.ndarray:
    """Share of each class among the training rows of each horizon step, of all rows where a step has none: (H, Q)."""
    happened_RQ = rows.target_R[:, None] == np.arange(task.n_outputs)
    count_HQ = np.stack([np.bincount(rows.ahead_R - 1, happened_R, minlength=task.horizon) for happened_R in happened_RQ.T], axis=-1)
    total_H1 = count_HQ.sum(axis=-1, keepdims=True)
    return np.where(total_H1 > 0, count_HQ / np.maximum(total_H1, 1), happened_RQ.mean(axis=0))


def balanced(rows: Rows, rate_HQ: np.ndarray) -> Rows:
    """Weigh labels so that at each horizon step all classes count the same where they are met at these rates."""
    rate_R = bounded(rate_HQ)[rows.ahead_R - 1, rows.target_R.astype(int)]
    return replace(rows, weight_R=1 / (rate_HQ.shape[1] * rate_R))


def put_back(share: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Turn shares learnt with all classes at the same weight into those at the rates that were met; classes on the last axis.

    King and Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868: odds are multiplied by those of the rates.
    """
    met = share * bounded(rate)
    back: np.ndarray = met / met.sum(axis=-1, keepdims=True)
    return back


def bounded(rate: np.ndarray) -> np.ndarray:
    """Keep rates off 0 and 1."""
    return np.clip(rate, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
