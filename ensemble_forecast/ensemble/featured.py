"""Weights by kind of series: boosted trees read the traits of a series and say which members to believe there."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import softmax

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Combiner, Needs, Rows, weighted_rows
from ensemble_forecast.ensemble.cells import Cells, held_out, sample
from ensemble_forecast.ensemble.simplex import shrinkage, simplex_weights
from ensemble_forecast.ensemble.traits import without_window
from ensemble_forecast.learners.base import check_fitted
from ensemble_forecast.learners.trees.boosting import from_bytes, from_foreign_bytes
from ensemble_forecast.learners.trees.margins import Watched, added, boost

LEAST_SERIES = 200
ROUNDS = 120
PATIENCE = 15
SMALLEST_WEIGHT = 1e-6


@dataclass(kw_only=True)
class Featured(Combiner):
    """Feature-based forecast model averaging (FFORMA; Montero-Manso et al. 2020, doi:10.1016/j.ijforecast.2019.02.011).

    The weights of a row are a softmax whose margins are those of `Simplex` plus what boosted trees add for the traits of the series. Departures
    from the paper: the trees descend the loss of the combined forecast, not the mean loss of the members, so that they see which errors cancel;
    they begin at the weights of the whole panel; and they are as many as lose least on series held out, possibly none. With fewer than
    200 series, or without traits, this is `Simplex`.

    After `fit`: `panel_M_` (the panel's weights), `trees_` (bytes, empty without trees), `n_trees_`, and `weights_M_`, the mean over the rows.
    """

    family: ClassVar[str] = "featured"
    needs: ClassVar[Needs] = Needs(series=LEAST_SERIES, traits=True)
    eta: float = 1.0  # of slopes in units of relative loss: 0.3 needs three times the trees for as much
    depth: int = 3
    least_rows: float = 20.0

    def fit(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> Self:
        """Weigh the panel, choose the number of trees on series held out, then grow them on all; see `Combiner.fit`."""
        cells = sample(forecasts_NHQM, truth_NH, rows, task)
        rows = replace(rows, traits_NF=without_window(rows.traits_NF, rows.series))
        self.kind_ = task.kind
        self.panel_M_ = simplex_weights(cells, shrinkage(rows, task.horizon), deadline)
        self.trees_, self.n_trees_ = np.empty(0, dtype=np.uint8), 0
        self._booster: Any = None  # cache of the live trees; trees_ holds their bytes
        if rows.traits_NF.size and not self.needs.lacking(truth_NH, rows, task):
            held_C = held_out(cells.cluster_C, task.seed)
            self.n_trees_ = self._grow(cells.take(~held_C), rows, task, deadline, ROUNDS, cells.take(held_C))[1]
        if self.n_trees_:
            self.trees_, self.n_trees_ = self._grow(cells, rows, task, deadline, self.n_trees_, None)
        self.weights_M_ = self._weights_of(rows).mean(axis=0) if self.n_trees_ else self.panel_M_
        return self

    def revive(self, allow: tuple[str, ...]) -> None:  # noqa: ARG002
        """Rebuild the trees of a file; see `from_foreign_bytes`."""
        if self.n_trees_:
            self._booster = from_foreign_bytes(self.trees_)

    def combine(self, forecasts_NHQM: np.ndarray, rows: Rows) -> np.ndarray:
        """Average each row by the weights that its traits ask for; see `Combiner.combine`."""
        check_fitted(self)
        return weighted_rows(forecasts_NHQM, self._weights_of(rows), self.kind_)

    def _grow(self, cells: Cells, rows: Rows, task: Task, deadline: Deadline, rounds: int, held: Cells | None) -> tuple[np.ndarray, int]:
        """Boost on some cells, watching others."""
        start_M = np.log(np.maximum(self.panel_M_, SMALLEST_WEIGHT))
        row_R, slopes = descent(cells)
        params = {"max_depth": self.depth, "eta": self.eta, "min_child_weight": self.least_rows, "reg_lambda": self.least_rows}
        watched = None
        if held is not None:
            held_R, place_C = np.unique(held.row_C, return_inverse=True)
            watched = Watched(
                rows.traits_NF[held_R],
                np.tile(start_M, (len(held_R), 1)),
                lambda margin_RM: float(held.losses(combined(held.values_CQM, softmax(margin_RM, axis=1)[place_C])).mean()),
                PATIENCE,
            )
        return boost(rows.traits_NF[row_R], np.tile(start_M, (len(row_R), 1)), slopes, params, rounds, task.seed, deadline, watched)

    def _weights_of(self, rows: Rows) -> np.ndarray:
        """Weigh the members for each row, (N, M)."""
        if not self.n_trees_:
            return np.broadcast_to(self.panel_M_, (len(rows), len(self.panel_M_)))
        if getattr(self, "_booster", None) is None:
            self._booster = from_bytes(self.trees_)
        start_M = np.log(np.maximum(self.panel_M_, SMALLEST_WEIGHT))
        return np.asarray(softmax(start_M + added(self._booster, rows.traits_NF, len(start_M)), axis=1))


def combined(values_CQM: np.ndarray, weights_CM: np.ndarray) -> np.ndarray:
    """Average the members of each cell by its weights, (C, Q)."""
    return np.einsum("cqm,cm->cq", values_CQM, weights_CM)


def descent(cells: Cells) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Differentiate the loss of the combined forecast by the margins of each row's softmax.

    Returns
    -------
    the R rows that have cells, increasing; and a function from margins (R, M) to slopes (R, M), in units in which members that lose one per
    cent more than the combination have slopes of about a hundredth at equal weights.
    """
    row_R, first_R, place_C = np.unique(cells.row_C, return_index=True, return_inverse=True)
    count_R = np.diff(np.append(first_R, len(place_C)))
    n_members = cells.n_members
    typical = max(float(cells.member_losses().min()), SMALLEST_WEIGHT)

    def slopes(margin_RM: np.ndarray) -> np.ndarray:
        weights_RM = softmax(margin_RM.astype(float), axis=1)
        combined_CQ = combined(cells.values_CQM, weights_RM[place_C])
        steep_CQ = cells.slopes(combined_CQ) * len(combined_CQ)
        by_weight_CM = np.einsum("cq,cqm->cm", steep_CQ, cells.values_CQM)
        by_weight_RM = np.add.reduceat(by_weight_CM, first_R, axis=0) / count_R[:, None]
        average_R1 = (weights_RM * by_weight_RM).sum(axis=1, keepdims=True)
        result: np.ndarray = n_members * weights_RM * (by_weight_RM - average_R1) / typical
        return result

    return row_R, slopes
