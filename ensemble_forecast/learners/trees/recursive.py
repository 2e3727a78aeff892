"""Boosted trees that forecast one step and are fed their own forecast for the next: other errors than those of a model of all horizons."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np

from ensemble_forecast.data.origins import Origins, truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import TooShort
from ensemble_forecast.features.contexts import MIN_STEPS, gather
from ensemble_forecast.features.tabular import Layout, window_scale
from ensemble_forecast.forecasts import tidy
from ensemble_forecast.learners.base import Size, check_fitted
from ensemble_forecast.learners.residuals import apply_table, learn_table, sample
from ensemble_forecast.learners.trees.boosting import (
    ABSOLUTE,
    LEVEL_S,
    ROUND_S,
    BoostedTrees,
    given_table,
    outputs,
    train,
)
from ensemble_forecast.learners.trees.rows import FEATURES_S, LARGEST_TARGET, Rows, weigh
from ensemble_forecast.learners.trees.steps import base_of, one_step, step_columns, window_length
from ensemble_forecast.seeds import derive
from ensemble_forecast.windows import Roles

BLOCK = 4096  # origins at a time: bounds memory, changes nothing else


@dataclass(kw_only=True)
class RecursiveXgboost(BoostedTrees):
    """One booster for all series that forecasts the next seasonal change, step after step from its own forecasts (Taieb and Hyndman 2012).

    The target is the scaled difference of the next value from the one a season before it, so what is fed back is a path in the target's own
    unit. Past covariates, unknown beyond the origin, are not read. The path is the median; quantiles come from the errors of whole paths
    on origins that the trees did not see, one row a horizon step.

    Parameters
    ----------
    rounds, depth, eta, subsample, colsample, min_child_weight, reg_lambda, max_bin, spread
        As in `Xgboost`.
    rows
        Most training windows, sampled evenly over series and time.
    """

    family: ClassVar[str] = "recursive_xgboost"
    uses_known: ClassVar[bool] = True
    SMOKE: ClassVar[dict[str, Any]] = {"rounds": 12, "depth": 3, "rows": 1000}

    rows: int = 60_000

    def fit(self, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> Self:
        """Learn the next step, then the errors of whole paths; see `Learner.fit`."""
        layout = Layout.of(panel, task)
        self.task_, self.layout_ = asdict(task), asdict(layout)
        trained = train(
            self._growth(),
            ABSOLUTE,
            lambda origins, at_most, stream: _rows(panel, origins, task, layout, at_most, stream),
            self.rows,
            panel,
            roles,
            task,
            deadline,
            needs_witness=self.spread is None,
        )
        if self.spread is not None:
            table = given_table(self.spread, task)
        else:
            point_NH, scale_N = _paths(trained.witness, panel, trained.judged, task, layout)
            table = learn_table(point_NH, truth(panel, trained.judged, task.horizon), scale_N, task.quantiles)
        self._keep(trained, table, panel, roles, task)
        return self

    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:  # noqa: ARG002
        """Walk from each origin to the end of the horizon; see `Learner.predict`."""
        check_fitted(self)
        task, layout = Task(**self.task_), Layout(**self.layout_)
        point_NH, scale_N = _paths(self._live(), panel, origins, task, layout)
        return tidy(apply_table(point_NH, scale_N, self.table_), task)

    def work(self, size: Size, task: Task) -> float:
        """Count rows x rounds x levels, and the features of every step of every path; see `Learner.work`."""
        per_row = FEATURES_S + self.rounds * (ROUND_S + LEVEL_S * self.depth)
        return min(size.n_fit, self.rows) * per_row + size.n_scored * task.horizon * FEATURES_S


def _rows(panel: Panel, origins: Origins, task: Task, layout: Layout, at_most: int, stream: str) -> Rows:
    """Sample windows, each followed by a step that lies within the horizon of an origin."""
    windows = one_step(origins, task.horizon)
    target_N = truth(panel, windows, 1)[:, 0]
    windows = sample(windows.take(np.isfinite(target_N) & (windows.step + 1 >= MIN_STEPS)), at_most, derive(task.seed, "recursive", stream))
    if not len(windows):
        raise TooShort(
            f"recursive trees need {MIN_STEPS} steps of history and a target after them; none of the {panel.n_series} series has both: "
            f"give more history or shorten the horizon ({task.horizon})"
        )
    blocks = [windows.take(slice(first, first + BLOCK)) for first in range(0, len(windows), BLOCK)]
    scale_N, x_NF, change_N = (np.concatenate(parts) for parts in zip(*(_block(panel, block, layout) for block in blocks), strict=True))
    target_N = np.clip(change_N / scale_N, -LARGEST_TARGET, LARGEST_TARGET)
    return Rows(x_NF, target_N, weigh(panel, windows, task, scale_N, target_N), np.ones(len(windows), dtype=np.int64))


def _block(panel: Panel, windows: Origins, layout: Layout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale, features, and how far the next value lies from the base."""
    window_NL = gather(panel.y_filled, panel, windows, window_length(layout))
    scale_N = window_scale(panel, windows, layout)
    x_NF = step_columns(window_NL, scale_N, layout, panel, windows.series, windows.step)
    return scale_N, x_NF, truth(panel, windows, 1)[:, 0] - base_of(window_NL, layout.season)


def _paths(booster: Any, panel: Panel, origins: Origins, task: Task, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Feed the booster its own forecasts: the path from each origin (N, H), NaN where the history is too short, and its scale (N,)."""
    point_NH, scale_N = np.full((len(origins), task.horizon), np.nan), window_scale(panel, origins, layout)
    for first in range(0, len(origins), BLOCK):
        block = slice(first, first + BLOCK)
        point_NH[block] = _walk(booster, panel, origins.take(block), scale_N[block], task, layout)
    point_NH[origins.step + 1 < MIN_STEPS] = np.nan
    return point_NH, scale_N


def _walk(booster: Any, panel: Panel, origins: Origins, scale_N: np.ndarray, task: Task, layout: Layout) -> np.ndarray:
    """Extend the windows of a block of origins step by step."""
    length = window_length(layout)
    walked_NL = np.concatenate([gather(panel.y_filled, panel, origins, length), np.empty((len(origins), task.horizon))], axis=1)
    for h in range(task.horizon):
        window_NL = walked_NL[:, h : h + length]
        x_NF = step_columns(window_NL, scale_N, layout, panel, origins.series, origins.step + h)
        change_N = np.clip(outputs(booster, x_NF)[:, 0], -LARGEST_TARGET, LARGEST_TARGET)
        walked_NL[:, length + h] = base_of(window_NL, layout.season) + scale_N * change_N
    return walked_NL[:, length:]
