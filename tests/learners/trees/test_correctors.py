"""scikit-learn estimators as forecasters: what all of them promise, and each alone."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import toys
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler

from ensemble_forecast import persist
from ensemble_forecast.data.origins import Origins, truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.base import Size, build, describe, recipe_for_refit
from ensemble_forecast.learners.transformed import Transformed
from ensemble_forecast.learners.trees.adapter import ScikitLearn
from ensemble_forecast.learners.trees.adaptive import AdaBoost
from ensemble_forecast.learners.trees.elastic import ElasticNet
from ensemble_forecast.learners.trees.histograms import HistGradientBoosting
from ensemble_forecast.learners.trees.preparation import LARGEST, Bins, Preparation
from ensemble_forecast.metrics import coverage, log_loss, mase
from ensemble_forecast.windows import Roles, roles_until

NEVER = Deadline.never()
KERNEL = {
    "steps": [
        ["kernel", {"estimator": "sklearn.kernel_approximation:Nystroem", "params": {"n_components": 60, "gamma": 0.01}}],
        ["ridge", {"estimator": "sklearn.linear_model:Ridge", "params": {}}],
    ]
}
LEARNERS = {
    "hist_gradient_boosting": HistGradientBoosting(rounds=40, leaves=8, rows=3000),
    "adaboost": AdaBoost(trees=10, depth=5, rows=4000),
    "elastic_net": ElasticNet(rows=4000),
    "neighbours": ScikitLearn(params={"n_neighbors": 40}, rows=4000),
    "linear": ScikitLearn(estimator="sklearn.linear_model:BayesianRidge", rows=4000),
    "net": ScikitLearn(estimator="sklearn.neural_network:MLPRegressor", params={"hidden_layer_sizes": [8], "max_iter": 20}, rows=2000),
    "kernel": ScikitLearn(estimator="sklearn.pipeline:Pipeline", params=KERNEL, rows=2000),
    "trees": ScikitLearn(estimator="sklearn.ensemble:BaggingRegressor", params={"max_samples": 0.3}, rows=2000),
}
CLASSIFIERS = {
    "hist_gradient_boosting": LEARNERS["hist_gradient_boosting"],
    "adaboost": AdaBoost(trees=20, depth=2, rows=4000),
    "elastic_net": LEARNERS["elastic_net"],
    "logistic": ScikitLearn(estimator="sklearn.linear_model:LogisticRegression", params={"C": 0.1}, rows=4000),
    "sure of itself": ScikitLearn(estimator="sklearn.neighbors:KNeighborsClassifier", params={"n_neighbors": 3}, rows=4000),
    "linear probability": ScikitLearn(estimator="sklearn.linear_model:Ridge", rows=4000),
}
every_learner = pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
every_classifier = pytest.mark.parametrize("learner", CLASSIFIERS.values(), ids=CLASSIFIERS)
seasonal_panel = partial(toys.seasonal_panel, n_series=4)
WEEKLY = Task(horizon=7, season_length=7)


def fitted(learner, panel, task, cutoff=None, deadline=NEVER, **options):
    cutoff_S = panel.ends_S if cutoff is None else np.full(panel.n_series, cutoff)
    cut = panel.cut(cutoff_S)
    return replace(learner).fit(cut, roles_until(cut, task, cutoff_S, 10, **options), task, deadline)


@every_learner
def test_it_beats_the_seasonal_naive_on_noisy_seasons_and_covers_the_truth(learner):
    panel = seasonal_panel(n_series=8)
    origins = Origins.between(np.full(8, 120), np.full(8, 142))
    forecast = fitted(learner, panel, WEEKLY, cutoff=120).predict(panel, origins, NEVER)
    outcome, ones = truth(panel, origins, 7), np.ones(len(origins))
    naive = np.stack([panel.y[row - 6 : row + 1] for row in origins.rows(panel)])
    assert mase(outcome, forecast, ones, WEEKLY.quantiles) < 0.93 * mase(outcome, naive[..., None].repeat(9, axis=2), ones, WEEKLY.quantiles)
    assert 0.65 < coverage(outcome, forecast) < 0.92


@every_learner
def test_a_forecast_does_not_depend_by_one_bit_on_the_other_origins(learner):
    panel = seasonal_panel()
    member = fitted(learner, panel, WEEKLY, cutoff=100)
    origins = Origins.between(np.full(4, 2), np.full(4, 140))
    whole = member.predict(panel, origins, NEVER)
    for n in (0, 5, 200, 399):
        alone = origins.take(np.array([n]))
        assert np.array_equal(member.predict(panel.cut(np.full(4, int(alone.step[0]))), alone, NEVER)[0], whole[n])


@every_learner
def test_a_past_covariate_is_used_where_it_tells(learner):
    (told, untold), origins = toys.random_walk(3, length=800), Origins.between(np.array([600]), np.array([798]))
    scores = []
    for panel in (told, untold):
        forecast = fitted(learner, panel, Task(horizon=1), cutoff=600).predict(panel, origins, NEVER)
        scores.append(mase(truth(panel, origins, 1), forecast, np.ones(199), Task(horizon=1).quantiles))
    assert scores[0] < 0.9 * scores[1]


@every_classifier
def test_direction_finds_a_signal_and_is_modest_without(learner):
    task, (told, untold) = Task(horizon=1, kind="direction"), toys.random_walk(6, length=800)
    origins = Origins.between(np.array([600]), np.array([798]))
    rises = (truth(told, origins, 1)[:, 0] > told.y[origins.step]).astype(float)[:, None]
    losses = []
    for panel in (told, untold):
        forecast = fitted(learner, panel, task, cutoff=600).predict(panel, origins, NEVER)
        np.testing.assert_allclose(forecast.sum(axis=2), 1.0)
        losses.append(log_loss(rises, forecast, np.ones(199), ()))
    assert losses[0] < 0.6
    assert losses[1] < 0.72  # a coin has 0.693


@every_classifier
def test_labels_that_are_all_the_same_are_learnt(learner):
    panel, task = Panel.of([np.arange(80.0)]), Task(horizon=2, kind="direction")
    forecast = fitted(learner, panel, task).predict(panel, Origins.ends(panel), NEVER)
    assert (forecast[..., 1] > 0.9).all()


@pytest.mark.parametrize("name", ["hist_gradient_boosting", "adaboost", "elastic_net", "neighbours"])
def test_constant_very_short_and_gappy_series_are_served(name):
    gappy = np.arange(40.0)
    gappy[[3, 9, 10, 22]] = np.nan
    panel = Panel.of([np.zeros(12), np.full(9, 5.0), np.arange(8.0), gappy])
    member = fitted(LEARNERS[name], panel, Task(horizon=2))
    assert np.isfinite(member.predict(panel, Origins.ends(panel), NEVER)).all()


@pytest.mark.parametrize("name", ["hist_gradient_boosting", "adaboost", "neighbours"])
@pytest.mark.parametrize("kind", ["quantiles", "direction"])
def test_a_deadline_truncates_and_says_so(name, kind):
    panel, task = seasonal_panel(), replace(WEEKLY, kind=kind)
    assert not fitted(LEARNERS[name], panel, task).truncated_
    cut = fitted(LEARNERS[name], panel, task, deadline=Deadline.after(-1))
    assert cut.truncated_
    assert np.isfinite(cut.predict(panel, Origins.ends(panel), NEVER)).all()


@pytest.mark.parametrize("name", ["hist_gradient_boosting", "adaboost", "elastic_net"])
def test_the_refit_takes_over_what_the_stop_role_chose(name):
    panel = seasonal_panel()
    member = fitted(LEARNERS[name], panel, WEEKLY)
    (field,) = member.stopped_
    again = fitted(recipe_for_refit(member), panel, WEEKLY, with_stop=False)
    assert getattr(again, field) == member.stopped_[field]
    assert again.stopped_ == {}


def test_boosting_ends_at_the_round_that_was_best_on_the_stop_role():
    _, walk = toys.random_walk(7)
    member = fitted(HistGradientBoosting(rounds=120, leaves=8), walk, Task(horizon=3))
    rounds = member.stopped_["rounds"]
    assert rounds < 100
    rng = np.random.default_rng(0)
    trees = member._estimators[0].named_steps["trees"]
    x_RF = rng.integers(0, 60, (50, trees.n_features_in_)).astype(float)
    *_, last = trees.staged_predict(x_RF)
    assert np.array_equal(last, trees.predict(x_RF))
    assert len(list(trees.staged_predict(x_RF))) == rounds


def test_boosting_in_stretches_equals_boosting_in_one_go():
    rng = np.random.default_rng(1)
    x_RF, target_R = rng.normal(size=(300, 3)).round(1), rng.normal(size=300)
    options = {"loss": "absolute_error", "early_stopping": False, "random_state": 0}
    whole = HistGradientBoostingRegressor(max_iter=40, **options).fit(x_RF, target_R)
    stretched = HistGradientBoostingRegressor(max_iter=16, warm_start=True, **options).fit(x_RF, target_R)
    stretched.set_params(max_iter=40).fit(x_RF, target_R)
    np.testing.assert_allclose(stretched.predict(x_RF), whole.predict(x_RF), atol=1e-9)


def test_preparation_equals_scikit_learns_imputer_and_scaler_where_nothing_is_clipped():
    rng = np.random.default_rng(2)
    x_RF = rng.normal(3, 2, size=(200, 3)).clip(-4, 10)
    x_RF[rng.random(x_RF.shape) < 0.1] = np.nan
    expected = StandardScaler().fit_transform(SimpleImputer(strategy="median").fit_transform(x_RF))
    assert np.abs(expected).max() < LARGEST
    np.testing.assert_allclose(Preparation().fit(x_RF).transform(x_RF), expected)


def test_preparation_bounds_what_it_never_saw_and_fills_a_column_without_values():
    x_RF = np.array([[1.0, np.nan, 4.0], [2.0, np.nan, 4.0], [3.0, np.nan, 4.0]])
    made = Preparation().fit(x_RF).transform(np.array([[1e9, 7.0, np.inf], [-1e9, np.nan, 4.0]]))
    assert made[:, 0].tolist() == [LARGEST, -LARGEST]
    assert np.isfinite(made).all()
    assert made[1, 1:].tolist() == [0.0, 0.0]


def test_bins_hold_equally_many_rows_as_scikit_learns_do():
    x_RF = np.random.default_rng(3).normal(size=(1000, 2)).astype(np.float32)
    made = Bins(8).fit(x_RF).transform(x_RF)
    assert np.unique(made).tolist() == list(range(8))
    expected = KBinsDiscretizer(8, encode="ordinal", quantile_method="averaged_inverted_cdf").fit_transform(x_RF)
    assert (made != expected).mean() < 0.01  # those that lie on an edge
    missing = x_RF.copy()
    missing[0, 0] = np.nan
    assert np.isnan(Bins(8).fit(missing).transform(missing)).sum() == 1


def test_params_are_plain_data_and_survive_a_config():
    learner = ScikitLearn(estimator="sklearn.pipeline:Pipeline", params=KERNEL)
    assert build(json.loads(json.dumps(describe(learner)))) == learner
    assert ScikitLearn(params={"metric_params": None, "sizes": (1, 2)}).params == {"metric_params": None, "sizes": [1, 2]}


def test_a_bad_recipe_is_refused_with_the_way_out():
    panel = seasonal_panel()
    with pytest.raises(BadInput, match="JSON"):
        ScikitLearn(params={"kernel": np.zeros(2)})
    with pytest.raises(BadInput, match=r"package\.module:Class"):
        ScikitLearn(estimator="sklearn.svm.SVR")
    for estimator, params, message in (
        ("sklearn.svm:SVRR", {}, "cannot be imported"),
        ("nosuchpackage.part:Thing", {}, "cannot be imported"),
        ("os:system", {"command": "true"}, "no scikit-learn estimator"),
        ("sklearn.svm:SVR", {"c": 1.0}, "it has .*'C'"),
        ("sklearn.neighbors:KNeighborsClassifier", {}, "name a regressor"),
    ):
        with pytest.raises(BadInput, match=message):
            fitted(ScikitLearn(estimator=estimator, params=params, rows=200), panel, WEEKLY)
    with pytest.raises(BadInput, match="CalibratedClassifierCV"):
        fitted(ScikitLearn(estimator="sklearn.svm:LinearSVC", rows=200), panel, replace(WEEKLY, kind="direction"))
    for wrong in (lambda: AdaBoost(loss="huber"), lambda: ElasticNet(l1_ratio=0.0), lambda: HistGradientBoosting(base="mean")):
        with pytest.raises(BadInput, match="must"):
            wrong()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_trees():
    panel = seasonal_panel()
    for name in ("hist_gradient_boosting", "adaboost", "net"):
        first, second, other = (fitted(LEARNERS[name], panel, replace(WEEKLY, seed=seed)).packed_.tobytes() for seed in (0, 0, 1))
        assert first == second
        assert first != other


def test_a_stop_role_without_targets_is_no_stop_role():
    panel = seasonal_panel()
    roles = roles_until(panel, WEEKLY, panel.ends_S, 10)
    for name in ("hist_gradient_boosting", "adaboost", "elastic_net"):
        member = replace(LEARNERS[name]).fit(panel, Roles(roles.fit, Origins.ends(panel)), WEEKLY, NEVER)
        assert member.stopped_ == {}
        assert np.isfinite(member.predict(panel, Origins.ends(panel), NEVER)).all()


def test_more_work_is_said_to_take_longer():
    size = Size(n_series=100, n_fit=5000, n_scored=100, length=60)
    for small, large in (
        (HistGradientBoosting(rounds=50), HistGradientBoosting(rounds=300)),
        (AdaBoost(trees=10), AdaBoost(trees=50)),
        (ElasticNet(rows=1000), ElasticNet(rows=20_000)),
    ):
        assert 0 < small.work(size, WEEKLY) < large.work(size, WEEKLY) < 60


def test_one_held_by_another_learner_survives_save_and_load(tmp_path):
    panel = seasonal_panel()
    wrapped = fitted(Transformed(transform="asinh", member=ElasticNet(rows=2000)), panel, WEEKLY)
    persist.save(tmp_path / "art", {"learner": wrapped}, {})
    again = persist.load(tmp_path / "art")[0]["learner"]
    ends = Origins.ends(panel)
    assert again.predict(panel, ends, NEVER).tobytes() == wrapped.predict(panel, ends, NEVER).tobytes()
