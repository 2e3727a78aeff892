"""Sets of classes that hold what happens as often as promised; a set of several classes, or of none, is an abstention.

Split conformal prediction with the least ambiguous sets (Vovk, Gammerman and Shafer 2005, doi:10.1007/b106715; Sadinle, Lei and Wasserman 2019,
doi:10.1080/01621459.2017.1395341): how strange an outcome is, is one minus the probability that was given to it, and a class belongs to the set if
it would be no stranger than the promised share of the out-of-fold outcomes was.

The promise holds on average over forecasts that are exchangeable with those learnt from. Markets change, so what the sets hold on the test rows is
told beside it.
"""

import math

import numpy as np

from ensemble_forecast.metrics import given_to

PROMISED = (0.6, 0.7, 0.8, 0.9)
ROUNDING = 1e-9


def thresholds(forecast_NHQ: np.ndarray, truth_NH: np.ndarray, n_independent: int) -> np.ndarray:
    """Find how strange a class may be, for each share that is promised: (len(PROMISED),), in [0, 1].

    Parameters
    ----------
    forecast_NHQ
        Probabilities of the classes that nobody fitted on their labels.
    truth_NH
        Place of the class; NaN where unknown.
    n_independent
        How many of the cells are independent: the finite-sample level ceil((n + 1) share) / n counts these alone, as labels of neighbours overlap.
        Where that exceeds 1, every set holds every class.
    """
    known_NH = np.isfinite(truth_NH)
    strange_C = 1 - given_to(truth_NH, forecast_NHQ)[known_NH]
    ranks = [math.ceil((n_independent + 1) * share - ROUNDING) for share in PROMISED]
    return np.array(
        [1.0 if rank > n_independent else np.quantile(strange_C, rank / n_independent - ROUNDING, method="inverted_cdf") for rank in ranks]
    )


def sets(forecast_NHQ: np.ndarray, threshold: float) -> np.ndarray:
    """Which classes belong to the set of each cell: bool, as the forecast."""
    return 1 - forecast_NHQ <= threshold + ROUNDING
