"""Buckets of the horizon, whose steps share what is learnt about them."""

import numpy as np


def bucket_of(horizon: int, n_buckets: int) -> np.ndarray:
    """Assign horizon steps to buckets of nearly equal size: int64 (H,)."""
    return np.arange(horizon) * n_buckets // horizon
