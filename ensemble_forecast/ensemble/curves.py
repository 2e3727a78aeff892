"""Curves that bend log-odds so that probabilities come true, and the choice among them by what they gain where they were not learnt.

* ``as_is``: none.
* ``platt``: a line in the log-odds (Platt 1999); mends odds that are too bold or too timid everywhere alike.
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
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from ensemble_forecast.data.task import Task
from ensemble_forecast.ensemble.base import Rows, clusters
from ensemble_forecast.ensemble.luck import clustered_mean, luck

AS_IS = "as_is"
STEEPEST = 2.0  # slope of log-odds
MOST_CELLS = 50_000  # that a curve of three numbers needs to be learnt from
PARTS = 5  # of a single window, each judged by what the others taught

INPUTS: dict[str, Callable[[np.ndarray], tuple[np.ndarray, ...]]] = {  # of the curves that are sums, with a constant besides
    "platt": lambda odds: (odds,),
    "beta": lambda odds: (-np.logaddexp(0, -odds), np.logaddexp(0, odds)),  # ln p and -ln(1 - p)
}
CURVES = (*INPUTS, "isotonic")


@dataclass(frozen=True, eq=False)
class Chosen:
    """The curve that pays, and what its like made of cells that it had not learnt from.

    Parameters
    ----------
    name
        One of ``CURVES``, or ``as_is``.
    numbers
        That `bend` needs: plain float64, empty for ``as_is``.
    unseen_NH
        Log-odds, those of each part bent as the other parts taught.
    """

    name: str
    numbers: np.ndarray
    unseen_NH: np.ndarray


def choose(odds_NH: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task) -> Chosen:
    """Choose the curve with the smallest log loss, if its gain exceeds one standard error, widened for the number of curves.

    Each window is judged by what the others taught. Of a single one the blocks are that long that hardly a label is shared between two.

    Parameters
    ----------
    odds_NH
        Finite log-odds of up, out of fold.
    truth_NH
        Label, 1 or 0; NaN where unknown.
    """
    label_N = clusters(rows, task.horizon)
    part_N = _parts(rows, label_N)
    unseen = {name: _unseen(name, odds_NH, truth_NH, part_N, label_N) for name in CURVES}
    as_is_NH = _loss(odds_NH, truth_NH)
    gains = {name: as_is_NH - _loss(each_NH, truth_NH) for name, each_NH in unseen.items()}
    threshold = luck(gains, label_N, task.seed)
    means = {name: clustered_mean(gain_NH, label_N)[:2] for name, gain_NH in gains.items()}
    best = max(means, key=lambda name: means[name][0])
    gain, error = means[best]
    if not gain > threshold * error:
        return Chosen(AS_IS, np.empty(0), odds_NH)
    return Chosen(best, learn(best, odds_NH, truth_NH, len(np.unique(label_N))), unseen[best])


def learn(name: str, odds_NH: np.ndarray, truth_NH: np.ndarray, n_clusters: int) -> np.ndarray:
    """Learn the numbers of a curve: slopes within [0, 2] and an intercept, or for ``isotonic`` the knots (2, K) of log-odds in and out.

    Parameters
    ----------
    n_clusters
        Independent clusters among the cells.
    """
    known_C = np.flatnonzero(np.isfinite(truth_NH.ravel()))
    known_C = known_C[:: -(-len(known_C) // MOST_CELLS) or 1]
    odds_C, label_C = odds_NH.ravel()[known_C], truth_NH.ravel()[known_C]
    if name == "isotonic":
        least = 1 / (n_clusters + 2)
        steps = IsotonicRegression(y_min=least, y_max=1 - least).fit(odds_C, label_C)
        up_K = steps.y_thresholds_
        return np.stack([steps.X_thresholds_, np.log(up_K / (1 - up_K))])
    inputs_CK = np.stack([*INPUTS[name](odds_C), np.ones(len(odds_C))], axis=1)
    worth = n_clusters / len(label_C)
    unchanged_K = np.append(np.ones(inputs_CK.shape[1] - 1), 0.0)

    def penalised_loss(numbers_K: np.ndarray) -> tuple[float, np.ndarray]:
        """Sum of the log losses and the prior, with its gradient."""
        bent_C = inputs_CK @ numbers_K
        loss = worth * (np.logaddexp(0, bent_C).sum() - label_C @ bent_C) + 0.5 * ((numbers_K - unchanged_K) ** 2).sum()
        return loss, worth * (inputs_CK.T @ (expit(bent_C) - label_C)) + numbers_K - unchanged_K

    bounds = [(0.0, STEEPEST)] * (len(unchanged_K) - 1) + [(None, None)]
    numbers_K: np.ndarray = minimize(penalised_loss, unchanged_K, jac=True, method="L-BFGS-B", bounds=bounds).x
    return numbers_K


def bend(name: str, numbers: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """Bend log-odds of any shape.

    No sum runs through BLAS, so that a forecast has the same bits whatever others come with it.
    """
    if name == AS_IS:
        return odds
    if name == "isotonic":
        return np.interp(odds, numbers[0], numbers[1])
    bent: np.ndarray = numbers[-1] + sum(number * each for number, each in zip(numbers[:-1], INPUTS[name](odds), strict=True))
    return bent


def _parts(rows: Rows, label_N: np.ndarray) -> np.ndarray:
    """Group rows by window, or, where there is one only, clusters that stand together: int64 (N,)."""
    if len(np.unique(rows.window)) > 1:
        return rows.window
    return label_N * PARTS // (label_N.max() + 1)


def _unseen(name: str, odds_NH: np.ndarray, truth_NH: np.ndarray, part_N: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """Bend each part by what the others taught; a part without others, or where they hold no label, stays as it is."""
    bent_NH = odds_NH.copy()
    for part in np.unique(part_N):
        own_N = part_N == part
        if np.isfinite(truth_NH[~own_N]).any():
            numbers = learn(name, odds_NH[~own_N], truth_NH[~own_N], len(np.unique(label_N[~own_N])))
            bent_NH[own_N] = bend(name, numbers, odds_NH[own_N])
    return bent_NH


def _loss(odds_NH: np.ndarray, truth_NH: np.ndarray) -> np.ndarray:
    """Log loss of each cell: NH, NaN where the label is unknown."""
    loss_NH: np.ndarray = np.logaddexp(0, odds_NH) - truth_NH * odds_NH
    return loss_NH
