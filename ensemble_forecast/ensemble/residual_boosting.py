"""A correction on top of the weights: boosted trees learn what the combined forecast leaves over, from how the members disagree."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Combiner, Needs, Rows, blocks, clusters, served, weighted
from ensemble_forecast.ensemble.cells import FARTHEST, draw, held_out
from ensemble_forecast.ensemble.simplex import learn_simplex
from ensemble_forecast.ensemble.traits import without_window
from ensemble_forecast.learners.base import check_fitted
from ensemble_forecast.learners.trees.boosting import from_bytes, from_foreign_bytes
from ensemble_forecast.learners.trees.margins import Watched, added, boost

LEAST_CELLS = 10_000  # to learn from; in the contest all windows but one teach
MAX_CELLS = 40_000  # (row, step) pairs that the trees learn from: more add time, not knowledge
ROUNDS = 200
PATIENCE = 15


@dataclass(kw_only=True)
class ResidualBoosting(Combiner):
    """Shift the forecast of `Simplex` by what shallow boosted trees expect its error to be (gradient boosting on a stack of forecasts).

    The trees read, for each horizon step of a row and in units of the series' scale, the members' medians relative to the combined one, the
    spread between them, the width of the combined interval, the step, and the traits of the series. They descend a smooth absolute error
    (pseudo-Huber), are as many as lose least on clusters held out, possibly none, and move all quantiles of a cell alike. With fewer than
    10,000 scored steps, or for the kind ``direction``, this is `Simplex`.

    After `fit`: `weights_M_` (as of `Simplex`), `trees_` (bytes, empty without trees), `n_trees_`, `middle_` (place of the median).
    """

    family: ClassVar[str] = "residual_boosting"
    needs: ClassVar[Needs] = Needs(cells=LEAST_CELLS, kinds=("quantiles",), traits=True)
    eta: float = 0.1
    depth: int = 3
    least_cells: float = 200.0

    def fit(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> Self:
        """Weigh, then learn the correction; see `Combiner.fit`."""
        self.kind_, self.middle_ = task.kind, task.quantiles.index(0.5)
        self.weights_M_ = learn_simplex(forecasts_NHQM, truth_NH, rows, task, deadline)
        self.trees_, self.n_trees_ = np.empty(0, dtype=np.uint8), 0
        self._booster: Any = None  # cache of the live trees; trees_ holds their bytes
        if not self.needs.lacking(truth_NH, rows, task):
            blind = replace(rows, traits_NF=without_window(rows.traits_NF, rows.series))
            self._learn(forecasts_NHQM, truth_NH, blind, task, deadline)
        return self

    def revive(self, allow: tuple[str, ...]) -> None:  # noqa: ARG002
        """Rebuild the trees of a file; see `from_foreign_bytes`."""
        if self.n_trees_:
            self._booster = from_foreign_bytes(self.trees_)

    def combine(self, forecasts_NHQM: np.ndarray, rows: Rows) -> np.ndarray:
        """Average by weight and shift; see `Combiner.combine`."""
        check_fitted(self)
        combined_NHQ = weighted(forecasts_NHQM, self.weights_M_, self.kind_)
        if not self.n_trees_:
            return combined_NHQ
        if getattr(self, "_booster", None) is None:
            self._booster = from_bytes(self.trees_)
        n_rows, horizon = combined_NHQ.shape[:2]
        for block in blocks(n_rows, horizon * (len(self.weights_M_) + rows.traits_NF.shape[1])):
            part_NHQ = combined_NHQ[block]
            row_C, step_C = (index.reshape(-1) for index in np.indices(part_NHQ.shape[:2]))
            inputs_CF = self._inputs(forecasts_NHQM[block], part_NHQ, rows.take(block), row_C, step_C)
            shift_NH = added(self._booster, inputs_CF, 1).reshape(part_NHQ.shape[:2]) * rows.scale[block, None]
            combined_NHQ[block] = part_NHQ + shift_NH[..., None]
        return combined_NHQ

    def _learn(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> None:
        """Choose the number of trees on clusters held out, then grow them on all cells."""
        row_C, step_C = draw(np.isfinite(truth_NH) & served(forecasts_NHQM).any(axis=1, keepdims=True), task, MAX_CELLS * task.n_outputs)
        row_R, place_C = np.unique(row_C, return_inverse=True)
        mine_NHQM, mine = forecasts_NHQM[row_R], rows.take(row_R)
        combined_NHQ = weighted(mine_NHQM, self.weights_M_, self.kind_)
        inputs_CF = self._inputs(mine_NHQM, combined_NHQ, mine, place_C, step_C)
        error_C = (truth_NH[row_C, step_C] - combined_NHQ[place_C, step_C, self.middle_]) / rows.scale[row_C]
        error_C1 = np.clip(error_C, -FARTHEST, FARTHEST)[:, None]
        held_C = held_out(clusters(rows, task.horizon)[row_C], task.seed)
        params = {"max_depth": self.depth, "eta": self.eta, "min_child_weight": self.least_cells, "reg_lambda": self.least_cells}

        def grow(mask_C: np.ndarray, rounds: int, watched: Watched | None) -> tuple[np.ndarray, int]:
            target_C1 = error_C1[mask_C]
            return boost(
                inputs_CF[mask_C],
                np.zeros_like(target_C1),
                lambda shift_C1: (shift_C1 - target_C1) / np.sqrt(1 + (shift_C1 - target_C1) ** 2),
                params,
                rounds,
                task.seed,
                deadline,
                watched,
            )

        held_C1 = error_C1[held_C]
        watched = Watched(inputs_CF[held_C], np.zeros_like(held_C1), lambda shift_C1: float(np.abs(shift_C1 - held_C1).mean()), PATIENCE)
        self.n_trees_ = grow(~held_C, ROUNDS, watched)[1] if held_C.any() else 0
        if self.n_trees_:
            self.trees_, self.n_trees_ = grow(np.ones(len(row_C), dtype=bool), self.n_trees_, None)

    def _inputs(self, forecasts_NHQM: np.ndarray, combined_NHQ: np.ndarray, rows: Rows, row_C: np.ndarray, step_C: np.ndarray) -> np.ndarray:
        """Features of some cells, (C, F); members without a weight, which may not have been asked, are left out, and missing ones are NaN."""
        weighty = np.flatnonzero(self.weights_M_ > 0)
        scale_C = rows.scale[row_C]
        combined_CQ = combined_NHQ[row_C, step_C]
        apart_CM = forecasts_NHQM[row_C, step_C, self.middle_][:, weighty] - combined_CQ[:, self.middle_, None]
        served_NM = served(forecasts_NHQM)[:, weighty]
        apart_CM = np.clip(np.where(served_NM[row_C], apart_CM / scale_C[:, None], np.nan), -FARTHEST, FARTHEST)
        count_C = np.maximum(served_NM[row_C].sum(axis=1), 1)
        spread_C = np.sqrt((np.where(np.isnan(apart_CM), 0.0, apart_CM) ** 2).sum(axis=1) / count_C)
        width_C = np.minimum((combined_CQ[:, -1] - combined_CQ[:, 0]) / scale_C, FARTHEST)
        return np.column_stack([apart_CM, spread_C, width_C, step_C.astype(float), rows.traits_NF[row_C]])
