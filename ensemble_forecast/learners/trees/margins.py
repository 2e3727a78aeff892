"""Boosted trees under a loss that the caller names by its slopes: what combiners learn from features with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.trees.boosting import to_bytes
from ensemble_forecast.seeds import derive

MAX_BIN = 64
Slopes = Callable[[np.ndarray], np.ndarray]  # margin_NK -> the loss differentiated by each margin, (N, K)


@dataclass(frozen=True, eq=False)
class Watched:
    """Rows that stop the boosting.

    Parameters
    ----------
    x_NF, start_NK
        As for training.
    loss
        From a margin (N, K) to the mean loss of these rows.
    patience
        Rounds without gain after which boosting ends.
    """

    x_NF: np.ndarray
    start_NK: np.ndarray
    loss: Callable[[np.ndarray], float]
    patience: int


def boost(
    x_NF: np.ndarray,
    start_NK: np.ndarray,
    slopes: Slopes,
    params: dict[str, float],
    rounds: int,
    seed: int,
    deadline: Deadline,
    watched: Watched | None = None,
) -> tuple[np.ndarray, int]:
    """Descend a loss in the space of functions, one tree with K outputs a round (Friedman 2001, doi:10.1214/aos/1013203451).

    Every row counts as curvature one, so that a leaf steps by the mean slope of its rows and ``min_child_weight`` counts rows.

    Parameters
    ----------
    start_NK
        Margins to begin from.
    params
        Of the library: depth, eta and their kin.
    rounds
        Trees; the most there may be where rows are watched: then as many are kept as lose least there, possibly none.

    Returns
    -------
    the trees as bytes (``boosting.to_bytes``; empty without any tree), and how many there are. Fewer than asked for once the deadline has passed.
    """
    matrix = _matrix(x_NF, start_NK)
    settings = {
        "tree_method": "hist",
        "multi_strategy": "multi_output_tree",
        "max_bin": MAX_BIN,
        "base_score": 0.0,
        "disable_default_eval_metric": True,
        "nthread": 1,
        "verbosity": 0,
        "seed": derive(seed, "margins") >> 1,  # it takes 31 bits
        **({"num_class": start_NK.shape[1]} if start_NK.shape[1] > 1 else {}),
        **params,
    }
    shape = start_NK.shape

    def objective(margin: np.ndarray, _: xgboost.DMatrix) -> tuple[np.ndarray, np.ndarray]:
        return slopes(margin.reshape(shape)), np.ones(shape)

    watch = _Watch(deadline, watched)
    booster = xgboost.train(settings, matrix, rounds, obj=objective, callbacks=[watch])
    kept = watch.best_round if watched is not None else booster.num_boosted_rounds()
    if not kept:
        return np.empty(0, dtype=np.uint8), 0
    return to_bytes(booster[:kept]), kept


def added(booster: Any, x_NF: np.ndarray, n_outputs: int) -> np.ndarray:
    """Sum what the trees add to the margins: float64 (N, K); a row's bits do not depend on the other rows."""
    if not len(x_NF):
        return np.zeros((0, n_outputs))
    return np.asarray(booster.inplace_predict(np.ascontiguousarray(x_NF, np.float32), predict_type="margin"), float).reshape(len(x_NF), n_outputs)


def _matrix(x_NF: np.ndarray, start_NK: np.ndarray) -> xgboost.QuantileDMatrix:
    """Bin the features and remember where to start from."""
    matrix = xgboost.QuantileDMatrix(np.ascontiguousarray(x_NF, np.float32), np.zeros(len(x_NF)), max_bin=MAX_BIN, nthread=1)
    matrix.set_base_margin(start_NK)
    return matrix


class _Watch(xgboost.callback.TrainingCallback):
    """Follows the loss of the watched rows round by round; ends training when it no longer falls, or the time is over."""

    def __init__(self, deadline: Deadline, watched: Watched | None) -> None:
        self.deadline, self.watched = deadline, watched
        self.best_round, self.best_loss = 0, np.inf if watched is None else watched.loss(watched.start_NK)
        self.margin_NK = None if watched is None else watched.start_NK.astype(float)

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
        if self.watched is None or self.margin_NK is None:
            return self.deadline.passed()
        newest = model[epoch : epoch + 1]
        self.margin_NK = self.margin_NK + added(newest, self.watched.x_NF, self.margin_NK.shape[1])
        loss = self.watched.loss(self.margin_NK)
        if loss < self.best_loss:
            self.best_round, self.best_loss = epoch + 1, loss
        return self.deadline.passed() or epoch + 1 - self.best_round >= self.watched.patience
