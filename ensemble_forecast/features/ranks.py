"""Correlation of ranks (Spearman 1904), equal values sharing one rank."""

import numpy as np


def ranks(x_NF: np.ndarray) -> np.ndarray:
    """Rank each column, equal values sharing a rank; centred, 0 where there is no value: float64 (N, F)."""
    rank_NF = np.zeros(x_NF.shape)
    for j, column in enumerate(x_NF.T):
        known = np.isfinite(column)
        rank = np.unique(column[known], return_inverse=True)[1]
        rank_NF[known, j] = rank - rank.mean() if len(rank) else rank
    return rank_NF


def correlation(x_NF: np.ndarray, y_NG: np.ndarray) -> np.ndarray:
    """Correlate columns of centred ranks: (F, G), 0 where one of two is constant."""
    size_F, size_G = (np.sqrt((each**2).sum(axis=0)) for each in (x_NF, y_NG))
    size_FG = size_F[:, None] * size_G
    return (x_NF.T @ y_NG) / np.where(size_FG > 0, size_FG, np.inf)
