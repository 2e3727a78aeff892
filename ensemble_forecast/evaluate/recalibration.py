"""Whether probabilities can be taken at their word: the slope of outcomes on their log-odds."""

from typing import Any

import numpy as np
from scipy import stats
from scipy.special import expit

from ensemble_forecast.evaluate.diebold_mariano import LEAST_BETS
from ensemble_forecast.evaluate.sample import Sample

LEAST_CLASS = 5  # rises, and falls: with fewer there is no slope to speak of
LEAST_SPREAD = 1e-6  # of the log-odds
MOST_STEPS, CLOSE = 50, 1e-9  # of Newton's method, in units of the spread
STEEPEST = 30.0  # there too: outcomes that are told apart without a miss have no finite slope


def recalibration(truth_NH: np.ndarray, forecast_NHQ: np.ndarray, sample: Sample) -> dict[str, Any]:
    """Regress outcomes on the log-odds given to them (Cox 1958, doi:10.1093/biomet/45.3-4.562).

    A slope of 1 is that of honest probabilities; below it they are too bold, above it too timid, and at 0 they know nothing. The interval allows
    for labels that overlap and series that share their shocks: a sandwich with the errors that `Sample` takes for every loss.

    Parameters
    ----------
    truth_NH
        Label, 1 or 0; NaN where unknown.
    forecast_NHQ
        Probabilities of (down, up).

    Returns
    -------
    ``slope``, ``intercept``, ``interval`` (95 %) of the slope, and ``reason``: why there are none of them, None where there are.
    """
    known_NH = np.isfinite(truth_NH)
    odds_C = np.log(forecast_NHQ[..., 1] / forecast_NHQ[..., 0])[known_NH]
    label_C = truth_NH[known_NH]
    if min(label_C.sum(), (1 - label_C).sum()) < LEAST_CLASS or sample.bets < LEAST_BETS:
        return _untold("too few outcomes to tell")
    spread, centre = float(odds_C.std()), float(odds_C.mean())
    if spread < LEAST_SPREAD:
        return _untold("all probabilities are the same")
    inputs_C2 = np.stack([np.ones(len(odds_C)), (odds_C - centre) / spread], axis=1)
    numbers = _regressed(inputs_C2, label_C)
    if numbers is None:
        return _untold("outcomes are told apart without a miss")
    up_C = expit(inputs_C2 @ numbers)
    bread = np.linalg.inv(inputs_C2.T @ (inputs_C2 * (up_C * (1 - up_C))[:, None]))
    influence_NH = np.zeros(truth_NH.shape)
    influence_NH[known_NH] = ((label_C - up_C)[:, None] * inputs_C2) @ bread[1] * len(truth_NH)
    error, freedom = sample.error_of_mean(influence_NH.sum(axis=1))
    half = float(stats.t.ppf(0.975, freedom)) * error
    slope = float(numbers[1] / spread)
    interval = [float((numbers[1] - half) / spread), float((numbers[1] + half) / spread)]
    return {"slope": slope, "intercept": float(numbers[0] - slope * centre), "interval": interval, "reason": None}


def _regressed(inputs_C2: np.ndarray, label_C: np.ndarray) -> np.ndarray | None:
    """Fit a logistic regression without a prior by Newton's method: intercept and slope, or None where it has no end."""
    numbers = np.zeros(2)
    for _ in range(MOST_STEPS):
        up_C = expit(inputs_C2 @ numbers)
        curvature = inputs_C2.T @ (inputs_C2 * (up_C * (1 - up_C))[:, None])
        step = np.linalg.solve(curvature, inputs_C2.T @ (label_C - up_C))
        numbers = numbers + step
        if np.abs(numbers).max() > STEEPEST:
            return None
        if np.abs(step).max() < CLOSE:
            return numbers
    return None


def _untold(reason: str) -> dict[str, Any]:
    return {"slope": None, "intercept": None, "interval": None, "reason": reason}
