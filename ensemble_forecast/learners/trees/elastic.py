"""Elastic net on the rows that trees read: the linear counterpart of a boosted tree, fitted in a second."""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet as CoordinateDescent
from sklearn.pipeline import Pipeline

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.base import Size
from ensemble_forecast.learners.trees.corrector import Corrector
from ensemble_forecast.learners.trees.preparation import Preparation
from ensemble_forecast.learners.trees.rows import FEATURES_S, Rows, rows_of

PENALTIES = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)  # from large to small: each fit starts from the one before
DEFAULT_PENALTY = 0.001  # where there is no stop role to choose by
ROBUST_PASSES = 3
ROBUST_FLOOR = 0.1  # of the median residual: smaller ones weigh no more
MOST_SWEEPS = 2000  # over the coefficients
TOLERANCE = 1e-3
PATH_S = 4e-6  # seconds a row costs on a plain core in all passes and penalties


@dataclass(kw_only=True)
class ElasticNet(Corrector):
    """Elastic net on standardised tabular features (Zou and Hastie 2005, doi:10.1111/j.1467-9868.2005.00503.x).

    Rows are weighted by 1 / |residual| of the pass before, which brings the squared loss near the absolute one. For kind ``direction`` the
    label is regressed: a linear probability model.

    Parameters
    ----------
    penalty
        In units of the smallest penalty that leaves no coefficient; None: chosen on the stop role.
    l1_ratio
        Share of the absolute penalty, above 0; the rest is squared.
    """

    family: ClassVar[str] = "elastic_net"
    group: ClassVar[str] = "linear"
    kinds: ClassVar[tuple[str, ...]] = ("quantiles", "direction")
    SMOKE: ClassVar[dict[str, Any]] = {"rows": 1000}

    penalty: float | None = None
    l1_ratio: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.l1_ratio <= 1 or (self.penalty is not None and self.penalty <= 0):
            raise BadInput(f"l1_ratio must lie in (0, 1] and penalty above 0; got {self.l1_ratio} and {self.penalty}")

    def work(self, size: Size, task: Task) -> float:
        """Estimate seconds; see `Learner.work`."""
        return rows_of(size, task, self.rows) * (FEATURES_S + PATH_S) + size.n_scored * task.horizon * FEATURES_S

    def _train(self, rows: Rows, stop: Rows | None, task: Task, deadline: Deadline) -> Any:  # noqa: ARG002
        """Weigh the rows, then fit the path of penalties and keep the one that the stop role bears out."""
        preparation = Preparation().fit(rows.x_RF)
        x_RF = preparation.transform(rows.x_RF)
        penalty = self.penalty or DEFAULT_PENALTY
        weight_R = rows.weight_R
        for _ in range(ROBUST_PASSES if task.kind == "quantiles" else 0):  # labels have no outliers
            residual_R = np.abs(rows.target_R - self._descend(x_RF, rows.target_R, weight_R, (penalty,))[0].predict(x_RF))
            weight_R = rows.weight_R / np.maximum(residual_R, max(ROBUST_FLOOR * float(np.median(residual_R)), 1e-9))
            weight_R = weight_R / weight_R.mean()
        if self.penalty is None and stop is not None:
            models = self._descend(x_RF, rows.target_R, weight_R, PENALTIES)
            stop_x_RF = preparation.transform(stop.x_RF)
            best = int(np.argmin([_loss(model, stop_x_RF, stop, task) for model in models]))
            self.stopped_["penalty"] = PENALTIES[best]
            model = models[best]
        else:
            model = self._descend(x_RF, rows.target_R, weight_R, (penalty,))[0]
        return Pipeline([("preparation", preparation), ("net", model)])

    def _descend(self, x_RF: np.ndarray, target_R: np.ndarray, weight_R: np.ndarray, penalties: tuple[float, ...]) -> list[CoordinateDescent]:
        """Fit one model for each penalty, in units of the smallest that leaves nothing; a constant target leaves nothing to penalise."""
        share_R = weight_R / weight_R.sum()
        centred_RF = x_RF - share_R @ x_RF
        strongest = np.abs((share_R * (target_R - share_R @ target_R)) @ centred_RF).max() / self.l1_ratio
        models: list[CoordinateDescent] = []
        for penalty in penalties:
            model = CoordinateDescent(
                alpha=max(penalty * strongest, 1e-9), l1_ratio=self.l1_ratio, precompute=True, max_iter=MOST_SWEEPS, tol=TOLERANCE, warm_start=True
            )
            if models:
                model.coef_ = models[-1].coef_.copy()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # the stop role judges what a sweep too few is worth
                models.append(model.fit(x_RF, target_R, sample_weight=weight_R))
        return models


def _loss(model: CoordinateDescent, x_RF: np.ndarray, stop: Rows, task: Task) -> float:
    """Mean absolute error on the stop rows; for kind ``direction`` the squared error of the probability."""
    error_R = np.abs(stop.target_R - model.predict(x_RF))
    return float(np.average(error_R if task.kind == "quantiles" else error_R**2, weights=stop.weight_R))
