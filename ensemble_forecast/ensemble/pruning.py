"""Which candidates are worth combining: not much worse than the best, no copies of each other, not too many.

Near-copies are merged into one arm by keeping the better of them: their mean would hardly differ from it, would cost one more refit, and two
arms would give one opinion two votes in every average.

Pruning is what makes equal and shrunken weights safe: on M4 hourly, with candidates at twice the best loss in it, the simple average was about
50 % worse; after pruning it came within 3 % of learnt weights.
"""

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.ensemble.base import Rows, opened, served
from ensemble_forecast.ensemble.cells import FARTHEST, Cells, sample

TOLERANCE = 1.15  # x the best loss; 1.1 and 1.2 are alike
LOG_LOSS_TOLERANCE = 0.02  # above the best, in nats: a ratio says nothing near 0.693, where a coin and an oracle of markets lie 0.01 apart
LEAST_SERVED = 0.5  # of the rows that the most willing candidate serves
SAME = 0.01  # mean squared distance over mean squared error: an error correlation of 0.995
COPY_VALUES = 60_000  # cells x levels: enough to recognise a copy


def survivors(forecasts_NHQM: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task, size: int | None = None) -> np.ndarray:
    """Choose the candidates that are worth combining.

    Parameters
    ----------
    size
        Most candidates to keep, the best by loss; None: all that are worth it.

    Returns
    -------
    int64 positions on the M axis, best first; at least one wherever a candidate serves a scored row, otherwise none.
    """
    served_M = served(forecasts_NHQM).sum(axis=0)
    willing = np.flatnonzero((served_M > 0) & (served_M >= LEAST_SERVED * served_M.max()))
    cells = sample(forecasts_NHQM, truth_NH, rows, task, members=willing)
    if not len(cells.truth_C):
        return willing[:0]
    losses_M = cells.member_losses()
    bound = losses_M.min() + LOG_LOSS_TOLERANCE if task.kind == "direction" else TOLERANCE * losses_M.min()
    good = np.argsort(losses_M, kind="stable")
    good = good[losses_M[good] <= bound]
    return willing[good[_originals(cells, good)][:size]]


def errors_of(forecast_NHQ: np.ndarray, truth_NH: np.ndarray, rows: Rows, task: Task) -> np.ndarray:
    """Sample what `are_copies` compares: errors in scales, or log-odds for kind ``direction``; float64 (K,), NaN where there is none."""
    every = -(-forecast_NHQ.size // COPY_VALUES)
    values = opened(forecast_NHQ[::every].astype(float), task.kind, axis=-1)
    if task.kind == "quantiles":
        values = (values - truth_NH[::every, :, None]) / rows.scale[::every, None, None]
    return np.clip(values, -FARTHEST, FARTHEST).ravel()


def are_copies(one_K: np.ndarray, other_K: np.ndarray) -> bool:
    """Whether two candidates are one opinion: their errors differ by next to nothing."""
    known_K = np.isfinite(one_K) & np.isfinite(other_K)
    one_K, other_K = one_K[known_K], other_K[known_K]
    return len(one_K) > 0 and bool(np.square(one_K - other_K).sum() <= SAME * max(np.square(one_K).sum(), np.square(other_K).sum()))


def _originals(cells: Cells, best_first: np.ndarray) -> list[int]:
    """Walk from the best candidate down and keep the positions of those that are no near-copy of one already kept."""
    stride = -(-cells.values_CQM[..., 0].size // COPY_VALUES)
    errors_KM = cells.values_CQM[::stride, :, best_first].reshape(-1, len(best_first))
    product_MM = errors_KM.T @ errors_KM
    square_M = np.diag(product_MM)
    distance_MM = square_M[:, None] + square_M - 2 * product_MM
    kept: list[int] = []
    for member in range(len(best_first)):
        if all(distance_MM[member, other] > SAME * max(square_M[member], square_M[other]) for other in kept):
            kept.append(member)
    return kept
