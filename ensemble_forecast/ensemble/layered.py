"""The third layer: a combination of combinations, weighed on windows that the combiners below did not learn from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Combiner, Needs, Rows, weighted, weights_of
from ensemble_forecast.ensemble.rehearsal import rehearse
from ensemble_forecast.ensemble.selection import GreedySelection
from ensemble_forecast.learners.base import check_fitted, read_off
from ensemble_forecast.registry import find

OVER = ("mean", "median", "inverse_loss", "simplex", "linear_stack", "greedy")
ALONE = "simplex"  # where a single window leaves nothing to weigh by
LEAST_SHARE = 0.1  # a combiner below it costs a fit and changes nothing


@dataclass(kw_only=True)
class Layered(Combiner):
    """Average other combiners by weights of greedy selection (multi-layer stacking; Bosch et al. 2025, arXiv:2511.15350).

    The combiners forecast each window by what they learnt on the others; on these forecasts their shares are learnt, and those above a tenth are
    kept. Then the kept combiners learn anew from all windows. The contest knows what its contestants forecast, and hands the shares over.

    Parameters
    ----------
    over
        Registered combiners of the layer below.
    shares
        Their shares, positive, sum 1; None: learn them.

    After `fit`: `parts_` (the fitted combiners), `share_K_` and `weights_M_`, the weights of the members on average.
    """

    family: ClassVar[str] = "layered"
    over: tuple[str, ...] = OVER
    shares: tuple[float, ...] | None = None

    needs = read_off(lambda self: Needs(traits=any(find(name, "combiners").needs.traits for name in self.over)))

    def fit(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> Self:
        """Learn the shares where none are given, then fit the layer below on everything; see `Combiner.fit`."""
        shares = dict(zip(self.over, self.shares, strict=True)) if self.shares is not None else None
        if shares is None:
            below = {name: find(name, "combiners")() for name in self.over if len(np.unique(rows.window)) > 1}
            shares = learn_shares(
                rehearse(below, forecasts_NHQM, truth_NH, rows, task, deadline, size=None).forecasts, truth_NH, rows, task, deadline
            )
        self.kind_, self.share_K_ = task.kind, np.array(list(shares.values()))
        self.parts_ = [find(name, "combiners")().fit(forecasts_NHQM, truth_NH, rows, task, deadline) for name in shares]
        self.weights_M_ = np.sum([share * weights_of(part) for share, part in zip(shares.values(), self.parts_, strict=True)], axis=0)
        return self

    def combine(self, forecasts_NHQM: np.ndarray, rows: Rows) -> np.ndarray:
        """Average what the layer below makes of the members; see `Combiner.combine`."""
        check_fitted(self)
        below_NHQK = np.stack([part.combine(forecasts_NHQM, rows) for part in self.parts_], axis=-1)
        return weighted(below_NHQK, self.share_K_, self.kind_)


def learn_shares(rehearsed: Mapping[str, np.ndarray], truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> dict[str, float]:
    """Weigh combiners by what they forecast for windows that they had not seen.

    Parameters
    ----------
    rehearsed
        Forecasts (N, H, Q) by name.

    Returns
    -------
    shares by name, each at least a tenth, sum 1; all to the simplex where nothing is known.
    """
    names = list(rehearsed)
    if not names or not (np.isfinite(truth_NH) & np.isfinite(rehearsed[names[0]][..., 0])).any():
        return {ALONE: 1.0}
    weights_K = weights_of(GreedySelection().fit(np.stack(list(rehearsed.values()), axis=-1), truth_NH, rows, task, deadline))
    kept = np.flatnonzero(weights_K >= min(LEAST_SHARE, weights_K.max()))
    total = float(weights_K[kept].sum())
    return {names[place]: float(weights_K[place]) / total for place in kept}


def cross_fit(rehearsed: Mapping[str, np.ndarray], truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> np.ndarray:
    """Forecast each window by shares learnt on the others, so that the layer is judged on what it did not see: (N, H, Q)."""
    combined_NHQ = np.empty_like(next(iter(rehearsed.values())))
    for window in np.unique(rows.window):
        now_N = rows.window == window
        others = {name: each[~now_N] for name, each in rehearsed.items()}
        shares = learn_shares(others, truth_NH[~now_N], rows.take(~now_N), task, deadline)
        below_NHQK = np.stack([rehearsed[name][now_N] for name in shares], axis=-1)
        combined_NHQ[now_N] = weighted(below_NHQK, np.array(list(shares.values())), task.kind)
    return combined_NHQ
