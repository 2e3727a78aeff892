"""The contest of all combiners: each window judges what the other windows taught, and the simple average wins unless it is clearly beaten.

Whole rules compete: pruning and weights are learnt on the windows that do not judge. The layer over the combiners competes too, its shares learnt
in the same way. The best single candidate is judged for reference and never wins: on one panel it was clearly ahead in the window it was judged by
and 10 % behind the average in the next. On a panel a winner has to gain in every window, for series share what a period did to them.

The one-standard-error rule would let the best of K lucky contestants through far too often, so its threshold is widened until the chance that any
of them passes equals the one that a single contestant has to pass one standard error, 16 %. How much luck K contestants have that move together is
simulated (Romano and Wolf 2005, doi:10.1198/016214504000000539; with normal numbers as in Chernozhukov, Chetverikov and Kato 2013,
doi:10.1214/13-AOS1161): as if they were independent, the threshold would be higher than it need be for a dozen that are nearly alike.

With a single window nothing can be judged: the simplex weights, shrunk by at least half to equal ones, are taken without a contest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, stdtrit

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.averages import Mean
from ensemble_forecast.ensemble.base import Combiner, Rows, clusters
from ensemble_forecast.ensemble.cells import FARTHEST
from ensemble_forecast.ensemble.halves import cross_fitted
from ensemble_forecast.ensemble.layered import ALONE, Layered, cross_fit, learn_shares
from ensemble_forecast.ensemble.pruning import survivors
from ensemble_forecast.ensemble.rehearsal import NO_TIME, Rehearsal, rehearse
from ensemble_forecast.ensemble.selection import BestSingle
from ensemble_forecast.ensemble.simplex import Simplex
from ensemble_forecast.errors import BadInput, Unfinished
from ensemble_forecast.metrics import cell_loss
from ensemble_forecast.registry import COMBINERS, did_you_mean
from ensemble_forecast.seeds import generator
from ensemble_forecast.windows import FEW_SERIES

REFERENCE = "best_single"
LEAST_GAIN = 1e-3  # of the loss: a smaller gain is not worth learning weights for, whatever its significance
JUDGING_SHARE = 0.7  # of the time; the rest fits the winner on all windows
ENOUGH_CLUSTERS = 100  # from here on, luck is simulated
DRAWS = 5000  # of what luck may do
NO_TRUTH = "no truth is known in any window"
ONE_SE = float(ndtr(-1.0))  # chance of a standard normal to lie one standard error below zero


@dataclass(frozen=True)
class Standing:
    """One contestant's result over all windows.

    Parameters
    ----------
    name
        Contestant.
    loss
        Mean cell loss on the judged rows; NaN where nothing was judged.
    gain
        Loss of the simple average minus that of the contestant: above zero is better.
    standard_error
        Of the gain, by clusters.
    threshold
        Standard errors the gain has to exceed.
    accepted
        Whether it does, and on a panel in every window.
    reason
        Why it was not judged; empty where it was.
    """

    name: str
    loss: float
    gain: float
    standard_error: float
    threshold: float
    accepted: bool
    reason: str = ""


@dataclass(frozen=True, eq=False)
class ContestResult:
    """Who won, by how much, and the winner fitted on all windows.

    Parameters
    ----------
    winner
        Name of the winning combiner.
    combiner
        It, fitted on all windows, over the members named by `members`.
    members
        int64 positions on the M axis of the candidates that survived pruning on all windows, best first.
    table
        All contestants, least loss first; empty where nothing could be judged.
    rehearsed_NHQ
        The winner's forecasts of all rows, each by weights that were learnt elsewhere: what calibration may read. On the other windows, or, where
        there is a single one, on the other half of the clusters.
    n_clusters
        Independent clusters among the judged rows.
    truncated
        Whether the deadline kept contestants from being judged; their standing says so.
    """

    winner: str
    combiner: Combiner
    members: np.ndarray
    table: tuple[Standing, ...]
    rehearsed_NHQ: np.ndarray
    n_clusters: int
    truncated: bool


def contest(
    forecasts_NHQM: np.ndarray,
    truth_NH: np.ndarray,
    rows: Rows,
    task: Task,
    deadline: Deadline,
    combiners: Mapping[str, Combiner],
    size: int = 20,
    chosen: str | None = None,
) -> ContestResult:
    """Judge combiners on each window by what they learnt on the others, and fit the winner on all of them.

    Parameters
    ----------
    forecasts_NHQM
        Out-of-fold forecasts of M candidates; NaN where one does not serve.
    combiners
        Contestants by name, cheapest first: what the time does not suffice for is listed as such. The simple average (``"mean"``) and the best
        single candidate (``"best_single"``) always take part.
    size
        Most members to combine.
    chosen
        A contestant the user insists on: all are judged, and it wins whatever its loss.

    Raises
    ------
    Unfinished
        When no candidate serves a single row whose truth is known.
    BadInput
        When no contestant has the chosen name, or it lacks what it needs.
    """
    contestants: dict[str, Combiner] = {"mean": Mean(), "best_single": BestSingle(), **combiners}
    if chosen is not None:
        _check_chosen(chosen, contestants, truth_NH, rows, task)
    members = survivors(forecasts_NHQM, truth_NH, rows, task, size)
    if not len(members):
        raise Unfinished("no candidate forecasts a single row whose truth is known: search longer, or shorten the horizon")
    if len(np.unique(rows.window)) == 1:
        contestants = {ALONE: Simplex(), **contestants}
        winner, surviving_NHQM = chosen or ALONE, forecasts_NHQM[..., members]
        fitted = replace(contestants[winner]).fit(surviving_NHQM, truth_NH, rows, task, deadline)
        rehearsed_NHQ = cross_fitted(contestants[winner], surviving_NHQM, truth_NH, rows, task, deadline)
        return ContestResult(winner, fitted, members, (), rehearsed_NHQ, 0, truncated=False)
    rehearsal, layer = _rehearse(contestants, chosen or "mean", forecasts_NHQM, truth_NH, rows, task, deadline, size)
    label_N = clusters(rows, task.horizon)
    losses = _losses(rehearsal.forecasts, truth_NH, rows.scale, task)
    table = _table(losses, rehearsal.absent, label_N, rows, task.seed)
    winner = chosen or next((standing.name for standing in table if standing.accepted), "mean")
    recipe = layer if layer is not None and winner == layer.family else replace(contestants[winner])
    fitted = recipe.fit(forecasts_NHQM[..., members], truth_NH, rows, task, deadline)
    truncated = NO_TIME in rehearsal.absent.values()
    return ContestResult(winner, fitted, members, table, rehearsal.forecasts[winner], len(np.unique(label_N)), truncated=truncated)


def _check_chosen(chosen: str, contestants: Mapping[str, Combiner], truth_NH: np.ndarray, rows: Rows, task: Task) -> None:
    """Refuse a contestant that does not exist or cannot do what its name says."""
    if chosen not in contestants:
        raise BadInput(f"unknown combiner {chosen!r}; {did_you_mean(chosen, list(contestants))}")
    if reason := contestants[chosen].needs.lacking(truth_NH, rows, task):
        raise BadInput(f"the combiner {chosen!r} cannot be used here: {reason}; choose another one, or auto")


def _rehearse(
    contestants: Mapping[str, Combiner],
    required: str,
    forecasts_NHQM: np.ndarray,
    truth_NH: np.ndarray,
    rows: Rows,
    task: Task,
    deadline: Deadline,
    size: int,
) -> tuple[Rehearsal, Layered | None]:
    """Let all contestants forecast every window, then the layer over those that did, and give that layer's recipe for the end."""
    judging = deadline.within(JUDGING_SHARE * deadline.left())
    first = {name: combiner for name, combiner in contestants.items() if name != Layered.family}
    rehearsal = rehearse(first, forecasts_NHQM, truth_NH, rows, task, judging, size, {"mean", required})
    if Layered.family not in contestants:
        return rehearsal, None
    if judging.passed() and required != Layered.family:
        rehearsal.absent[Layered.family] = NO_TIME
        return rehearsal, None
    below = {name: each for name, each in rehearsal.forecasts.items() if name in COMBINERS and name != REFERENCE}
    rehearsal.forecasts[Layered.family] = cross_fit(below, truth_NH, rows, task, judging)
    shares = learn_shares(below, truth_NH, rows, task, judging)
    return rehearsal, Layered(over=tuple(shares), shares=tuple(shares.values()))


