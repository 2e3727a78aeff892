import json

import numpy as np
import pytest

from ensemble_forecast import persist
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.search.refit import refit, scaled
from ensemble_forecast.search.trial import Stages

RIDGE = {"family": "ridge", "params": {"context": 12, "penalty": 0.01}}


def test_lengths_grow_with_the_data_inside_wrappers_too():
    net = {"family": "mlp", "params": {"steps": 100, "width": 32}}
    trees = {"family": "xgboost", "params": {"rounds": 100}}
    wrapped = {"family": "bagged", "params": {"copies": 3, "member": net}}
    assert scaled(wrapped, 1.5)["params"] == {"copies": 3, "member": {"family": "mlp", "params": {"steps": 150, "width": 32}}}
    chain = scaled({"family": "boosted", "params": {"stages": [net, trees]}}, 1.44)["params"]["stages"]
    assert [stage["params"].get("steps", stage["params"].get("rounds")) for stage in chain] == [144, 120]


def test_a_judged_refit_never_sees_a_test_row(panel, task, plan_spec, tmp_path):
    judged_S = Stages(panel, task, plan_spec).plan.judged_S
    y = panel.y.copy()
    for series in range(panel.n_series):
        y[panel.offsets[series] + judged_S[series] + 1 : panel.offsets[series + 1]] = -1e6
    scrambled = Panel.of([y[panel.offsets[i] : panel.offsets[i + 1]] for i in range(panel.n_series)])
    for name, some in (("one", panel), ("two", scrambled)):
        facts = refit(RIDGE, 100, "judged", tmp_path / name, Stages(some, task, plan_spec), Deadline.never())
        assert facts["fitted_until"] == judged_S.tolist()
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
    refit(RIDGE, 100, "all", tmp_path / "three", Stages(panel, task, plan_spec), Deadline.never())
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("one", "three")]
    assert manifests[0] != manifests[1]


def test_a_refit_can_be_loaded_and_forecasts(panel, task, plan_spec, tmp_path):
    refit(RIDGE, 100, "all", tmp_path / "member", Stages(panel, task, plan_spec), Deadline.never())
    parts, manifest = persist.load(tmp_path / "member")
    stage = Stages(panel, task, plan_spec)[1]
    forecast_NHQ = parts["learner"].predict(panel, stage.score, Deadline.never())
    assert forecast_NHQ.shape == (len(stage.score), 7, 9)
    assert np.isfinite(forecast_NHQ).all()
    assert manifest["fitted_until"] == panel.ends_S.tolist()


def test_until_is_one_of_two(panel, task, plan_spec, tmp_path):
    with pytest.raises(KeyError):
        refit(RIDGE, 100, "today", tmp_path / "member", Stages(panel, task, plan_spec), Deadline.never())
