import numpy as np
import pytest

from ensemble_forecast.search.allocation import RANK_DECAY, Record, gain_per_second, is_weak, order, promise


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


def test_the_promise_of_an_entry_falls_with_rank_distance_and_cost_and_a_new_family_promises_as_much_as_the_best():
    front, behind = record([1.0]), record([1.2])
    usual = promise(front, best=1.0, rank=0, cost_s=4.0)
    assert promise(front, best=1.0, rank=1, cost_s=4.0) == pytest.approx(RANK_DECAY * usual)
    assert promise(front, best=1.0, rank=0, cost_s=9.0) == pytest.approx(usual / 2)  # one second for keeping it
    assert promise(behind, best=1.0, rank=0, cost_s=4.0) == pytest.approx(usual * np.exp(-2))
    assert promise(record([]), best=1.0, rank=0, cost_s=4.0) == usual


def test_a_family_far_behind_keeps_a_small_promise():
    assert promise(record([50.0]), best=1.0, rank=0, cost_s=0.0) == pytest.approx(0.05)


@pytest.mark.parametrize("best", [0.0, -1.0])
def test_a_best_loss_that_no_ratio_can_be_taken_to_is_no_distance(best):
    assert promise(record([2.0]), best=best, rank=0, cost_s=0.0) == 1.0
