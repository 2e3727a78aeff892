"""Weights by series, pulled to those of the whole panel as strongly as the left-out windows ask for."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Combiner, Needs, Rows, served, weighted_rows
from ensemble_forecast.ensemble.cells import FARTHEST
from ensemble_forecast.ensemble.inverse_loss import SMALLEST_LOSS
from ensemble_forecast.ensemble.simplex import learn_simplex
from ensemble_forecast.learners.base import check_fitted
from ensemble_forecast.metrics import cell_loss
from ensemble_forecast.seeds import generator

PULLS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # pseudo-windows; beyond them, the panel's weights alone
UNTESTED = 2.0  # the pull where a single window teaches, which leaves none to test it on
MAX_SERIES = 500  # that choose the pull: more add time, not knowledge
MAX_VALUES = 4_000_000  # forecast values that choose it, where a window has many origins a series


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the rows of each series say about the members.

    Parameters
    ----------
    series
        int64 (S,), increasing.
    count
        float64 (S,): independent windows, blocks of H consecutive origins, in which the series was scored.
    weights_SM
        The panel's weights, each divided by the square of how much worse the member is on this series than on the panel.
    """

    series: np.ndarray
    count: np.ndarray
    weights_SM: np.ndarray


@dataclass(kw_only=True)
class PerSeries(Combiner):
    """w_i = (n w_series + c w_panel) / (n + c), where n is the number of windows in which the series was scored.

    The panel's weights are those of `Simplex`; the series' own are these times (L_panel / L_series)^2 in each member's mean loss L, normalised,
    so that a series on which all members do as they do elsewhere has the panel's weights. The pull c, in windows, is empirical Bayes: that of
    0.5, 1, 2, ..., 32 and infinity with which weights from all windows but one lose least on the one left out; 2 where there is a single
    window, infinity where the deadline has passed. A series that was not there has the panel's weights.

    After `fit`: `pull_` (c), `series_` (S,), `weights_SM_`, `panel_M_`, and `weights_M_`, the mean over the rows learnt from.
    """

    family: ClassVar[str] = "per_series"
    needs: ClassVar[Needs] = Needs(series=2)

    def fit(self, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> Self:
        """Choose the pull by leaving out one window after the other, then learn from all of them; see `Combiner.fit`."""
        losses_NM = row_losses(forecasts_NHQM, truth_NH, rows, task)
        self.kind_ = task.kind
        self.pull_ = choose_pull(forecasts_NHQM, truth_NH, losses_NM, rows, task, deadline)
        self.panel_M_ = learn_simplex(forecasts_NHQM, truth_NH, rows, task, deadline)
        evidence = weigh(losses_NM, rows, self.panel_M_, task.horizon)
        self.series_, self.weights_SM_ = evidence.series, pulled(evidence, self.panel_M_, self.pull_)
        self.weights_M_ = self._weights_of(rows).mean(axis=0)
        return self

    def combine(self, forecasts_NHQM: np.ndarray, rows: Rows) -> np.ndarray:
        """Average each row by the weights of its series; see `Combiner.combine`."""
        check_fitted(self)
        return weighted_rows(forecasts_NHQM, self._weights_of(rows), self.kind_)

    def _weights_of(self, rows: Rows) -> np.ndarray:
        """Look up the weights of each row, (N, M)."""
        return looked_up(rows.series, self.series_, self.weights_SM_, self.panel_M_)


def row_losses(forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task) -> np.ndarray:
    """Mean loss of each member in each row, (N, M); NaN where it does not serve or nothing is known."""
    losses_NM = np.full((len(rows), forecasts_NHQM.shape[-1]), np.nan)
    known_N = np.isfinite(truth_NH).any(axis=1)
    for member in range(forecasts_NHQM.shape[-1]):
        loss_NH = cell_loss(truth_NH[known_N], forecasts_NHQM[known_N, ..., member], rows.scale[known_N], task.quantiles, task.kind)
        finite_NH = np.isfinite(truth_NH[known_N])
        losses_NM[known_N, member] = np.where(finite_NH, np.minimum(loss_NH, FARTHEST), 0.0).sum(axis=1) / finite_NH.sum(axis=1)
    return np.where(served(forecasts_NHQM), losses_NM, np.nan)


def weigh(losses_NM: np.ndarray, rows: Rows, panel_M: np.ndarray, horizon: int) -> Evidence:
    """Learn the weights of each series from its rows alone."""
    scored_N = np.isfinite(losses_NM).any(axis=1)
    losses_NM, rows = losses_NM[scored_N], rows.take(scored_N)
    series, index_N = np.unique(rows.series, return_inverse=True)
    blocks_K3 = np.unique(np.stack([index_N.reshape(-1), rows.window, rows.step // horizon], axis=1), axis=0)
    count = np.bincount(blocks_K3[:, 0], minlength=len(series)).astype(float)
    served_NM = np.isfinite(losses_NM)
    typical_M = np.where(served_NM, losses_NM, 0.0).sum(axis=0) / np.maximum(served_NM.sum(axis=0), 1)
    ratio_SM = np.ones((len(series), len(panel_M)))
    for member in range(len(panel_M)):
        mine_N = served_NM[:, member]
        n_S = np.bincount(index_N[mine_N], minlength=len(series))
        mean_S = np.bincount(index_N[mine_N], losses_NM[mine_N, member], len(series)) / np.maximum(n_S, 1)
        ratio_SM[n_S > 0, member] = np.maximum(mean_S[n_S > 0], SMALLEST_LOSS) / max(typical_M[member], SMALLEST_LOSS)
    tilt_SM = (ratio_SM.min(axis=1, keepdims=True) / ratio_SM) ** 2
    weights_SM = panel_M * tilt_SM
    return Evidence(series, count, weights_SM / weights_SM.sum(axis=1, keepdims=True))


def pulled(evidence: Evidence, panel_M: np.ndarray, pull: float) -> np.ndarray:
    """Weights of each series after the pull to the panel's, (S, M)."""
    share_S1 = (evidence.count / (evidence.count + pull))[:, None]
    return share_S1 * evidence.weights_SM + (1 - share_S1) * panel_M


def choose_pull(forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, losses_NM: np.ndarray, rows: Rows, task: Task, deadline: Deadline) -> float:
    """Find the pull with which the weights from all windows but one lose least on that one, summed over the windows."""
    few_N = _enough(rows, forecasts_NHQM[0].size, task.seed)
    forecasts_NHQM, truth_NH, losses_NM, rows = forecasts_NHQM[few_N], truth_NH[few_N], losses_NM[few_N], rows.take(few_N)
    pulls = (*PULLS, np.inf)
    total = np.zeros(len(pulls))
    windows = np.unique(rows.window[np.isfinite(losses_NM).any(axis=1)])
    if len(windows) == 1:
        return UNTESTED
    for window in windows:
        if deadline.passed():
            return np.inf
        out_N = rows.window == window
        panel_M = learn_simplex(forecasts_NHQM[~out_N], truth_NH[~out_N], rows.take(~out_N), task, deadline)
        evidence = weigh(losses_NM[~out_N], rows.take(~out_N), panel_M, task.horizon)
        judged = _judged(pulls, evidence, panel_M, forecasts_NHQM[out_N], truth_NH[out_N], rows.take(out_N), task)
        total += out_N.sum() * judged
    return float(pulls[len(pulls) - 1 - int(total[::-1].argmin())])  # of equal ones the strongest


def _judged(
    pulls: tuple[float, ...], evidence: Evidence, panel_M: np.ndarray, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task
) -> np.ndarray:
    """Mean loss of each pull on rows that it was not learnt from; nothing where nothing is known."""
    losses = []
    for pull in pulls:
        weights_NM = looked_up(rows.series, evidence.series, pulled(evidence, panel_M, pull), panel_M)
        loss_NH = cell_loss(truth_NH, weighted_rows(forecasts_NHQM, weights_NM, task.kind), rows.scale, task.quantiles, task.kind)
        finite_NH = np.isfinite(loss_NH)
        losses.append(np.minimum(loss_NH[finite_NH], FARTHEST).sum() / max(finite_NH.sum(), 1))
    return np.array(losses)


def looked_up(series_N: np.ndarray, series_S: np.ndarray, weights_SM: np.ndarray, panel_M: np.ndarray) -> np.ndarray:
    """Weights of each row's series, (N, M); the panel's for a series that was not there."""
    table_SM = np.concatenate([weights_SM, panel_M[None]])
    place_N = np.searchsorted(series_S, series_N)
    known_N = np.append(series_S, -1)[place_N] == series_N
    return np.where(known_N[:, None] & (series_N >= 0)[:, None], table_SM[place_N], panel_M)


def _enough(rows: Rows, row_size: int, seed: int) -> np.ndarray:
    """Mask rows that suffice to choose the pull, bool (N,): of a drawn number of series, every k-th origin of each window."""
    series = np.unique(rows.series)
    if len(series) > MAX_SERIES:
        series = generator(seed, "per_series").choice(series, MAX_SERIES, replace=False)
    drawn = np.flatnonzero(np.isin(rows.series, series))
    order = drawn[np.lexsort((rows.step[drawn], rows.window[drawn], rows.series[drawn]))]
    begins = np.append(True, (np.diff(rows.series[order]) != 0) | (np.diff(rows.window[order]) != 0))
    place = np.arange(len(order)) - np.flatnonzero(begins)[np.cumsum(begins) - 1]
    every = -(-len(order) * row_size // MAX_VALUES)
    enough_N = np.zeros(len(rows), dtype=bool)
    enough_N[order[place % every == 0]] = True
    return enough_N
