"""Whether directions are called right more often than by chance."""

import numpy as np
from scipy import stats

from ensemble_forecast.evaluate.diebold_mariano import Test
from ensemble_forecast.evaluate.sample import Sample, over_horizon

LEAST_CALLS = 20  # below, the normal approximation cannot be trusted: four right calls of four would have p = 0.01


def pesaran_timmermann(rose_N: np.ndarray, called_N: np.ndarray) -> Test:
    """Test whether calls and outcomes are independent (Pesaran and Timmermann 1992, doi:10.1080/07350015.1992.10509922).

    The hit rate is compared with the one that calls and outcomes of these shares would have by chance, so that a forecaster who always calls
    "up" has no skill in a rising market. The variance is the paper's in full, the term of order 1 / n^2 included.

    Parameters
    ----------
    rose_N, called_N
        bool: whether the target rose, and whether a rise was called; neighbours do not overlap.

    Returns
    -------
    the test; here the statistic is above zero, and so is ``mean_difference`` (hit rate above that by chance), where calls are better than chance.
    """
    n = len(rose_N)
    if n < LEAST_CALLS:
        return Test(0.0, 1.0, n, 0.0)
    rate, up, called = float((rose_N == called_N).mean()), float(rose_N.mean()), float(called_N.mean())
    chance = up * called + (1 - up) * (1 - called)
    spread = up * (1 - up) * called * (1 - called)
    variance = chance * (1 - chance) / n - ((2 * up - 1) ** 2 * called * (1 - called) + (2 * called - 1) ** 2 * up * (1 - up)) / n - 4 * spread / n**2
    if spread == 0:
        return Test(0.0, 1.0, n, 0.0)
    statistic = (rate - chance) / np.sqrt(variance)
    return Test(float(statistic), float(stats.norm.sf(statistic)), n, rate - chance)


def directions(rose_NH: np.ndarray, called_NH: np.ndarray, expected_NH: np.ndarray, sample: Sample) -> Test:
    """Test the same where neighbours overlap, series share their shocks, or a naive forecaster already knows something of the direction.

    On one series at horizon 1, against a naive forecaster that always says the same, it is `pesaran_timmermann`. Otherwise the covariance of
    calls and surprises is tested with the variance that its dependence asks for (Blaskowitz and Herwartz 2014,
    doi:10.1016/j.ijforecast.2013.06.001); twice that covariance is the same excess of the hit rate.

    Parameters
    ----------
    rose_NH, called_NH
        1 or 0; NaN where unknown or not called.
    expected_NH
        Probability of a rise that the naive forecaster gives.

    Returns
    -------
    the test, signed as that of `pesaran_timmermann`.
    """
    known_NH = np.isfinite(rose_NH) & np.isfinite(called_NH)
    used_N = known_NH.any(axis=1)
    constant = not known_NH.any() or np.ptp(expected_NH[known_NH]) == 0
    if sample.horizon == 1 and sample.n_series <= 1 and constant:
        return pesaran_timmermann(rose_NH[known_NH] == 1, called_NH[known_NH] == 1)
    if known_NH.sum() < LEAST_CALLS:
        return Test(0.0, 1.0, int(used_N.sum()), 0.0)
    surprise_NH = rose_NH - expected_NH
    product_NH = (surprise_NH - surprise_NH[known_NH].mean()) * (called_NH - called_NH[known_NH].mean())
    covariance_N = over_horizon(np.where(known_NH, product_NH, np.nan))[used_N]
    test = sample.take(used_N).compare(-2 * covariance_N, np.zeros(len(covariance_N)))
    return Test(-test.statistic, test.p_value, test.n, -test.mean_difference)
