"""Sharpe ratios: with an interval, and after counting how many were tried."""

import numpy as np
from scipy import stats

from ensemble_forecast.evaluate.resampling import LEAST_BLOCKS, block_length, stationary_indices


def sharpe(returns: np.ndarray) -> np.ndarray:
    """Mean over standard deviation along the last axis, a step; 0 where nothing moves."""
    spread = returns.std(axis=-1)
    ratio: np.ndarray = np.where(spread > 0, returns.mean(axis=-1) / np.where(spread > 0, spread, 1.0), 0.0)
    return ratio


def sharpe_interval(returns_T: np.ndarray, horizon: int, rng: np.random.Generator) -> list[float] | None:
    """Bound a Sharpe ratio a step: 95 % percentile interval of the stationary bootstrap; None where there is too little to draw from."""
    if len(returns_T) < LEAST_BLOCKS * horizon or not returns_T.any():
        return None
    index_RT = stationary_indices(len(returns_T), block_length(returns_T[:, None], horizon), rng)
    return [float(edge) for edge in np.quantile(sharpe(returns_T[index_RT]), [0.025, 0.975])]


def deflated_sharpe(returns_T: np.ndarray, variance: float, trials: int) -> dict[str, float]:
    """Tell how probable it is that the best of many trials has a Sharpe ratio above what luck alone gives the best of so many.

    Bailey and Lopez de Prado (2014, doi:10.3905/jpm.2014.40.5.094): the ratio to beat is the expected largest of ``trials`` ratios
    whose mean is zero; skewness and fat tails widen its error.

    Parameters
    ----------
    returns_T
        Of the best trial, a step each.
    variance
        Of the Sharpe ratios (a step) of the trials whose returns are known.
    trials
        Number of all trials, those whose returns are not known included.

    Returns
    -------
    ``sharpe``, ``to_beat`` (both a step) and ``probability``.
    """
    ratio, n = float(sharpe(returns_T)), len(returns_T)
    to_beat = np.sqrt(variance) * expected_best(trials)
    skew, kurtosis = (float(stats.skew(returns_T)), float(stats.kurtosis(returns_T, fisher=False))) if ratio else (0.0, 3.0)
    return {"sharpe": ratio, "to_beat": float(to_beat), "probability": probability_above(ratio, to_beat, n, skew, kurtosis)}


def expected_best(trials: int) -> float:
    """Tell the expected largest of so many independent standard normal draws, in the approximation of the paper.

    >>> [round(expected_best(n), 2) for n in (1, 100, 1000)]
    [0.0, 2.53, 3.26]
    """
    if trials < 2:
        return 0.0
    low, high = stats.norm.ppf(1 - 1 / trials), stats.norm.ppf(1 - 1 / (trials * np.e))
    return float((1 - np.euler_gamma) * low + np.euler_gamma * high)


def probability_above(ratio: float, to_beat: float, n: int, skew: float, kurtosis: float) -> float:
    """Tell how probable it is that a Sharpe ratio seen over n steps stands for a true one above ``to_beat`` (probabilistic Sharpe ratio)."""
    spread = np.sqrt(max(1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2, 1e-12))
    return float(stats.norm.cdf((ratio - to_beat) * np.sqrt(n - 1) / spread))
