import numpy as np
import pytest

from ensemble_forecast import metrics
from ensemble_forecast.data.origins import truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import TooShort, TrialPruned
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.learners.base import build
from ensemble_forecast.search.trial import Outcome, Stages, origins_table, run_trial
from ensemble_forecast.windows import plan, roles_until

RIDGE = {"family": "ridge", "params": {"context": 12}}


def outcome_of(config, stages, bars=(), rival_NHQ=None):
    outcome = Outcome()
    run_trial(config, stages, "sql", Deadline.never(), list(bars), outcome, rival_NHQ)
    return outcome


def test_out_of_fold_forecasts_are_those_of_a_learner_fitted_by_hand(panel, task, plan_spec):
    outcome = outcome_of(RIDGE, Stages(panel, task, plan_spec))
    for fold, forecast_NHQ, loss in zip(plan(panel, task, **plan_spec).folds, outcome.forecasts, outcome.windows, strict=True):
        past = panel.cut(fold.cutoff_S)
        learner = build(RIDGE).fit(past, roles_until(past, task, fold.cutoff_S), task, Deadline.never())
        by_hand_NHQ = learner.predict(panel, fold.score, Deadline.never()).astype(np.float32)
        np.testing.assert_array_equal(forecast_NHQ, by_hand_NHQ)
        scale_N = scale_at(panel, fold.score, task.season_length)
        assert loss == metrics.sql(truth(panel, fold.score, task.horizon), by_hand_NHQ.astype(float), scale_N, task.quantiles)
    assert outcome.value == pytest.approx(np.mean(outcome.windows))
    assert outcome.unserved == 0


def test_rows_of_the_table_say_where_each_forecast_starts(panel, task, plan_spec):
    stages = Stages(panel, task, plan_spec)
    table = origins_table(stages.plan)
    assert table.dtype == np.int64
    assert len(table) == sum(map(len, outcome_of(RIDGE, stages).forecasts))
    for window, fold in enumerate(stages.plan.folds):
        np.testing.assert_array_equal(table[table[:, 2] == window, :2], np.column_stack([fold.score.series, fold.score.step]))


def test_noise_after_a_window_changes_nothing_before(panel, task, plan_spec):
    """The engine's law, for one trial: replace everything after window 0 and the test rows by noise."""
    fold = plan(panel, task, **plan_spec).folds[0]
    y = panel.y.copy()
    for series in range(panel.n_series):
        y[panel.offsets[series] + fold.until_S[series] + task.horizon + 1 : panel.offsets[series + 1]] = 1e6
    scrambled = Panel.of([y[panel.offsets[i] : panel.offsets[i + 1]] for i in range(panel.n_series)])
    before, after = (outcome_of(RIDGE, Stages(some, task, plan_spec)) for some in (panel, scrambled))
    assert before.forecasts[0].tobytes() == after.forecasts[0].tobytes()
    assert before.windows[0] == after.windows[0]
    assert before.forecasts[1].tobytes() != after.forecasts[1].tobytes()


def test_a_hopeless_trial_stops_between_windows_and_leaves_what_it_scored(panel, task, plan_spec):
    outcome = Outcome()
    with pytest.raises(TrialPruned, match="after window 0"):
        run_trial(RIDGE, Stages(panel, task, plan_spec), "sql", Deadline.never(), [1e-6], outcome)
    assert len(outcome.windows) == 1


def test_origins_nobody_serves_get_the_seasonal_naive_and_are_counted(panel, task, plan_spec, monkeypatch):
    stages = Stages(panel, task, plan_spec)
    cls = type(build(RIDGE))
    usual = cls.predict

    def blind_on_series_0(self, panel, origins, deadline):
        forecast_NHQ = usual(self, panel, origins, deadline)
        forecast_NHQ[origins.series == 0] = np.nan
        return forecast_NHQ

    monkeypatch.setattr(cls, "predict", blind_on_series_0)
    outcome = outcome_of(RIDGE, stages)
    naive = outcome_of({"family": "seasonal_naive", "params": {}}, stages)
    table = origins_table(stages.plan)
    assert outcome.unserved == (table[:, 0] == 0).sum() > 0
    stacked, naive_NHQ = np.concatenate(outcome.forecasts), np.concatenate(naive.forecasts)
    np.testing.assert_array_equal(stacked[table[:, 0] == 0], naive_NHQ[table[:, 0] == 0])
    assert not np.array_equal(stacked[table[:, 0] == 1], naive_NHQ[table[:, 0] == 1])


def test_a_learner_that_serves_nobody_is_too_short_not_naive(panel, task, plan_spec, monkeypatch):
    def blind(_self, _panel, origins, _deadline):
        return np.full((len(origins), 7, 9), np.nan)

    monkeypatch.setattr(type(build(RIDGE)), "predict", blind)
    with pytest.raises(TooShort, match="not a single origin"):
        outcome_of(RIDGE, Stages(panel, task, plan_spec))


def test_directions_are_scored_by_log_loss(panel, plan_spec):
    stages = Stages(panel, Task(horizon=2, season_length=7, kind="direction"), plan_spec)
    outcome = Outcome()
    run_trial({"family": "naive", "params": {}}, stages, "log_loss", Deadline.never(), [], outcome)
    assert 0.5 < outcome.value < 0.8
    assert outcome.forecasts[0].shape[1:] == (2, 2)


def test_a_trial_that_is_clearly_worse_than_its_rival_stops_and_one_that_is_not_goes_on(task):
    rng = np.random.default_rng(3)
    stages = Stages(Panel.of([rng.normal(size=120).cumsum() for _ in range(8)]), task, {"n_windows": 2})
    own = np.concatenate(outcome_of(RIDGE, stages).forecasts)
    truth_NH = np.concatenate([stages[window].truth_NH for window in range(2)])
    outcome_of(RIDGE, stages, rival_NHQ=own)
    with pytest.raises(TrialPruned, match="clearly worse than the incumbent"):
        outcome_of(RIDGE, stages, rival_NHQ=np.repeat(truth_NH[..., None], task.n_outputs, axis=2).astype(np.float32))
