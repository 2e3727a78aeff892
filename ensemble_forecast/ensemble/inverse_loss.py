"""Weights in inverse proportion to the squared loss."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Combiner, Rows, check_fitted, weighted
from ensemble_forecast.ensemble.cells import sample

SMALLEST_LOSS = 1e-9  # a perfect member would divide by zero


@dataclass(kw_only=True)
class InverseLoss(Combiner):
    """w proportional to 1 / loss^2 (Bates and Granger 1969, doi:10.1057/jors.1969.103, without the covariances)."""

    family: ClassVar[str] = "inverse_loss"

    def fit(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> Self:  # noqa: ARG002
        """Measure the loss of each member."""
        losses_M = np.maximum(sample(forecasts_NHQM, truth_NH, rows, task).member_losses(), SMALLEST_LOSS)
        weights_M = (losses_M.min() / losses_M) ** 2
        self.weights_M_, self.kind_ = weights_M / weights_M.sum(), task.kind
        return self

    def combine(self, forecasts_NHQM: np.ndarray, rows: Rows) -> np.ndarray:  # noqa: ARG002
        """Average by weight."""
        check_fitted(self)
        return weighted(forecasts_NHQM, self.weights_M_, self.kind_)