def _losses(played: dict[str, np.ndarray], truth_NH: np.ndarray, scale_N: np.ndarray, task: Task) -> dict[str, np.ndarray]:
    """Cell losses (N, H) of every contestant; a cell that it leaves to the naive costs it as much as the worst contestant there."""
    losses = {
        name: np.minimum(cell_loss(truth_NH, forecast_NHQ, scale_N, task.quantiles, task.kind), FARTHEST) for name, forecast_NHQ in played.items()
    }
    worst_NH = np.fmax.reduce(list(losses.values()))
    return {name: np.where(np.isnan(loss_NH), worst_NH, loss_NH) for name, loss_NH in losses.items()}


def _table(losses: dict[str, np.ndarray], absent: dict[str, str], label_N: np.ndarray, rows: Rows, seed: int) -> tuple[Standing, ...]:
    """Compare every contestant with the simple average, cell by cell: least loss first, those not judged last."""
    average_NH = losses["mean"]
    known_NH = np.isfinite(average_NH)
    if not known_NH.any():
        return tuple(Standing(name, np.nan, np.nan, np.nan, np.nan, accepted=False, reason=NO_TRUTH) for name in [*losses, *absent])
    gains = {name: np.where(known_NH, average_NH - loss_NH, np.nan) for name, loss_NH in losses.items()}
    threshold = luck({name: gain_NH for name, gain_NH in gains.items() if name != "mean"}, label_N, seed)
    standings = []
    for name, gain_NH in gains.items():
        gain, error, n_clusters = clustered_mean(gain_NH, label_N)
        loss = float(losses[name][known_NH].mean())
        clear = n_clusters > 1 and gain > max(threshold * error, LEAST_GAIN * abs(loss))
        accepted = name not in {"mean", REFERENCE} and clear and _gains_always(gain_NH, rows)
        standings.append(Standing(name, loss, gain, error, threshold, bool(accepted)))
    standings += [Standing(name, np.nan, np.nan, np.nan, np.nan, accepted=False, reason=reason) for name, reason in absent.items()]
    return tuple(sorted(standings, key=lambda standing: (np.isnan(standing.loss), standing.loss)))


