import numpy as np
import pytest

from ensemble_forecast.search.costs import NEWEST, OVERHEAD_S, Costs, Rate, fit_rate


def seen(**families):
    costs = Costs()
    for family, pairs in families.items():
        for work, seconds in pairs:
            costs.add(family, work, seconds)
    return costs


def test_before_any_trial_a_unit_of_work_is_a_second():
    assert Costs().seconds("ridge", 2.0) == pytest.approx(2.0 + OVERHEAD_S)


def test_before_a_familys_first_trial_the_machine_speaks_and_one_odd_family_does_not():
    costs = seen(ridge=[(1.0, 3.0)], theta=[(2.0, 6.0)], odd=[(1.0, 90.0)])
    assert costs.machine_factor() == pytest.approx(3.0, rel=0.05)
    assert costs.seconds("mlp", 10.0) == pytest.approx(30.0, rel=0.05)
    assert costs.is_measured("odd")
    assert not costs.is_measured("mlp")


def test_trials_of_next_to_no_work_say_little_about_the_machine():
    assert seen(naive=[(0.001, 0.01)]).machine_factor() < 1.5


def test_one_trial_gives_a_proportion():
    assert fit_rate([(2.0, 6.0)]) == Rate(0.0, 3.0, 2.0)


def test_two_distinct_works_tell_the_fixed_part_and_two_alike_do_not():
    assert fit_rate([(1.0, 5.0), (4.0, 11.0)]) == Rate(3.0, 2.0, 4.0)
    assert fit_rate([(1.0, 5.0), (1.1, 5.1)]).fixed == 0.0


def test_the_fixed_part_is_not_trusted_beyond_the_largest_work():
    rate = fit_rate([(1.0, 10.0), (2.0, 11.0)])
    assert rate.seconds(20.0) == pytest.approx(110.0)


@pytest.mark.parametrize("rate", [Rate(0.0, 2.0), Rate(0.0, 2.0, 5.0), Rate(3.0, 2.0, 5.0)])
@pytest.mark.parametrize("work", [0.5, 4.0, 5.0, 50.0])
def test_the_most_work_is_the_inverse_of_the_seconds(rate, work):
    assert rate.work(rate.seconds(work)) == pytest.approx(work)


def test_no_time_allows_no_work():
    assert seen(mlp=[(1.0, 10.0), (4.0, 13.0)]).most_work("mlp", 5.0) < 0


def test_calibration_converges_on_noisy_times_with_some_wild_ones():
    rng = np.random.default_rng(0)
    costs = Costs()
    for number in range(NEWEST):
        work = float(rng.uniform(1, 10))
        wild = 6.0 if number % 5 == 0 else 1.0
        costs.add("mlp", work, wild * (4.0 + 3.0 * work) * float(rng.lognormal(0, 0.05)))
    for work in (1.0, 5.0, 9.0):
        assert costs.seconds("mlp", work) == pytest.approx(4.0 + 3.0 * work, rel=0.15)


def test_a_machine_that_became_slower_is_noticed():
    costs = seen(mlp=[(1.0, 1.0)] * 10 + [(1.0, 3.0)] * 10)
    assert costs.seconds("mlp", 1.0) == pytest.approx(3.0, rel=0.05)


def test_nothing_is_learnt_from_a_trial_that_measured_nothing():
    assert not seen(mlp=[(0.0, 1.0), (1.0, 0.0)]).is_measured("mlp")


def test_the_least_work_is_that_of_the_family_and_nothing_before_its_first_trial():
    costs = seen(mlp=[(3.0, 1.0), (2.0, 1.0)], naive=[(0.1, 1.0)])
    assert (costs.least_work("mlp"), costs.least_work("lstm")) == (2.0, 0.0)
    assert not costs.is_measured("lstm")
