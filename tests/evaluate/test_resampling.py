import numpy as np
import pytest
from arch.bootstrap import optimal_block_length

from ensemble_forecast.evaluate.resampling import block_length, resampled_means, stationary_indices


def test_draws_are_made_of_blocks_of_the_asked_mean_length():
    index_RT = stationary_indices(50, 5.0, np.random.default_rng(0), draws=4000)
    assert index_RT.shape == (4000, 50)
    assert (index_RT.min(), index_RT.max()) == (0, 49)
    follows = (np.diff(index_RT, axis=1) % 50) == 1
    assert follows.mean() == pytest.approx(0.8 + 0.2 / 50, abs=0.005), "a new block may begin where the old one would have gone on"
    np.testing.assert_allclose(np.bincount(index_RT.ravel()) / index_RT.size, 1 / 50, rtol=0.05)


def test_blocks_of_one_are_the_plain_bootstrap():
    index_RT = stationary_indices(20, 1.0, np.random.default_rng(1), draws=2000)
    assert ((np.diff(index_RT, axis=1) % 20) == 1).mean() == pytest.approx(1 / 20, abs=0.01)


def test_means_are_those_of_the_drawn_rows():
    rng = np.random.default_rng(2)
    values_TM, index_RT = rng.normal(size=(30, 3)), stationary_indices(30, 4.0, rng, draws=7)
    np.testing.assert_allclose(resampled_means(values_TM, index_RT), [values_TM[index_T].mean(axis=0) for index_T in index_RT])


@pytest.mark.parametrize("memory", [0.3, 0.6, 0.9])
def test_the_block_is_about_that_of_politis_and_white(memory):
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(4000, 20))
    for t in range(1, 4000):
        noise[t] += memory * noise[t - 1]
    theirs = optimal_block_length(noise)["stationary"].median()
    assert block_length(noise, 1) == pytest.approx(theirs, rel=0.35)


def test_noise_needs_no_blocks_overlap_asks_for_the_horizon_and_few_rows_bound_them():
    noise = np.random.default_rng(4).normal(size=(365, 200))
    assert block_length(noise, 1) < 2
    assert block_length(noise, 7) == 7
    assert block_length(np.cumsum(noise, axis=0), 1) <= 36.5
    assert block_length(np.ones((50, 2)), 1) == 1
