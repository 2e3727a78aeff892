"""Boosted trees on binned features by scikit-learn: the fastest trees of all, stopped early on our own stop role."""

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.base import Size
from ensemble_forecast.learners.trees.corrector import Corrector
from ensemble_forecast.learners.trees.preparation import Bins
from ensemble_forecast.learners.trees.rows import FEATURES_S, Rows, rows_of
from ensemble_forecast.seeds import derive

PATIENCE = 30  # rounds without gain on the stop role
FIRST_ROUNDS = 16  # before the clock is looked at; each look costs a forecast of all rows, so the stretches double
ROUND_S = 2.5e-7  # seconds a row costs on a plain core in a round


@dataclass(kw_only=True)
class HistGradientBoosting(Corrector):
    """Leaf-wise boosted trees on binned features (Ke et al. 2017, LightGBM), for the absolute error; the log loss for kind ``direction``.

    Missing features go to the side of a split that gains more.

    Parameters
    ----------
    rounds
        Boosting rounds; the most there may be where a stop role is given.
    leaves
        Most leaves of a tree.
    eta
        Learning rate.
    min_leaf
        Fewest training rows in a leaf.
    l2
        Penalty on leaf values.
    colsample
        Share of the features tried at each split.
    max_bin
        Bins of a feature, at most 255.
    """

    family: ClassVar[str] = "hist_gradient_boosting"
    SMOKE: ClassVar[dict[str, Any]] = {"rounds": 12, "leaves": 8, "rows": 2000}

    rounds: int = 300
    leaves: int = 31
    eta: float = 0.06
    min_leaf: int = 40
    l2: float = 5.0
    colsample: float = 0.6
    max_bin: int = 64

    def work(self, size: Size, task: Task) -> float:
        """Count rows x rounds; see `Learner.work`."""
        return rows_of(size, task, self.rows) * (FEATURES_S + self.rounds * ROUND_S)

    def _train(self, rows: Rows, stop: Rows | None, task: Task, deadline: Deadline) -> Any:
        """Boost in stretches that double, or are as long as there is time for."""
        settings = {
            "max_iter": 0,
            "max_leaf_nodes": self.leaves,
            "learning_rate": self.eta,
            "min_samples_leaf": self.min_leaf,
            "l2_regularization": self.l2,
            "max_features": self.colsample,
            "max_bins": self.max_bin,
            "early_stopping": stop is not None,
            "n_iter_no_change": PATIENCE,
            "tol": 0.0,
            "scoring": "loss",
            "categorical_features": None,
            "random_state": derive(task.seed, self.family),
            "warm_start": True,
        }
        is_direction = task.kind == "direction"
        model = HistGradientBoostingClassifier(**settings) if is_direction else HistGradientBoostingRegressor(loss="absolute_error", **settings)
        bins = Bins(self.max_bin).fit(rows.x_RF)
        x_RF = bins.transform(rows.x_RF)
        watched = {} if stop is None else {"X_val": bins.transform(stop.x_RF), "y_val": stop.target_R, "sample_weight_val": stop.weight_R}
        started, wanted = time.monotonic(), min(FIRST_ROUNDS, self.rounds)
        while wanted > model.max_iter:
            model.set_params(max_iter=wanted)
            model.fit(x_RF, rows.target_R, sample_weight=rows.weight_R, **watched)
            if model.n_iter_ < wanted or wanted == self.rounds:  # stopped early, or complete
                break
            share = min(deadline.left() / (time.monotonic() - started), 1.0)  # of as many rounds again that there is time for
            wanted = min(wanted + int(share * wanted), self.rounds)
        else:
            self.truncated_ = True
        if stop is not None:
            best = max(int(np.argmax(model.validation_score_)), 1)  # entry k is the score after k rounds
            del model._predictors[best:]
            self.stopped_["rounds"] = best
        return Pipeline([("bins", bins), ("trees", model)])
