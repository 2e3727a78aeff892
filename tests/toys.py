"""Small made-up panels whose answer is known."""

import numpy as np

from ensemble_forecast.data.panel import Panel


def seasonal_panel(seed=0, n_series=3, length=150, season=7):
    rng = np.random.default_rng(seed)
    phase = np.arange(length)[None] + rng.integers(0, season, n_series)[:, None]
    return Panel.of(list(20 + 5 * np.sin(2 * np.pi * phase / season) + rng.normal(size=(n_series, length))))


def random_walk(seed, length=600):
    """A walk whose next step is mostly announced by a past covariate."""
    rng = np.random.default_rng(seed)
    hint = rng.normal(size=length)
    y = np.cumsum(np.concatenate([[0.0], hint[:-1]]) + 0.3 * rng.normal(size=length))
    return Panel.of([y], past=[hint[:, None]]), Panel.of([y])
