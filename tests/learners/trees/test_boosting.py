"""How long boosting goes on, whose errors make the quantiles, and what a refit is told."""

import json
from dataclasses import replace

import numpy as np
import pytest
import toys

from ensemble_forecast.data.origins import Origins, truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.base import build, describe, recipe_for_refit
from ensemble_forecast.learners.residuals import apply_table
from ensemble_forecast.learners.trees import boosting
from ensemble_forecast.learners.trees.direct import Xgboost
from ensemble_forecast.learners.trees.recursive import RecursiveXgboost
from ensemble_forecast.learners.trees.rows import rehearsal
from ensemble_forecast.windows import Roles, roles_until

NEVER = Deadline.never()
TASK = Task(horizon=4)
LEARNERS = [Xgboost(rounds=60, depth=4, rows=8000), RecursiveXgboost(rounds=60, depth=4, rows=4000)]
both_learners = pytest.mark.parametrize("learner", LEARNERS, ids=["direct", "recursive"])


def shared_shocks(n_series=80, length=30):
    """Walks that move together: what one series does next is what all did at that stamp."""
    rng = np.random.default_rng(5)
    walk = np.cumsum(rng.normal(size=length))
    return Panel.of(list(50 + walk + 0.1 * rng.normal(size=(n_series, length))))


def roles_of(panel, task=TASK, **options):
    return roles_until(panel, task, panel.ends_S, **options)


@pytest.fixture
def grown(monkeypatch):
    """Training rows of every booster that is grown."""
    sizes, grow = [], boosting.grow
    monkeypatch.setattr(boosting, "grow", lambda *args: sizes.append(len(args[3].target_R)) or grow(*args))
    return sizes


def test_a_rehearsal_shares_no_target_and_ends_every_series():
    panel = shared_shocks()
    roles = roles_of(panel)
    earlier, newest = rehearsal(roles.fit, roles.stop, TASK)
    assert set(earlier.series) == set(roles.fit.series)
    assert set(newest.series) == set(roles.fit.series) | set(roles.stop.series)
    for series in np.unique(earlier.series):
        assert earlier.step[earlier.series == series].max() + TASK.horizon == newest.step[newest.series == series].min()
    assert newest.step.max() + TASK.horizon == panel.ends_S[0]
    assert len(newest) == panel.n_series * TASK.horizon


def test_a_rehearsal_keeps_the_base_of_every_origin():
    panel = shared_shocks()
    roles = roles_of(panel)
    fit, stop = (replace(origins, base_NH=truth(panel, origins, 4)) for origins in (roles.fit, roles.stop))
    for origins in rehearsal(fit, stop, TASK):
        assert np.array_equal(origins.base_NH, truth(panel, origins, 4))


@pytest.mark.parametrize(("n_series", "length"), [(80, 120), (80, 17), (4, 60)], ids=["long series", "no horizon to spare", "few series"])
def test_there_is_no_rehearsal_where_it_cannot_help(n_series, length):
    panel = shared_shocks(n_series, length)
    roles = roles_of(panel)
    assert rehearsal(roles.fit, roles.stop, TASK) is None


def test_shocks_that_all_series_share_are_not_learnt_by_heart(monkeypatch):
    panel = shared_shocks()
    rehearsed = replace(LEARNERS[0]).fit(panel, roles_of(panel), TASK, NEVER)
    monkeypatch.setattr(boosting, "rehearsal", lambda *_: None)
    by_heart = replace(LEARNERS[0]).fit(panel, roles_of(panel), TASK, NEVER)
    assert rehearsed.stopped_["rounds"] < by_heart.stopped_["rounds"] / 2
    width = [(learner.table_[:, -1] - learner.table_[:, 0]).mean() for learner in (rehearsed, by_heart)]
    assert width[0] > 2 * width[1]  # held-out series tell nothing about the errors of tomorrow


@both_learners
def test_the_forecast_is_trained_on_all_rows_after_the_rehearsal(learner, grown):
    panel = shared_shocks()
    replace(learner).fit(panel, roles_of(panel), TASK, NEVER)
    assert len(grown) == 2
    assert grown[0] < grown[1]


@both_learners
def test_a_refit_takes_over_the_spread_and_grows_one_booster(learner, grown):
    panel = shared_shocks()
    member = replace(learner).fit(panel, roles_of(panel), TASK, NEVER)
    recipe = recipe_for_refit(member)
    assert build(json.loads(json.dumps(describe(recipe)))) == recipe
    grown.clear()
    again = recipe.fit(panel, roles_of(panel, with_stop=False), TASK, NEVER)
    assert len(grown) == 1
    assert np.array_equal(again.table_, member.table_)
    assert again.stopped_ == {}


@both_learners
def test_without_a_spread_a_twin_measures_it(learner, grown):
    panel = shared_shocks()
    member = replace(learner).fit(panel, roles_of(panel, with_stop=False), TASK, NEVER)
    assert len(grown) == 2
    assert grown[1] < grown[0]
    assert (member.table_[:, -1] > member.table_[:, 0]).all()


@both_learners
def test_the_spread_of_another_task_is_refused(learner):
    panel = shared_shocks()
    with pytest.raises(BadInput, match=r"row for each of 4 steps ahead.*got shape \(1, 2\)"):
        replace(learner, spread=((0.0, 1.0),)).fit(panel, roles_of(panel), TASK, NEVER)


@pytest.mark.parametrize("kind", ["quantiles", "direction"])
def test_objectives_that_need_no_spread_grow_one_booster_in_a_refit(kind, grown):
    panel, task = toys.seasonal_panel(), Task(horizon=3, season_length=7, kind=kind)
    learner = Xgboost(rounds=5, depth=2, objective="quantile" if kind == "quantiles" else "absolute")
    member = learner.fit(panel, roles_of(panel, task, with_stop=False), task, NEVER)
    assert len(grown) == 1
    assert member.stopped_ == {}


@both_learners
def test_a_given_spread_is_laid_around_the_median(learner):
    panel = shared_shocks()
    task = replace(TASK, quantiles=(0.1, 0.5, 0.9))
    spread = tuple((-1.0 - h, 0.0, 2.0 + h) for h in range(4))
    member = replace(learner, spread=spread).fit(panel, roles_of(panel, task, with_stop=False), task, NEVER)
    forecast = member.predict(panel, Origins.ends(panel), NEVER)
    below, above = forecast[:, :, 1] - forecast[:, :, 0], forecast[:, :, 2] - forecast[:, :, 1]
    unit_N = below[:, 0]
    np.testing.assert_allclose(apply_table(forecast[:, :, 1], unit_N, np.array(spread)), forecast)
    assert (above > below).all()


def test_a_deadline_cuts_the_rehearsal_and_says_so():
    panel = shared_shocks()
    cut = replace(LEARNERS[0]).fit(panel, roles_of(panel), TASK, Deadline.after(-1))
    assert cut.truncated_
    assert np.isfinite(cut.predict(panel, Origins.ends(panel), NEVER)).all()


@pytest.mark.parametrize("roles_without_targets", ["stop", "newest"])
def test_roles_without_targets_change_the_way_of_stopping_but_serve(roles_without_targets):
    panel = shared_shocks()
    y = panel.y.copy().reshape(panel.n_series, -1)
    roles = roles_of(panel)
    y[roles.stop.series if roles_without_targets == "stop" else slice(None), -12:] = np.nan
    masked = replace(panel, y=y.ravel())
    member = replace(LEARNERS[0]).fit(masked, Roles(roles.fit, roles.stop), TASK, NEVER)
    assert np.isfinite(member.predict(masked, Origins.ends(masked), NEVER)).all()
