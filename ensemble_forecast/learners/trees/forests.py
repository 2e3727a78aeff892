"""Random forests and extremely randomised trees with quantiles: grown by scikit-learn, kept and walked as plain arrays."""

import abc
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from ensemble_forecast.data.origins import Origins, outcome
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.tabular import Layout
from ensemble_forecast.forecasts import normalise
from ensemble_forecast.learners.base import Learner, Size, check_fitted
from ensemble_forecast.learners.residuals import sample
from ensemble_forecast.learners.trees.belief import CONFIDENCES, DEFAULT_CONFIDENCE, balanced, base_rates
from ensemble_forecast.learners.trees.leaves import average, flatten, leaf_quantiles, leaves_of, refuse_misgrown
from ensemble_forecast.learners.trees.rows import BASES, FEATURES_S, Grid, Rows, forecast_grids, full_grid, rows_of, training_rows
from ensemble_forecast.metrics import cross_entropy
from ensemble_forecast.seeds import derive
from ensemble_forecast.windows import Roles

DRAWN = 0.6  # share of the rows that a bootstrap draws: faster, and trees less alike
CHUNK = 10  # trees between two looks at the clock
MOST_LEAVES = 250_000  # of all trees together: about 15 MB as arrays
STOP_ROWS = 10_000


@dataclass(kw_only=True)
class Forest(Learner):
    """What both kinds of forest share: scaled features, a base to correct, leaves that hold quantiles or class shares.

    A quantile of the forecast is the mean over trees of that quantile of the training targets in the leaf: a cheap relative of quantile
    regression forests (Meinshausen 2006), which pool the targets of all leaves instead. Leaf tables stay small and need no training data.

    Parameters
    ----------
    min_leaf
        Fewest training rows in a leaf, times the rows an origin gives; raised where the forest would outgrow its memory.
    max_features
        Share of the features tried at each split.
    rows
        Most training rows, sampled evenly over series, time and horizon.
    confidence
        Kind ``direction`` only: how much of its deviation from the base rate is believed; None: chosen on the stop role.
    balanced
        Kind ``direction`` only: let all classes weigh the same where splits are chosen; the shares in the leaves are those that were met.
    """

    group: ClassVar[str] = "trees"
    kinds: ClassVar[tuple[str, ...]] = ("quantiles", "direction", "barrier")
    uses_past: ClassVar[bool] = True
    uses_known: ClassVar[bool] = True
    corrects: ClassVar[bool] = True
    SMOKE: ClassVar[dict[str, Any]] = {"trees": 5, "rows": 1000}
    TREE_S: ClassVar[tuple[float, float]]  # seconds a row costs on a plain core in a tree: whatever is tried, and trying all features

    trees: int = 100
    depth: int | None = None
    min_leaf: int = 10
    max_features: float = 0.4
    rows: int = 20_000
    base: str = "seasonal_naive"
    confidence: float | None = None
    balanced: bool = False

    def __post_init__(self) -> None:
        if self.base not in BASES:
            raise BadInput(f"base must be one of {BASES}; got {self.base!r}")

    @abc.abstractmethod
    def _grower(self, settings: dict[str, Any], n_rows: int) -> Any:
        """Construct scikit-learn's forest."""

    def fit(self, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> Self:
        """Grow the trees; see `Learner.fit`."""
        layout = Layout.of(panel, task)
        self.task_, self.layout_ = asdict(task), asdict(layout)
        self.stopped_: dict[str, float] = {}
        rows = training_rows(panel, roles.fit, task, layout, self.base, self.rows, self.family)
        x_RF = np.nan_to_num(rows.x_RF)
        grown_from = rows
        if task.kind == "direction":
            self.rate_ = base_rates(rows, task)
            grown_from = balanced(rows, self.rate_) if self.balanced else rows
        self.nodes_ = flatten(self._grow(x_RF, grown_from, len(roles.fit), task, deadline))
        self.leaves_ = self._leaf_table(leaves_of(self.nodes_, x_RF), rows, task)
        if task.kind == "direction":
            self.confidence_ = DEFAULT_CONFIDENCE if self.confidence is None else self.confidence
            if self.confidence is None and roles.stop is not None:
                self.confidence_ = self._choose_confidence(panel, roles.stop, task, layout)
                self.stopped_ = {"confidence": self.confidence_}
        return self

    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:  # noqa: ARG002
        """Forecast from each origin; see `Learner.predict`."""
        check_fitted(self)
        task, layout = Task(**self.task_), Layout(**self.layout_)
        return forecast_grids(lambda grid: self._forecast(grid, task), panel, origins, task, layout, self.base)

    def revive(self, allow: tuple[str, ...]) -> None:  # noqa: ARG002
        """Refuse nodes that are no trees; see `refuse_misgrown`."""
        refuse_misgrown(self.nodes_, len(self.leaves_), len(Layout(**self.layout_).names))

    def work(self, size: Size, task: Task) -> float:
        """Count rows x trees x features tried; see `Learner.work`."""
        always, features = self.TREE_S
        per_row = FEATURES_S + self.trees * (always + features * self.max_features)
        return rows_of(size, task, self.rows) * per_row + size.n_scored * task.horizon * FEATURES_S

    def _grow(self, x_RF: np.ndarray, rows: Rows, n_origins: int, task: Task, deadline: Deadline) -> list[Any]:
        """Grow trees chunk by chunk until there are enough or the time is over."""
        copies = max(1.0, len(x_RF) / n_origins)  # targets H steps ahead overlap H-fold: more than one row an origin adds nothing new
        settings = {
            "n_estimators": 0,
            "max_depth": self.depth,
            "min_samples_leaf": max(round(self.min_leaf * copies), -(-len(x_RF) * self.trees // MOST_LEAVES)),
            "max_features": self.max_features,
            "random_state": derive(task.seed, self.family),
            "n_jobs": 1,
            "warm_start": True,
        }
        forest = self._grower(settings, len(x_RF))
        while forest.n_estimators < self.trees and not (forest.n_estimators and deadline.passed()):
            forest.set_params(n_estimators=min(forest.n_estimators + CHUNK, self.trees))
            forest.fit(x_RF, rows.target_R, sample_weight=rows.weight_R)
        self.truncated_ = forest.n_estimators < self.trees
        return list(forest.estimators_)

    def _leaf_table(self, leaf_RT: np.ndarray, rows: Rows, task: Task) -> np.ndarray:
        """Quantiles, or shares of the classes, of the training targets in each leaf: float32 (leaves, Q)."""
        is_leaf = self.nodes_["feature"] < 0
        n_leaves = int(is_leaf.sum())
        table_LQ = np.empty((n_leaves, task.n_outputs), dtype=np.float32)
        first_T: np.ndarray = (np.cumsum(is_leaf) - is_leaf)[self.nodes_["roots"]]
        for tree, (first, end) in enumerate(zip(first_T, [*first_T[1:], n_leaves], strict=True)):
            leaf_R = leaf_RT[:, tree] - first
            if task.kind == "direction":
                count_LQ = np.zeros((end - first, task.n_outputs))
                np.add.at(count_LQ, (leaf_R, rows.target_R.astype(int)), 1.0)
                table_LQ[first:end] = count_LQ / count_LQ.sum(axis=1, keepdims=True)
            else:
                table_LQ[first:end] = leaf_quantiles(leaf_R, rows.target_R, end - first, task.quantiles)
        return table_LQ

    def _forecast(self, grid: Grid, task: Task) -> np.ndarray:
        """Quantiles or class probabilities of a grid: NHQ."""
        output_NHQ = self._output(grid)
        if task.kind == "direction":
            return _shrink(output_NHQ, self.rate_, self.confidence_)
        return grid.base_NH[..., None] + grid.scale_N[:, None, None] * output_NHQ

    def _output(self, grid: Grid) -> np.ndarray:
        """Mean leaf entry of every horizon step: (N, H, Q)."""
        leaf_RT = leaves_of(self.nodes_, np.nan_to_num(grid.x_RF))
        return average(self.leaves_, leaf_RT).reshape(*grid.base_NH.shape, -1)

    def _choose_confidence(self, panel: Panel, origins: Origins, task: Task, layout: Layout) -> float:
        """Choose how much of a deviation from the base rate the stop role bears out."""
        origins = sample(origins, max(STOP_ROWS // task.horizon, 1), derive(task.seed, self.family, "stop"))
        grid = full_grid(panel, origins, task, layout, self.base)
        output_NHQ, label_NH = self._output(grid), outcome(panel, origins, task)
        label_NH[~grid.served_N] = np.nan
        if not np.isfinite(label_NH).any():
            return DEFAULT_CONFIDENCE
        losses = [np.nanmean(cross_entropy(label_NH, _shrink(output_NHQ, self.rate_, confidence))) for confidence in CONFIDENCES]
        return CONFIDENCES[int(np.argmin(losses))]


@dataclass(kw_only=True)
class RandomForest(Forest):
    """Bootstrapped trees with the best splits of a random subset of features (Breiman 2001, doi:10.1023/A:1010933404324)."""

    family: ClassVar[str] = "random_forest"
    TREE_S: ClassVar[tuple[float, float]] = (5e-7, 9e-6)

    def _grower(self, settings: dict[str, Any], n_rows: int) -> Any:
        return RandomForestRegressor(**settings, max_samples=max(1, round(DRAWN * n_rows)))


@dataclass(kw_only=True)
class ExtraTrees(Forest):
    """Trees with random cut points, on all rows (Geurts, Ernst and Wehenkel 2006, doi:10.1007/s10994-006-6226-1)."""

    family: ClassVar[str] = "extra_trees"
    TREE_S: ClassVar[tuple[float, float]] = (1.1e-6, 1e-6)

    def _grower(self, settings: dict[str, Any], n_rows: int) -> Any:  # noqa: ARG002
        return ExtraTreesRegressor(**settings)


def _shrink(share_NHQ: np.ndarray, rate_HQ: np.ndarray, confidence: float) -> np.ndarray:
    """Pull class shares towards the base rates of their horizon steps."""
    return normalise(rate_HQ + confidence * (share_NHQ - rate_HQ))
