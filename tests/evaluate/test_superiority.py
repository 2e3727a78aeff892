import numpy as np
import pytest
from arch.bootstrap import SPA

from ensemble_forecast.evaluate.resampling import block_length, resampled_means, stationary_indices
from ensemble_forecast.evaluate.superiority import superiority


def losses(seed, n=250, m=12, best=0.0):
    rng = np.random.default_rng(seed)
    benchmark = rng.gamma(4, size=n)
    spread = rng.uniform(0.2, 2.0, m)
    loss_TM = benchmark[:, None] + spread * rng.normal(size=(n, m)) + rng.uniform(0, 0.3, m)
    loss_TM[:, 0] -= best
    return benchmark, loss_TM


def judged(benchmark, loss_TM, seed=0, horizon=1, draws=1000):
    index_RT = stationary_indices(len(benchmark), block_length(benchmark[:, None] - loss_TM, horizon), np.random.default_rng(seed), draws)
    return superiority(benchmark, loss_TM, index_RT)


@pytest.mark.parametrize("seed", range(4))
def test_the_reality_check_is_that_of_arch(seed):
    benchmark, loss_TM = losses(seed, best=0.1)
    theirs = SPA(benchmark, loss_TM, block_size=3, reps=4000, seed=seed)
    theirs.compute()
    ours = superiority(benchmark, loss_TM, stationary_indices(250, 3.0, np.random.default_rng(9), 4000))
    assert ours.reality_check == pytest.approx(theirs.pvalues["upper"], abs=0.035)


@pytest.mark.parametrize("seed", range(4))
def test_superior_ability_is_that_of_arch_once_gains_are_divided_by_their_spread(seed):
    benchmark, loss_TM = losses(seed, best=0.25)
    gain_TM = benchmark[:, None] - loss_TM
    index_RT = stationary_indices(250, 3.0, np.random.default_rng(9), 4000)
    spread_M = resampled_means(gain_TM, index_RT).std(axis=0)
    theirs = SPA(np.zeros(250), -gain_TM / spread_M, block_size=3, reps=4000, seed=seed)
    theirs.compute()
    assert superiority(benchmark, loss_TM, index_RT).spa == pytest.approx(theirs.pvalues["consistent"], abs=0.035)


def test_the_best_of_two_hundred_coins_is_not_taken_for_skill():
    """Hits on 365 days; the benchmark misses every other one. The benchmark of 500 repetitions is tests/benchmarks/verdict_power.py."""
    rng = np.random.default_rng(0)
    p_values = [judged(np.full(365, 0.5), (rng.random((365, 200)) < 0.5).astype(float), seed, draws=500).spa for seed in range(100)]
    assert np.mean(np.array(p_values) < 0.05) <= 0.12, "nominal 5 %, and three standard errors"
    assert np.mean(np.array(p_values) > 0.5) > 0.3


def test_a_forecaster_that_is_really_better_is_found_among_many_poor_ones():
    p_values = [judged(*losses(seed, n=400, m=60, best=0.6), seed) for seed in range(20)]
    assert np.mean([each.spa < 0.05 for each in p_values]) > 0.8
    assert np.mean([each.spa for each in p_values]) < np.mean([each.reality_check for each in p_values]), "poor ones weigh on the Reality Check"


def test_the_benchmark_among_the_forecasters_changes_nothing():
    benchmark, loss_TM = losses(1, best=0.2)
    assert judged(benchmark, np.column_stack([loss_TM, benchmark])) == judged(benchmark, loss_TM)
    assert judged(benchmark, benchmark[:, None]) == superiority(benchmark, benchmark[:, None], np.zeros((3, 250), int))
    assert judged(benchmark, benchmark[:, None]).spa == 1


def test_nobody_better_is_certain():
    benchmark, loss_TM = losses(2)
    assert judged(benchmark, np.abs(loss_TM - benchmark[:, None]) + benchmark[:, None]).spa == 1
