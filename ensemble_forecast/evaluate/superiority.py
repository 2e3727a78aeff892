"""Whether the best of many forecasters beats a benchmark by more than the luck of the best of many."""

from dataclasses import dataclass

import numpy as np

from ensemble_forecast.evaluate.diebold_mariano import ROUNDING
from ensemble_forecast.evaluate.resampling import resampled_means


@dataclass(frozen=True)
class Superiority:
    """P-values of the same claim: superior predictive ability (the consistent one), and the Reality Check; 1 where nothing could be tested."""

    spa: float
    reality_check: float


def superiority(benchmark_T: np.ndarray, loss_TM: np.ndarray, index_RT: np.ndarray) -> Superiority:
    """Test whether any of M forecasters has a smaller expected loss than the benchmark.

    Superior predictive ability is Hansen's (2005, doi:10.1198/073500105000000063): gains are studentised, and forecasters that are clearly worse
    do not weigh on the others (his consistent choice). The Reality Check is White's (2000, doi:10.1111/1468-0262.00152). The package arch offers
    both under these names, but as of version 8 it never divides a gain by its spread.

    Parameters
    ----------
    benchmark_T, loss_TM
        Losses at the same times, oldest first.
    index_RT
        Draws of the stationary bootstrap: `resampling.stationary_indices`.
    """
    gain_TM = benchmark_T[:, None] - loss_TM
    differs_M = gain_TM.std(axis=0) > ROUNDING * np.abs(benchmark_T).mean()  # the benchmark itself may be among the forecasters
    if not differs_M.any():
        return Superiority(1.0, 1.0)
    gain_TM = gain_TM[:, differs_M]
    mean_M, drawn_RM = gain_TM.mean(axis=0), resampled_means(gain_TM, index_RT)
    centred_RM = drawn_RM - mean_M
    spread_M = np.sqrt((centred_RM**2).mean(axis=0))
    hopeless_M = mean_M < -spread_M * np.sqrt(2 * np.log(np.log(len(gain_TM))))
    studentised_RM = np.where(hopeless_M, drawn_RM, centred_RM) / spread_M
    return Superiority(_share_above(studentised_RM, mean_M / spread_M), _share_above(centred_RM, mean_M))


def _share_above(drawn_RM: np.ndarray, seen_M: np.ndarray) -> float:
    """Share of the draws whose best is at least as good as the best seen; nobody is worse than the benchmark itself."""
    drawn_R, seen = np.maximum(drawn_RM.max(axis=1), 0.0), max(float(seen_M.max()), 0.0)
    return float((1 + (drawn_R >= seen).sum()) / (1 + len(drawn_R)))
