"""Majority voting: members call up or down, and how often the share of votes was right becomes the probability."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from sklearn.isotonic import isotonic_regression

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.averages import equal_weights
from ensemble_forecast.ensemble.base import Combiner, Needs, Rows, clusters, served, weighted
from ensemble_forecast.forecasts import normalise
from ensemble_forecast.learners.base import check_fitted

PRIOR = 10.0  # independent clusters that speak for the base rate at every share of votes, and for a coin in the base rate


@dataclass(kw_only=True)
class Majority(Combiner):
    """Count the members that call up, and give the smoothed frequency of up that this share of votes had out of fold.

    Every member has one vote, half a one where its probability is exactly one half; members that do not serve abstain. The frequencies never
    fall with the share of votes (isotonic regression; Zadrozny and Elkan 2002, doi:10.1145/775047.775151), and cells count as much as there
    are independent clusters behind them. How sure a member is of its call is not heard, so one that is overconfident does no harm.

    Quantiles have no votes, and three classes have no majority: for them this is the simple average.

    After `fit`: `up_K_`, the probability of up at shares 0, 1/M, ..., 1 of the votes; linear between them.
    """

    family: ClassVar[str] = "majority"
    needs: ClassVar[Needs] = Needs(kinds=("direction",))
    calibrated: ClassVar[bool] = True  # its probabilities are frequencies learnt, so members that agree are not simply believed

    def fit(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> Self:  # noqa: ARG002
        """Count; see `Combiner.fit`."""
        self.weights_M_, self.kind_ = equal_weights(forecasts_NHQM), task.kind
        self.up_K_ = np.zeros(0)
        if task.asked in self.needs.kinds:
            share_NH = vote_share(forecasts_NHQM)
            known_NH = np.isfinite(share_NH) & np.isfinite(truth_NH)
            n_clusters = len(np.unique(clusters(rows, task.horizon)[known_NH.any(axis=1)]))
            self.up_K_ = frequencies(share_NH[known_NH], truth_NH[known_NH], forecasts_NHQM.shape[-1], n_clusters)
        return self

    def combine(self, forecasts_NHQM: np.ndarray, rows: Rows) -> np.ndarray:  # noqa: ARG002
        """Vote; see `Combiner.combine`."""
        check_fitted(self)
        if not len(self.up_K_):
            return weighted(forecasts_NHQM, self.weights_M_, self.kind_)
        up_NH = np.interp(vote_share(forecasts_NHQM), np.linspace(0, 1, len(self.up_K_)), self.up_K_)
        return normalise(np.stack([1 - up_NH, up_NH], axis=-1))


def vote_share(forecasts_NHQM: np.ndarray) -> np.ndarray:
    """Share of the members that serve a row which call up: (N, H), NaN where none serves."""
    served_NM = served(forecasts_NHQM)
    count_N = served_NM.sum(axis=-1)
    votes_NHM = np.heaviside(np.where(served_NM[:, None, :], forecasts_NHQM[:, :, 1] - 0.5, -1.0), 0.5)
    return votes_NHM.sum(axis=-1) / np.where(count_N > 0, count_N, np.nan)[:, None]


def frequencies(share_C: np.ndarray, truth_C: np.ndarray, n_members: int, n_clusters: int) -> np.ndarray:
    """Smoothed frequency of up at shares 0, 1/M, ..., 1 of the votes, not decreasing: (M + 1,).

    Parameters
    ----------
    share_C, truth_C
        Share of votes and label of each scored cell; a share between two of M members counts for the nearer.
    n_clusters
        Independent clusters among the cells: they are worth that many observations together.
    """
    worth = n_clusters / max(len(truth_C), 1)
    place_C = np.rint(share_C * n_members).astype(int)
    count_K = worth * np.bincount(place_C, minlength=n_members + 1)
    ups_K = worth * np.bincount(place_C, truth_C, n_members + 1)
    base = (ups_K.sum() + PRIOR / 2) / (count_K.sum() + PRIOR)
    up_K: np.ndarray = isotonic_regression((ups_K + PRIOR * base) / (count_K + PRIOR), sample_weight=count_K + PRIOR)
    return up_K
