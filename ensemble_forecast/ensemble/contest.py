"""The contest of all combiners: each window judges what the other windows taught, and the simple average wins unless it is clearly beaten.

Whole rules compete: pruning and weights are learnt on the windows that do not judge. The layer over the combiners competes too, its shares learnt
in the same way. How many standard errors a winner has to gain is in `luck`. On a panel it has to gain in every window besides, and half a percent
in all, for series share what a period did to them: of panels tried, the winners that were ahead by 1.6 to 2 % stayed ahead in the next window,
and one that was ahead by 0.4 % fell 3 % behind. There the best single candidate is judged for reference only: on one panel it was clearly ahead in
the window it was judged by and 10 % behind the average in the next.

With a single window nothing can be judged: the simplex weights, shrunk by at least half to equal ones, are taken without a contest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.averages import Mean
from ensemble_forecast.ensemble.base import Combiner, Rows, clusters
from ensemble_forecast.ensemble.cells import FARTHEST
from ensemble_forecast.ensemble.halves import cross_fitted
from ensemble_forecast.ensemble.layered import ALONE, Layered, cross_fit, learn_shares
from ensemble_forecast.ensemble.luck import clustered_mean, luck
from ensemble_forecast.ensemble.pruning import survivors
from ensemble_forecast.ensemble.rehearsal import NO_TIME, Rehearsal, rehearse
from ensemble_forecast.ensemble.selection import BestSingle
from ensemble_forecast.ensemble.simplex import Simplex
from ensemble_forecast.errors import BadInput, Unfinished
from ensemble_forecast.metrics import cell_loss
from ensemble_forecast.registry import COMBINERS, did_you_mean
from ensemble_forecast.threads import one_thread
from ensemble_forecast.windows import FEW_SERIES

REFERENCE = "best_single"
LEAST_GAIN = 1e-3  # of the loss: a smaller gain is not worth learning weights for, whatever its significance
LEAST_PANEL_GAIN = 5e-3  # on a panel: two or three windows cannot tell a smaller one from what a period favoured
JUDGING_SHARE = 0.7  # of the time; the rest fits the winner on all windows
NO_TRUTH = "no truth is known in any window"


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
    """

    winner: str
    combiner: Combiner
    members: np.ndarray
    table: tuple[Standing, ...]
    rehearsed_NHQ: np.ndarray


@one_thread
def contest(
    forecasts_NHQM: np.ndarray,
    truth_NH: np.ndarray,
    rows: Rows,
    task: Task,
    deadline: Deadline,
    combiners: Mapping[str, Combiner],
    size: int | None = None,
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
        return ContestResult(winner, fitted, members, (), rehearsed_NHQ)
    rehearsal, layer = _rehearse(contestants, chosen or "mean", forecasts_NHQM, truth_NH, rows, task, deadline, size)
    losses = _losses(rehearsal.forecasts, truth_NH, rows.scale, task)
    table = _table(losses, rehearsal.absent, clusters(rows, task.horizon), rows, task.seed)
    winner = chosen or next((standing.name for standing in table if standing.accepted), "mean")
    recipe = layer if layer is not None and winner == layer.family else replace(contestants[winner])
    fitted = recipe.fit(forecasts_NHQM[..., members], truth_NH, rows, task, deadline)
    return ContestResult(winner, fitted, members, table, rehearsal.forecasts[winner])


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
    size: int | None = None,
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
    least = LEAST_PANEL_GAIN if _is_panel(rows) else LEAST_GAIN
    standings = []
    for name, gain_NH in gains.items():
        gain, error, n_clusters = clustered_mean(gain_NH, label_N)
        loss = float(losses[name][known_NH].mean())
        clear = n_clusters > 1 and gain > max(threshold * error, least * abs(loss))
        accepted = name != "mean" and clear and _may_win(name, gain_NH, rows)
        standings.append(Standing(name, loss, gain, error, threshold, bool(accepted)))
    standings += [Standing(name, np.nan, np.nan, np.nan, np.nan, accepted=False, reason=reason) for name, reason in absent.items()]
    return tuple(sorted(standings, key=lambda standing: (np.isnan(standing.loss), standing.loss)))


def _may_win(name: str, gain_NH: np.ndarray, rows: Rows) -> bool:
    """Whether a panel shows a gain in every window, by a combination; on few series the clusters tell the periods apart already."""
    if not _is_panel(rows):
        return True
    known = np.unique(rows.window[np.isfinite(gain_NH).any(axis=1)])
    return name != REFERENCE and all(np.nanmean(gain_NH[rows.window == window]) > 0 for window in known)


def _is_panel(rows: Rows) -> bool:
    return len(np.unique(rows.series)) >= FEW_SERIES
