"""Boosted trees and forests as graphs: the trees node by node, and what makes forecasts of their outputs."""

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.features.tabular import Layout
from ensemble_forecast.forecasts import PROBABILITY_FLOOR
from ensemble_forecast.graphs import FLOAT64, Canvas, Drawn, Feed, Held, Sizes, Undrawable
from ensemble_forecast.learners.trees.belief import bounded
from ensemble_forecast.learners.trees.direct import Xgboost, interpolation, native_levels
from ensemble_forecast.learners.trees.forests import Forest
from ensemble_forecast.learners.trees.rows import full_grid


@dataclass
class Trees:
    """Trees in the words of the operator TreeEnsembleRegressor, grown one by one."""

    nodes: dict[str, list[Any]] = field(default_factory=dict)
    targets: dict[str, list[Any]] = field(default_factory=dict)
    count: int = 0

    def add(self, feature_K: np.ndarray, bound_K: np.ndarray, left_K: np.ndarray, right_K: np.ndarray, is_leaf_K: np.ndarray, **more: Any) -> None:
        """Add a tree.

        Parameters
        ----------
        left_K, right_K
            Numbers of the children within the tree; read at inner nodes only.
        more
            ``mode`` of inner nodes; ``missing_left_K``, where missing values go; ``leaf_LQ``, the outputs of the leaves in order; and ``first``,
            the output that their first column adds to.
        """
        number, leaves_L, leaf_LQ = np.arange(len(feature_K)), np.flatnonzero(is_leaf_K), more["leaf_LQ"]
        inner_K = ~is_leaf_K
        _extend(
            self.nodes,
            treeids=np.full(len(number), self.count),
            nodeids=number,
            featureids=feature_K * inner_K,
            values=np.where(is_leaf_K, 0, bound_K).astype(np.float32),
            truenodeids=left_K * inner_K,
            falsenodeids=right_K * inner_K,
            missing_value_tracks_true=more["missing_left_K"] * inner_K,
            modes=np.where(is_leaf_K, "LEAF", more["mode"]),
        )
        n_outputs = leaf_LQ.shape[1]
        _extend(
            self.targets,
            treeids=np.full(leaf_LQ.size, self.count),
            nodeids=np.repeat(leaves_L, n_outputs),
            ids=np.tile(np.arange(n_outputs) + more["first"], len(leaves_L)),
            weights=leaf_LQ.astype(np.float32).ravel(),
        )
        self.count += 1

    def draw(self, canvas: Canvas, rows: str, n_outputs: int, **attributes: Any) -> str:
        """Put the trees on a canvas: float32 (rows, outputs)."""
        named: dict[str, Any] = {f"nodes_{name}": values for name, values in self.nodes.items()} | {
            f"target_{name}": values for name, values in self.targets.items()
        }
        return canvas.put("TreeEnsembleRegressor", rows, domain="ai.onnx.ml", n_targets=n_outputs, **named, **attributes)


def of_xgboost(learner: Xgboost) -> Drawn:
    """Draw a booster, and the table or the interpolation that makes quantiles of its outputs.

    Raises
    ------
    Undrawable
        When it tells more than two classes apart.
    """
    task, layout = _of_two_classes(learner), Layout(**learner.layout_)
    written = json.loads(learner._live().save_raw("json"))["learner"]
    grown = written["gradient_booster"]["model"]
    trees = Trees()
    for tree, output in zip(grown["trees"], grown["tree_info"], strict=True):
        left_K, value_K = np.array(tree["left_children"]), np.array(tree["split_conditions"])
        is_leaf_K = left_K < 0
        trees.add(
            np.array(tree["split_indices"]), value_K, left_K, np.array(tree["right_children"]), is_leaf_K,
            mode="BRANCH_LT", missing_left_K=np.array(tree["default_left"]), leaf_LQ=value_K[is_leaf_K][:, None], first=output,
        )  # fmt: skip
    start = np.atleast_1d(json.loads(written["learner_model_param"]["base_score"])).astype(float)
    if task.kind == "direction":
        start = np.log(start / (1 - start))  # a probability is written, log-odds are added up
    n_outputs = 1 + max(grown["tree_info"])
    canvas = Canvas()
    rows = canvas.put("Reshape", "x", np.array([-1, len(layout.names)]))
    raw = trees.draw(canvas, rows, n_outputs, base_values=np.broadcast_to(start, n_outputs).tolist())
    output = canvas.put("Reshape", canvas.put("Cast", raw, to=FLOAT64), np.array([-1, task.horizon, n_outputs]))
    return _drawn(canvas, _booster_forecast(canvas, output, learner, task), learner, task, layout)


