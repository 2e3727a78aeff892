import numpy as np
import pytest

from ensemble_forecast.search.allocation import Record, gain_per_second, is_weak, order


def record(values, seconds=1.0, n_begun=None):
    return Record(list(values), [seconds] * len(values), len(values) if n_begun is None else n_begun)


def test_families_not_tried_enough_come_first_cheap_before_dear():
    records = {"tried": record([1, 1, 1, 1]), "dear": record([1, 1], seconds=9), "cheap": record([2, 2], seconds=1), "new": record([])}
    assert order(records, list(records)) == ["new", "cheap", "dear", "tried"]


def test_a_weak_family_is_dropped_only_after_its_chance():
    assert not is_weak(record([2, 2, 2]), best=1.0)
    assert is_weak(record([2, 2, 2, 2]), best=1.0)
    assert not is_weak(record([1.2, 2, 2, 2]), best=1.0)
    assert is_weak(record([], n_begun=4), best=1.0)
    assert order({"weak": record([2] * 4), "good": record([1] * 4)}, ["weak", "good"]) == ["good"]


def test_gain_grows_with_spread_and_falls_with_cost_distance_and_trials():
    base = gain_per_second(record([1.0, 1.1, 1.5, 1.6]), best=1.0)
    assert gain_per_second(record([1.0, 1.2, 1.5, 1.6]), best=1.0) > base
    assert gain_per_second(record([1.0, 1.1, 1.5, 1.6], seconds=19), best=1.0) == pytest.approx(base / 10)  # one second for keeping it
    assert gain_per_second(record([1.3, 1.4, 1.8, 1.9]), best=1.0) < base
    assert gain_per_second(record([1.0, 1.0, 1.1, 1.1, 1.5, 1.5, 1.6, 1.6]), best=1.0) < base


def test_expected_improvement_agrees_with_simulation():
    values = [1.0, 1.2, 3.0, 3.0]
    mean, spread = np.mean(values[:2]), np.std(values[:2], ddof=1)
    draws = np.random.default_rng(0).normal(mean, spread, size=400_000)
    simulated = np.maximum(1.05 - draws, 0).mean() / 5 / 2
    assert gain_per_second(record(values), best=1.05) == pytest.approx(simulated, rel=0.02)
