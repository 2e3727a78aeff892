"""Directions in a forecast of classes: of barriers, which of the two is met first where one is."""

import numpy as np


def as_directions(truth_NH: np.ndarray, forecast_NHQ: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read labels and probabilities of (stop, timeout, take) as those of (down, up), given that a barrier is met; of two classes as they are.

    Returns
    -------
    the label, 1 up and 0 down, NaN where unknown or where the time was out; and the probabilities (N, H, 2).
    """
    if forecast_NHQ.shape[-1] == 2:
        return truth_NH, forecast_NHQ
    ends_NH2 = forecast_NHQ[..., [0, 2]]
    return np.where(truth_NH == 1, np.nan, truth_NH / 2), ends_NH2 / ends_NH2.sum(axis=-1, keepdims=True)
