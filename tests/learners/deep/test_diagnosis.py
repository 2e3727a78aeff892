"""What a curve is said to show, and the rate that is found for a net."""

import math

import numpy as np
import pytest

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.base import training_of
from ensemble_forecast.learners.deep.diagnosis import diagnose
from ensemble_forecast.learners.deep.mlp import Mlp
from ensemble_forecast.windows import roles_until

STEPS = (0, 25, 50, 100, 200, 400)


def curve(trained, stopped=(math.nan,) * 6):
    return list(zip(STEPS, trained, stopped, STEPS, strict=True))


@pytest.mark.parametrize(
    ("trained", "stopped", "finding"),
    [
        ((1.0, 0.9, 0.8, 0.7, 0.69, 0.69), (1.0, 0.92, 0.85, 0.8, 0.79, 0.79), "sound: the loss on the stop role fell from 1 to 0.79 in 200 steps"),
        (
            (1.0, 0.9, 0.7, 0.5, 0.3, 0.2),
            (1.0, 0.9, 0.8, 0.85, 0.95, 1.2),
            "over-fitting: the loss on the stop role was 0.8 after 50 steps, which were kept, and 1.2 after 400",
        ),
        (
            (1.0, 0.95, 0.9, 0.8, 0.7, 0.6),
            (1.0, 0.96, 0.92, 0.85, 0.75, 0.65),
            "under-fitting: the loss on the stop role still fell from 0.75 to 0.65",
        ),
        ((1.0, 0.9, 0.8, 1.4, 0.8, 0.7), (1.0, 0.9, 0.85, 0.9, 0.8, 0.8), "unstable: the training loss rose from 0.8 to 1.4 by step 100"),
        ((1.0, 1.0, 0.99, 1.0, 1.0, 0.99), (1.0, 1.0, 1.0, 1.01, 1.0, 1.0), "not learning: the loss on the stop role was 1 before and 1 at best"),
        ((1.0, 0.9, 0.7, 0.5, 0.3, 0.2), (1.0, 0.99, 1.0, 1.1, 1.2, 1.3), "learning by heart: the training loss fell from 1 to 0.2"),
        ((1.0, 0.9, 0.8, 0.7, 0.69, 0.69), (math.nan,) * 6, "sound: the loss in training fell from 1 to 0.69"),
    ],
)
def test_curves_are_told_apart(trained, stopped, finding):
    assert diagnose(curve(trained, stopped)).startswith(finding)


def test_a_training_of_one_step_is_too_short_to_tell():
    assert diagnose([(0, 1.0, 1.0, 0.0), (1, 0.9, 0.9, 0.1)]).startswith("too short to tell")


def fitted(y, **setting):
    panel, task = Panel.of([y]), Task(horizon=2)
    return Mlp(**{"width": 32, "blocks": 1, "context": 12, "batch": 64, **setting}).fit(
        panel, roles_until(panel, task, np.array([len(y) - 1])), task, Deadline.never()
    )


def test_a_net_on_noise_learns_nothing_or_by_heart_and_on_a_pattern_something():
    rng = np.random.default_rng(0)
    walk = fitted(rng.normal(size=600).cumsum(), steps=400)
    assert walk.diagnosis_.startswith(("not learning", "learning by heart"))
    pattern = fitted(np.tile([0.0, 3.0, 1.0, 7.0, 2.0], 120) + 0.05 * rng.normal(size=600), steps=400)
    assert not pattern.diagnosis_.startswith(("not learning", "learning by heart", "unstable", "too short"))
    assert [point[0] for point in training_of(pattern)[0]] == sorted(point[0] for point in training_of(pattern)[0])
    assert training_of(pattern)[0][0][0] == 0


@pytest.mark.parametrize("setting", [{}, {"optimiser": "momentum"}])
def test_a_rate_is_found_that_learns_and_is_handed_to_the_refit(setting):
    y = np.tile([0.0, 3.0, 1.0, 7.0, 2.0], 60) + 0.05 * np.random.default_rng(0).normal(size=300)
    net = fitted(y, steps=200, learning_rate=0.0, **setting)
    assert 1e-5 <= net.stopped_["learning_rate"] <= 0.1
    losses = [point[2] for point in training_of(net)[0]]
    assert min(losses) < 0.5 * losses[0]
    again = fitted(y, steps=200, learning_rate=0.0, **setting)
    assert again.stopped_ == net.stopped_
    assert "learning_rate" not in fitted(y, steps=5).stopped_


@pytest.mark.parametrize("loss", ["gaussian", "student_t"])
def test_a_likelihood_may_be_negative_and_is_diagnosed_all_the_same(loss):
    y = np.tile([0.0, 3.0, 1.0, 7.0, 2.0], 60) + 0.05 * np.random.default_rng(0).normal(size=300)
    net = fitted(y, steps=300, loss=loss, learning_rate=0.0)
    curve = training_of(net)[0]
    assert all(point[1] > 0 and point[2] > 0 for point in curve)
    assert curve[-1][2] < 0.5 * curve[0][2]
    assert not net.diagnosis_.startswith(("not learning", "learning by heart"))
    assert net.stopped_["learning_rate"] > 1e-5
