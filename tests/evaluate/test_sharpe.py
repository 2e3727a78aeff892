import numpy as np
import pytest

from ensemble_forecast.evaluate.sharpe import deflated_sharpe, expected_best, probability_above, sharpe, sharpe_interval


def test_the_worked_example_of_the_paper():
    """Bailey and Lopez de Prado 2014: Sharpe 2.5 a year over 1250 days, variance 1/2 a year of 100 trials, skewness -3, kurtosis 10."""
    to_beat = np.sqrt(1 / 2 / 250) * expected_best(100)
    assert to_beat == pytest.approx(0.1132, abs=5e-5)
    assert probability_above(2.5 / np.sqrt(250), to_beat, 1250, -3, 10) == pytest.approx(0.9004, abs=5e-5)


def test_the_best_of_so_many_normal_draws_is_expected_there():
    drawn = np.random.default_rng(0).normal(size=(20_000, 100)).max(axis=1).mean()
    assert expected_best(100) == pytest.approx(drawn, rel=0.02)


def test_more_trials_make_the_same_record_less_believable():
    rng = np.random.default_rng(1)
    returns_T = rng.normal(0.08, 1, 1000)
    few, many = deflated_sharpe(returns_T, 0.001, 5), deflated_sharpe(returns_T, 0.001, 5000)
    assert few["sharpe"] == many["sharpe"] == pytest.approx(returns_T.mean() / returns_T.std())
    assert few["to_beat"] < many["to_beat"]
    assert few["probability"] > many["probability"]


def test_the_best_of_coins_is_not_believed():
    rng = np.random.default_rng(2)
    believed = []
    for _ in range(200):
        ratio_M = sharpe(streams := rng.normal(size=(50, 250)))
        believed.append(deflated_sharpe(streams[ratio_M.argmax()], float(ratio_M.var(ddof=1)), 50)["probability"] > 0.95)
    assert np.mean(believed) < 0.1


def test_what_does_not_move_has_no_ratio():
    assert sharpe(np.zeros(10)) == 0
    assert deflated_sharpe(np.zeros(30), 0.01, 10)["probability"] < 0.5
    assert sharpe_interval(np.zeros(100), 1, np.random.default_rng(0)) is None
    assert sharpe_interval(np.ones(9), 1, np.random.default_rng(0)) is None


def test_the_interval_holds_the_true_ratio_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(150):
        low, high = sharpe_interval(rng.normal(0.1, 1, 250), 1, rng)
        inside.append(low < 0.1 < high)
    assert 0.89 < np.mean(inside) <= 1
