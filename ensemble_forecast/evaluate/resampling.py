"""Samples drawn from a time series anew, in blocks that keep its dependence."""

import numpy as np

DRAWS = 1000
LEAST_BLOCKS = 10  # fewer say nothing about what another sample would have shown


def block_length(values_TM: np.ndarray, horizon: int) -> float:
    """Choose the mean length of a block: what a first-order autoregression asks for, and never less than the horizon.

    The rule of Politis and White (2004, doi:10.1081/ETC-120028836; corrected by Patton, Politis and White 2009) for the stationary bootstrap,
    with the spectrum of a first-order autoregression in place of their estimate: ``(2 r / (1 - r^2))^(2/3) T^(1/3)``. Long blocks
    where nothing depends on anything make tests of many columns reject too often, hence no fixed power of T. One length serves all columns: that
    of their median autocorrelation.
    """
    n = len(values_TM)
    centred_TM = values_TM - values_TM.mean(axis=0)
    power_M = (centred_TM**2).sum(axis=0)
    correlation_M = (centred_TM[1:] * centred_TM[:-1]).sum(axis=0)[power_M > 0] / power_M[power_M > 0]
    correlation = min(abs(float(np.median(correlation_M))), 0.99) if len(correlation_M) else 0.0
    wanted = (2 * correlation / (1 - correlation**2)) ** (2 / 3) * n ** (1 / 3)
    return float(min(max(wanted, horizon, 1.0), max(n / LEAST_BLOCKS, 1.0)))


def stationary_indices(n: int, block: float, rng: np.random.Generator, draws: int = DRAWS) -> np.ndarray:
    """Draw positions by the stationary bootstrap (Politis and Romano 1994, doi:10.1080/01621459.1994.10476870): int64 (draws, n).

    Blocks of geometric length, wrapped around the end, follow each other.

    Parameters
    ----------
    block
        Mean length of a block, at least 1.
    """
    restarts_RT = rng.random((draws, n)) < 1 / block
    restarts_RT[:, 0] = True
    place_T = np.arange(n)
    begun_RT = np.maximum.accumulate(np.where(restarts_RT, place_T, 0), axis=1)
    start_RT = np.take_along_axis(rng.integers(0, n, (draws, n)), begun_RT, axis=1)
    return (start_RT + place_T - begun_RT) % n


def resampled_means(values_TM: np.ndarray, index_RT: np.ndarray) -> np.ndarray:
    """Mean of each column in each draw: (R, M)."""
    draws, n = index_RT.shape
    count_RT = np.bincount((index_RT + n * np.arange(draws)[:, None]).ravel(), minlength=draws * n).reshape(draws, n)
    means: np.ndarray = count_RT @ values_TM / n
    return means
