"""Nets that fall behind their family are stopped in the middle of their training."""

import time

import pytest

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import TrialPruned
from ensemble_forecast.search.rungs import Watch, rungs

CURVE = [(0, 1.0, 2.0, 0.0), (10, 0.9, 1.8, 1.5)]


def line(share, seconds=9.0, **params):
    """A trial whose loss falls in a straight line of looks from 1 to a share of it."""
    points = [[100 * look, 1.0, 2.0 * (1 - (1 - share) * look / 9), seconds * look / 9] for look in range(10)]
    return {"curve": points, "params": params, "state": "finished"}


def test_rungs_stand_at_a_ninth_and_a_third_of_the_usual_time_and_at_the_median_share():
    own = [line(share) for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
    (first, bar), (second, higher) = rungs(own, {})
    assert (first, second) == (pytest.approx(1.0), pytest.approx(3.0))
    assert bar == pytest.approx(1 - 0.5 / 9)
    assert higher == pytest.approx(1 - 0.5 / 3)


def test_only_what_minimises_the_same_is_compared_and_a_few_tell_nothing():
    own = [*[line(0.5) for _ in range(3)], *[line(0.5, loss="mse") for _ in range(4)], {"curve": None, "params": {}, "state": "failed"}]
    assert rungs(own, {}) == []
    assert len(rungs(own, {"loss": "mse"})) == 2
    assert rungs(own, {"loss": "mse", "transform": "log"}) == []


def test_a_watch_stops_the_worse_half_and_no_one_before_a_rung():
    now = time.monotonic()
    watch = Watch(Deadline.never().at, ((1.0, 0.8), (3.0, 0.6)), begun=now - 2.0)
    watch.told(0.79, CURVE)
    watch.told(float("nan"), CURVE)  # without a stop role there is nothing to compare
    with pytest.raises(TrialPruned, match=r"after 2\.0 s its loss was 0\.9 of climatology's, above the 0\.8 of its family after 1\.0 s"):
        watch.told(0.9, CURVE)
    later = Watch(Deadline.never().at, ((1.0, 0.8), (3.0, 0.6)), begun=now - 4.0)
    with pytest.raises(TrialPruned):
        later.told(0.79, CURVE)
    Watch(Deadline.never().at, ((1.0, 0.8),), begun=now).told(5.0, CURVE)


def test_a_watch_is_a_deadline_and_keeps_its_rungs_when_it_is_narrowed():
    watch = Watch.over(Deadline.after(100.0), [[1.0, 0.8]])
    assert 99 < watch.left() <= 100
    narrow = watch.within(5.0)
    assert narrow.left() <= 5.0
    assert narrow.rungs == watch.rungs == ((1.0, 0.8),)
    Deadline.never().told(9.0, CURVE)  # a plain one hears and does nothing


def test_what_a_rung_stops_counts_at_the_next_rungs():
    with pytest.raises(TrialPruned) as stopped:
        Watch(Deadline.never().at, ((0.0, 0.5),), begun=time.monotonic() - 1.0).told(0.9, CURVE)
    assert stopped.value.curve == CURVE
    bad = [{"curve": [[0, 1.0, 2.0, 0.0], [10, 1.0, 1.96, 1.5]], "params": {}, "state": "pruned"} for _ in range(4)]
    finished = [line(0.1) for _ in range(4)]
    assert rungs([*finished, *bad], {})[0][0] == pytest.approx(1.0)  # the usual time is that of those which ended by themselves
    assert rungs([*finished, *bad], {})[0][1] > rungs(finished, {})[0][1]
