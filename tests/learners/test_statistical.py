"""What every statistical learner owes: forecasts that read one history and nothing else, for any history there is."""

import dataclasses

import numpy as np
import pytest

from ensemble_forecast.data.origins import Origins, truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, NotFitted, TooShort
from ensemble_forecast.learners.base import build, describe
from ensemble_forecast.learners.statistical.drift import Drift
from ensemble_forecast.learners.statistical.ets import MODELS, Ets
from ensemble_forecast.learners.statistical.local import LocalLearner
from ensemble_forecast.learners.statistical.naive import Naive, SeasonalNaive
from ensemble_forecast.learners.statistical.theta import Theta
from ensemble_forecast.windows import Roles, roles_until

TASK = Task(horizon=5, season_length=4)
LEARNERS = [
    Naive(),
    SeasonalNaive(),
    SeasonalNaive(long_season=True),
    Drift(),
    Theta(),
    Theta(season_memory=2, long_season=True),
    *(Ets(model=model) for model in MODELS),
]
every_learner = pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: "-".join(map(str, (learner.family, *dataclasses.astuple(learner)))))


def make_panel(seed=0, gaps=False):
    rng = np.random.default_rng(seed)
    rows = []
    for n in rng.integers(5, 120, 30):
        y = 40 + np.cumsum(rng.normal(size=n)) + 6 * np.sin(np.arange(n) * np.pi / 2) + rng.normal(size=n)
        if gaps:
            y[rng.random(n) < 0.1] = np.nan
        rows.append(y)
    return Panel.of(rows)


def fit(learner, panel, task=TASK):
    cutoff_S = panel.ends_S
    return dataclasses.replace(learner).fit(panel, roles_until(panel, task, cutoff_S, 10), task, Deadline.never())


