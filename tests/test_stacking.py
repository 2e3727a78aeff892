import numpy as np
import pandas as pd
import pytest

from ensemble_forecast.arms import BAGS, CHAIN, arm_configs
from ensemble_forecast.data.origins import outcome
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Rows, weights_of
from ensemble_forecast.ensemble.contest import contest
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.learners.base import build
from ensemble_forecast.pipeline import check
from ensemble_forecast.registry import COMBINERS, find
from ensemble_forecast.search.trial import Outcome, Stages, origins_table, run_trial
from ensemble_forecast.stacking import gather
from ensemble_forecast.store import Candidate
from ensemble_forecast.study import FRAME, open_study, silent

RIDGE = {"family": "ridge", "params": {"context": 10}}
TREES = {"family": "xgboost", "params": {"rounds": 80, "depth": 3, "min_child_weight": 5.0}}
SINGLES = [{"family": "naive", "params": {}}, {"family": "drift", "params": {}}, {"family": "theta", "params": {}}, RIDGE, TREES]


def candidate(config, value, forecasts=None):
    return Candidate("x", config, {"value": value, "family": config["family"]}, forecasts, None)


def trend_and_kink(seed, n=420, horizon=2):
    """Build a linear trend plus a jump that a covariate announces one horizon ahead, by a rule no line can follow."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=n)
    announced = np.concatenate([np.zeros(horizon), np.abs(signal[:-horizon]) > 1])
    return Panel.of([0.5 * np.arange(n) + 8.0 * announced + 0.3 * rng.normal(size=n)], past=[signal[:, None]])


def played(config, stages):
    done = Outcome()
    run_trial(config, stages, "sql", Deadline.never(), [], done)
    return done


@pytest.mark.parametrize("seed", range(10))
def test_the_boosted_chain_wins_on_a_linear_trend_with_a_non_linear_covariate(seed):
    task = Task(horizon=2, seed=seed)
    stages = Stages(trend_and_kink(seed), task, {"n_windows": 3})
    outcomes = [played(config, stages) for config in SINGLES]
    best_first = [candidate(config, done.value) for done, config in sorted(zip(outcomes, SINGLES, strict=True), key=lambda pair: pair[0].value)]
    chain = arm_configs(best_first, "quantiles")[0]
    assert chain["family"] == "boosted"
    outcomes.append(played(chain, stages))
    assert outcomes[-1].value < min(done.value for done in outcomes[:-1])
    scored, plan = stages.plan.scored, stages.plan
    forecasts_NHQM = np.stack([np.concatenate(done.forecasts) for done in outcomes], axis=-1)
    rows = Rows(scored.series, plan.window_N, scored.step, scale_at(stages.panel, scored, 1))
    result = contest(
        forecasts_NHQM, outcome(stages.panel, scored, task), rows, task, Deadline.never(), {name: find(name, "combiners")() for name in COMBINERS}
    )
    weights = dict(zip(result.members.tolist(), weights_of(result.combiner).tolist(), strict=True))
    assert weights.get(len(outcomes) - 1, 0.0) > max(weights.values()) - 0.01  # least squares once weigh chain and trees 0.498 to 0.502


def test_the_best_of_each_group_makes_the_chain_and_a_statistical_one_opens_it():
    mlp = {"family": "mlp", "params": {}}
    worse = {"family": "ridge", "params": {"context": 99}}
    arms = arm_configs([candidate(config, rank) for rank, config in enumerate([TREES, mlp, RIDGE, worse, SINGLES[2], SINGLES[1]])], "quantiles")
    assert arms[0]["params"]["stages"] == [SINGLES[2], RIDGE, TREES, mlp]
    assert [build(config).group for config in arms[0]["params"]["stages"]] == list(CHAIN)


def test_the_best_three_that_learn_from_origins_are_bagged():
    arms = arm_configs(
        [candidate(config, rank) for rank, config in enumerate([SINGLES[2], RIDGE, TREES, {"family": "mlp", "params": {}}, RIDGE])], "quantiles"
    )
    bags = [arm["params"]["member"]["family"] for arm in arms if arm["family"] == "bagged"]
    assert bags == ["ridge", "xgboost", "mlp"]
    assert len(bags) == BAGS


def test_directions_are_not_boosted():
    arms = arm_configs([candidate(RIDGE, 1), candidate(TREES, 2)], "direction")
    assert {arm["family"] for arm in arms} == {"bagged"}


def test_near_copies_do_not_fill_the_places_of_their_family(tmp_path):
    frame = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=120), "y": np.random.default_rng(0).normal(size=120).cumsum()})
    study = open_study("copies", tmp_path, check({"source": FRAME, "horizon": 2, "test": 0.0}, "test"), frame=frame, log=silent)
    origins_N3 = origins_table(study.plan)
    truth_NH = outcome(study.panel, study.plan.scored, study.task)
    noise = np.random.default_rng(1).normal(size=(2, *truth_NH.shape, 9))
    for number, wrong in enumerate([noise[0], noise[0] * 1.001, noise[0] * 1.002, noise[0] * 1.003, 2 * noise[1]]):
        forecasts = np.sort(truth_NH[..., None] + wrong, axis=-1).astype(np.float32)
        report = {"family": "ets", "value": 1.0 + number, "windows": [1.0 + number] * len(study.plan.folds), "seconds": 1.0}
        study.folder.commit(f"ets-000{number}", {"family": "ets", "params": {}}, forecasts, origins_N3, report)
    assert [each.id for each in gather(study).candidates] == ["ets-0000", "ets-0004"]
