"""What a member needs, on data where that is known."""

import numpy as np
import pandas as pd
import pytest
import xgboost

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.errors import BadInput
from ensemble_forecast.findings.drivers import drivers, shuffled
from ensemble_forecast.findings.scored import scored
from ensemble_forecast.learners.linear.ridge import Ridge
from ensemble_forecast.learners.trees.boosting import mean_contributions
from ensemble_forecast.overview import leaderboard
from ensemble_forecast.pipeline import check
from ensemble_forecast.study import FRAME, open_study, silent
from ensemble_forecast.workflow import run_search

TRIALS = (
    {"family": "naive", "params": {}},
    {"family": "xgboost", "params": {"rounds": 60, "depth": 3, "base": "last"}},
    {"family": "transformed", "params": {"transform": "asinh", "member": {"family": "xgboost", "params": {"rounds": 10, "depth": 3}}}},
    {"family": "ridge", "params": {"context": 10}},
)


def told_ahead(n=400, noise_from=None):
    """A series whose next change a covariate knows, a covariate that knows nothing; on request noise in place of the newest rows."""
    rng = np.random.default_rng(0)
    signal, chance = rng.normal(size=n), rng.normal(size=n)
    y = 100 + np.cumsum(np.concatenate([[0.0], signal[:-1]]) + 0.1 * rng.normal(size=n))
    frame = pd.DataFrame({"y": y, "signal": signal, "chance": chance}, index=pd.date_range("2024-01-01", periods=n, name="ds"))
    if noise_from is not None:
        frame.iloc[noise_from:] = 100 + 50 * np.random.default_rng(1).normal(size=(n - noise_from, 3))
    return frame


def searched(folder, **changed):
    asked = {"source": FRAME, "target": "y", "freq": "D", "horizon": 1, "season": 1}
    settings = asked | {"features": (), "test": 0.2, "budget": "10m", "trials": TRIALS}
    study = open_study("known", folder, check(settings, "test"), frame=told_ahead(**changed), log=silent)
    run_search(study, workers=1)
    return study


@pytest.fixture(autouse=True, scope="module")
def a_machine_may_be_slow():
    """What is measured hangs on seconds: here there are enough of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ensemble_forecast.findings.drivers.LIMIT_S", 1e6)
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return searched(tmp_path_factory.mktemp("known"))


@pytest.fixture(scope="module")
def told(study):
    return drivers(study, [row["id"] for row in leaderboard(study.folder)])


def test_a_member_is_fitted_again_just_as_the_search_did(study, told):
    report = study.folder.candidate(told["permutation"]["id"]).report
    assert told["permutation"]["loss"] == pytest.approx(report["windows"][-1], rel=1e-5)


def test_what_tells_the_future_matters_and_chance_does_not(told):
    rows = {row["name"]: row for row in told["permutation"]["rows"]}
    assert [row["name"] for row in told["permutation"]["rows"]] == ["signal", "chance"]
    assert rows["signal"]["share"] > 1
    assert abs(rows["chance"]["share"]) < 0.1
    assert told["permutation"]["left"] == 0


def test_the_trees_say_the_same(told):
    names = [row["name"] for row in told["contributions"]["rows"]]
    assert told["contributions"]["id"].startswith("xgboost")
    assert names[0] == "signal_z"
    values = [row["value"] for row in told["contributions"]["rows"]]
    assert values == sorted(values, reverse=True)


def test_wrapped_trees_are_asked_too(study):
    told = drivers(study, ["transformed-0001"])["contributions"]
    assert told["id"] == "transformed-0001"
    assert told["rows"]


def test_where_there_is_nothing_to_measure_it_says_so(study):
    told = drivers(study, ["naive-0001"])
    assert "no member reads covariates" in told["permutation"]["reason"]
    assert "no member has boosted trees" in told["contributions"]["reason"]


def test_when_the_time_is_over_the_rest_is_counted(study, monkeypatch):
    monkeypatch.setattr("ensemble_forecast.findings.drivers.LIMIT_S", 1e-9)
    monkeypatch.setattr("ensemble_forecast.findings.drivers._quick", lambda _: True)
    told = drivers(study, ["ridge-0001"])["permutation"]
    assert (told["rows"], told["left"]) == ([], 2)


def test_a_member_that_cannot_be_fitted_again_is_named_with_the_reason(study, monkeypatch):
    def gone(*_):
        raise BadInput("the weights that it started from are gone")

    monkeypatch.setattr(Ridge, "fit", gone)
    told = drivers(study, ["ridge-0001", "xgboost-0001"])
    assert told["permutation"] == {"reason": "ridge-0001 could not be fitted again: the weights that it started from are gone"}
    assert told["contributions"]["id"] == "xgboost-0001"


def test_a_shuffle_moves_one_covariate_in_blocks_within_each_series():
    panel = Panel.of([np.arange(20.0), np.arange(7.0)], past=[np.stack([np.arange(20.0), -np.arange(20.0)], 1), np.stack([np.arange(7.0)] * 2, 1)])
    moved = shuffled(panel, "past", 1, Task(horizon=2), 0)
    np.testing.assert_array_equal(moved.past[:, 0], panel.past[:, 0])
    np.testing.assert_array_equal(moved.y, panel.y)
    assert (moved.past[:, 1] != panel.past[:, 1]).any()
    for first, last in ((0, 20), (20, 27)):
        np.testing.assert_array_equal(np.sort(moved.past[first:last, 1]), np.sort(panel.past[first:last, 1]))
    steps = np.abs(np.diff(moved.past[:20, 1]))
    assert (steps == 1).sum() >= 15, "blocks of four keep their inner order"
    assert (shuffled(panel, "past", 1, Task(horizon=2), 1).past != moved.past).any()


def test_contributions_are_shapley_values_of_a_stump():
    """With one split on one column, its contribution is the leaf less the mean of the leaves, and that of any other column zero."""
    rng = np.random.default_rng(0)
    x_RF = rng.normal(size=(500, 2)).astype(np.float32)
    target_R = np.where(x_RF[:, 0] > 0.5, 3.0, -1.0)
    params = {"max_depth": 1, "eta": 1.0, "reg_lambda": 0.0, "base_score": 0.0, "nthread": 1}
    booster = xgboost.train(params, xgboost.DMatrix(x_RF, target_R, nthread=1), 1)
    leaf_R = booster.inplace_predict(x_RF)
    np.testing.assert_allclose(mean_contributions(booster, x_RF), [np.abs(leaf_R - leaf_R.mean()).mean(), 0], rtol=1e-4)


def test_noise_in_the_locked_rows_changes_nothing_that_is_told(study, told, tmp_path):
    other = searched(tmp_path, noise_from=int(study.plan.judged_S[0]) + 1)
    assert other.plan.test.step.tolist() == study.plan.test.step.tolist()
    assert scored(other, None) == scored(study, None)
    assert drivers(other, [row["id"] for row in leaderboard(other.folder)]) == told
