"""What combiners would have forecast: each window by rules learnt on the other windows, pruning included.

Weights learnt on later windows may judge an earlier one: they know how good the members are, not what the series did. Judged by later windows
alone, a panel with two windows has a single period to judge by, and takes what that one period favoured for skill.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Combiner, Rows, blocks
from ensemble_forecast.ensemble.pruning import survivors

NO_TIME = "the time for the contest was over before it was judged"


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """Forecasts of every window, learnt on the others.

    Parameters
    ----------
    forecasts
        By name of the combiner: float64 (N, H, Q).
    absent
        By name: why a combiner has none.
    """

    forecasts: dict[str, np.ndarray]
    absent: dict[str, str] = field(default_factory=dict)


def rehearse(
    combiners: Mapping[str, Combiner],
    forecasts_NHQM: np.ndarray,
    truth_NH: np.ndarray,
    rows: Rows,
    task: Task,
    deadline: Deadline,
    size: int | None,
    required: Collection[str] = (),
) -> Rehearsal:
    """Let every combiner forecast each window, in the order given: cheapest first. There must be two windows or more.

    One that lacks what it needs on the windows that teach is absent, and so is one that the deadline overtakes while it learns: what truncated
    weights lose says nothing.

    Parameters
    ----------
    size
        Most members that survive pruning before each window; None: all members stay.
    required
        Names that play whatever the time.
    """
    lessons = [_Lesson.of(window, forecasts_NHQM, truth_NH, rows, task, size) for window in np.unique(rows.window)]
    result = Rehearsal({})
    for name, combiner in combiners.items():
        played_NHQ = np.full(forecasts_NHQM.shape[:3], np.nan)
        reason = "" if name in required else _why_not(combiner, lessons, task)
        for lesson in lessons:
            if not reason and name not in required and deadline.passed():
                reason = NO_TIME
            if not reason and len(lesson.members):
                fitted = replace(combiner).fit(lesson.taught_NHQM, lesson.truth_NH, lesson.rows, task, deadline)
                played_NHQ[lesson.now] = _forecast(fitted, forecasts_NHQM, rows, lesson.now, lesson.members)
        if not reason and name not in required and deadline.passed():
            reason = NO_TIME
        if reason:
            result.absent[name] = reason
        else:
            result.forecasts[name] = played_NHQ
    return result


@dataclass(frozen=True, eq=False)
class _Lesson:
    """What the other windows teach about one: their rows, the members that survive pruning there, and the rows to forecast."""

    now: np.ndarray
    members: np.ndarray
    taught_NHQM: np.ndarray
    truth_NH: np.ndarray
    rows: Rows

    @classmethod
    def of(cls, window: int, forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, size: int | None) -> "_Lesson":
        """Collect the lesson of a window."""
        others, now = np.flatnonzero(rows.window != window), np.flatnonzero(rows.window == window)
        taught_rows, taught_NHQM = rows.take(others), _pick(forecasts_NHQM, others)
        if size is None:
            return cls(now, np.arange(forecasts_NHQM.shape[-1]), taught_NHQM, truth_NH[others], taught_rows)
        members = survivors(taught_NHQM, truth_NH[others], taught_rows, task, size)
        return cls(now, members, taught_NHQM[..., members], truth_NH[others], taught_rows)


def _why_not(combiner: Combiner, lessons: list[_Lesson], task: Task) -> str:
    """Say what a combiner lacks in any of the lessons."""
    return next(filter(None, (combiner.needs.lacking(lesson.truth_NH, lesson.rows, task) for lesson in lessons)), "")


def _forecast(combiner: Combiner, forecasts_NHQM: np.ndarray, rows: Rows, index: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Combine some members at some rows, a few rows at a time: no combiner sees, or copies, all of a large panel at once."""
    combined_NHQ = np.empty((len(index), *forecasts_NHQM.shape[1:3]))
    for block in blocks(len(index), int(np.prod(forecasts_NHQM.shape[1:]))):
        combined_NHQ[block] = combiner.combine(forecasts_NHQM[index[block]][..., members], rows.take(index[block]))
    return combined_NHQ


def _pick(forecasts_NHQM: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Select rows, without a copy where they follow each other."""
    if len(index) and index[-1] - index[0] + 1 == len(index):
        return forecasts_NHQM[index[0] : index[-1] + 1]
    return forecasts_NHQM[index]
