"""The contest of all combiners: later windows judge what earlier windows taught, and the simple average wins unless it is clearly beaten.

Whole rules compete: pruning and weights are learnt on the windows before each judged one. The one-standard-error rule would let the best of
K lucky contestants through far too often, so its threshold is widened (Sidak 1967, doi:10.1080/01621459.1967.10482935) until the chance that
any of K equals the one that a single contestant has to pass one standard error, 16 %.

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
from ensemble_forecast.ensemble.pruning import survivors
from ensemble_forecast.ensemble.selection import BestSingle
from ensemble_forecast.ensemble.simplex import Simplex
from ensemble_forecast.errors import BadInput, Unfinished
from ensemble_forecast.metrics import cell_loss
from ensemble_forecast.registry import did_you_mean

LEAST_GAIN = 1e-3  # of the loss: a smaller gain is not worth learning weights for, whatever its significance
ONE_SE = float(ndtr(-1.0))  # chance of a standard normal to lie one standard error below zero


@dataclass(frozen=True)
class Standing:
    """One contestant's result on the later windows.

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
        Whether it does.
    """

    name: str
    loss: float
    gain: float
    standard_error: float
    threshold: float
    accepted: bool


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
    later_N
        Mask of the rows of the judged windows.
    later_forecast_NHQ
        The winner's forecasts of those rows, learnt before them: what calibration may read.
    n_clusters
        Independent clusters among the judged rows.
    truncated
        Whether the deadline kept contestants from being judged; their loss is NaN.
    """

    winner: str
    combiner: Combiner
    members: np.ndarray
    table: tuple[Standing, ...]
    later_N: np.ndarray
    later_forecast_NHQ: np.ndarray
    n_clusters: int
    truncated: bool


