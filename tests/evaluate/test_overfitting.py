from itertools import combinations

import numpy as np
import pytest

from ensemble_forecast.evaluate.overfitting import backtest_overfitting


def slow(loss_TM, blocks):
    """Follow the paper split by split: the logit of the relative rank, out of sample, of the best in sample."""
    parts = np.array_split(np.arange(len(loss_TM)), blocks)
    below = []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[b] for b in chosen])
        outside = np.concatenate([parts[b] for b in range(blocks) if b not in chosen])
        winner = loss_TM[inside].mean(axis=0).argmin()
        performance = -loss_TM[outside].mean(axis=0)
        share = (1 + (performance < performance[winner]).sum()) / (loss_TM.shape[1] + 1)
        logit = np.log(share / (1 - share))
        below.append(0.5 if abs(logit) < 1e-12 else float(logit < 0))
    return np.mean(below)


@pytest.mark.parametrize(("n", "m", "blocks"), [(64, 5, 8), (80, 4, 10), (64, 7, 4)])
def test_it_is_the_paper_s_split_by_split(n, m, blocks):
    loss_TM = np.random.default_rng(n + m).normal(size=(n, m))
    assert backtest_overfitting(loss_TM, 1, blocks) == pytest.approx(slow(loss_TM, blocks))


def test_the_best_of_coins_falls_back_and_a_real_winner_stays():
    rng = np.random.default_rng(0)
    noise = [backtest_overfitting(rng.normal(size=(320, 20)), 1, 8) for _ in range(30)]
    assert 0.4 < np.mean(noise) < 0.75
    loss_TM = rng.normal(size=(320, 20))
    loss_TM[:, 7] -= 1
    assert backtest_overfitting(loss_TM, 1) == 0


def test_blocks_hold_two_horizons_and_too_few_say_nothing():
    loss_TM = np.random.default_rng(1).normal(size=(56, 3))
    assert backtest_overfitting(loss_TM, 7) == pytest.approx(slow(loss_TM, 4))
    assert backtest_overfitting(loss_TM, 14) is None
    assert backtest_overfitting(loss_TM[:, :1], 1) is None
