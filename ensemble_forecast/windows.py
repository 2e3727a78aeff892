"""Roles of time: which origins fit, stop, and score in every fold, and which are locked away for the verdict.

One long series, four windows of B steps before the locked test origins (o: fit, s: stop, x: score, t: test; time runs to the right)::

    window 0   oooooooooosss|xxxx
    window 1   ooooooooooooosss |xxxx
    window 2   oooooooooooooooosss  |xxxx
    window 3   ooooooooooooooooooosss   |xxxx
                                             tttttttttt

An origin o belongs to a role only if o + H <= that role's cutoff (purging, Lopez de Prado 2018), so the last H - 1 origins of every role
are not scored and no label is shared between roles. On a panel of many series B = H: each window scores one origin a series, and the stop
role is a held-out set of series instead of the newest steps.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.errors import BadInput
from ensemble_forecast.seeds import generator

MANY_SERIES = 50  # from here on, series are held out for early stopping
FEW_SERIES = 20  # below, windows are blocks of consecutive origins
STOP_SHARE = 0.15
LEAST_LABELLED = 2  # origins before a window, in all series together, without which nothing can be learnt for it
SCORED_SHARE = 0.45  # of a long series' steps, by all windows together
MAX_BLOCK = 250  # scored origins a window and series: more add time, not knowledge


@dataclass(frozen=True, eq=False)
class Roles:
    """Origins a learner may fit on, and those it may stop early on (None in a refit: the length is then fixed).

    Raises
    ------
    AssertionError
        When the roles share an origin.
    """

    fit: Origins
    stop: Origins | None = None

    def __post_init__(self) -> None:
        if self.stop is not None:
            width = 1 + max(self.fit.step.max(initial=0), self.stop.step.max(initial=0))
            shared = np.isin(self.stop.series * width + self.stop.step, self.fit.series * width + self.fit.step)
            assert not shared.any(), f"fit and stop share {shared.sum()} origins"


@dataclass(frozen=True, eq=False)
class Fold:
    """One window: the last step that may be seen per series, and the origins to score."""

    window: int
    cutoff_S: np.ndarray
    score: Origins
    until_S: np.ndarray  # last step that forecasts of this fold may be given as context


@dataclass(frozen=True, eq=False)
class Plan:
    """All folds of a study, oldest first, and the locked test origins (empty where none are locked)."""

    folds: tuple[Fold, ...]
    test: Origins
    judged_S: np.ndarray  # last step the judged ensemble may see: the first test origin, or the end of the series
    block: int
    aligned: str  # "calendar" or "end"

    @property
    def scored(self) -> Origins:
        """Scored origins of all folds, in the order of ``forecasts.npy``."""
        return Origins.joined([fold.score for fold in self.folds])

    @property
    def window_N(self) -> np.ndarray:
        """Window of every scored origin."""
        return np.concatenate([np.full(len(fold.score), fold.window) for fold in self.folds])


def plan(panel: Panel, task: Task, test: float = 0.0, n_windows: int | None = None) -> Plan:
    """Cut a panel into folds and locked test origins. Only lengths and stamps are looked at, never values.

    Parameters
    ----------
    test
        Share of the newest steps whose origins are locked away for the verdict.
    n_windows
        Number of windows; by default 4 for few series, 3 below 100 series, else 2.

    Raises
    ------
    BadInput
        When no series is long enough for a single window.
    """
    n_windows = n_windows or (4 if panel.n_series < FEW_SERIES else 3 if panel.n_series < 100 else 2)
    last_S, aligned = _last_steps(panel)
    held = max(int(np.ceil(test * panel.typical_length)), task.horizon) if test else 0
    judged_S = np.maximum(last_S - held, -1)
    shortest_context = max(2 * task.season_length + 2, 6)  # a series need not be long enough to learn from to be scored
    shortest_fit = max(shortest_context, task.horizon + 2)
    alive_S = last_S <= panel.ends_S
    typical, longest = int(np.median(judged_S[alive_S])) + 1, int(judged_S[alive_S].max()) + 1
    block = task.horizon
    if panel.n_series < FEW_SERIES:
        block = min(max(int(longest * SCORED_SHARE) // n_windows, task.horizon), MAX_BLOCK + task.horizon - 1)
    n_windows = min(n_windows, max((typical - shortest_fit) // block, 1))
    can_judge_S = (judged_S >= 0) & bool(test)
    test_origins = Origins.between(judged_S, np.where(can_judge_S, panel.ends_S - task.horizon, judged_S - 1))
    if test and panel.n_series >= FEW_SERIES:  # independent windows are enough on a panel
        test_origins = test_origins.take((test_origins.step - judged_S[test_origins.series]) % task.horizon == 0)
    cutoffs = [(left, np.minimum(judged_S - left * block, panel.ends_S)) for left in range(n_windows, 0, -1)]
    lefts = [left for left, cutoff_S in cutoffs if _n_labelled(panel, task, cutoff_S) >= LEAST_LABELLED]
    if longest < shortest_fit + block or not lefts:
        needed = max(shortest_fit, 2 * task.horizon + 2) + block + held
        raise BadInput(
            f"the longest series has {int(panel.lengths_S.max())} steps; horizon {task.horizon} with season {task.season_length} needs "
            f"about {needed}, so that there is something to learn from before the first window: "
            "give more history, or shorten the horizon or the season"
        )
    folds = [_fold(panel, task, judged_S, block, left, window, shortest_context) for window, left in enumerate(lefts)]
    return Plan(tuple(folds), test_origins, np.minimum(judged_S, panel.ends_S), block, aligned)


def roles_until(panel: Panel, task: Task, cutoff_S: np.ndarray, min_context: int | None = None, *, with_stop: bool = True) -> Roles:
    """Split the labelled origins up to a cutoff into fit and stop.

    Parameters
    ----------
    cutoff_S
        Last step that may be seen, per series.
    min_context
        Steps before the first origin to learn from; None: two seasons and a little. A short series begins at its middle.
    with_stop
        False for a refit, whose length is fixed: everything then serves to fit.
    """
    first_S = _first_origins(task, cutoff_S, min_context)
    everything = Origins.between(first_S, cutoff_S - task.horizon)
    if not with_stop:
        return Roles(everything)
    if panel.n_series >= MANY_SERIES:
        held = np.zeros(panel.n_series, dtype=bool)
        held[generator(task.seed, "stop").permutation(panel.n_series)[: max(1, int(STOP_SHARE * panel.n_series))]] = True
        is_stop = held[everything.series]
        return Roles(everything.take(~is_stop), everything.take(is_stop))
    boundary_S = cutoff_S - task.horizon - np.maximum((STOP_SHARE * (cutoff_S + 1)).astype(int), 1)
    fit = Origins.between(first_S, boundary_S - task.horizon)
    stop = Origins.between(np.maximum(boundary_S, first_S), cutoff_S - task.horizon)
    return Roles(fit, stop) if len(fit) and len(stop) else Roles(everything)


def _first_origins(task: Task, cutoff_S: np.ndarray, min_context: int | None = None) -> np.ndarray:
    """First step of each series to learn from; a short series begins at its middle."""
    if min_context is None:
        min_context = max(2 * task.season_length + 2, 6)
    return np.minimum(np.full(len(cutoff_S), min_context - 1), np.maximum(cutoff_S // 2, 0))


def _n_labelled(panel: Panel, task: Task, cutoff_S: np.ndarray) -> int:
    """Count the origins that may be learnt from up to a cutoff."""
    return int(np.maximum(cutoff_S - task.horizon - _first_origins(task, cutoff_S) + 1, 0)[panel.lengths_S > 0].sum())


def _fold(panel: Panel, task: Task, judged_S: np.ndarray, block: int, blocks_left: int, window: int, shortest_context: int) -> Fold:
    """Cut one window: its block starts ``blocks_left`` blocks before the last step that folds may see."""
    cutoff_S = judged_S - blocks_left * block
    until_S = np.minimum(cutoff_S + block, panel.ends_S) - task.horizon
    serves_S = cutoff_S + 1 >= shortest_context
    score = Origins.between(cutoff_S, np.where(serves_S, until_S, cutoff_S - 1))
    return Fold(window, np.where(serves_S, np.minimum(cutoff_S, panel.ends_S), -1), score, np.where(serves_S, until_S, -1))


def _last_steps(panel: Panel) -> tuple[np.ndarray, str]:
    """Last step of each series that counts as the present.

    The present of all is the latest stamp that half of the series reach; a series that ended before it is scored in the windows it lived
    through. Only where all series begin at one stamp and no end is shared by more than half are the stamps taken for synthetic, and each
    series' own end is its present: on a real calendar that would teach the shocks of one series' future to the others.
    """
    end_S = panel.stamps_at(np.arange(panel.n_series), panel.ends_S)
    stamps, counts = np.unique(end_S, return_counts=True)
    if len(stamps) == 1:
        return panel.ends_S, "calendar"
    if counts.max() <= panel.n_series / 2 and len(np.unique(panel.start_S)) == 1:
        return panel.ends_S, "end"
    reaching = np.cumsum(counts[::-1])[::-1]
    calendar = pd.date_range(panel.start_S.min(), stamps[-1], freq=panel.freq).to_numpy()
    present = np.searchsorted(calendar, stamps[2 * reaching >= panel.n_series][-1])
    return present - np.searchsorted(calendar, panel.start_S.astype(calendar.dtype)), "calendar"


def block_bootstrap(n: int, block: int, rng: np.random.Generator) -> np.ndarray:
    """Draw n positions as contiguous blocks with replacement (Kuensch 1989, doi:10.1214/aos/1176347265): int64 (n,), sorted."""
    block = min(block, n)
    starts = rng.integers(0, n - block + 1, size=-(-n // block))
    return np.sort((starts[:, None] + np.arange(block)).reshape(-1)[:n])
