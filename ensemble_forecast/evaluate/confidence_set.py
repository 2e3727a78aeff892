"""Which of some forecasters cannot be told from the best."""

import numpy as np

from ensemble_forecast.evaluate.diebold_mariano import ROUNDING
from ensemble_forecast.evaluate.resampling import resampled_means


def model_confidence_set(loss_TM: np.ndarray, index_RT: np.ndarray) -> np.ndarray:
    """Tell how well each of M forecasters holds out against elimination (Hansen, Lunde and Nason 2011, doi:10.3982/ECTA5771).

    The worst one is taken out again and again, by the largest studentised distance to the mean of those left (their T_max).

    Parameters
    ----------
    loss_TM
        Losses at the same times, oldest first.
    index_RT
        Draws of the stationary bootstrap: `resampling.stationary_indices`.

    Returns
    -------
    p-value of each: those above a level are the confidence set of one minus that level.
    """
    p_M = np.ones(loss_TM.shape[1])
    mean_M = loss_TM.mean(axis=0)
    centred_RM = resampled_means(loss_TM, index_RT) - mean_M
    left, reached = np.arange(len(p_M)), 0.0
    while len(left) > 1:
        distance_K = mean_M[left] - mean_M[left].mean()
        drawn_RK = centred_RM[:, left] - centred_RM[:, left].mean(axis=1, keepdims=True)
        spread_K = np.sqrt((drawn_RK**2).mean(axis=0))
        if spread_K.max() <= ROUNDING * np.abs(mean_M[left]).mean():  # copies of each other
            break
        spread_K = np.maximum(spread_K, ROUNDING * spread_K.max())
        worst = int(np.argmax(distance_K / spread_K))
        share = ((drawn_RK / spread_K).max(axis=1) > distance_K[worst] / spread_K[worst]).mean()
        reached = max(reached, float(share))
        p_M[left[worst]] = reached
        left = np.delete(left, worst)
    return p_M
