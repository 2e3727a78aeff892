"""Recursions: against slow twins, and taken up where they were left."""

import functools

import numpy as np
import pandas as pd
import pytest
import talib

from ensemble_forecast.features.market import recursions

RNG = np.random.default_rng(1)
X = 100 + np.cumsum(RNG.normal(size=600))
HIGH, LOW = X + RNG.random(600), X - RNG.random(600)
LATE = np.concatenate([[np.nan] * 7, X[7:]])
CASES = {
    "smooth": (functools.partial(recursions.smooth, weight=0.1, warm_up=20), (LATE,)),
    "adapt": (recursions.adapt, (X, np.concatenate([[np.nan] * 10, RNG.random(590)]))),
    "greatest": (recursions.greatest, (X,)),
    "hold": (recursions.hold, (LATE, RNG.random(600) < 0.05)),
    "parabolic": (recursions.parabolic, (HIGH, LOW)),
    "drift_detector": (functools.partial(recursions.drift_detector, slack=0.25, bound=4), (np.diff(LATE, prepend=np.nan),)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("cuts", [(1, 2, 5, 300), tuple(range(1, 600))], ids=["some", "every row"])
def test_going_on_gives_what_going_through_does(name, cuts):
    recursion, inputs = CASES[name]
    whole, _ = recursion(None, *inputs)
    state, parts = None, []
    for rows in np.split(np.arange(600), cuts):
        out, state = recursion(state, *(x[rows] for x in inputs))
        parts.append(out)
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-13)


def test_smoothing_is_that_of_pandas():
    ours, _ = recursions.smooth(None, LATE, weight=0.1, warm_up=20)
    theirs = pd.Series(LATE).ewm(alpha=0.1, adjust=False).mean().to_numpy()
    assert np.isnan(ours[:26]).all()
    np.testing.assert_allclose(ours[26:], theirs[26:], rtol=1e-12)


def test_the_adaptive_mean_is_that_of_talib_once_its_beginning_is_forgotten():
    change = np.abs(np.diff(X, prepend=np.nan))
    went = pd.Series(change).rolling(10).sum().to_numpy()
    efficiency = np.abs(X - np.concatenate([[np.nan] * 10, X[:-10]])) / went
    ours, _ = recursions.adapt(None, X, (efficiency * (2 / 3 - 2 / 31) + 2 / 31) ** 2)
    np.testing.assert_allclose(ours[400:], talib.KAMA(X, 10)[400:], rtol=1e-6)


def test_the_parabolic_stop_is_that_of_talib_from_the_second_turn_on():
    ours, _ = recursions.parabolic(None, HIGH, LOW)
    np.testing.assert_allclose(ours[100:], talib.SAR(HIGH, LOW)[100:], rtol=1e-9)


def test_the_drift_detector_begins_anew_at_its_bound():
    out, _ = recursions.drift_detector(None, np.array([1.0, 1.0, 1.0, 1.0, -2.0]), slack=0.0, bound=3.0)
    assert out.tolist() == [1.0, 2.0, 3.0, 1.0, -2.0]


def test_the_last_event_is_held():
    out, state = recursions.hold(None, np.array([np.nan, 1.0, 2.0, 3.0]), np.array([True, False, True, False]))
    np.testing.assert_array_equal(out, [np.nan, 1.0, 2.0, 2.0])
    assert state == 2.0
