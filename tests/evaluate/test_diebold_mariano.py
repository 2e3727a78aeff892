import numpy as np
import pytest
from scipy import stats
from statsmodels.tsa.stattools import diebold_mariano_test

from ensemble_forecast.evaluate.diebold_mariano import LEAST_BETS, diebold_mariano, long_run_variance


def overlapping(n, horizon, rng):
    """Differences whose neighbours share all but one step, as losses of horizon-step forecasts do."""
    return np.convolve(rng.normal(size=n + horizon - 1), np.ones(horizon) / horizon, "valid")


def rejection_rate(n, horizon, shift=0.0, repeats=1500):
    rng = np.random.default_rng(1)
    return np.mean([diebold_mariano(overlapping(n, horizon, rng) - shift, np.zeros(n), horizon).p_value < 0.05 for _ in range(repeats)])


@pytest.mark.parametrize(("n", "horizon"), [(12, 1), (34, 1), (30, 3), (56, 7), (238, 7)])
def test_a_true_null_is_rejected_about_one_time_in_twenty(n, horizon):
    assert 0.03 < rejection_rate(n, horizon) < 0.08


def test_real_skill_is_found_and_a_worse_forecast_never_called_better():
    assert rejection_rate(100, 1, shift=0.4, repeats=300) > 0.95
    assert rejection_rate(238, 7, shift=0.4, repeats=300) > 0.95
    assert rejection_rate(100, 1, shift=-0.4, repeats=300) == 0


@pytest.mark.parametrize("n", [5, 40])
def test_at_horizon_one_it_is_the_test_of_statsmodels(n):
    rng = np.random.default_rng(2)
    loss_a, loss_b = rng.gamma(2, size=n), rng.gamma(2, size=n)
    oracle = diebold_mariano_test(np.zeros(n), loss_a, loss_b, criterion=lambda _, loss: loss, lags=0, harvey_adj=True, horizon=1)
    ours = diebold_mariano(loss_a, loss_b, 1)
    assert ours.statistic == pytest.approx(oracle.statistic)
    assert ours.p_value == pytest.approx(oracle.pvalue / 2 if oracle.statistic < 0 else 1 - oracle.pvalue / 2)
    assert (ours.n, ours.mean_difference) == (n, pytest.approx((loss_a - loss_b).mean()))


@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_the_statistic_is_that_of_harvey_leybourne_and_newbold(horizon):
    rng = np.random.default_rng(3)
    difference = overlapping(60, horizon, rng)
    n, mean = 60, difference.mean()
    autocovariance = [sum((difference[t] - mean) * (difference[t - k] - mean) for t in range(k, n)) / n for k in range(horizon)]
    variance = (autocovariance[0] + 2 * sum(autocovariance[1:])) / n
    hln = mean / variance**0.5 * ((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n) ** 0.5
    ours = diebold_mariano(difference, np.zeros(n), horizon)
    assert ours.statistic == pytest.approx(hln)
    assert ours.p_value == pytest.approx(stats.t.cdf(hln, n / horizon - 1))


def test_where_the_rectangular_variance_is_negative_it_is_that_of_newey_and_west():
    difference = np.tile([1.0, -1.0, 0.5], 14) + 0.01 * np.arange(42)
    oracle = diebold_mariano_test(np.zeros(42), difference, np.zeros(42), criterion=lambda _, loss: loss, lags=1, horizon=2)
    centred = difference - difference.mean()
    assert centred @ centred + 2 * centred[1:] @ centred[:-1] < (centred @ centred + centred[1:] @ centred[:-1])
    assert difference.mean() / np.sqrt(long_run_variance(difference, 2) / 42) == pytest.approx(oracle.statistic)


@pytest.mark.parametrize(
    ("loss_a", "loss_b", "horizon"),
    [
        (np.empty(0), np.empty(0), 1),
        (np.array([1.0]), np.array([2.0]), 1),
        (np.arange(27.0), np.arange(27.0) + np.sin(np.arange(27)), 7),
        (np.ones(50), np.ones(50), 3),
        (np.ones(50), np.full(50, 2.0), 3),
        (np.full(50, 0.1 + 0.2), np.full(50, 0.3) + 1e-16 * np.arange(50), 1),
    ],
    ids=["none", "one", "fewer than four horizons", "equal", "a constant apart", "rounding apart"],
)
def test_what_cannot_be_tested_has_p_one(loss_a, loss_b, horizon):
    test = diebold_mariano(loss_a, loss_b, horizon)
    assert (test.statistic, test.p_value) == (0.0, 1.0)
    assert LEAST_BETS == 4
