"""Seeded tasks that every combiner test draws from: panels of many series, and one series with overlapping origins."""

from types import SimpleNamespace

import numpy as np
import pytest

from ensemble_forecast.data.task import Task
from ensemble_forecast.ensemble.base import Rows

QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
NORMAL = np.array([-1.2815516, -0.5244005, 0.0, 0.5244005, 1.2815516])


def panel_rows(n_series, n_windows):
    """One origin a series and window."""
    window = np.repeat(np.arange(n_windows), n_series)
    return Rows(np.tile(np.arange(n_series), n_windows), window, window * 12, np.ones(len(window)))


def single_rows(n_windows, n_origins, horizon):
    """One series; windows of consecutive origins, purged."""
    step = np.concatenate([window * (n_origins + horizon - 1) + np.arange(n_origins) for window in range(n_windows)])
    return Rows(np.zeros(len(step), dtype=int), np.repeat(np.arange(n_windows), n_origins), step, np.ones(len(step)))


def noise(rng, rows, horizon, *shape):
    """Standard normal for every cell; on one series cells of the same step share it, as overlapping labels do."""
    if len(np.unique(rows.series)) > 1:
        return rng.normal(size=(len(rows), horizon, *shape))
    path = rng.normal(size=(rows.step.max() + horizon + 1, *shape))
    return path[rows.step[:, None] + 1 + np.arange(horizon)]


def draw(rng, rows, horizon, error_M, noise_sd=1.0):
    """Truth, and calibrated normal quantile forecasts of members with independent errors of the given sizes."""
    truth_NH = noise_sd * noise(rng, rows, horizon)
    error_NHM = noise(rng, rows, horizon, len(error_M)) * error_M
    return error_NHM[:, :, None, :] + NORMAL[:, None] * np.hypot(noise_sd, error_M), truth_NH


def draw_direction(rng, n_rows, horizon, error_M):
    """Labels, and probabilities of (down, up) whose log-odds err by the given sizes."""
    log_odds_NH = rng.normal(size=(n_rows, horizon))
    truth_NH = (rng.random((n_rows, horizon)) < 1 / (1 + np.exp(-log_odds_NH))).astype(float)
    up_NHM = 1 / (1 + np.exp(-(log_odds_NH[..., None] + error_M * rng.normal(size=(n_rows, horizon, len(error_M))))))
    return np.stack([1 - up_NHM, up_NHM], axis=2), truth_NH


@pytest.fixture(scope="session")
def seeded():
    """The functions above, for tests to draw from."""
    return SimpleNamespace(quantiles=QUANTILES, panel_rows=panel_rows, single_rows=single_rows, draw=draw, draw_direction=draw_direction)


@pytest.fixture
def task():
    return Task(horizon=4, quantiles=QUANTILES)


@pytest.fixture
def direction_task():
    return Task(horizon=4, quantiles=QUANTILES, kind="direction")


@pytest.fixture
def field(seeded):
    """Four members of different quality on a panel in three windows: forecasts, truth, rows."""
    rows = seeded.panel_rows(150, 3)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.array([0.4, 0.9, 0.9, 1.0]), 0.5)
    return forecasts.astype(np.float32), truth, rows
