"""Panels made up from a seed: something to try, test and time the package with, where no real data may travel along.

Each series is drawn from what real monthly panels hold: a level, a damped trend, a yearly season and its strength, autocorrelated noise that grows
with the level, a jump of the level here and there, and some series that are intermittent, counted, constant or below zero. Everything is
computed for all series at once; a panel of fewer series is *not* the beginning of a larger one.
"""

import numpy as np
import pandas as pd

from ensemble_forecast.seeds import generator

SEASON = 12
INTERMITTENT, CONSTANT, SHIFTED_BELOW_ZERO = 0.06, 0.01, 0.08  # shares of the series
JUMPING = 0.25  # share of the series whose level jumps once
BEGIN = "2010-01-01"


def monthly_panel(n_series: int, n_steps: int = 100, seed: int = 0) -> pd.DataFrame:
    """Make a panel of monthly series that all begin in January 2010.

    Parameters
    ----------
    n_series, n_steps
        Number of series, and months in each.
    seed
        Same seed and sizes, same panel, to the bit.

    Returns
    -------
    DataFrame with ``unique_id`` (``M00000`` ...), ``ds`` (first of the month) and ``y``, series by series; nothing is missing.

    Examples
    --------
    >>> monthly_panel(2, n_steps=3).shape
    (6, 3)
    >>> monthly_panel(500)["unique_id"].nunique()
    500
    """
    values_SL = monthly_values(n_series, n_steps, seed)
    digits = max(5, len(str(n_series - 1)))
    ids = np.array([f"M{number:0{digits}d}" for number in range(n_series)], dtype=object)
    stamps = pd.date_range(BEGIN, periods=n_steps, freq="MS").to_numpy()
    return pd.DataFrame({"unique_id": np.repeat(ids, n_steps), "ds": np.tile(stamps, n_series), "y": values_SL.ravel()})


def monthly_values(n_series: int, n_steps: int, seed: int) -> np.ndarray:
    """Make the values of `monthly_panel`: float64 (S, L)."""
    rng = generator(seed, "synthetic monthly panel")
    month_L = np.arange(n_steps)
    scale_S = 10.0 ** rng.uniform(0.5, 5.0, n_series)
    relative_SL = _trend(rng, n_series, n_steps) + _jumps(rng, n_series, n_steps)
    relative_SL += _season(rng, n_series)[:, month_L % SEASON]
    relative_SL += _noise(rng, n_series, n_steps)
    values_SL = scale_S[:, None] * np.exp(np.clip(relative_SL, -4.0, 4.0))  # everything above acts in percent
    kind_S = rng.random(n_series)
    intermittent_S = kind_S < INTERMITTENT
    constant_S = (kind_S >= INTERMITTENT) & (kind_S < INTERMITTENT + CONSTANT)
    below_zero_S = kind_S > 1 - SHIFTED_BELOW_ZERO
    values_SL[intermittent_S] = _counts(rng, int(intermittent_S.sum()), n_steps)
    values_SL[constant_S] = np.round(scale_S[constant_S, None])
    values_SL[below_zero_S] -= np.median(values_SL[below_zero_S], axis=1, keepdims=True)  # balances, temperatures
    return values_SL


def _trend(rng: np.random.Generator, n_series: int, n_steps: int) -> np.ndarray:
    """Logarithm of a level that grows or falls ever more slowly, plus a random walk of its own: (S, L)."""
    growth_S1 = rng.laplace(0.001, 0.004, (n_series, 1))  # a month
    damping_S1 = rng.uniform(0.97, 1.0, (n_series, 1))
    growth_SL = growth_S1 * damping_S1 ** np.arange(n_steps)
    wandering_S1 = 0.03 * rng.beta(1, 3, (n_series, 1))
    return np.cumsum(growth_SL + wandering_S1 * rng.standard_normal((n_series, n_steps)), axis=1)


def _season(rng: np.random.Generator, n_series: int) -> np.ndarray:
    """Logarithm of twelve monthly factors, from hardly any season to one of a half: (S, 12)."""
    angle_M = 2 * np.pi * np.arange(SEASON) / SEASON
    phase_S1, second_S1 = rng.uniform(0, 2 * np.pi, (2, n_series, 1))
    shape_SM = np.sin(angle_M + phase_S1) + 0.5 * np.sin(2 * angle_M + second_S1) + 0.3 * rng.standard_normal((n_series, SEASON))
    return 0.5 * rng.beta(0.7, 2.5, (n_series, 1)) * (shape_SM - shape_SM.mean(axis=1, keepdims=True))


def _noise(rng: np.random.Generator, n_series: int, n_steps: int) -> np.ndarray:
    """Noise of first-order autoregressions, now and then with an outlier: (S, L)."""
    memory_S = rng.uniform(-0.2, 0.6, n_series)
    shock_SL = rng.standard_normal((n_series, n_steps)) * np.where(rng.random((n_series, n_steps)) < 0.01, 4.0, 1.0)
    state_S = np.zeros(n_series)
    for step in range(n_steps):
        state_S = memory_S * state_S + shock_SL[:, step]
        shock_SL[:, step] = state_S
    return (0.005 + 0.15 * rng.beta(1, 3, n_series))[:, None] * shock_SL


def _jumps(rng: np.random.Generator, n_series: int, n_steps: int) -> np.ndarray:
    """Logarithm of a level that some series change once and for good: (S, L)."""
    size_S = np.where(rng.random(n_series) < JUMPING, rng.normal(0.0, 0.3, n_series), 0.0)
    when_S = rng.integers(0, n_steps, n_series)
    return size_S[:, None] * (np.arange(n_steps) >= when_S[:, None])


def _counts(rng: np.random.Generator, n_series: int, n_steps: int) -> np.ndarray:
    """Demand that is mostly zero, in whole pieces: (S, L)."""
    chance_S1 = rng.uniform(0.1, 0.5, (n_series, 1))
    size_SL = 1 + rng.poisson(rng.gamma(1.0, 4.0, (n_series, 1)), (n_series, n_steps))
    return np.where(rng.random((n_series, n_steps)) < chance_S1, size_SL, 0).astype(float)