def first_judged(n_windows: int) -> int:
    """Position of the first window that judges; those before it only teach."""
    return max(1, n_windows // 2)


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
    """Judge combiners on later windows and fit the winner on all of them.

    Parameters
    ----------
    forecasts_NHQM
        Out-of-fold forecasts of M candidates; NaN where one does not serve.
    combiners
        Contestants by name. The simple average (``"mean"``) and the best single candidate (``"best_single"``) always take part.
    size
        Most members to combine.
    chosen
        A contestant the user insists on: all are judged, and it wins whatever its loss.

    Raises
    ------
    Unfinished
        When no candidate serves a single row whose truth is known.
    BadInput
        When no contestant has the chosen name.
    """
    contestants: dict[str, Combiner] = {"mean": Mean(), "best_single": BestSingle(), **combiners}
    if chosen is not None and chosen not in contestants:
        raise BadInput(f"unknown combiner {chosen!r}; {did_you_mean(chosen, list(contestants))}")
    members = survivors(forecasts_NHQM, truth_NH, rows, task, size)
    if not len(members):
        raise Unfinished("no candidate forecasts a single row whose truth is known: search longer, or shorten the horizon")
    windows = np.unique(rows.window)
    judged = windows[first_judged(len(windows)) :]
    later_N = np.isin(rows.window, judged)
    if len(judged):
        played = _play(contestants, chosen or "mean", forecasts_NHQM, truth_NH, rows, task, deadline, judged, size)
        label_N = clusters(rows.take(later_N), task.horizon)
        losses = _losses(played, truth_NH[later_N], rows.scale[later_N], task)
        table = _table(losses, list(contestants), label_N)
        winner = chosen or next((standing.name for standing in table if standing.accepted), "mean")
        later_NHQ, n_clusters, n_played = played[winner], len(np.unique(label_N)), len(played)
    else:
        contestants = {"simplex": Simplex(), **contestants}
        winner, table = chosen or "simplex", ()
        later_NHQ, n_clusters, n_played = np.empty((0, *forecasts_NHQM.shape[1:3])), 0, len(contestants)
    fitted = replace(contestants[winner]).fit(forecasts_NHQM[..., members], truth_NH, rows, task, deadline)
    return ContestResult(winner, fitted, members, table, later_N, later_NHQ, n_clusters, n_played < len(contestants))


def _play(
    contestants: dict[str, Combiner],
    required: str,
    forecasts_NHQM: np.ndarray,
    truth_NH: np.ndarray,
    rows: Rows,
    task: Task,
    deadline: Deadline,
    judged: np.ndarray,
    size: int,
) -> dict[str, np.ndarray]:
    """Forecast every judged window by the whole rules, pruning included, learnt on the windows before it.

    The mean and the required contestant always play; one that a passed deadline keeps from a window is left out altogether.
    """
    later_N = np.isin(rows.window, judged)
    played = {name: np.full((int(later_N.sum()), *forecasts_NHQM.shape[1:3]), np.nan) for name in contestants}
    for window in judged:
        past, now = rows.window < window, rows.window == window
        past_rows, now_rows = rows.take(past), rows.take(now)
        members = survivors(forecasts_NHQM[past], truth_NH[past], past_rows, task, size)
        past_NHQM, now_NHQM = forecasts_NHQM[past][..., members], forecasts_NHQM[now][..., members]
        for name in list(played) if len(members) else []:
            if deadline.passed() and name not in {"mean", required}:
                del played[name]
                continue
            fitted = replace(contestants[name]).fit(past_NHQM, truth_NH[past], past_rows, task, deadline)
            played[name][now[later_N]] = fitted.combine(now_NHQM, now_rows)
    return played


def _losses(played: dict[str, np.ndarray], truth_NH: np.ndarray, scale_N: np.ndarray, task: Task) -> dict[str, np.ndarray]:
    """Cell losses (N, H) of every contestant; a cell that it leaves to the naive costs it as much as the worst contestant there."""
    losses = {
        name: np.minimum(cell_loss(truth_NH, forecast_NHQ, scale_N, task.quantiles, task.kind), FARTHEST) for name, forecast_NHQ in played.items()
    }
    worst_NH = np.fmax.reduce(list(losses.values()))
    return {name: np.where(np.isnan(loss_NH), worst_NH, loss_NH) for name, loss_NH in losses.items()}


def _table(losses: dict[str, np.ndarray], names: list[str], label_N: np.ndarray) -> tuple[Standing, ...]:
    """Compare every contestant with the simple average, cell by cell: least loss first, those not judged last."""
    level = (1 - ONE_SE) ** (1 / max(1, len(losses) - 1))
    average_NH = losses["mean"]
    known_NH = np.isfinite(average_NH)
    standings = []
    for name in names:
        if name not in losses or not known_NH.any():
            standings.append(Standing(name, np.nan, np.nan, np.nan, np.nan, False))
            continue
        gain, error, n_clusters = clustered_mean(np.where(known_NH, average_NH - losses[name], np.nan), label_N)
        threshold = float(stdtrit(n_clusters - 1, level)) if n_clusters > 1 else np.inf
        loss = float(losses[name][known_NH].mean())
        accepted = name != "mean" and n_clusters > 1 and gain > max(threshold * error, LEAST_GAIN * abs(loss))
        standings.append(Standing(name, loss, gain, error, threshold, bool(accepted)))
    return tuple(sorted(standings, key=lambda standing: (np.isnan(standing.loss), standing.loss)))


def clustered_mean(values_NH: np.ndarray, label_N: np.ndarray) -> tuple[float, float, int]:
    """Mean of the finite cells, its standard error when only clusters of rows are independent, and the number of clusters.

    The standard error is infinite where there are fewer than two clusters.
    """
    finite_NH = np.isfinite(values_NH)
    rows_N = finite_NH.any(axis=1)
    _, index_N = np.unique(label_N[rows_N], return_inverse=True)
    mean = float(values_NH[finite_NH].mean())
    deviation_N = np.where(finite_NH, values_NH - mean, 0.0).sum(axis=1)[rows_N]
    sums_G = np.bincount(index_N, deviation_N)
    n_clusters = len(sums_G)
    if n_clusters < 2:
        return mean, np.inf, n_clusters
    return mean, float(np.sqrt(n_clusters / (n_clusters - 1) * (sums_G**2).sum()) / finite_NH.sum()), n_clusters
