"""How much of a difference between forecasts is luck: standard errors by cluster, and what the luckiest of several contestants reaches.

The one-standard-error rule would let the best of K lucky contestants through far too often, so its threshold is widened until the chance that any
of them passes equals the one that a single contestant has to pass one standard error, 16 %. How much luck K contestants have that move together is
simulated (Romano and Wolf 2005, doi:10.1198/016214504000000539; with normal numbers as in Chernozhukov, Chetverikov and Kato 2013,
doi:10.1214/13-AOS1161): as if they were independent, the threshold would be higher than it need be for a dozen that are nearly alike.
"""

from collections.abc import Mapping

import numpy as np
from scipy.special import ndtr, stdtrit

from ensemble_forecast.seeds import generator

ENOUGH_CLUSTERS = 100  # from here on, luck is simulated
DRAWS = 5000  # of what luck may do
ONE_SE = float(ndtr(-1.0))  # chance of a standard normal to lie one standard error below zero


def luck(gains: Mapping[str, np.ndarray], label_N: np.ndarray, seed: int) -> float:
    """Find how many standard errors the luckiest of several contestants exceeds as rarely as a single one exceeds one.

    Parameters
    ----------
    gains
        Cells (N, H) by contestant, NaN where unknown.

    Returns
    -------
    the quantile of the largest of the studentised gains when no contestant gains anything: normal numbers that are correlated as the
    contestants' sums by cluster, so that those that move together count as one. Below a hundred clusters, which are never quite independent on few
    series, contestants are taken to be independent instead (Sidak 1967, doi:10.1080/01621459.1967.10482935) and errors for Student's t. Infinite
    where there are fewer than two clusters.
    """
    sums_GK = np.stack([cluster_sums(gain_NH, label_N) for gain_NH in gains.values()], axis=1) if gains else np.zeros((0, 0))
    size_K = np.sqrt((sums_GK**2).sum(axis=0))
    n_clusters = len(sums_GK)
    if n_clusters < 2:
        return np.inf
    independent = float(stdtrit(n_clusters - 1, (1 - ONE_SE) ** (1 / len(gains))))
    if n_clusters < ENOUGH_CLUSTERS or not (size_K > 0).any():
        return independent
    studentised_GK = sums_GK[:, size_K > 0] / size_K[size_K > 0]
    values_K, vectors_KK = np.linalg.eigh(studentised_GK.T @ studentised_GK)
    root_KK = vectors_KK * np.sqrt(np.maximum(values_K, 0.0))
    largest_D = (generator(seed, "contest").normal(size=(DRAWS, len(root_KK))) @ root_KK.T).max(axis=1)
    exceeded = float(np.quantile(largest_D, 1 - ONE_SE))
    return float(np.clip(exceeded, 1.0, independent))


def clustered_mean(values_NH: np.ndarray, label_N: np.ndarray) -> tuple[float, float, int]:
    """Mean of the finite cells, its standard error when only clusters of rows are independent, and the number of clusters.

    The standard error is infinite where there are fewer than two clusters.
    """
    sums_G = cluster_sums(values_NH, label_N)
    finite_NH = np.isfinite(values_NH)
    mean, n_clusters = float(values_NH[finite_NH].mean()), len(sums_G)
    if n_clusters < 2:
        return mean, np.inf, n_clusters
    return mean, float(np.sqrt(n_clusters / (n_clusters - 1) * (sums_G**2).sum()) / finite_NH.sum()), n_clusters


def cluster_sums(values_NH: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """Sum the deviations of the finite cells from their mean in every cluster that has any: (G,)."""
    finite_NH = np.isfinite(values_NH)
    rows_N = finite_NH.any(axis=1)
    _, index_N = np.unique(label_N[rows_N], return_inverse=True)
    deviation_N = np.where(finite_NH, values_NH - values_NH[finite_NH].mean(), 0.0).sum(axis=1)[rows_N]
    return np.bincount(index_N, deviation_N)