@every_learner
def test_a_forecast_ignores_what_comes_after_its_origin(learner):
    panel = make_panel(gaps=True)
    fitted, origins = fit(learner, panel), Origins(np.arange(30), panel.ends_S // 2)
    later = np.concatenate([np.arange(n) > (n - 1) // 2 for n in panel.lengths_S])
    scrambled = dataclasses.replace(panel, y=np.where(later, 1e5 * np.random.default_rng(9).normal(size=len(panel.y)), panel.y))
    assert later.sum() > 100
    before, after = (fitted.predict(each, origins, Deadline.never()) for each in (panel, scrambled))
    assert before.tobytes() == after.tobytes()


@every_learner
def test_a_forecast_does_not_depend_on_the_other_origins_in_the_call(learner):
    panel = make_panel(gaps=True)
    fitted = fit(learner, panel)
    origins = Origins.between(np.zeros(30, dtype=int), panel.ends_S)
    together = fitted.predict(panel, origins, Deadline.never())
    some = np.random.default_rng(1).choice(len(origins), 25, replace=False)
    for i in some:
        assert fitted.predict(panel, origins.take(np.array([i])), Deadline.never()).tobytes() == together[i : i + 1].tobytes()
    assert fitted.predict(panel, origins.take(some), Deadline.never()).tobytes() == together[some].tobytes()


@every_learner
def test_every_history_gets_a_finite_increasing_forecast(learner):
    rows = [[3.0], [3.0, 4.0], [1.0, 2.0, 4.0], [5.0] * 40, [0.0] * 40, [0.0, 0.0, 7.0] * 9, [-1e9, 1e9] * 8, [1e-12] * 9 + [2e-12]]
    panel = Panel.of([np.array(row) for row in [*rows, [np.nan, np.nan, 2.0, np.nan, 3.0], np.arange(30.0)]])
    forecast_NHQ = fit(learner, panel).predict(panel, Origins.ends(panel), Deadline.never())
    assert forecast_NHQ.shape == (10, 5, 9)
    assert np.isfinite(forecast_NHQ).all()
    assert (np.diff(forecast_NHQ, axis=-1) >= 0).all()
    assert forecast_NHQ[3, :, 4] == pytest.approx(5.0)
    assert forecast_NHQ[4, :, 4] == pytest.approx(0.0)


@every_learner
def test_the_median_is_the_point_forecast(learner):
    panel = make_panel()
    fitted, origins = fit(learner, panel), Origins.ends(panel)
    from_point = np.array([learner.point(*_history(panel, i, fitted.season_), fitted.season_, 5)[0] for i in range(30)])
    low, high = ([f(panel.values(i)) for i in range(30)] for f in (lambda y: 2 * y.min() - y.max(), lambda y: 2.5 * y.max() - 1.5 * y.min()))
    bounded = np.clip(from_point, np.array(low)[:, None], np.array(high)[:, None])
    assert fitted.predict(panel, origins, Deadline.never())[..., 4] == pytest.approx(bounded, rel=1e-12)


def _history(panel, i, season):
    length = -(-400 // season) * season
    return np.pad(panel.values(i), (0, length - panel.lengths_S[i]))[None], np.array([panel.lengths_S[i]])


@every_learner
def test_where_nothing_was_observed_there_is_no_forecast(learner):
    panel = Panel.of([np.array([np.nan, np.nan, 1.0, 2.0]), np.arange(60.0)])
    forecast_NHQ = fit(learner, panel).predict(panel, Origins(np.array([0, 0, 1]), np.array([1, 3, 59])), Deadline.never())
    assert np.isnan(forecast_NHQ[0]).all()
    assert np.isfinite(forecast_NHQ[1:]).all()


@every_learner
def test_intervals_cover_what_they_say_on_data_like_the_past(learner):
    panel = Panel.of([50 + 8 * np.sin(np.arange(100) * np.pi / 2) + np.random.default_rng(i).normal(size=100) for i in range(60)])
    past = panel.cut(panel.ends_S - 5)
    origins = Origins.ends(past)
    forecast_NHQ, truth_NH = fit(learner, past).predict(past, origins, Deadline.never()), truth(panel, origins, 5)
    assert 0.7 < np.mean((truth_NH > forecast_NHQ[..., 0]) & (truth_NH < forecast_NHQ[..., -1])) < 0.9


@every_learner
def test_fitting_is_repeatable_and_leaves_the_recipe_alone(learner):
    panel, recipe = make_panel(), describe(learner)
    first, second = fit(learner, panel), fit(learner, panel)
    assert first.table_HQ_.tobytes() == second.table_HQ_.tobytes()
    assert describe(first) == recipe == describe(build(recipe))
    assert not first.truncated_
    state = {name: value for name, value in vars(first).items() if name.endswith("_")}
    assert all(isinstance(value, int | float | str | bool | np.ndarray) for value in state.values())


def test_the_naive_learner_forecasts_the_base_rate_of_up():
    panel = Panel.of([np.cumsum(np.where(np.arange(400) % 4 == 0, -1.0, 1.0))])
    task = Task(horizon=1, kind="direction")
    forecast_NHQ = fit(Naive(), panel, task).predict(panel, Origins(np.zeros(2, dtype=int), np.array([5, 300])), Deadline.never())
    assert forecast_NHQ.shape == (2, 1, 2)
    assert forecast_NHQ[:, 0, 1] == pytest.approx(0.75, abs=0.02)
    assert forecast_NHQ.sum(axis=-1) == pytest.approx(1.0)


def test_a_long_season_is_found_in_the_calendar():
    step = np.arange(400)
    panel = Panel.of([20 + 5 * np.sin(2 * np.pi * step / 52) for _ in range(3)], freq="W-SUN")
    task = Task(horizon=13, season_length=1)
    cut = panel.cut(panel.ends_S - 13)
    for learner, most in ((SeasonalNaive, 0.1), (Theta, 0.5), (Ets, 0.5)):
        fitted = fit(learner(long_season=True), cut, task)
        assert fitted.season_ == 52
        error = fitted.predict(cut, Origins.ends(cut), Deadline.never())[..., 4] - truth(panel, Origins.ends(cut), 13)
        assert np.abs(error).mean() < most
    assert fit(Theta(long_season=True), make_panel(), Task(horizon=5, season_length=7)).season_ == 7


def test_a_passed_deadline_truncates_the_fit_but_leaves_a_usable_learner():
    panel = make_panel()
    fitted = Theta().fit(panel, roles_until(panel, TASK, panel.ends_S, 10), TASK, Deadline.after(0.0))
    assert fitted.truncated_
    assert fitted.table_HQ_[:, 0].max() < 0
    assert np.isfinite(fitted.predict(panel, Origins.ends(panel), Deadline.after(0.0))).all()


def test_refusals_say_what_is_missing():
    nothing = Roles(Origins(np.empty(0, dtype=int), np.empty(0, dtype=int)))
    with pytest.raises(TooShort, match="theta needs one past origin with a horizon of 5"):
        Theta().fit(make_panel(), nothing, TASK, Deadline.never())
    with pytest.raises(NotFitted, match="call fit first"):
        Ets().predict(make_panel(), Origins.ends(make_panel()), Deadline.never())
    with pytest.raises(BadInput, match="model of ets must be one of ses, damped"):
        Ets(model="arima")


def test_statistical_learners_read_only_the_history_before_an_origin():
    for learner in LEARNERS:
        assert isinstance(learner, LocalLearner)
        assert (learner.group, learner.learns_from_origins, learner.corrects) == ("statistical", False, False)
