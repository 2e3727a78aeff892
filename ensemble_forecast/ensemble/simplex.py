"""Weights that minimise the loss over the simplex, shrunk to equal ones."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Rows, WeightedCombiner, clusters
from ensemble_forecast.ensemble.cells import Cells, sample

ENOUGH_CLUSTERS = 100  # beyond, shrinkage stays at its least
LEAST, MOST = 0.25, 0.75  # bounds of the shrinkage: measured as a plateau on panels, and as the need of seven series
STEPS = 120
DECAY = 0.75  # of the step length: within 0.06 % of the linear programme's loss after 120 steps with up to 25 members
ONE_WINDOW = 0.5  # least shrinkage where all rows come from one window


@dataclass(kw_only=True)
class Simplex(WeightedCombiner):
    """Minimise the mean cell loss over the simplex, then w := (1 - k) w + k / M.

    The optimiser is exponentiated gradient (Kivinen and Warmuth 1997, doi:10.1006/inco.1996.2612) with normalised steps that shrink, and the
    best iterate wins: the problem is convex. Shrinkage only pays among members of about the same quality: prune first.

    Parameters
    ----------
    shrink
        Shrinkage k in [0, 1]; None ties it to the number C of independent clusters: clip(1 - C / 100, 0.25, 0.75), and at least 0.5 where
        there is a single window.
    steps
        Gradient steps.
    """

    family: ClassVar[str] = "simplex"
    shrink: float | None = None
    steps: int = STEPS

    def learn(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> np.ndarray:
        """Descend from equal weights."""
        self.shrink_ = shrinkage(rows, task.horizon) if self.shrink is None else self.shrink
        return simplex_weights(sample(forecasts_NHQM, truth_NH, rows, task), self.shrink_, deadline, self.steps)


def learn_simplex(forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> np.ndarray:
    """Learn the weights (M,) of `Simplex`, for combiners that begin from them."""
    return simplex_weights(sample(forecasts_NHQM, truth_NH, rows, task), shrinkage(rows, task.horizon), deadline)


def simplex_weights(cells: Cells, shrink: float, deadline: Deadline, steps: int = STEPS) -> np.ndarray:
    """Minimise the mean loss over the simplex and shrink the weights (M,) to equal ones."""
    return (1 - shrink) * descend(cells, steps, deadline) + shrink / cells.n_members


def shrinkage(rows: Rows, horizon: int) -> float:
    """Tie the pull towards equal weights to the number of independent clusters and windows."""
    n_clusters = len(np.unique(clusters(rows, horizon)))
    tied = float(np.clip(1 - n_clusters / ENOUGH_CLUSTERS, LEAST, MOST))
    return max(tied, ONE_WINDOW) if len(np.unique(rows.window)) == 1 else tied


def descend(cells: Cells, steps: int, deadline: Deadline) -> np.ndarray:
    """Minimise the mean loss over the simplex by exponentiated gradient: weights (M,)."""
    n_levels, n_members = cells.values_CQM.shape[1:]
    values_KM = cells.values_CQM.reshape(-1, n_members)
    weights_M = np.full(n_members, 1 / n_members)
    best_loss, best_M = np.inf, weights_M
    for step in range(steps):
        combined_CQ = (values_KM @ weights_M).reshape(-1, n_levels)
        loss = cells.losses(combined_CQ).mean()
        if loss < best_loss:
            best_loss, best_M = loss, weights_M
        gradient_M = cells.slopes(combined_CQ).reshape(-1) @ values_KM
        gradient_M = gradient_M - weights_M @ gradient_M
        typical = weights_M @ np.abs(gradient_M)  # weighted: an exploded member soon stops dictating the length of a step
        if typical == 0 or deadline.passed():
            break
        weights_M = weights_M * np.exp(-np.clip(gradient_M / typical, -1, 1) / (step + 1) ** DECAY)
        weights_M = weights_M / weights_M.sum()
    return best_M
