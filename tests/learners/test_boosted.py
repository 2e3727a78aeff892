import numpy as np
import pytest

from ensemble_forecast.data.origins import Origins, truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.base import build
from ensemble_forecast.learners.boosted import PARTS, _parts
from ensemble_forecast.metrics import mase
from ensemble_forecast.windows import roles_until

RIDGE = {"family": "ridge", "params": {"context": 10}}
TREES = {"family": "xgboost", "params": {"rounds": 60, "depth": 3}}


def chain(*stages):
    return build({"family": "boosted", "params": {"stages": list(stages)}})


def trend_and_kink(seed, n=500, horizon=2):
    """Build a linear trend plus a jump that a covariate announces one horizon ahead, by a rule no line can follow."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=n)
    jump = np.zeros(n)
    for step in range(horizon, n):
        jump[step] = 8.0 if abs(signal[step - horizon]) > 1 else 0.0
    return Panel.of([0.5 * np.arange(n) + jump + 0.3 * rng.normal(size=n)], past=[signal[:, None]])


def score(learner, panel, task, cutoff=400):
    cut = panel.cut(np.array([cutoff]))
    learner.fit(cut, roles_until(cut, task, np.array([cutoff]), 12), task, Deadline.never())
    origins = Origins.between(np.array([cutoff]), np.array([panel.lengths_S[0] - 1 - task.horizon]))
    forecast = learner.predict(panel, origins, Deadline.never())
    return mase(truth(panel, origins, task.horizon), forecast, np.ones(len(origins)), task.quantiles)


def test_the_chain_beats_each_of_its_stages_on_a_trend_with_a_non_linear_covariate():
    task = Task(horizon=2)
    panel = trend_and_kink(0)
    whole = score(chain(RIDGE, TREES), panel, task)
    assert whole < 0.9 * score(build(RIDGE), panel, task)
    assert whole <= 1.02 * score(build(TREES), panel, task)


def test_cross_fitting_covers_every_origin_once_and_keeps_its_distance():
    origins = Origins.between(np.array([0]), np.array([299]))
    task = Task(horizon=5)
    parts = _parts(origins, task)
    assert len(parts) == PARTS
    assert (np.sum([own for own, _ in parts], axis=0) == 1).all()
    for own, others in parts:
        gap = np.abs(origins.step[own][:, None] - origins.step[others][None]).min()
        assert gap > 2 * task.horizon


def test_cross_fitting_on_a_panel_leaves_out_whole_series():
    origins = Origins.between(np.zeros(80, dtype=int), np.full(80, 9))
    for own, others in _parts(origins, Task(horizon=2)):
        assert not set(origins.series[own]) & set(origins.series[others])


def test_a_stage_that_cannot_correct_is_refused():
    with pytest.raises(BadInput, match="theta"):
        chain(RIDGE, {"family": "theta", "params": {}})
