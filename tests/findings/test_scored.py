"""Curves of reliability and error against slow twins."""

import numpy as np
import pytest

from ensemble_forecast.data.origins import outcome
from ensemble_forecast.data.task import Task
from ensemble_forecast.ensemble.averages import Mean
from ensemble_forecast.ensemble.model import Ensemble
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.findings.run import effective_number
from ensemble_forecast.findings.scored import rehearsed, reliability, scored
from ensemble_forecast.findings.searched import costs, history
from ensemble_forecast.forecaster import load
from ensemble_forecast.metrics import cell_loss
from ensemble_forecast.study import reopen, silent


@pytest.fixture(scope="module")
def study(smoke_home):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(smoke_home)
        return reopen("smoke", (smoke_home / "runs"), log=silent)


@pytest.fixture(scope="module")
def ensemble(study) -> Ensemble:
    return load(study.folder.path / "ensemble").ensemble_


def test_reliability_counts_what_lies_below_each_level_and_within_each_interval():
    rng = np.random.default_rng(0)
    task = Task(horizon=2, quantiles=(0.1, 0.3, 0.5, 0.9))
    truth_NH, forecast_NHQ = rng.normal(size=(50, 2)), np.sort(rng.normal(size=(50, 2, 4)), axis=-1)
    truth_NH[3, 1] = np.nan
    told = reliability(truth_NH, forecast_NHQ, task, bets=25)
    cells = [(n, h) for n in range(50) for h in range(2) if (n, h) != (3, 1)]
    for q, row in enumerate(told["levels"]):
        assert row["promised"] == task.quantiles[q]
        assert row["seen"] == pytest.approx(np.mean([truth_NH[c] <= forecast_NHQ[c][q] for c in cells]))
        assert row["band"][0] < row["promised"] < row["band"][1]
    (inside,) = told["coverage"]
    assert inside["promised"] == pytest.approx(0.8)
    assert inside["seen"] == pytest.approx(np.mean([forecast_NHQ[c][0] <= truth_NH[c] <= forecast_NHQ[c][3] for c in cells]))


def test_reliability_of_probabilities_compares_bins_with_the_rate_in_them():
    rng = np.random.default_rng(1)
    up_NH = rng.uniform(size=(4000, 1))
    truth_NH = (rng.uniform(size=up_NH.shape) < up_NH).astype(float)
    told = reliability(truth_NH, np.stack([1 - up_NH, up_NH], axis=-1), Task(horizon=1, kind="direction"), bets=4000)
    assert len(told["levels"]) == 10
    assert "coverage" not in told
    for row in told["levels"]:
        assert abs(row["promised"] - row["seen"]) < 0.1
    order = np.sort(up_NH.ravel())
    assert told["levels"][0]["promised"] == pytest.approx(order[:400].mean(), abs=1e-3)
    same = reliability(truth_NH, np.full((4000, 1, 2), 0.5), Task(horizon=1, kind="direction"), bets=10)
    assert [row["promised"] for row in same["levels"]] == [0.5]


def test_the_curves_are_means_of_the_losses(study, ensemble):
    told = scored(study, ensemble)
    first, *others = told["losses"]
    assert first == "ensemble"
    assert len(others) == 2
    best = study.folder.candidate(others[0].split(": ")[1])
    origins, task = study.plan.scored, study.task
    truth_NH, scale_N = outcome(study.panel, origins, task), scale_at(study.panel, origins, task.season_length)
    loss_NH = cell_loss(truth_NH, np.asarray(best.forecasts_NHQ, float), scale_N, task.quantiles, task.kind)
    assert told["losses"][others[0]] == pytest.approx(np.nanmean(loss_NH))
    np.testing.assert_allclose(told["by_horizon"][others[0]], np.nanmean(loss_NH, axis=0))
    assert len(told["over_time"][others[0]]) == len(told["stamps"]) <= 60
    assert told["over_time"][others[0]][0] == pytest.approx(loss_NH[: -(-len(origins) // 60)].mean(), rel=0.2)
    assert told["stamps"] == sorted(told["stamps"])


def test_a_plain_average_is_rehearsed_as_the_average(study, ensemble):
    members = dict.fromkeys(ensemble.members)
    n_members = len(members)
    mean = Mean()
    mean.weights_M_, mean.kind_ = np.full(n_members, 1 / n_members), "quantiles"
    plain = Ensemble(task=study.task, members=members, combiner=mean, calibration=ensemble.calibration, fallback=ensemble.fallback)
    each = [np.asarray(study.folder.candidate(id).forecasts_NHQ, float) for id in members]
    np.testing.assert_allclose(rehearsed(study, plain), np.sort(np.mean(each, axis=0), axis=-1), rtol=1e-6)


def test_the_effective_number_counts_equals_and_ignores_dwarfs():
    assert effective_number([0.5, 0.5]) == pytest.approx(2)
    assert effective_number([3, 3, 3]) == pytest.approx(3)
    assert effective_number([1, 1e-9]) == pytest.approx(1)


def line(family, number, state="finished", value=1.0, reason=None):
    return {"id": f"{family}-{number:04d}", "family": family, "state": state, "value": value, "reason": reason, "seconds": 2.0}


def test_history_keeps_the_best_so_far_and_the_numbers_of_the_ledger():
    told = history([line("ridge", 1, value=3.0), line("mlp", 1, "failed", None, "x"), line("naive", 1, value=2.0), line("bagged", 1, value=4.0)])
    assert [(row["number"], row["best"], row["group"]) for row in told] == [
        (1, 3.0, "linear"),
        (3, 2.0, "statistical"),
        (4, 2.0, "bags and chain"),
    ]


def test_energy_is_watts_by_hours():
    state = {"finished": 2, "pruned": 1, "failed": 0, "stale": 0, "best": 0.5}
    told = costs([{"family": "a", "seconds": 10.0, **state}, {"family": "b", "seconds": 720.0, **state}])
    assert [row["family"] for row in told] == ["b", "a"]
    assert told[0] == {"family": "b", "trials": 3, "seconds": 720.0, "cpu_seconds": 720.0, "watt_hours": pytest.approx(2.0), "best": 0.5}
