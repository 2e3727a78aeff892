"""Selection of members: the best one, or a bag of greedy choices with replacement."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Rows, WeightedCombiner
from ensemble_forecast.ensemble.cells import Cells, sample
from ensemble_forecast.seeds import generator

BAG_VALUES = 40_000  # cells x levels over both halves: a step costs as many pinball losses as values x members


@dataclass(kw_only=True)
class BestSingle(WeightedCombiner):
    """All weight to the member with the least loss: what a search without an ensemble would choose."""

    family: ClassVar[str] = "best_single"

    def learn(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> np.ndarray:  # noqa: ARG002
        """Find the best member."""
        losses_M = sample(forecasts_NHQM, truth_NH, rows, task).member_losses()
        return np.eye(len(losses_M))[losses_M.argmin()]


@dataclass(kw_only=True)
class GreedySelection(WeightedCombiner):
    """Greedy selection with replacement (Caruana et al. 2004, doi:10.1145/1015330.1015432), bagged over halves of the clusters.

    Each bag starts from nothing, adds in every step the member that lowers the loss of the average most, and keeps the best prefix. The
    weights of all bags are averaged, which cuts the overfitting of a single greedy path.

    Parameters
    ----------
    steps
        Members added in a bag.
    bags
        Random halves of the clusters (series, or blocks of origins).
    """

    family: ClassVar[str] = "greedy"
    steps: int = 30
    bags: int = 10

    def learn(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> np.ndarray:
        """Select in every bag and average the weights; bags after the deadline are left out, the first one never is."""
        cells = sample(forecasts_NHQM, truth_NH, rows, task, BAG_VALUES)
        labels = np.unique(cells.cluster_C)
        weights_BM = []
        for bag in range(self.bags):
            half = generator(task.seed, "greedy", bag).permutation(labels)[: (len(labels) + 1) // 2]
            weights_BM.append(select(cells.take(np.isin(cells.cluster_C, half)), self.steps))
            if deadline.passed():
                break
        return np.asarray(np.mean(weights_BM, axis=0))


def select(cells: Cells, steps: int) -> np.ndarray:
    """Run one greedy path and return the weights of its best prefix, (M,)."""
    total_CQ = np.zeros(cells.values_CQM.shape[:2])
    counts_M = np.zeros(cells.n_members)
    best_loss, best_M = np.inf, counts_M
    for step in range(1, steps + 1):
        losses_M = [cells.losses((total_CQ + cells.values_CQM[..., member]) / step).mean() for member in range(cells.n_members)]
        chosen = int(np.argmin(losses_M))
        total_CQ += cells.values_CQM[..., chosen]
        counts_M[chosen] += 1
        if losses_M[chosen] < best_loss:
            best_loss, best_M = losses_M[chosen], counts_M / step
    return best_M
