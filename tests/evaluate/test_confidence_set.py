import numpy as np
import pytest
from arch.bootstrap import MCS

from ensemble_forecast.evaluate.confidence_set import model_confidence_set
from ensemble_forecast.evaluate.resampling import stationary_indices


@pytest.mark.parametrize("seed", range(4))
def test_it_is_that_of_arch(seed):
    rng = np.random.default_rng(seed)
    loss_TM = rng.gamma(4, size=(300, 1)) + rng.normal(size=(300, 8)) + np.linspace(0, 0.3, 8)
    theirs = MCS(loss_TM, size=0.1, reps=4000, block_size=2, method="max", seed=seed)
    theirs.compute()
    p_M = model_confidence_set(loss_TM, stationary_indices(300, 2.0, rng, 4000))
    np.testing.assert_allclose(p_M, theirs.pvalues["Pvalue"].sort_index().to_numpy(), atol=0.05)


def test_the_best_stays_and_the_clearly_worse_goes():
    rng = np.random.default_rng(5)
    loss_TM = np.column_stack([rng.normal(0, 1, 200), rng.normal(0.02, 1, 200), rng.normal(2, 1, 200)])
    p_M = model_confidence_set(loss_TM, stationary_indices(200, 1.0, rng))
    assert p_M[2] < 0.01
    assert p_M[[0, 1]].min() > 0.1
    assert p_M.max() == 1


def test_copies_stay_together():
    loss_T = np.random.default_rng(6).normal(size=100)
    index_RT = stationary_indices(100, 1.0, np.random.default_rng(7))
    assert model_confidence_set(np.column_stack([loss_T, loss_T]), index_RT).tolist() == [1, 1]
    worse_T = loss_T + np.random.default_rng(8).normal(1, 0.5, 100)
    assert model_confidence_set(np.column_stack([loss_T, loss_T, worse_T]), index_RT).tolist() == [1, 1, 0]
    assert model_confidence_set(loss_T[:, None], index_RT).tolist() == [1]
