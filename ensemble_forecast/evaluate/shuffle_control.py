"""A negative control: on changes in shuffled order nobody can be skilled, and whoever finds skill there is broken."""

from dataclasses import replace
from typing import Any

import numpy as np

from ensemble_forecast import windows
from ensemble_forecast.data.origins import outcome
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, TooShort
from ensemble_forecast.evaluate.losses import cell_losses
from ensemble_forecast.evaluate.sample import Sample, over_horizon
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.learners.base import fit_plain
from ensemble_forecast.seeds import generator

SHUFFLES = 5
MOST_SERIES, MOST_STEPS = 40, 1500  # of each series the newest: seconds, whatever the panel
TEST_SHARE = 0.3
LEVEL = 0.05
MOST_WINS = 1  # of five: more have a chance of 2 %


def shuffle_control(panel: Panel, task: Task, deadline: Deadline) -> dict[str, Any]:
    """Let a ridge and the naive forecast series whose changes were shuffled, by the same windows, learners and test as everything else.

    Medians are compared (probabilities of up for kind ``direction``, whatever its label): the spread of a forecast may well be better than that of
    the naive.

    Parameters
    ----------
    panel
        Rows that may be seen: none of a locked test origin's labels.
    deadline
        No further shuffle begins after it.

    Returns
    -------
    ``p_values`` of the ridge's wins, one a shuffle, ``wins`` (below 0.05), ``passed`` (at most one win), and a ``reason`` where it could not be made.
    """
    task, p_values = replace(task, label="up"), list[float]()
    try:
        for number in range(SHUFFLES):
            if number and deadline.passed():
                break
            p_values.append(_ridge_wins(_shuffled(panel, generator(task.seed, "shuffle", number)), task))
    except (BadInput, TooShort) as error:
        return {"p_values": [], "wins": 0, "passed": True, "reason": f"not made: {error}"}
    wins = sum(p_value < LEVEL for p_value in p_values)
    return {"p_values": p_values, "wins": wins, "passed": wins <= MOST_WINS, "reason": None}


def _shuffled(panel: Panel, rng: np.random.Generator) -> Panel:
    """Put the changes of the longest series (relative ones where they are above zero) in random order, without their mean."""
    longest = np.argsort(-panel.lengths_S, kind="stable")[:MOST_SERIES]
    histories = [panel.values(int(series)) for series in longest]
    return Panel.of([_walk(values[np.isfinite(values)][-MOST_STEPS:], rng) for values in histories], freq=panel.freq)


def _walk(values_T: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Walk from the first value by the shuffled changes."""
    relative = len(values_T) > 0 and values_T.min() > 0
    level_T = np.log(values_T) if relative else values_T
    change_T = rng.permutation(np.diff(level_T))
    walked_T = np.concatenate([level_T[:1], level_T[:1] + np.cumsum(change_T - change_T.mean())]) if len(change_T) else level_T
    return np.exp(walked_T) if relative else walked_T


def _ridge_wins(panel: Panel, task: Task) -> float:
    """P-value of "the ridge has the smaller loss" at the newest origins."""
    plan = windows.plan(panel, task, TEST_SHARE)
    truth_NH = outcome(panel, plan.test, task)
    scale_N = scale_at(panel, plan.test, task.season_length)
    measured = "log_loss" if task.kind == "direction" else "absolute_error"
    loss_N = {}
    for family in ("ridge", "naive"):
        forecast_NHQ = fit_plain(family, panel, task, plan.judged_S).predict(panel, plan.test, Deadline.never())
        loss_N[family] = over_horizon(cell_losses(truth_NH, forecast_NHQ, scale_N, task)[measured])
    sample = Sample(plan.test.series, plan.test.step - plan.judged_S[plan.test.series], task.horizon)
    served_N = np.isfinite(loss_N["ridge"]) & np.isfinite(loss_N["naive"])
    return sample.take(served_N).compare(loss_N["ridge"][served_N], loss_N["naive"][served_N]).p_value
