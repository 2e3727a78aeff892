"""One training in two processes that share every batch: the weights of one process alone."""

from dataclasses import replace

import numpy as np
import pytest

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, Diverged
from ensemble_forecast.learners.deep.mlp import Mlp
from ensemble_forecast.learners.deep.resnet import ResNet
from ensemble_forecast.windows import roles_until

NEVER = Deadline.never()
TASK = Task(horizon=3, season_length=4)
PANEL = Panel.of([np.sin(np.arange(150) / 3) + 0.1 * np.random.default_rng(0).normal(size=150)])
MLP = Mlp(width=8, blocks=1, steps=60, context=8, batch=16, dropout=0.0, learning_rate=5e-3)


def fit(learner, deadline=NEVER):
    return learner.fit(PANEL, roles_until(PANEL, TASK, PANEL.ends_S), TASK, deadline)


@pytest.mark.parametrize("learner", [MLP, ResNet(width=8, blocks=4, grow_from=1, norm="layer", steps=60, context=8, batch=16, dropout=0.0)])
def test_two_processes_learn_what_one_learns(learner):
    alone, both = fit(learner), fit(replace(learner, devices=2))
    assert both.stopped_ == alone.stopped_
    assert both.truncated_ is False
    for name, weights in alone.weights_.items():
        np.testing.assert_allclose(both.weights_[name], weights, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(np.array(both._curve, float)[1:, 1:3], np.array(alone._curve, float)[1:, 1:3], rtol=1e-2)
    ends = Origins.ends(PANEL)
    np.testing.assert_allclose(both.predict(PANEL, ends, NEVER), alone.predict(PANEL, ends, NEVER), rtol=1e-3, atol=1e-3)


def test_both_stop_at_the_deadline():
    assert fit(replace(MLP, devices=2, steps=10**7), Deadline.after(1)).truncated_ is True


def test_what_goes_wrong_in_them_is_raised_here():
    with pytest.raises(Diverged, match="lower the learning rate"):
        fit(replace(MLP, devices=2, learning_rate=1e9, clip=1e9))


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(BadInput, match=r"batch of 15 .* 2 devices"):
        fit(replace(MLP, devices=2, batch=15))