def of_forest(learner: Forest) -> Drawn:
    """Draw a forest, whose leaves hold quantiles or shares of the classes; see `of_xgboost`."""
    task, layout, trees = _of_two_classes(learner), Layout(**learner.layout_), Trees()
    nodes, roots = learner.nodes_, learner.nodes_["roots"].tolist()
    for first, end in zip(roots, [*roots[1:], len(nodes["feature"])], strict=True):
        own = {name: nodes[name][first:end] for name in ("feature", "threshold", "left", "right")}
        is_leaf_K = own["feature"] < 0
        trees.add(
            own["feature"], own["threshold"], own["left"] - first, own["right"] - first, is_leaf_K,
            mode="BRANCH_LEQ", missing_left_K=np.zeros(end - first, dtype=int), leaf_LQ=learner.leaves_[own["left"][is_leaf_K]], first=0,
        )  # fmt: skip
    canvas = Canvas()
    rows = canvas.put("Reshape", "x", np.array([-1, len(layout.names)]))
    filled = canvas.put("Where", canvas.put("IsNaN", rows), np.float32(0), rows)
    raw = trees.draw(canvas, filled, task.n_outputs, aggregate_function="AVERAGE")
    output = canvas.put("Reshape", canvas.put("Cast", raw, to=FLOAT64), np.array([-1, task.horizon, task.n_outputs]))
    if task.kind == "direction":
        rate_H = learner.rate_[:, 1]
        away = canvas.put("Sub", canvas.at(output, 1, 2), rate_H)
        forecast = canvas.classes(canvas.put("Add", rate_H, canvas.put("Mul", np.float64(learner.confidence_), away)), PROBABILITY_FLOOR)
    else:
        forecast = canvas.ordered(_restored(canvas, output), task.n_outputs)
    return _drawn(canvas, forecast, learner, task, layout)


def _of_two_classes(learner: Xgboost | Forest) -> Task:
    """Return the task, if its classes are at most two."""
    task = Task(**learner.task_)
    if task.asked == "barrier":
        raise Undrawable("it tells more than two classes apart")
    return task


def _booster_forecast(canvas: Canvas, output: str, learner: Xgboost, task: Task) -> str:
    """Make a forecast of a booster's outputs, as `Xgboost` does."""
    if task.kind == "direction":
        odds = canvas.at(output, 0, 2)
        if learner.balanced:
            odds = canvas.put("Add", odds, np.diff(np.log(bounded(learner.rate_)))[:, 0])
        return canvas.classes(canvas.put("Sigmoid", odds), PROBABILITY_FLOOR)
    if learner.objective == "absolute":
        spread = canvas.put("Mul", canvas.widened("scale", 1, 2), learner.table_)
        return canvas.ordered(canvas.put("Add", _restored(canvas, output), spread), task.n_outputs)
    native_Q = native_levels(task.quantiles)
    restored = _restored(canvas, canvas.ordered(output, len(native_Q)))
    return canvas.ordered(canvas.put("MatMul", restored, interpolation(native_Q, task.quantiles)), task.n_outputs)


def _restored(canvas: Canvas, correction: str) -> str:
    """Add corrections in units of the scale to the base: NHQ."""
    return canvas.put("Add", canvas.widened("base", 2), canvas.put("Mul", canvas.widened("scale", 1, 2), correction))


def _drawn(canvas: Canvas, forecast: str, learner: Xgboost | Forest, task: Task, layout: Layout) -> Drawn:
    """Frame a graph over the rows that trees read."""
    horizon, names = task.horizon, layout.names

    def feed(panel: Panel, origins: Origins) -> Feed:
        grid = full_grid(panel, origins, task, layout, learner.base)
        inputs = {"x": grid.x_RF.reshape(len(origins), horizon, -1), "base": grid.base_NH, "scale": grid.scale_N}
        return inputs if task.kind == "quantiles" else {"x": inputs["x"]}

    held: dict[str, Held] = {
        "x": {"holds": "for every step ahead the columns of features.tabular; NaN where unknown", "columns": list(names)},
        "base": {"holds": f"the forecast to be corrected: {learner.base}"},
        "scale": {"holds": "the window's scale: features.tabular.window_scale"},
    }
    shapes: dict[str, tuple[type, Sizes]] = {
        "x": (np.float32, ("N", horizon, len(names))),
        "base": (np.float64, ("N", horizon)),
        "scale": (np.float64, ("N",)),
    }
    used = list(shapes) if task.kind == "quantiles" else ["x"]
    model = canvas.model({name: shapes[name] for name in used}, forecast, ("N", horizon, task.n_outputs))
    return Drawn(model, {name: held[name] for name in used}, feed)


def _extend(columns: dict[str, list[Any]], **values: np.ndarray) -> None:
    for name, more in values.items():
        columns.setdefault(name, []).extend(more.tolist())
