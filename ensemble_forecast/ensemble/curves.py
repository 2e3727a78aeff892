"""Curves that bend log-odds so that probabilities come true, and the choice among them by what they gain where they were not learnt.

* ``as_is``: none.
* ``platt``: a line in the log-odds (Platt 1999); mends odds that are too bold or too timid everywhere alike. Of more than two classes all have one
  slope, and each but the first an intercept (temperature scaling with a bias; Guo et al. 2017, arXiv:1706.04599); the other curves are of two.
* ``beta``: ln p and ln(1 - p) have slopes of their own, so that rises and falls may be told with different honesty (Kull, Silva Filho and Flach
  2017, doi:10.1214/17-EJS1338SI). Where both slopes are equal it is ``platt``.
* ``isotonic``: whatever does not fall (Zadrozny and Elkan 2002, doi:10.1145/775047.775151); never surer than one miss more than was seen allows.

Departures from the papers: slopes have a unit normal prior around those that change nothing, in place of smoothed labels, and against it all cells
together count as much as there are independent clusters among them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.isotonic import IsotonicRegression

from ensemble_forecast.data.task import Task
from ensemble_forecast.ensemble.base import Rows, classes_of, clusters
from ensemble_forecast.ensemble.luck import clustered_mean, luck
from ensemble_forecast.metrics import given_to

AS_IS = "as_is"
STEEPEST = 2.0  # slope of log-odds
MOST_CELLS = 50_000  # that a curve of three numbers needs to be learnt from
PARTS = 5  # of a single window, each judged by what the others taught


def _softplus(x: np.ndarray) -> np.ndarray:
    """Compute ln(1 + exp(x)); NaN stays NaN, without the warning of logaddexp."""
    positive: np.ndarray = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return positive


INPUTS: dict[str, Callable[[np.ndarray], tuple[np.ndarray, ...]]] = {  # of the curves that are sums, with constants besides
    "platt": lambda odds: (odds,),
    "beta": lambda odds: (-_softplus(-odds), _softplus(odds)),  # ln p and -ln(1 - p)
}
CURVES = (*INPUTS, "isotonic")
OF_MANY = ("platt",)  # curves of more than two classes


@dataclass(frozen=True, eq=False)
class Chosen:
    """The curve that pays, and what its like made of cells that it had not learnt from.

    Parameters
    ----------
    name
        One of ``CURVES``, or ``as_is``.
    numbers
        That `bend` needs: plain float64, empty for ``as_is``.
    unseen_NHQ
        Log-odds, those of each part bent as the other parts taught.
    """

    name: str
    numbers: np.ndarray
    unseen_NHQ: np.ndarray


def choose(odds_NHQ: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task) -> Chosen:
    """Choose the curve with the smallest log loss, if its gain exceeds one standard error, widened for the number of curves.

    Each window is judged by what the others taught. Of a single one the blocks are that long that hardly a label is shared between two.

    Parameters
    ----------
    odds_NHQ
        Finite log-odds against the first class, out of fold (`base.opened`).
    truth_NH
        Place of the class; NaN where unknown.
    """
    label_N = clusters(rows, task.horizon)
    part_N = _parts(rows, label_N)
    curves = CURVES if odds_NHQ.shape[-1] == 1 else OF_MANY
    unseen = {name: _unseen(name, odds_NHQ, truth_NH, part_N, label_N) for name in curves}
    as_is_NH = _loss(odds_NHQ, truth_NH)
    gains = {name: as_is_NH - _loss(each_NHQ, truth_NH) for name, each_NHQ in unseen.items()}
    threshold = luck(gains, label_N, task.seed)
    means = {name: clustered_mean(gain_NH, label_N)[:2] for name, gain_NH in gains.items()}
    best = max(means, key=lambda name: means[name][0])
    gain, error = means[best]
    if not gain > threshold * error:
        return Chosen(AS_IS, np.empty(0), odds_NHQ)
    return Chosen(best, learn(best, odds_NHQ, truth_NH, len(np.unique(label_N))), unseen[best])


def learn(name: str, odds_NHQ: np.ndarray, truth_NH: np.ndarray, n_clusters: int) -> np.ndarray:
    """Learn the numbers of a curve: slopes within [0, 2] and intercepts, or for ``isotonic`` the knots (2, K) of log-odds in and out.

    Parameters
    ----------
    n_clusters
        Independent clusters among the cells.
    """
    known_C = np.flatnonzero(np.isfinite(truth_NH.ravel()))
    known_C = known_C[:: -(-len(known_C) // MOST_CELLS) or 1]
    odds_CQ, label_C = odds_NHQ.reshape(-1, odds_NHQ.shape[-1])[known_C], truth_NH.ravel()[known_C]
    if name == "isotonic":
        least = 1 / (n_clusters + 2)
        steps = IsotonicRegression(y_min=least, y_max=1 - least).fit(odds_CQ[:, 0], label_C)
        up_K = steps.y_thresholds_
        return np.stack([steps.X_thresholds_, np.log(up_K / (1 - up_K))])
    inputs_CQK = np.stack([np.broadcast_to(each, odds_CQ.shape) for each in _inputs(name, odds_CQ)], axis=-1)
    n_classes = odds_CQ.shape[1]
    happened_CQ = label_C[:, None] == np.arange(1, n_classes + 1)
    unchanged_K = np.append(np.ones(inputs_CQK.shape[-1] - n_classes), np.zeros(n_classes))
    worth = n_clusters / len(label_C)

    def penalised_loss(numbers_K: np.ndarray) -> tuple[float, np.ndarray]:
        """Sum of the log losses and the prior, with its gradient."""
        bent_CQ = inputs_CQK @ numbers_K
        slope_K = np.einsum("cq,cqk->k", classes_of(bent_CQ)[:, 1:] - happened_CQ, inputs_CQK)
        loss = worth * _loss(bent_CQ, label_C).sum() + 0.5 * ((numbers_K - unchanged_K) ** 2).sum()
        return loss, worth * slope_K + numbers_K - unchanged_K

    bounds = [(0.0, STEEPEST) if unchanged else (None, None) for unchanged in unchanged_K]
    numbers_K: np.ndarray = minimize(penalised_loss, unchanged_K, jac=True, method="L-BFGS-B", bounds=bounds).x
    return numbers_K


def bend(name: str, numbers: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """Bend log-odds of any shape, classes but the first on the last axis.

    No sum runs through BLAS, so that a forecast has the same bits whatever others come with it.
    """
    if name == AS_IS:
        return odds
    if name == "isotonic":
        return np.interp(odds, numbers[0], numbers[1])
    bent: np.ndarray = np.sum([number * each for number, each in zip(numbers, _inputs(name, odds), strict=True)], axis=0)
    return bent


def _inputs(name: str, odds: np.ndarray) -> list[np.ndarray]:
    """List what the numbers of a curve are multiplied by: what it makes of log-odds, and one for the intercept of each class."""
    units = np.eye(odds.shape[-1])
    return [*INPUTS[name](odds), *(np.broadcast_to(unit, odds.shape) for unit in units)]


def _parts(rows: Rows, label_N: np.ndarray) -> np.ndarray:
    """Group rows by window, or, where there is one only, clusters that stand together: int64 (N,)."""
    if len(np.unique(rows.window)) > 1:
        return rows.window
    return label_N * PARTS // (label_N.max() + 1)


def _unseen(name: str, odds_NHQ: np.ndarray, truth_NH: np.ndarray, part_N: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """Bend each part by what the others taught; a part without others, or where they hold no label, stays as it is."""
    bent_NHQ = odds_NHQ.copy()
    for part in np.unique(part_N):
        own_N = part_N == part
        if np.isfinite(truth_NH[~own_N]).any():
            numbers = learn(name, odds_NHQ[~own_N], truth_NH[~own_N], len(np.unique(label_N[~own_N])))
            bent_NHQ[own_N] = bend(name, numbers, odds_NHQ[own_N])
    return bent_NHQ


def _loss(odds: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Log loss of each cell; classes but the first on the last axis of the log-odds; NaN where the label is unknown."""
    padded = np.concatenate([np.zeros_like(odds[..., :1]), odds], axis=-1)
    loss: np.ndarray = logsumexp(padded, axis=-1) - given_to(truth, padded)
    return loss
