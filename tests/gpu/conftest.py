"""What the tests of the GPU share: a panel, small nets, and fits on a device that is named."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from smoke import smoke

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.deep import training
from ensemble_forecast.learners.deep.updates import Batches
from ensemble_forecast.windows import Roles

TASK = Task(horizon=4, season_length=7)
STILL = {"autoencoder": {"hidden_share": 0.0}}  # draws on the device that are no dropout: they differ from the host's


@pytest.fixture(scope="session")
def panel():
    """Three weekly-seasonal series with a covariate that announces the next step."""
    rng, step = np.random.default_rng(0), np.arange(300)
    hints = rng.normal(size=(3, 300))
    series = [5 * np.sin(2 * np.pi * step / 7) + np.concatenate([[0.0], hint[:-1]]).cumsum() + 0.3 * rng.normal(size=300) for hint in hints]
    return Panel.of(series, past=[hint[:, None] for hint in hints])


@pytest.fixture
def fit(panel, monkeypatch):
    """Fit on a device, without a stop role: ``fit(learner, "cuda")``."""

    def fit(learner, device, deadline=None):
        monkeypatch.setenv("ENSEMBLE_FORECAST_DEVICE", device)
        origins = Origins.between(np.full(3, 30), np.full(3, 240))
        return learner.fit(panel, Roles(origins), TASK, deadline or Deadline.never())

    return fit


@pytest.fixture
def forecast(panel, monkeypatch):
    """Forecast on a device: float64 NHQ."""

    def forecast(learner, device):
        monkeypatch.setenv("ENSEMBLE_FORECAST_DEVICE", device)
        learner._module = None
        return learner.predict(panel, Origins.between(np.full(3, 250), np.full(3, 290)), Deadline.never())

    return forecast


@pytest.fixture
def same_batches(monkeypatch):
    """Draw batches on the host, so that both devices train on the same ones."""

    class OnHost(Batches):
        def __init__(self, count, size, generator):
            super().__init__(count, size, torch.Generator().manual_seed(generator.initial_seed()))
            self._place = generator.device

        def draw(self):
            return super().draw().to(self._place)

    monkeypatch.setattr(training, "Batches", OnHost)


@pytest.fixture
def small():
    """Build a small net of a family that trains long enough to be recorded, and so slowly that rounding does not grow: ``small(name)``."""

    def small(name, **changed):
        return smoke(name, **({"steps": 80, "batch": 32, "learning_rate": 1e-3} | changed))

    return small


@pytest.fixture
def still(small):
    """Build one that draws nothing on the device in training."""
    return lambda name: small(name, dropout=0.0, **STILL.get(name, {}))


@pytest.fixture
def distance():
    """Distance of forecasts from others, as a share of what the training has changed: ``distance(one, other, untrained)``."""

    def distance(one_NHQ, other_NHQ, untrained_NHQ):
        return np.sqrt(np.square(one_NHQ - other_NHQ).mean() / np.square(other_NHQ - untrained_NHQ).mean())

    return distance


@pytest.fixture
def untrained(fit, forecast):
    """Forecast with a net that has made one step at no rate to speak of."""
    return lambda learner: forecast(fit(replace(learner, steps=1, learning_rate=1e-12), "cpu"), "cpu")
