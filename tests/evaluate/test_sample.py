from dataclasses import astuple

import numpy as np
import pytest

from ensemble_forecast.evaluate.diebold_mariano import diebold_mariano, two_way
from ensemble_forecast.evaluate.sample import Sample, over_horizon


def test_values_of_one_time_give_one_mean_oldest_first():
    rng = np.random.default_rng(0)
    time_N, values_N2 = rng.integers(-3, 9, 50), rng.normal(size=(50, 2))
    sample = Sample(np.arange(50) % 4, time_N, 1)
    expected = [[values_N2[time_N == time, k].mean() for k in range(2)] for time in sorted(set(time_N))]
    np.testing.assert_allclose(sample.by_time(values_N2), expected)
    np.testing.assert_allclose(sample.by_time(values_N2[:, 0]), np.array(expected)[:, 0])
    assert len(Sample(np.empty(0, int), np.empty(0, int), 1).by_time(np.empty(0))) == 0


def test_unknown_cells_are_left_out_of_the_mean_over_the_horizon():
    np.testing.assert_array_equal(over_horizon(np.array([[1.0, np.nan, 3.0], [np.nan] * 3])), [2.0, np.nan])


def test_a_few_series_at_one_time_are_one_observation():
    rng = np.random.default_rng(1)
    loss_a, loss_b, time = rng.gamma(4, size=84), rng.gamma(4, size=84), np.arange(84)
    thrice = Sample(np.repeat([0, 1, 2], 84), np.tile(time, 3), 7)
    together, alone = thrice.compare(np.tile(loss_a, 3), np.tile(loss_b, 3)), diebold_mariano(loss_a, loss_b, 7)
    assert astuple(together) == pytest.approx(astuple(alone))
    assert (thrice.bets, thrice.n_series, thrice.n_times, thrice.is_panel) == (12, 3, 84, False)


def test_a_panel_is_clustered_both_ways_and_at_one_time_its_series_are_the_sample():
    rng = np.random.default_rng(2)
    loss_a, loss_b, series, time = rng.gamma(4, size=90), rng.gamma(4, size=90), np.repeat(np.arange(30), 3), np.tile([0, 6, 12], 30)
    panel = Sample(series, time, 6)
    assert panel.compare(loss_a, loss_b) == two_way(loss_a, loss_b, series, time)
    assert panel.bets == 3
    once = panel.take(time == 6)
    assert once.compare(loss_a[time == 6], loss_b[time == 6]) == diebold_mariano(loss_a[time == 6], loss_b[time == 6], 1)


def panel_p_value(rng, shared, gain=0.0, n_series=30, n_times=8):
    """Compare two forecasters on a panel whose differences share a shock at each time."""
    series, time = np.repeat(np.arange(n_series), n_times), np.tile(np.arange(n_times), n_series)
    noise = np.sqrt(1 - shared) * rng.normal(size=len(series)) + np.sqrt(shared) * rng.normal(size=n_times)[time]
    return Sample(series, time, 1).compare(np.full(len(series), 5.0), 5.0 + gain + noise).p_value


@pytest.mark.parametrize("shared", [0.0, 0.5, 0.9])
def test_a_shock_common_to_all_series_is_not_taken_for_skill(shared):
    p_values = [panel_p_value(np.random.default_rng(seed), shared) for seed in range(300)]
    assert np.mean(np.array(p_values) < 0.05) <= 0.09, "nominal 5 %, and three standard errors"


def test_a_clear_gain_on_a_panel_shows():
    assert np.mean([panel_p_value(np.random.default_rng(seed), 0.0, 0.4, 40, 10) < 0.01 for seed in range(40)]) > 0.9


def test_many_origins_of_a_series_are_not_many_observations():
    rng = np.random.default_rng(4)
    rival = 5.0 + np.repeat(rng.normal(0.05, 1.0, 30), 5) + 0.01 * rng.normal(size=150)
    assert Sample(np.repeat(np.arange(30), 5), np.tile(np.arange(5), 30), 6).compare(np.full(150, 5.0), rival).p_value > 0.05
