import itertools

import pytest

from ensemble_forecast.search.reserve import MARGIN, MOST_MEMBERS, REFIT_COST, Prospect, likely_members, refit_s


def test_likely_members_are_the_best_few_of_each_family():
    prospects = [Prospect("ridge", value, 1.0) for value in (5, 1, 4, 7, 2, 6, 3)] + [Prospect("mlp", 9, 1.0)]
    assert [(each.family, each.value) for each in likely_members(prospects)] == [*(("ridge", rank) for rank in range(1, 6)), ("mlp", 9)]


def test_no_more_members_than_an_ensemble_has():
    prospects = [Prospect(f"family {number // 3}", number, 1.0) for number in range(30)]
    assert [each.value for each in likely_members(prospects)] == list(range(MOST_MEMBERS))


def test_one_worker_refits_one_after_the_other():
    prospects = [Prospect("ridge", 1, 2.0), Prospect("mlp", 1, 10.0)]
    assert refit_s(prospects, n_windows=2, n_workers=1) == pytest.approx(MARGIN * REFIT_COST * 6.0)
    assert refit_s(prospects, n_windows=2, n_workers=1, n_fits=2) == pytest.approx(MARGIN * REFIT_COST * 12.0)


def test_several_workers_take_the_next_job_as_they_become_free():
    """Against a step-by-step simulation of the pool."""
    for seconds in itertools.permutations((1.0, 2.0, 4.0, 8.0)):
        clock, busy, waiting = 0.0, [], sorted(seconds)
        while waiting or busy:
            while waiting and len(busy) < 2:
                busy.append(clock + waiting.pop(0))
            clock = min(busy)
            busy.remove(clock)
        prospects = [Prospect(str(number), number, each) for number, each in enumerate(seconds)]
        assert refit_s(prospects, n_windows=1, n_workers=2) == pytest.approx(MARGIN * REFIT_COST * clock)


def test_nothing_to_refit_takes_no_time():
    assert refit_s([], n_windows=2, n_workers=2) == 0.0
