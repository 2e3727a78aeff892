"""The adapter for a pretrained forecaster, by a small one of random weights."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from smoke import tiny_chronos

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, MissingPackage
from ensemble_forecast.learners.deep import pretrained
from ensemble_forecast.learners.deep.pretrained import Pretrained
from ensemble_forecast.windows import roles_until

NEVER = Deadline.never()
TASK = Task(horizon=4, season_length=1)
PANEL = Panel.of([100 + np.random.default_rng(seed).normal(size=80).cumsum() for seed in range(3)])


def fitted(task=TASK, **params):
    learner = Pretrained(**{"weights": tiny_chronos()} | params)
    return learner.fit(PANEL, roles_until(PANEL, task, PANEL.ends_S), task, NEVER)


def test_it_says_what_the_model_itself_says():
    from chronos import BaseChronosPipeline  # noqa: PLC0415 - seconds

    pipeline = BaseChronosPipeline.from_pretrained(tiny_chronos())
    histories = [torch.tensor(PANEL.y[PANEL.offsets[series] :][:80], dtype=torch.float32) for series in range(3)]
    said, _ = pipeline.predict_quantiles(histories, prediction_length=4, quantile_levels=list(TASK.quantiles))
    forecast_NHQ = fitted().predict(PANEL, Origins.ends(PANEL), NEVER)
    np.testing.assert_allclose(forecast_NHQ, np.sort(said.numpy(), axis=-1), rtol=1e-5)


def test_the_context_bounds_what_is_read():
    changed = replace(PANEL, y=np.where(np.arange(len(PANEL.y)) % 80 < 40, 0.0, PANEL.y))
    ends = Origins.ends(PANEL)
    for context, same in ((40, True), (48, False)):
        learner = fitted(context=context)
        assert np.array_equal(learner.predict(PANEL, ends, NEVER), learner.predict(changed, ends, NEVER)) is same


def test_a_longer_horizon_and_other_levels_are_served():
    task = Task(horizon=20, season_length=1, quantiles=(0.05, 0.5, 0.95))
    forecast_NHQ = fitted(task).predict(PANEL, Origins.ends(PANEL), NEVER)
    assert forecast_NHQ.shape == (3, 20, 3)
    assert np.isfinite(forecast_NHQ).all()


def test_time_that_is_over_leaves_rows_open(monkeypatch):
    monkeypatch.setattr(pretrained, "BATCH", 8)
    origins = Origins.between(np.array([70, 70, 70]), PANEL.ends_S)
    forecast_NHQ = fitted().predict(PANEL, origins, Deadline.after(0))
    done_N = np.isfinite(forecast_NHQ).all(axis=(1, 2))
    assert done_N.sum() == 8 < len(origins)


def test_other_weights_than_those_it_was_fitted_with_are_refused(tmp_path):
    folder = shutil.copytree(tiny_chronos(), tmp_path / "weights")
    learner = fitted(weights=str(folder))
    learner.predict(PANEL, Origins.ends(PANEL), NEVER)
    config = json.loads((folder / "config.json").read_text())
    config["chronos_config"]["context_length"] = 32
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match="not those that this forecaster was fitted with"):
        learner.predict(PANEL, Origins.ends(PANEL), NEVER)


def with_config(folder, **changed):
    """A copy of the tiny model whose config says something else."""
    copy = Path(shutil.copytree(tiny_chronos(), folder / "copy"))
    config = json.loads((copy / "config.json").read_text()) | changed
    (copy / "config.json").write_text(json.dumps(config))
    return str(copy)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (lambda _: "", "weights must be a folder"),
        (str, "weights must be a folder"),
        (lambda _: "amazon/chronos-bolt-tiny", "weights must be a folder"),
        (lambda folder: with_config(folder, chronos_pipeline_class="Nothing"), "nothing that chronos-forecasting can load"),
        (lambda folder: with_config(folder, model_type="nothing"), "nothing that chronos-forecasting can load"),
    ],
    ids=["none", "empty", "hub", "pipeline", "model"],
)
def test_what_is_no_pretrained_forecaster_is_refused(weights, said, tmp_path):
    with pytest.raises(BadInput, match=said):
        fitted(weights=weights(tmp_path))


def test_without_the_package_it_says_which_extra_to_install(monkeypatch):
    monkeypatch.setattr(pretrained, "find_spec", lambda _: None)
    with pytest.raises(MissingPackage, match=r"ensemble-forecast\[pretrained\]"):
        Pretrained()
