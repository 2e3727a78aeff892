"""Least squares in place of the quantile loss: weights from a penalised regression of the truth on the members."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.optimize import nnls

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Rows, WeightedCombiner, classes_of
from ensemble_forecast.ensemble.cells import Cells, sample
from ensemble_forecast.seeds import generator

PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)  # times the mean squared difference between members
FOLDS = 4  # of clusters, that choose the penalty
SUM_ROW = 1e3  # how much the rule that weights sum to one counts, against the root mean square of the errors
LARGEST_ERROR = 5.0  # scales: squares of heavy tails would let a few cells choose the weights


@dataclass(kw_only=True)
class LinearStack(WeightedCombiner):
    """Regress the truth on the members, without negative weights, pulled to equal ones (Breiman 1996, doi:10.1007/BF00117832).

    All levels count alike: a cell and level is a row of the regression, its values in units of the series' scale (kind ``direction``:
    probabilities of the classes but the first). Weights sum to one. The ridge penalty on their distance from 1 / M is the one that loses least by
    the contest's own loss on clusters left out, four folds of them.

    After `fit`: `penalty_`.
    """

    family: ClassVar[str] = "linear_stack"

    def learn(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> np.ndarray:
        """Choose the penalty by clusters left out, then regress on all cells."""
        cells = sample(forecasts_NHQM, truth_NH, rows, task)
        fold_C = generator(task.seed, "linear_stack").integers(FOLDS, size=int(cells.cluster_C.max(initial=0)) + 1)[cells.cluster_C]
        total = np.zeros(len(PENALTIES))
        for fold in np.unique(fold_C) if len(np.unique(fold_C)) > 1 and not deadline.passed() else []:
            weights_PM = regress(cells.take(fold_C != fold), PENALTIES)
            out = cells.take(fold_C == fold)
            total += [out.losses(out.values_CQM @ weights_M).sum() for weights_M in weights_PM]
        self.penalty_ = PENALTIES[len(PENALTIES) - 1 - int(total[::-1].argmin())]  # of equal ones the strongest
        return regress(cells, (self.penalty_,))[0]


def regress(cells: Cells, penalties: tuple[float, ...]) -> list[np.ndarray]:
    """Minimise squared errors plus each penalty over the simplex: weights (M,) a penalty."""
    errors_KM = _errors(cells)
    n_members = errors_KM.shape[1]
    product_MM = errors_KM.T @ errors_KM / len(errors_KM)
    typical = float(np.mean(np.var(errors_KM, axis=1))) or 1.0
    found = []
    for penalty in penalties:
        moment_MM = product_MM + penalty * typical * np.eye(n_members)
        upper_MM = np.linalg.cholesky(moment_MM + 1e-9 * np.trace(moment_MM) / n_members * np.eye(n_members)).T
        # |U w|^2 - 2 b w, b = penalty / M for every member: b w is constant where weights sum to one, and drops out
        size = float(np.sqrt(np.trace(moment_MM) / n_members))
        weights_M = nnls(np.vstack([upper_MM, np.full(n_members, SUM_ROW * size)]), np.append(np.zeros(n_members), SUM_ROW * size))[0]
        found.append(weights_M / weights_M.sum())
    return found


def _errors(cells: Cells) -> np.ndarray:
    """Errors of the members, a row a cell and level: (K, M)."""
    if cells.kind == "quantiles":
        return np.clip(cells.values_CQM, -LARGEST_ERROR, LARGEST_ERROR).reshape(-1, cells.n_members)
    shares_CMQ = classes_of(np.moveaxis(cells.values_CQM, 1, -1))[..., 1:]
    return np.moveaxis(shares_CMQ - cells.happened()[:, None], 1, -1).reshape(-1, cells.n_members)
