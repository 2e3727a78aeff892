"""The sample of scored cells that weights are learnt from: one loss, one way to treat missing members, one cap on outliers.

Weights minimise the scaled pinball loss even where another metric is reported: weights optimised for WQL follow a few large series
(on M4 hourly the test WQL itself became 28 % worse).
"""

from dataclasses import dataclass

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.ensemble.base import Rows, classes_of, clusters, opened, served
from ensemble_forecast.metrics import cross_entropy, pinball
from ensemble_forecast.seeds import generator

MAX_VALUES = 200_000  # cells x levels: 400 k lowered the loss by less than 0.01 % in twice the time
HELD_OUT = 0.3  # of the clusters: those that choose how many trees a combiner grows
FARTHEST = 50.0  # scales: an exploded forecast counts as this far off, so that it cannot hide the differences of the others


@dataclass(frozen=True, eq=False)
class Cells:
    """C scored cells, a cell being one horizon step of one row.

    Parameters
    ----------
    values_CQM
        Member forecasts on the scale where they are averaged (`base.opened`); quantiles as errors: forecast minus truth, over the scale.
    truth_C
        Zero for quantiles; for direction the place of the class.
    cluster_C
        Independent group of each cell, from 0.
    row_C, step_C
        Row and horizon step of each cell, rows in increasing order.
    quantiles, kind
        As in the task.
    """

    values_CQM: np.ndarray
    truth_C: np.ndarray
    cluster_C: np.ndarray
    row_C: np.ndarray
    step_C: np.ndarray
    quantiles: tuple[float, ...]
    kind: str

    @property
    def n_members(self) -> int:
        """Number of members, M."""
        return self.values_CQM.shape[-1]

    def take(self, mask: np.ndarray) -> "Cells":
        """Select cells by position or by mask."""
        return Cells(self.values_CQM[mask], self.truth_C[mask], self.cluster_C[mask], self.row_C[mask], self.step_C[mask], self.quantiles, self.kind)

    def losses(self, combined_CQ: np.ndarray) -> np.ndarray:
        """Loss of each cell under a combined forecast on the same scale, (C,): `metrics.cell_loss`."""
        if self.kind == "quantiles":
            return pinball(self.truth_C, combined_CQ, self.quantiles)
        if combined_CQ.shape[-1] == 1:
            return np.logaddexp(0, np.where(self.truth_C > 0.5, -1, 1) * combined_CQ[..., 0])
        return cross_entropy(self.truth_C, classes_of(combined_CQ))

    def slopes(self, combined_CQ: np.ndarray) -> np.ndarray:
        """Differentiate the mean loss with respect to each value of the combined forecast, (C, Q)."""
        if self.kind == "quantiles":
            return 2 * ((combined_CQ > self.truth_C[:, None]) - np.asarray(self.quantiles)) / combined_CQ.size
        return (classes_of(combined_CQ)[:, 1:] - self.happened()) / len(combined_CQ)

    def happened(self) -> np.ndarray:
        """1 for the class that happened, of those but the first: (C, Q)."""
        return (self.truth_C[:, None] == np.arange(1, self.values_CQM.shape[1] + 1)).astype(float)

    def member_losses(self) -> np.ndarray:
        """Mean loss of each member, (M,)."""
        return np.array([self.losses(self.values_CQM[..., member]).mean() for member in range(self.n_members)])


def sample(
    forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, max_values: int = MAX_VALUES, members: np.ndarray | None = None
) -> Cells:
    """Draw the scored cells that at least one member serves, all of them where there are few; of all members, or those at some positions.

    Where a member does not serve, the median of those that do stands in for it: it neither gains nor loses by its absence.
    """
    served_NM = served(forecasts_NHQM) if members is None else served(forecasts_NHQM)[:, members]
    row_C, step_C = draw(np.isfinite(truth_NH) & served_NM.any(axis=1, keepdims=True), task, max_values)
    values_CQM = forecasts_NHQM[row_C, step_C]
    values_CQM = opened((values_CQM if members is None else values_CQM[..., members]).astype(float), task.kind)
    truth_C = truth_NH[row_C, step_C]
    if task.kind == "quantiles":
        values_CQM = (values_CQM - truth_C[:, None, None]) / rows.scale[row_C, None, None]
        truth_C = np.zeros(len(row_C))
    values_CQM = np.clip(_without_gaps(values_CQM, served_NM[row_C]), -FARTHEST, FARTHEST)
    return Cells(values_CQM, truth_C, clusters(rows, task.horizon)[row_C], row_C, step_C, task.quantiles, task.kind)


def draw(scored_NH: np.ndarray, task: Task, max_values: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose scored cells, all of them where there are few: rows and steps, two int64 (C,), in the order of the rows."""
    row_C, step_C = np.nonzero(scored_NH)
    limit = max(1, max_values // (task.n_outputs - (task.kind == "direction")))
    if len(row_C) <= limit:
        return row_C, step_C
    drawn = np.sort(generator(task.seed, "cells").choice(len(row_C), limit, replace=False))
    return row_C[drawn], step_C[drawn]


def held_out(cluster_C: np.ndarray, seed: int) -> np.ndarray:
    """Mask the cells of a drawn share of the clusters: bool (C,)."""
    labels = np.unique(cluster_C)
    chosen = generator(seed, "held-out").permutation(labels)[: int(HELD_OUT * len(labels))]
    return np.isin(cluster_C, chosen)


def _without_gaps(values_CQM: np.ndarray, served_CM: np.ndarray) -> np.ndarray:
    """Replace missing members by the median of the others."""
    holed_C = ~served_CM.all(axis=1)
    if holed_C.any():
        values_KQM = np.where(served_CM[holed_C][:, None, :], values_CQM[holed_C], np.nan)
        values_CQM[holed_C] = np.where(np.isnan(values_KQM), np.nanmedian(values_KQM, axis=-1, keepdims=True), values_KQM)
    return values_CQM
