"""AdaBoost over small trees: each next tree learns from a sample in which the rows that were forecast badly are frequent."""

import copy
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.base import Size
from ensemble_forecast.learners.trees.corrector import Corrector, shares
from ensemble_forecast.learners.trees.rows import FEATURES_S, Rows, rows_of
from ensemble_forecast.metrics import given_to
from ensemble_forecast.seeds import derive

LOSSES = ("linear", "square", "exponential")
LENGTHS = (0.1, 0.2, 0.4, 0.7, 1.0)  # of the trees grown: the chains that the stop role chooses from
TREE_S = 1e-5  # seconds a row costs on a plain core in a tree that tries all features


@dataclass(kw_only=True)
class AdaBoost(Corrector):
    """AdaBoost.R2 with the weighted median of its trees (Drucker 1997); SAMME for kind ``direction`` (Zhu et al. 2009).

    Parameters
    ----------
    trees
        Length of the chain; the most there may be where a stop role is given.
    depth
        Of each tree.
    rate
        How strongly each tree shifts the weights of the rows.
    loss
        How an error becomes a weight, in units of the largest one: "linear", "square" or "exponential".
    min_leaf
        Fewest training rows in a leaf.
    max_features
        Share of the features tried at each split.
    """

    family: ClassVar[str] = "adaboost"
    SMOKE: ClassVar[dict[str, Any]] = {"trees": 5, "rows": 1000}

    trees: int = 50
    depth: int = 10
    rate: float = 0.1
    loss: str = "linear"
    min_leaf: int = 20
    max_features: float = 0.3
    rows: int = 20_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in LOSSES:
            raise BadInput(f"loss must be one of {LOSSES}; got {self.loss!r}")

    def work(self, size: Size, task: Task) -> float:
        """Count rows x trees x features tried; see `Learner.work`."""
        return rows_of(size, task, self.rows) * (FEATURES_S + self.trees * TREE_S * self.max_features)

    def _train(self, rows: Rows, stop: Rows | None, task: Task, deadline: Deadline) -> Any:
        """Fill missing features with medians, grow the trees, keep those that the stop role bears out."""
        filler = SimpleImputer(strategy="median", keep_empty_features=True)
        x_RF = filler.fit_transform(rows.x_RF)
        chain = self._grow(x_RF, rows, task, deadline)
        if stop is not None:
            n_grown, stop_x_RF = len(chain.estimators_), filler.transform(stop.x_RF)
            chains = [_first(chain, max(round(share * n_grown), 1)) for share in LENGTHS]
            chain = chains[int(np.argmin([_loss(shorter, stop_x_RF, stop, task) for shorter in chains]))]
            self.stopped_["trees"] = len(chain.estimators_)
        return Pipeline([("filler", filler), ("chain", chain)])

    def _grow(self, x_RF: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> Any:
        """Grow as many trees as there is time for, as a first one tells."""
        settings = {"max_depth": self.depth, "min_samples_leaf": self.min_leaf, "max_features": self.max_features}
        options: dict[str, Any] = {"learning_rate": self.rate, "random_state": derive(task.seed, self.family)}
        if task.kind == "direction":
            tree, chain = DecisionTreeClassifier(**settings), AdaBoostClassifier
        else:
            tree, chain = DecisionTreeRegressor(**settings), AdaBoostRegressor
            options["loss"] = self.loss
        started = time.monotonic()
        clone(tree).fit(x_RF, rows.target_R)
        affordable = int(min(deadline.left() / (time.monotonic() - started), self.trees))
        self.truncated_ = self.truncated_ or affordable < self.trees
        return chain(tree, n_estimators=max(affordable, 1), **options).fit(x_RF, rows.target_R, sample_weight=rows.weight_R)


def _first(model: Any, n_trees: int) -> Any:
    """Cut a chain after so many trees."""
    shorter = copy.copy(model)
    shorter.estimators_ = model.estimators_[:n_trees]
    shorter.estimator_weights_ = model.estimator_weights_[:n_trees]
    return shorter


def _loss(model: Any, x_RF: np.ndarray, stop: Rows, task: Task) -> float:
    """Mean absolute error on the stop rows; for kind ``direction`` the log loss."""
    if task.kind == "direction":
        given_R = given_to(stop.target_R, shares(model, x_RF, task.n_outputs))
        return float(np.average(-np.log(given_R.clip(1e-6)), weights=stop.weight_R))
    return float(np.average(np.abs(stop.target_R - model.predict(x_RF)), weights=stop.weight_R))
