"""Rules that stop a trial between two windows."""

from typing import get_args

import numpy as np
import pytest

from ensemble_forecast.pipeline import Pipeline
from ensemble_forecast.search.pruning import NAMES, bars, clearly_worse

RIVALS = [[1.0, 1.3, 1.1], [2.0], [1.2, 1.2, 1.2], [3.0], [1.1, 1.6], [4.0]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_windows", [1, 2, 4])
def test_there_is_a_bar_after_every_window_but_the_last(name, n_windows):
    assert len(bars(name, RIVALS, n_windows)) == n_windows - 1
    assert bars(name, [], n_windows) == [None] * (n_windows - 1)


def test_the_forgiving_rule_looks_at_the_best_rival_that_came_to_the_end():
    assert bars("forgiving", RIVALS, 3) == [pytest.approx(1.15 * (1.0 + 1.3 + 1.1) / 3)] * 2
    assert bars("forgiving", [[1.0, 1.5], [2.0]], 2) == [1.5]


def test_halving_lets_the_best_third_of_those_that_came_so_far_go_on():
    first, second = bars("successive_halving", RIVALS, 3)
    assert first == 1.2  # third of six: 1.0, 1.1, 1.2 ...
    assert second == pytest.approx(1.2)  # of the means 1.15, 1.2, 1.35
    assert bars("successive_halving", RIVALS[:2], 3) == [None, None]


def test_hyperband_begins_to_judge_later_trial_by_trial():
    halved = bars("successive_halving", RIVALS, 3)
    assert [bars("hyperband", RIVALS, 3, turn) for turn in range(4)] == [halved, [None, halved[1]], [None, None], halved]


@pytest.mark.parametrize(("behind", "expected"), [(0.0, False), (0.05, True), (-0.05, False)])
def test_clearly_worse_is_a_matter_of_many_series(behind, expected):
    rng = np.random.default_rng(0)
    series_N = np.repeat(np.arange(60), 2)
    other_N = rng.uniform(1, 2, 120)
    own_N = other_N + behind + 0.1 * rng.normal(size=120)
    own_N[3] = np.nan  # a target that was not observed
    assert clearly_worse(own_N, other_N, series_N) == expected


def test_a_few_series_tell_nothing():
    assert not clearly_worse(np.full(10, 9.0), np.ones(10), np.repeat(np.arange(5), 2))


def test_a_test_at_five_percent_is_wrong_about_that_often():
    rng = np.random.default_rng(1)
    wrong = [clearly_worse(1 + rng.normal(size=40), 1 + rng.normal(size=40), np.arange(40)) for _ in range(400)]
    assert 0.02 < np.mean(wrong) < 0.09


def test_a_pipeline_names_all_of_them_and_no_others():
    assert set(get_args(Pipeline.model_fields["pruner"].annotation)) == set(NAMES)
