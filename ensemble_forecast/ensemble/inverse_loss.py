"""Weights in inverse proportion to the squared loss."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Rows, WeightedCombiner
from ensemble_forecast.ensemble.cells import sample

SMALLEST_LOSS = 1e-9  # a perfect member would divide by zero


@dataclass(kw_only=True)
class InverseLoss(WeightedCombiner):
    """w proportional to 1 / loss^2 (Bates and Granger 1969, doi:10.1057/jors.1969.103, without the covariances)."""

    family: ClassVar[str] = "inverse_loss"

    def learn(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> np.ndarray:  # noqa: ARG002
        """Measure the loss of each member."""
        losses_M = np.maximum(sample(forecasts_NHQM, truth_NH, rows, task).member_losses(), SMALLEST_LOSS)
        weights_M = (losses_M.min() / losses_M) ** 2
        return weights_M / weights_M.sum()
