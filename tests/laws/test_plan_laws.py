"""Laws of the plan on real calendars: no series teaches what another one is asked about, and nothing lies beyond a series' end."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ensemble_forecast import windows
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.pipeline import check
from ensemble_forecast.search.refit import refit
from ensemble_forecast.search.trial import Stages
from ensemble_forecast.study import FRAME, open_study, reopen, silent

TASK = Task(horizon=3)
DAY = np.timedelta64(86_400, "s")


def living(n_series, seed, *, last=140, youngest=60):
    """Series on one real calendar that begin and end at stamps of their own."""
    rng = np.random.default_rng(seed)
    first_S, end_S = rng.integers(0, 20, n_series), last - rng.permutation(n_series) * youngest // n_series
    panel = Panel.of([rng.normal(size=end - first).cumsum() + 50 for first, end in zip(first_S, end_S, strict=True)])
    return replace(panel, start_S=np.datetime64("2020-01-01", "s") + first_S * DAY)


def stamp_of(panel, step_S):
    """Stamp of a step of each series."""
    return panel.start_S + step_S * DAY


@pytest.mark.parametrize("n_series", [5, 30, 60])
@pytest.mark.parametrize("test", [0.0, 0.15])
def test_nothing_is_learnt_from_a_day_after_a_scored_origin_whatever_the_series(n_series, test):
    """Shocks are shared: a series whose rows end later would tell what comes next in one that ends earlier."""
    panel = living(n_series, seed=n_series)
    plan = windows.plan(panel, TASK, test)
    assert plan.aligned == "calendar"
    asked = [(fold.cutoff_S, fold.score) for fold in plan.folds] + [(plan.judged_S, plan.test)] * bool(test)
    for cutoff_S, origins in asked:
        seen = cutoff_S >= 0
        newest = stamp_of(panel, np.minimum(cutoff_S, panel.ends_S))[seen].max()
        assert newest <= (panel.start_S[origins.series] + origins.step * DAY).min()
    assert len(np.unique(plan.scored.series)) >= n_series // 2, "a series that ended is scored in the windows it lived through"


def test_a_series_that_ended_before_the_test_rows_is_refitted_up_to_its_end(tmp_path):
    panel = living(24, seed=1, youngest=0)
    keep = np.where(np.arange(24) < 20, panel.ends_S, panel.ends_S // 2) + 1
    parts = [panel.values(i)[:n] for i, n in enumerate(keep)]
    ended = replace(Panel.of(parts), start_S=stamp_of(panel, 0 * keep))
    stages = Stages(ended, TASK, {"test": 0.15, "n_windows": None})
    assert (stages.plan.judged_S <= ended.ends_S).all()
    for family in ("naive", "ridge", "extra_trees", "mlp"):
        params = {"steps": 5, "width": 8} if family == "mlp" else {}
        refit({"family": family, "params": params}, 100, "judged", tmp_path / family, stages, Deadline.never())


def test_a_study_with_covariates_known_ahead_can_be_reopened(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"ds": pd.date_range("2020-01-01", periods=120), "y": 100 + rng.normal(size=120).cumsum(), "k": rng.normal(size=120)})
    frame.loc[117:, "y"] = np.nan
    settings = check({"source": FRAME, "horizon": 3, "known": ("k",)}, "test")
    begun = open_study("ahead", tmp_path, settings, frame=frame, log=silent)
    assert reopen("ahead", tmp_path, frame=frame, log=silent).panel.lengths_S.tolist() == begun.panel.lengths_S.tolist()


def test_a_long_series_that_ended_does_not_pass_for_history_of_those_that_live():
    """Windows are cut for the living; what ended long ago must not ask for more of them than they have history for."""
    panel = Panel.of([np.arange(300.0), np.arange(40.0), np.arange(38.0)])
    panel = replace(panel, start_S=np.datetime64("2020-01-01", "s") + np.array([0, 400, 402]) * DAY)
    plan = windows.plan(panel, TASK, 0.0)
    assert {1, 2} <= set(plan.scored.series)
