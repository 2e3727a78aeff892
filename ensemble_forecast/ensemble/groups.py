"""Groups of cells that share what is learnt, buckets of the horizon or groups of levels, and averages with other weights in each."""

import numpy as np

from ensemble_forecast.ensemble.base import served, weighted


def bucket_of(horizon: int, n_buckets: int) -> np.ndarray:
    """Assign horizon steps to buckets of nearly equal size: int64 (H,)."""
    return np.arange(horizon) * n_buckets // horizon


def weighted_by_group(forecasts_NHQM: np.ndarray, weights_GM: np.ndarray, group: np.ndarray, axis: int, kind: str) -> np.ndarray:
    """Average members with the weights of each cell's group: float64 (N, H, Q), coherent, NaN rows where nobody serves.

    Parameters
    ----------
    weights_GM
        One set of weights a group.
    group
        int64, not decreasing: group of each position on the axis.
    axis
        1 for groups of horizon steps, 2 for groups of levels (kind ``quantiles`` only: a probability cannot be averaged without its other).
    """
    served_NM = served(forecasts_NHQM)
    if not served_NM.all():  # a member serves a whole row or none of it, in every group alike
        forecasts_NHQM = np.where(served_NM[:, None, None, :], forecasts_NHQM, np.nan)
    parts = [weighted(np.compress(group == index, forecasts_NHQM, axis), weights_M, kind) for index, weights_M in enumerate(weights_GM)]
    combined_NHQ = np.concatenate(parts, axis=axis)
    combined_NHQ[np.isnan(combined_NHQ).any(axis=(1, 2))] = np.nan
    return np.sort(combined_NHQ, axis=-1) if kind == "quantiles" else combined_NHQ
