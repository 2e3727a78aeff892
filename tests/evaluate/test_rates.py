import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from ensemble_forecast.evaluate.rates import smallest_rate, wilson


@pytest.mark.parametrize(("share", "n"), [(0.53, 34), (0.0, 5), (1.0, 12), (0.5, 1000)])
def test_the_interval_of_a_rate_is_that_of_wilson(share, n):
    assert wilson(share, n) == pytest.approx([float(edge) for edge in proportion_confint(share * n, n, method="wilson")])


def test_without_a_bet_nothing_is_known():
    assert wilson(0.5, 0) == [0.0, 1.0]
    assert smallest_rate(0) == smallest_rate(2) == 1.0


@pytest.mark.parametrize(("rate", "bets"), [(0.51, 15_454), (0.52, 3_862), (0.53, 1_715), (0.55, 616)])
def test_so_many_bets_are_needed_to_show_a_rate(rate, bets):
    assert smallest_rate(bets) == pytest.approx(rate, abs=1e-4)


@pytest.mark.parametrize("n", [40, 365, 2000])
def test_the_smallest_rate_is_found_four_times_out_of_five(n):
    hits = np.random.default_rng(0).binomial(n, smallest_rate(n), 20_000)
    found = (hits / n - 0.5) / np.sqrt(0.25 / n) > stats.norm.ppf(0.95)
    assert found.mean() == pytest.approx(0.8, abs=0.04), "the binomial is lumpy"
