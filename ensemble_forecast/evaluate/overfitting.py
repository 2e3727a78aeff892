"""How often the winner of a search would have been a loser elsewhere."""

from itertools import combinations

import numpy as np
from scipy.stats import rankdata

BLOCKS = 16
AT_ONCE = 1000  # splits worked on together: bounds the memory


def backtest_overfitting(loss_TM: np.ndarray, horizon: int, blocks: int = BLOCKS) -> float | None:
    """Estimate the probability of backtest overfitting by combinatorially symmetric cross-validation.

    Time is cut into blocks; on every half of them the best of M candidates is chosen, and ranked on the other half. The probability is the share of
    splits in which it does not reach the better half there (Bailey, Borwein, Lopez de Prado and Zhu 2017, doi:10.21314/JCF.2016.322), a rank
    in the very middle counted half. Performance is the mean loss.

    Parameters
    ----------
    loss_TM
        Losses at the same times, oldest first.
    horizon
        Steps ahead: a block is at least two of them long.
    blocks
        Number of blocks, even; fewer where there are too few times.

    Returns
    -------
    the probability; None with fewer than two candidates or four blocks.
    """
    n, candidates = loss_TM.shape
    blocks = min(blocks, n // (2 * horizon) // 2 * 2)
    if candidates < 2 or blocks < 4:
        return None
    edges = np.linspace(0, n, blocks + 1).astype(int)
    sum_BM, size_B = np.add.reduceat(loss_TM, edges[:-1], axis=0), np.diff(edges)
    halves = list(combinations(range(blocks), blocks // 2))
    lost = 0.0
    for first in range(0, len(halves), AT_ONCE):
        part = halves[first : first + AT_ONCE]
        chosen_PB = np.zeros((len(part), blocks))
        np.put_along_axis(chosen_PB, np.array(part), 1.0, axis=1)
        inside_PM = (chosen_PB @ sum_BM) / (chosen_PB @ size_B)[:, None]
        outside_PM = ((1 - chosen_PB) @ sum_BM) / ((1 - chosen_PB) @ size_B)[:, None]
        rank_P = np.take_along_axis(rankdata(-outside_PM, axis=1), inside_PM.argmin(axis=1)[:, None], axis=1)[:, 0]
        share_P = rank_P / (candidates + 1)
        lost += float((share_P < 0.5).sum() + 0.5 * (share_P == 0.5).sum())
    return lost / len(halves)
