"""Arithmetic of forecasts of many rows at once, against one row at a time."""

import numpy as np
import pandas as pd

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.forecasts import PROBABILITY_FLOOR, frame, probability_up

LEVELS = (0.1, 0.25, 0.5, 0.9)


def probability_below(value: float, quantiles: np.ndarray) -> float:
    """Distribution function: linear between quantiles, the outermost slope beyond them."""
    if quantiles[0] < value < quantiles[-1]:
        return float(np.interp(value, quantiles, LEVELS))
    inner, outer = (0, 1) if value <= quantiles[0] else (-1, -2)
    width = abs(quantiles[inner] - quantiles[outer])
    if width == 0:
        return LEVELS[inner] if value == quantiles[inner] else float(value > quantiles[inner])
    return float(LEVELS[inner] + (value - quantiles[inner]) / width * abs(LEVELS[inner] - LEVELS[outer]))


def test_probabilities_of_up_equal_the_slow_twin_also_where_quantiles_coincide() -> None:
    rng = np.random.default_rng(0)
    forecast_NHQ = np.sort(rng.integers(-3, 4, (400, 3, 4)).astype(float) + rng.choice([0.0, 0.1], (400, 3, 4)), axis=-1)
    last_N = rng.integers(-5, 6, 400).astype(float)
    slow = [[1 - probability_below(last, row) for row in rows] for last, rows in zip(last_N, forecast_NHQ, strict=True)]
    fast = probability_up(forecast_NHQ, last_N, LEVELS)
    np.testing.assert_allclose(fast, np.clip(slow, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR), atol=1e-12)


def test_a_row_nobody_serves_has_no_probability() -> None:
    assert np.isnan(probability_up(np.full((1, 2, 4), np.nan), np.array([1.0]), LEVELS)).all()


def test_the_frame_of_many_origins_equals_one_origin_at_a_time() -> None:
    panel = Panel.of([np.arange(9.0), np.arange(5.0), np.arange(30.0)], freq="MS", ids=["a", "b", "c"])
    origins = Origins(np.array([2, 0, 1, 2]), np.array([29, 3, 4, 7]))
    values_NH = np.arange(12.0).reshape(4, 3)
    rows = [
        {"unique_id": panel.ids[i], "ds": panel.stamps(i, step + h, 1)[0], "origin": panel.stamps(i, step, 1)[0], "p_up": values_NH[n, h - 1]}
        for n, (i, step) in enumerate(zip(origins.series.tolist(), origins.step.tolist(), strict=True))
        for h in (1, 2, 3)
    ]
    pd.testing.assert_frame_equal(frame(panel, origins, {"p_up": values_NH}, with_origin=True), pd.DataFrame(rows))
