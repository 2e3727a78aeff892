"""The statistical learners against StatsForecast: exact where there is nothing to estimate, as accurate where there is."""

import numpy as np
import pytest
from statsforecast import models

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.statistical.drift import Drift
from ensemble_forecast.learners.statistical.ets import Ets
from ensemble_forecast.learners.statistical.histories import forecast_points, histories
from ensemble_forecast.learners.statistical.naive import Naive, SeasonalNaive
from ensemble_forecast.learners.statistical.smoothing import project, smooth_level
from ensemble_forecast.learners.statistical.theta import Theta

SEASON, HORIZON = 12, 12


def points(learner, panel, origins):
    return forecast_points(learner.point, panel, origins, SEASON, HORIZON, Deadline.never())


@pytest.fixture(scope="module")
def series():
    """Forty seasonal series of 60 to 140 steps with trends, level shifts and noise, both additive and multiplicative."""
    rng = np.random.default_rng(7)
    made = []
    for i in range(40):
        n = int(rng.integers(60, 141))
        step = np.arange(n)
        level = 100 + rng.normal() * 0.3 * step + np.cumsum(rng.normal(size=n) * rng.uniform(0.2, 2))
        season = rng.uniform(3, 25) * np.sin(2 * np.pi * (step + rng.integers(12)) / 12) + rng.uniform(0, 8) * np.cos(2 * np.pi * step / 3)
        y = level + season if i % 2 else level * (1 + season / 150)
        made.append(np.maximum(y + rng.normal(size=n) * rng.uniform(0.5, 4), 1.0))
    return made


@pytest.mark.parametrize(
    ("learner", "oracle"),
    [
        (Naive(), models.Naive()),
        (SeasonalNaive(), models.SeasonalNaive(season_length=SEASON)),
        (Drift(), models.RandomWalkWithDrift()),
    ],
    ids=["naive", "seasonal_naive", "drift"],
)
def test_yardsticks_equal_statsforecast(learner, oracle, series):
    panel = Panel.of(series[:6])
    found_NH = points(learner, panel, Origins.ends(panel))
    for row_H, y in zip(found_NH, series[:6], strict=True):
        assert row_H == pytest.approx(oracle.forecast(y=y, h=HORIZON)["mean"], rel=1e-6)


@pytest.mark.parametrize("alpha", [0.1, 0.8])
def test_simple_smoothing_equals_statsforecast(alpha, series):
    panel = Panel.of(sorted(series[:6], key=len, reverse=True))
    y_BL, n_B = histories(panel, Origins.ends(panel), 1)
    smoothed = smooth_level(y_BL, n_B, np.array([alpha]), np.zeros((1, 6)))
    found_BH = project(smoothed, np.ones((1, 6)), np.ones(1), n_B, 2)
    for b in range(6):
        expected = models.SimpleExponentialSmoothing(alpha=alpha).forecast(y=panel.values(b), h=2)["mean"]
        assert found_BH[b] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("learner", "oracle"),
    [
        (Theta(), models.DynamicOptimizedTheta(season_length=SEASON)),
        (Ets(model="mean"), models.AutoETS(season_length=SEASON)),
    ],
    ids=["theta", "ets"],
)
def test_averages_over_a_grid_are_as_accurate_as_optimisers(learner, oracle, series):
    panel = Panel.of(series)
    found_NH = points(learner, panel, Origins(np.arange(40), panel.ends_S - HORIZON))
    ours, theirs = [], []
    for row_H, y in zip(found_NH, series, strict=True):
        past, future = y[:-HORIZON], y[-HORIZON:]
        scale = np.mean(np.abs(past[SEASON:] - past[:-SEASON]))
        ours.append(np.mean(np.abs(row_H - future)) / scale)
        theirs.append(np.mean(np.abs(oracle.forecast(y=past, h=HORIZON)["mean"] - future)) / scale)
    assert np.mean(ours) < 1.05 * np.mean(theirs)
