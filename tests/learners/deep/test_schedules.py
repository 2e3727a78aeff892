"""Learning rates over a training, each against its textbook shape."""

import math

import numpy as np
import pytest

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.schedules import SCHEDULES, Schedule

STEPS = 1000


def rates(name, warm_up=0.0, steps=STEPS):
    schedule = Schedule(name, steps, warm_up)
    return np.array([schedule.factor(step) for step in range(steps)])


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 7, 1000])
def test_every_rate_lies_between_nothing_and_its_peak(name, steps):
    assert rates(name, 0.05, steps).max() <= 1
    assert rates(name, 0.05, steps).min() >= 0


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "one_cycle"])
def test_a_warm_up_rises_in_a_straight_line_to_the_peak(name):
    np.testing.assert_allclose(rates(name, 0.1)[:100], np.arange(1, 101) / 100)


def test_constant_and_plateau_stay_where_they_are():
    assert (rates("constant") == 1).all()
    assert (rates("plateau") == 1).all()


def test_step_drops_three_times_by_the_same_factor():
    values, counts = np.unique(np.round(rates("step"), 6), return_counts=True)
    np.testing.assert_allclose(values, [0.027, 0.09, 0.3, 1.0])
    assert counts.tolist() == [250] * 4


def test_exponential_loses_the_same_share_each_step():
    shares = rates("exponential")[1:] / rates("exponential")[:-1]
    np.testing.assert_allclose(shares, shares[0])
    assert rates("exponential")[-1] == pytest.approx(0.01, rel=0.01)


def test_cosine_is_half_a_wave():
    np.testing.assert_allclose(rates("cosine")[500], 0.5, atol=1e-3)
    assert (np.diff(rates("cosine")) < 0).all()


def test_cosine_restarts_twice_each_run_twice_as_long():
    jumps = np.flatnonzero(np.diff(rates("cosine_restarts")) > 0.5)
    np.testing.assert_allclose(jumps / STEPS, [1 / 7, 3 / 7], atol=0.002)


def test_one_cycle_rises_from_a_small_rate_and_falls_to_none():
    one_cycle = rates("one_cycle", warm_up=0.5)
    assert one_cycle[0] == pytest.approx(0.04, abs=1e-3)
    assert np.argmax(one_cycle) == pytest.approx(300, abs=1)
    assert one_cycle[-1] < 1e-4


def test_a_plateau_drops_when_the_stop_role_has_not_gained_three_times():
    schedule = Schedule("plateau", STEPS, 0.0)
    for loss, expected in [(1.0, 1.0), (0.9, 1.0), (0.95, 1.0), (0.95, 1.0), (0.95, 0.3), (0.8, 0.3), (0.9, 0.3), (0.9, 0.3), (0.9, 0.09)]:
        schedule.judge(loss)
        assert schedule.factor(10) == pytest.approx(expected)


def test_a_schedule_goes_on_from_its_state():
    first, second = Schedule("plateau", STEPS, 0.0), Schedule("plateau", STEPS, 0.0)
    for _ in range(5):
        first.judge(1.0)
    second.restore(first.state())
    assert second.factor(10) == first.factor(10) == pytest.approx(0.3)
    assert Schedule("plateau", STEPS, 0.0).state()["best"] == math.inf


def test_an_unknown_schedule_is_refused():
    with pytest.raises(BadInput, match=r"schedule must be one of constant, .*; got 'stairs'"):
        Schedule("stairs", 10, 0.0)
