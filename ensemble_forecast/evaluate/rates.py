"""How sure a share is, and the smallest that some bets could have shown."""

import numpy as np
from scipy import stats

LEVEL, POWER = 0.05, 0.80  # one-sided


def wilson(share: float, n: int) -> list[float]:
    """Bound a share seen in n independent bets: 95 % interval (Wilson 1927, doi:10.1080/01621459.1927.10502953); [0, 1] without a bet."""
    if not n:
        return [0.0, 1.0]
    z = stats.norm.ppf(0.975)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return [max(0.0, float(centre - half)), min(1.0, float(centre + half))]


def smallest_rate(n: int) -> float:
    """Tell the smallest true hit rate that n independent bets show with 80 % power at the one-sided 5 % level, against a fair coin.

    Solves ``(p - 1/2) sqrt(n) = z_level / 2 + z_power sqrt(p (1 - p))`` for p.

    >>> round(smallest_rate(1000), 3), round(smallest_rate(34), 3), smallest_rate(0)
    (0.539, 0.707, 1.0)
    """
    level, power = stats.norm.ppf(1 - LEVEL), stats.norm.ppf(POWER)
    if n < level**2:
        return 1.0
    root = np.sqrt(max(level**2 * n - (n + power**2) * (level**2 - power**2), 0.0))
    return float(min(1.0, 0.5 + (level * np.sqrt(n) + root) / (2 * (n + power**2))))
