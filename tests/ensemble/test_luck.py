import numpy as np
import pytest
from scipy.stats import norm, t

from ensemble_forecast.ensemble.luck import clustered_mean, luck


def test_the_standard_error_is_that_of_cluster_means():
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(30), 5)
    values = np.repeat(rng.normal(size=30), 5)[:, None] + np.zeros((150, 2))
    mean, error, n_clusters = clustered_mean(values, label)
    assert (mean, error, n_clusters) == (
        pytest.approx(values[::5, 0].mean()),
        pytest.approx(values[::5, 0].std(ddof=1) / np.sqrt(30)),
        30,
    )
    assert clustered_mean(values, np.zeros(150))[1] == np.inf


def test_luck_is_that_of_independent_contestants_on_few_clusters_and_less_for_those_that_move_together_on_many():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(400, 1))
    alike = {str(k): shared + 0.05 * rng.normal(size=(400, 1)) for k in range(12)}
    apart = {str(k): rng.normal(size=(400, 1)) for k in range(12)}
    label = np.arange(400)
    one_se = norm.cdf(1.0)
    independent = t.ppf(one_se ** (1 / 12), 399)
    assert luck(apart, label, 0) == pytest.approx(independent, abs=0.1)
    assert luck(alike, label, 0) < 1.3
    few = {name: gain[:50] for name, gain in alike.items()}
    assert luck(few, label[:50], 0) == pytest.approx(t.ppf(one_se ** (1 / 12), 49))
    assert luck({"a": shared}, np.zeros(400, dtype=int), 0) == np.inf