def _gains_always(gain_NH: np.ndarray, rows: Rows) -> bool:
    """Whether a panel shows a gain in every window; on few series the clusters tell the periods apart already."""
    if len(np.unique(rows.series)) < FEW_SERIES:
        return True
    return all(np.nanmean(gain_NH[rows.window == window]) > 0 for window in np.unique(rows.window[np.isfinite(gain_NH).any(axis=1)]))


def luck(gains: Mapping[str, np.ndarray], label_N: np.ndarray, seed: int) -> float:
    """Find how many standard errors the luckiest of several contestants exceeds as rarely as a single one exceeds one.

    Parameters
    ----------
    gains
        Cells (N, H) by contestant, NaN where unknown.

    Returns
    -------
    the quantile of the largest of the studentised gains when no contestant gains anything: normal numbers that are correlated as the
    contestants' sums by cluster, so that those that move together count as one. Below a hundred clusters, which are never quite independent on few
    series, contestants are taken to be independent instead (Sidak 1967, doi:10.1080/01621459.1967.10482935) and errors for Student's t. Infinite
    where there are fewer than two clusters.
    """
    sums_GK = np.stack([cluster_sums(gain_NH, label_N) for gain_NH in gains.values()], axis=1) if gains else np.zeros((0, 0))
    size_K = np.sqrt((sums_GK**2).sum(axis=0))
    n_clusters = len(sums_GK)
    if n_clusters < 2:
        return np.inf
    independent = float(stdtrit(n_clusters - 1, (1 - ONE_SE) ** (1 / len(gains))))
    if n_clusters < ENOUGH_CLUSTERS or not (size_K > 0).any():
        return independent
    studentised_GK = sums_GK[:, size_K > 0] / size_K[size_K > 0]
    values_K, vectors_KK = np.linalg.eigh(studentised_GK.T @ studentised_GK)
    root_KK = vectors_KK * np.sqrt(np.maximum(values_K, 0.0))
    largest_D = (generator(seed, "contest").normal(size=(DRAWS, len(root_KK))) @ root_KK.T).max(axis=1)
    exceeded = float(np.quantile(largest_D, 1 - ONE_SE))
    return float(np.clip(exceeded, 1.0, independent))


def clustered_mean(values_NH: np.ndarray, label_N: np.ndarray) -> tuple[float, float, int]:
    """Mean of the finite cells, its standard error when only clusters of rows are independent, and the number of clusters.

    The standard error is infinite where there are fewer than two clusters.
    """
    sums_G = cluster_sums(values_NH, label_N)
    finite_NH = np.isfinite(values_NH)
    mean, n_clusters = float(values_NH[finite_NH].mean()), len(sums_G)
    if n_clusters < 2:
        return mean, np.inf, n_clusters
    return mean, float(np.sqrt(n_clusters / (n_clusters - 1) * (sums_G**2).sum()) / finite_NH.sum()), n_clusters


def cluster_sums(values_NH: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """Sum the deviations of the finite cells from their mean in every cluster that has any: (G,)."""
    finite_NH = np.isfinite(values_NH)
    rows_N = finite_NH.any(axis=1)
    _, index_N = np.unique(label_N[rows_N], return_inverse=True)
    deviation_N = np.where(finite_NH, values_NH - values_NH[finite_NH].mean(), 0.0).sum(axis=1)[rows_N]
    return np.bincount(index_N, deviation_N)
