import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.diagnostic import pesaran_timmermann as oracle

from ensemble_forecast.evaluate.pesaran_timmermann import LEAST_CALLS, directions, pesaran_timmermann
from ensemble_forecast.evaluate.sample import Sample


def one_series(n, horizon=1):
    return Sample(np.zeros(n, int), np.arange(n), horizon)


@pytest.mark.parametrize("n", [30, 400])
def test_it_is_the_test_of_statsmodels_but_for_the_last_term_of_the_variance(n):
    rng = np.random.default_rng(n)
    truth = rng.normal(0.2, 1, n)
    forecast = 0.3 * truth + rng.normal(0.1, 1, n)
    theirs = oracle(truth, forecast, alternative="larger")
    ours = pesaran_timmermann(truth > 0, forecast > 0)
    assert ours.statistic == pytest.approx(theirs.statistic * np.sqrt(n / (n - 1)))
    assert ours.p_value == pytest.approx(stats.norm.sf(ours.statistic))
    assert (ours.n, ours.mean_difference) == (n, pytest.approx(theirs.res_store.p_hat - theirs.res_store.p_ind))


def test_the_variance_is_that_of_the_paper_in_full():
    rng = np.random.default_rng(1)
    rose, called = rng.random(60) < 0.6, rng.random(60) < 0.3
    n, y, x = 60, rose.mean(), called.mean()
    chance = y * x + (1 - y) * (1 - x)
    of_rate = chance * (1 - chance) / n
    of_chance = ((2 * y - 1) ** 2 * x * (1 - x) + (2 * x - 1) ** 2 * y * (1 - y)) / n + 4 * y * x * (1 - y) * (1 - x) / n**2
    assert pesaran_timmermann(rose, called).statistic == pytest.approx(((rose == called).mean() - chance) / np.sqrt(of_rate - of_chance))


def test_always_calling_up_in_a_rising_market_is_no_skill():
    rose = np.random.default_rng(2).random(300) < 0.8
    assert pesaran_timmermann(rose, np.ones(300, bool)).p_value == 1
    assert pesaran_timmermann(np.ones(300, bool), rose).p_value == 1


def test_a_few_right_calls_prove_nothing():
    calls = np.arange(LEAST_CALLS - 1) % 2 == 0
    assert pesaran_timmermann(calls, calls).p_value == 1


def cells(rng, n, horizon=1, lean=0.0):
    """Rises of overlapping sums of noise, calls that lean towards them, and neighbours' calls alike."""
    steps = rng.normal(size=n + horizon - 1)
    ahead = np.cumsum(np.lib.stride_tricks.sliding_window_view(steps, horizon), axis=1)
    hint = lean * ahead[:, -1] / np.sqrt(horizon) + np.convolve(rng.normal(size=n + 9), np.ones(10), "valid") / np.sqrt(10)
    return (ahead > 0).astype(float), np.repeat((hint > 0).astype(float)[:, None], horizon, axis=1)


def test_at_horizon_one_against_a_constant_it_is_the_paper_s_test():
    rose, called = cells(np.random.default_rng(3), 200, lean=0.2)
    called[::7] = np.nan
    known = np.isfinite(called[:, 0])
    expected = pesaran_timmermann(rose[known, 0] == 1, called[known, 0] == 1)
    assert directions(rose, called, np.full((200, 1), 0.53), one_series(200)) == expected
    assert expected.n == known.sum()


def test_the_covariance_form_agrees_with_the_paper_s_where_nothing_depends():
    rng = np.random.default_rng(4)
    rose, called = rng.random((500, 1)) < 0.55, rng.random((500, 1)) < 0.5
    called = np.where(rng.random((500, 1)) < 0.1, rose, called).astype(float)
    almost_constant = np.full((500, 1), 0.5) + 1e-9 * np.arange(500)[:, None]
    ours, paper = directions(rose.astype(float), called, almost_constant, one_series(500)), pesaran_timmermann(rose[:, 0], called[:, 0] == 1)
    assert ours.mean_difference == pytest.approx(paper.mean_difference, abs=1e-6)
    assert ours.statistic == pytest.approx(paper.statistic, rel=0.05)


@pytest.mark.parametrize("horizon", [1, 5])
def test_calls_without_skill_pass_one_time_in_twenty(horizon):
    rng = np.random.default_rng(5)
    p_values = [directions(*cells(rng, 240, horizon), np.full((240, horizon), 0.5), one_series(240, horizon)).p_value for _ in range(600)]
    assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.08


@pytest.mark.parametrize("horizon", [1, 5])
def test_real_skill_is_found_and_its_opposite_never(horizon):
    rng = np.random.default_rng(6)
    shapes = {"n": 400, "horizon": horizon}
    skilled = [directions(*cells(rng, **shapes, lean=1.0), np.full((400, horizon), 0.5), one_series(400, horizon)).p_value for _ in range(50)]
    wrong = [directions(*cells(rng, **shapes, lean=-1.0), np.full((400, horizon), 0.5), one_series(400, horizon)).p_value for _ in range(50)]
    assert np.mean(np.array(skilled) < 0.05) > 0.9
    assert np.min(wrong) > 0.5


def test_what_the_naive_foresaw_is_no_skill():
    """Directions that hold in seven of ten cases, known to the naive: calling them is right often, and says nothing."""
    rng = np.random.default_rng(7)
    p_values, unaware = [], []
    for _ in range(200):
        held = rng.random(300) < 0.7
        rose = np.cumsum(~held) % 2
        last = np.concatenate([[0], rose[:-1]])
        called, expected = last.astype(float)[:, None], np.where(last, 0.7, 0.3)[:, None]
        p_values.append(directions(rose.astype(float)[:, None], called, expected, one_series(300)).p_value)
        unaware.append(directions(rose.astype(float)[:, None], called, np.full((300, 1), 0.5), one_series(300)).p_value)
    assert np.mean(np.array(p_values) < 0.05) < 0.10
    assert max(unaware) < 0.01


def test_nothing_called_is_nothing_shown():
    rose = np.ones((50, 2))
    assert directions(rose, np.full((50, 2), np.nan), np.full((50, 2), 0.5), one_series(50, 2)).p_value == 1
