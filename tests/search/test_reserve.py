import itertools

import pytest

from ensemble_forecast.search.reserve import LEAST_MEMBERS, MARGIN, REFIT_COST, Prospect, affordable, likely_members, refit_s, varied

FAMILIES = [  # at most five of a folder
    *("theta", "ets", "drift", "naive", "seasonal_naive", "ridge"),
    *("mlp", "lstm", "xgboost", "extra_trees", "random_forest", "adaboost"),
]


def test_likely_members_are_the_best_few_of_each_family_one_of_each_kind_first():
    prospects = [Prospect("ridge", value, 1.0) for value in (105, 101, 104, 102, 103)] + [Prospect("mlp", 109, 1.0)]
    assert [(each.family, each.value) for each in likely_members(prospects)] == [("ridge", 101), ("mlp", 109), ("ridge", 102), ("ridge", 103)]


def test_many_families_of_one_folder_do_not_crowd_out_the_others():
    trees = ["xgboost", "extra_trees", "random_forest", "hist_gradient_boosting"]
    prospects = [Prospect(family, 100 + number, 1.0) for number, family in enumerate(trees * 3)] + [Prospect("ets", 114, 1.0)]
    assert [each.value for each in likely_members(prospects)] == [100, 114, 101, 102, 103, 104]


def test_what_says_nothing_new_takes_no_place():
    asked = []

    def adds(position):
        asked.append(position)
        return position != 1

    assert varied(["ets", "ets", "ets", "ridge", "ets", "ets"], adds) == [0, 3, 2, 4]
    assert asked == [0, 1, 2, 3, 4], "whoever finds no place is not asked"


def test_what_the_contest_would_prune_is_no_likely_member():
    prospects = [Prospect("ridge", 1.0, 1.0), Prospect("mlp", 1.14, 1.0), Prospect("ets", 1.16, 1.0)]
    assert [each.family for each in likely_members(prospects)] == ["ridge", "mlp"]
    assert [each.value for each in likely_members([Prospect("ridge", -1.0, 1.0), Prospect("mlp", -0.9, 1.0)])] == [-1.0]


def test_no_more_members_than_asked_for():
    prospects = [Prospect(family, 100 + number, 1.0) for number, family in enumerate(("ridge", "mlp", "ets", "xgboost"))]
    assert [each.value for each in likely_members(prospects, 3)] == [100, 101, 102]


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
        prospects = [Prospect(family, 1, each) for family, each in zip(FAMILIES, seconds, strict=False)]
        assert refit_s(prospects, n_windows=1, n_workers=2) == pytest.approx(MARGIN * REFIT_COST * clock)


def test_nothing_to_refit_takes_no_time():
    assert refit_s([], n_windows=2, n_workers=2) == 0.0


def test_the_dear_and_low_ranked_are_left_out_until_there_is_time_for_the_rest():
    prospects = [
        Prospect(family, number, seconds) for number, (family, seconds) in enumerate(zip(FAMILIES, [8.0, 1.0, 1.0, 9.0, 1.0, 6.0, 1.0], strict=False))
    ]
    everything = affordable(prospects, 1, 1, 1, left_s=1000.0)
    assert everything == list(range(7))
    without_dear = 1.001 * MARGIN * REFIT_COST * (8.0 + 4 * 1.0 + 6.0)
    assert affordable(prospects, 1, 1, 1, left_s=without_dear) == [0, 1, 2, 4, 5, 6]
    assert affordable(prospects, 1, 1, 1, left_s=0.0) == [0, 1, 2, 4, 6]
    assert len(affordable(prospects, 1, 1, 1, left_s=0.0)) == LEAST_MEMBERS
