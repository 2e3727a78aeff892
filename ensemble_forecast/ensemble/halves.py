"""Forecasts of a combiner for rows that its weights did not see, where a single window leaves no other one to calibrate on."""

from dataclasses import replace

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Combiner, Rows, clusters
from ensemble_forecast.seeds import generator


def cross_fitted(combiner: Combiner, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> np.ndarray:
    """Combine every row by weights learnt on the other half of the clusters: series, or blocks of origins.

    Returns
    -------
    float64 (N, H, Q); NaN where a row could not be served so, as all of a single cluster.
    """
    label_N = clusters(rows, task.horizon)
    labels = np.unique(label_N)
    first = generator(task.seed, "halves").permutation(labels)[: len(labels) // 2]
    is_first_N = np.isin(label_N, first)
    combined_NHQ = np.full(forecasts_NHQM.shape[:3], np.nan)
    for taught_N in (is_first_N, ~is_first_N) if len(first) else []:
        fitted = replace(combiner).fit(forecasts_NHQM[taught_N], truth_NH[taught_N], rows.take(taught_N), task, deadline)
        combined_NHQ[~taught_N] = fitted.combine(forecasts_NHQM[~taught_N], rows.take(~taught_N))
    return combined_NHQ
