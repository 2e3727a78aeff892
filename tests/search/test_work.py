"""What learners say about the work they are and the memory they take: the search predicts costs from ratios, and begins nothing too large."""

import math
from dataclasses import replace

import pytest
from smoke import smoke

from ensemble_forecast.data.task import Task
from ensemble_forecast.learners.base import Size, build
from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.registry import WRAPPERS, families

LONG = Size(n_series=300, n_fit=200_000, n_scored=300, length=900)
SHORT = Size(n_series=200, n_fit=3000, n_scored=200, length=40)
TASK = Task(horizon=12, season_length=12)


def work(family, size=LONG, task=TASK, **params):
    return build({"family": family, "params": params}).work(size, task)


def memory(family, size=SHORT, **params):
    return build({"family": family, "params": params}).memory(size, TASK)


@pytest.mark.parametrize("name", [*families(), *WRAPPERS])
@pytest.mark.parametrize("size", [LONG, SHORT, Size(n_series=1, n_fit=1, n_scored=1, length=1)], ids=["long", "short", "tiny"])
@pytest.mark.parametrize("kind", ["quantiles", "direction"])
def test_work_is_positive_and_the_same_each_time(name, size, kind):
    learner, task = smoke(name), replace(TASK, kind=kind)
    first = learner.work(size, task)
    assert 0 < first < math.inf
    assert learner.work(size, task) == first


@pytest.mark.parametrize("name", [*families(), *WRAPPERS])
@pytest.mark.parametrize("kind", ["quantiles", "direction"])
def test_every_net_forecasts_what_memory_it_takes(name, kind):
    learner, task = smoke(name), replace(TASK, kind=kind)
    taken = learner.memory(SHORT, task)
    assert 0 <= taken < math.inf
    assert taken > 0 or not isinstance(learner, NetLearner)


def test_wrappers_take_what_they_hold_and_show_it():
    mlp, wide = {"family": "mlp", "params": {"width": 64}}, {"family": "mlp", "params": {"width": 512}}
    size = replace(SHORT, n_past=40)
    assert memory("bagged", member=mlp, copies=8) == memory("mlp", width=64)
    assert memory("boosted", stages=[mlp, wide, mlp]) == memory("mlp", width=512)
    assert memory("selected", size, member=mlp, most=3) == memory("mlp", replace(size, n_past=3), width=64)
    encoder = {"family": "autoencoder", "params": {"codes": 30}}
    assert memory("encoded", member=wide, encoder=encoder) == memory("mlp", replace(SHORT, n_past=30), width=512)


@pytest.mark.parametrize(
    ("family", "less", "more"),
    [
        ("xgboost", {"rounds": 100}, {"rounds": 1000}),
        ("xgboost", {"depth": 2}, {"depth": 9}),
        ("xgboost", {"objective": "absolute"}, {"objective": "quantile"}),
        ("random_forest", {"max_features": 0.2}, {"max_features": 0.9}),
        ("extra_trees", {"trees": 50}, {"trees": 300}),
        ("hist_gradient_boosting", {"rounds": 50}, {"rounds": 500}),
        ("adaboost", {"trees": 20}, {"trees": 100}),
        ("mlp", {"steps": 300}, {"steps": 4000}),
        ("mlp", {"width": 64}, {"width": 256}),
        ("lstm", {"patch": 12}, {"patch": 1}),
        ("lstm", {"layers": 1}, {"layers": 3}),
        ("ridge", {"context": 12}, {"context": 168}),
        ("ets", {"model": "ses"}, {"model": "damped"}),
        ("ets", {"model": "holt_winters"}, {"model": "mean"}),
    ],
)
def test_what_takes_longer_says_so(family, less, more):
    assert work(family, **less) < work(family, **more)


def test_steps_of_a_net_and_rounds_of_trees_count_in_proportion():
    assert work("mlp", steps=2000) - work("mlp", steps=1000) == pytest.approx(work("mlp", steps=3000) - work("mlp", steps=2000))
    assert work("xgboost", rounds=200) - work("xgboost", rounds=100) == pytest.approx(work("xgboost", rounds=300) - work("xgboost", rounds=200))


def test_without_a_season_the_mean_of_two_models_is_one():
    assert work("ets", model="mean", task=replace(TASK, season_length=1)) == work("ets", model="damped", task=replace(TASK, season_length=1))


def test_rows_beyond_the_most_that_are_sampled_cost_nothing():
    assert work("xgboost", size=replace(LONG, n_fit=1_000_000)) == work("xgboost")


def test_wrappers_add_up_what_they_hold():
    ridge = {"family": "ridge", "params": {}}
    assert work("bagged", member=ridge, copies=8) == pytest.approx(8 * work("ridge"))
    assert work("transformed", member=ridge, transform="log") > work("ridge")


def test_a_chain_counts_the_forecasts_of_every_training_origin():
    """A statistical learner computes each of them from its whole history: on long series that is the larger part by far."""
    chain = [{"family": "ets", "params": {}}, {"family": "xgboost", "params": {"rounds": 10}}]
    assert work("boosted", stages=chain) > 20 * (work("ets") + work("xgboost", rounds=10))
