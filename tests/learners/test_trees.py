"""Trees: flattened forests against scikit-learn, and what every tree learner promises."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import toys
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from ensemble_forecast.data.origins import Origins, truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, TooShort
from ensemble_forecast.learners.base import recipe_for_refit
from ensemble_forecast.learners.trees.direct import Xgboost, interpolation, native_levels
from ensemble_forecast.learners.trees.forests import ExtraTrees, Forest, RandomForest
from ensemble_forecast.learners.trees.leaves import average, flatten, leaf_quantiles, leaves_of
from ensemble_forecast.learners.trees.rows import hold_out
from ensemble_forecast.metrics import coverage, log_loss, mase
from ensemble_forecast.windows import Roles, roles_until

NEVER = Deadline.never()
LEARNERS = [
    Xgboost(rounds=40, depth=4),
    Xgboost(rounds=40, depth=4, objective="quantile"),
    ExtraTrees(trees=20, rows=4000),
    RandomForest(trees=20, rows=4000),
]
ids = ["absolute", "quantile", "extra_trees", "random_forest"]


seasonal_panel = partial(toys.seasonal_panel, n_series=4)
random_walk = partial(toys.random_walk, length=800)


def fitted(learner, panel, task, cutoff=None, **kwargs):
    cutoff_S = panel.ends_S if cutoff is None else np.full(panel.n_series, cutoff)
    cut = panel.cut(cutoff_S)
    return replace(learner).fit(cut, roles_until(cut, task, cutoff_S, 10, **kwargs), task, NEVER)


@pytest.mark.parametrize("grower", [RandomForestRegressor, ExtraTreesRegressor])
def test_flattened_trees_send_every_row_to_scikit_learns_leaf(grower):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 6)).astype(np.float32).round(1)  # many ties with thresholds
    y = x[:, 0] * x[:, 1] + rng.normal(size=500)
    forest = grower(n_estimators=7, min_samples_leaf=3, random_state=0).fit(x, y)
    nodes = flatten(forest.estimators_)
    leaf_RT, expected = leaves_of(nodes, x), forest.apply(x)
    for tree in range(7):  # the numbering differs, the partition does not
        pairs = np.unique(np.stack([leaf_RT[:, tree], expected[:, tree]]), axis=1)
        assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
    means = np.bincount(leaf_RT.ravel(), np.repeat(y, 7)) / np.bincount(leaf_RT.ravel())
    if grower is ExtraTreesRegressor:  # no bootstrap: a leaf predicts the mean of its rows
        np.testing.assert_allclose(average(means[:, None], leaf_RT)[:, 0], forest.predict(x))


def test_a_threshold_decides_exactly_as_in_double_precision():
    x = np.array([[0.1], [0.2], [np.nextafter(np.float32(0.2), np.float32(1))]], dtype=np.float32)
    forest = ExtraTreesRegressor(n_estimators=50, random_state=1).fit(x, np.arange(3.0))
    leaf_RT = leaves_of(flatten(forest.estimators_), x)
    same = forest.apply(x)
    assert np.array_equal(leaf_RT[1] == leaf_RT[2], same[1] == same[2])


def test_leaf_quantiles_equal_numpys_at_weibull_positions():
    rng = np.random.default_rng(1)
    leaf, target, levels = rng.integers(0, 5, size=100), rng.normal(size=100), (0.1, 0.5, 0.8)
    leaf[:5] = np.arange(5)
    table = leaf_quantiles(leaf, target, 5, levels)
    for k in range(5):
        np.testing.assert_allclose(table[k], np.quantile(target[leaf == k], levels, method="weibull"))


def test_the_interpolated_levels_keep_what_was_trained():
    levels = tuple(np.arange(1, 10) / 10)
    native = native_levels(levels)
    assert native == [0.1, 0.3, 0.5, 0.7, 0.9]
    weights = interpolation(native, levels)
    np.testing.assert_allclose(weights[:, [0, 2, 4, 6, 8]], np.eye(5), atol=1e-12)
    np.testing.assert_allclose(weights.sum(axis=0), 1.0)
    assert native_levels((0.5,)) == [0.5]


@pytest.mark.parametrize("learner", LEARNERS, ids=ids)
def test_trees_beat_the_seasonal_naive_on_noisy_seasons_and_cover_the_truth(learner):
    task, panel = Task(horizon=7, season_length=7), seasonal_panel(n_series=8)
    origins = Origins.between(np.full(8, 120), np.full(8, 142))
    forecast = fitted(learner, panel, task, cutoff=120).predict(panel, origins, NEVER)
    assert forecast.shape == (len(origins), 7, 9)
    assert (np.diff(forecast, axis=2) >= 0).all()
    outcome, ones = truth(panel, origins, 7), np.ones(len(origins))
    naive = np.stack([panel.y[row - 6 : row + 1] for row in origins.rows(panel)])
    assert mase(outcome, forecast, ones, task.quantiles) < 0.9 * mase(outcome, naive[..., None].repeat(9, axis=2), ones, task.quantiles)
    assert 0.65 < coverage(outcome, forecast) < 0.92


@pytest.mark.parametrize("learner", LEARNERS, ids=ids)
def test_an_informative_past_covariate_is_used(learner):
    task, (told, untold) = Task(horizon=1), random_walk(3)
    origins = Origins.between(np.array([600]), np.array([798]))
    scores = []
    for panel in (told, untold):
        forecast = fitted(learner, panel, task, cutoff=600).predict(panel, origins, NEVER)
        scores.append(mase(truth(panel, origins, 1), forecast, np.ones(199), task.quantiles))
    assert scores[0] < 0.75 * scores[1]


@pytest.mark.parametrize("learner", LEARNERS, ids=ids)
def test_a_base_that_is_exactly_right_is_left_alone(learner):
    task, panel = Task(horizon=7, season_length=7), seasonal_panel()
    roles = roles_until(panel, task, panel.ends_S, 10)
    with_base = [replace(origins, base_NH=truth(panel, origins, 7)) for origins in (roles.fit, roles.stop)]
    forecast = replace(learner).fit(panel, Roles(*with_base), task, NEVER).predict(panel, with_base[1], NEVER)
    np.testing.assert_allclose(forecast, with_base[1].base_NH[..., None].repeat(9, axis=2), atol=1e-4)


@pytest.mark.parametrize("learner", LEARNERS, ids=ids)
def test_a_forecast_depends_neither_on_the_future_nor_on_the_other_origins(learner):
    task, panel = Task(horizon=7, season_length=7), seasonal_panel()
    member = fitted(learner, panel, task, cutoff=100)
    origins = Origins.between(np.full(4, 1), np.full(4, 120))
    whole = member.predict(panel, origins, NEVER)
    assert np.isnan(whole[origins.step < 2]).all()
    assert np.isfinite(whole[origins.step >= 2]).all()
    for n in (5, 200):
        alone = origins.take(np.array([n]))
        cutoff_S = np.full(4, int(alone.step[0]))
        assert np.array_equal(member.predict(panel.cut(cutoff_S), alone, NEVER)[0], whole[n])


@pytest.mark.parametrize("learner", LEARNERS, ids=ids)
def test_the_same_seed_gives_the_same_forecast_and_another_seed_another(learner):
    task, panel = Task(horizon=7, season_length=7), seasonal_panel()
    first, second, other = (fitted(learner, panel, replace(task, seed=seed)).predict(panel, Origins.ends(panel), NEVER) for seed in (0, 0, 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("learner", LEARNERS[1:], ids=ids[1:])
def test_direction_finds_a_signal_and_is_modest_without(learner):
    task, (told, untold) = Task(horizon=1, kind="direction"), random_walk(6)
    origins = Origins.between(np.array([600]), np.array([798]))
    rises = (truth(told, origins, 1)[:, 0] > told.y[origins.step]).astype(float)[:, None]
    losses = []
    for panel in (told, untold):
        forecast = fitted(learner, panel, task, cutoff=600).predict(panel, origins, NEVER)
        np.testing.assert_allclose(forecast.sum(axis=2), 1.0)
        losses.append(log_loss(rises, forecast, np.ones(199), ()))
    assert losses[0] < 0.55
    assert losses[1] < 0.72  # a coin has 0.693


def test_early_stopping_ends_soon_on_noise_and_the_refit_repeats_its_length():
    _, walk = random_walk(7)
    member = fitted(Xgboost(rounds=150, depth=3), walk, Task(horizon=3))
    assert member.stopped_["rounds"] < 100
    again = fitted(recipe_for_refit(member), walk, Task(horizon=3), with_stop=False)
    again.predict(walk, Origins.ends(walk), NEVER)
    assert again._booster.num_boosted_rounds() == member.stopped_["rounds"]
    assert again.stopped_ == {}


def test_the_booster_is_rebuilt_from_its_bytes():
    panel, task = seasonal_panel(), Task(horizon=7, season_length=7)
    member = fitted(LEARNERS[0], panel, task)
    before = member.predict(panel, Origins.ends(panel), NEVER)
    member._booster = None
    assert member.booster_.dtype == np.uint8
    assert np.array_equal(member.predict(panel, Origins.ends(panel), NEVER), before)


@pytest.mark.parametrize("learner", LEARNERS, ids=ids)
def test_a_deadline_truncates_and_says_so(learner):
    panel, task = seasonal_panel(), Task(horizon=7, season_length=7)
    roles = roles_until(panel, task, panel.ends_S, 10)
    assert not replace(learner).fit(panel, roles, task, NEVER).truncated_
    cut = replace(learner).fit(panel, roles, task, Deadline.after(-1))
    assert cut.truncated_
    assert np.isfinite(cut.predict(panel, Origins.ends(panel), NEVER)).all()


@pytest.mark.parametrize("learner", [Xgboost(rounds=5), ExtraTrees(trees=3)])
def test_series_without_a_target_are_too_short(learner):
    panel = Panel.of([np.arange(4.0)])
    with pytest.raises(TooShort, match="3 steps of history"):
        learner.fit(panel, Roles(Origins(np.array([0]), np.array([3]))), Task(horizon=7), NEVER)


@pytest.mark.parametrize("learner", LEARNERS, ids=ids)
def test_constant_and_very_short_series_are_served(learner):
    panel = Panel.of([np.zeros(12), np.full(9, 5.0), np.arange(8.0)])
    member = fitted(learner, panel, Task(horizon=2))
    assert np.isfinite(member.predict(panel, Origins.ends(panel), NEVER)).all()


def test_held_out_origins_share_no_target_with_the_others():
    origins = Origins.between(np.array([5, 5]), np.array([99, 99]))
    earlier, later = hold_out(origins, Task(horizon=7))
    assert earlier.step.max() + 7 <= later.step.min()
    many = Origins.between(np.full(80, 5), np.full(80, 20))
    own, others = hold_out(many, Task(horizon=7))
    assert not set(own.series) & set(others.series)


@pytest.mark.parametrize("build", [lambda: Xgboost(base="mean"), lambda: Xgboost(objective="squared"), lambda: RandomForest(base="mean")])
def test_an_unknown_choice_is_refused(build):
    with pytest.raises(BadInput, match="must be one of"):
        build()


def test_a_large_forest_stays_small():
    panel, task = seasonal_panel(n_series=60, length=120), Task(horizon=7, season_length=7)
    member = fitted(ExtraTrees(trees=40, min_leaf=1, rows=12_000), panel, task)
    assert isinstance(member, Forest)
    assert sum(array.nbytes for array in member.nodes_.values()) + member.leaves_.nbytes < 20e6


@pytest.mark.parametrize("learner", LEARNERS, ids=ids)
@pytest.mark.parametrize("kind", ["quantiles", "direction"])
def test_a_stop_role_without_targets_is_no_stop_role(learner, kind):
    panel, task = seasonal_panel(), Task(horizon=7, season_length=7, kind=kind)
    roles = roles_until(panel, task, panel.ends_S, 10)
    member = replace(learner).fit(panel, Roles(roles.fit, Origins.ends(panel)), task, NEVER)
    assert member.stopped_.get("rounds") is None
    assert np.isfinite(member.predict(panel, Origins.ends(panel), NEVER)).all()
