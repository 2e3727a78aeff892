import numpy as np
import odd
import pytest

from ensemble_forecast import registry
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.search.spaces import parse_space
from ensemble_forecast.store import LEDGER_FIELDS, RunFolder


@pytest.fixture(scope="session")
def panel():
    """Four weekly-seasonal series of 120 steps."""
    rng, step = np.random.default_rng(0), np.arange(120)
    return Panel.of([10 + i + 3 * np.sin(2 * np.pi * step / 7) + 0.5 * rng.normal(size=120) + 0.02 * step for i in range(4)])


@pytest.fixture(scope="session")
def task():
    return Task(horizon=7, season_length=7)


@pytest.fixture
def run_folder(tmp_path):
    return RunFolder(tmp_path / "study")


@pytest.fixture(scope="session")
def plan_spec():
    return {"test": 0.2, "n_windows": 2}


@pytest.fixture(scope="session")
def space():
    """The naive families and a small ridge."""
    ridge = {"context": {"choices": ["auto", 12, 24]}, "centre": {"choices": ["last", "season"]}, "penalty": {"low": 1e-3, "high": 1.0, "log": True}}
    ridge["portfolio"] = [{"penalty": 0.01}, {"centre": "last", "penalty": 0.1}]
    return parse_space({"naive": {}, "seasonal_naive": {}, "drift": {}, "ridge": ridge}, "test.toml")


@pytest.fixture(scope="session")
def ledger_line():
    """Build a ledger line from what matters to a test."""

    def build(**known):
        usual = {"id": "naive-0001", "family": "naive", "params": {}, "state": "finished", "metric": "sql", "value": 1.0, "windows": [1.0]}
        usual |= {"truncated": False, "seconds": 1.0, "peak_mib": 100.0, "started": "2026-01-01T00:00:00.000+00:00"}
        return {name: (usual | known).get(name) for name in LEDGER_FIELDS}

    return build


@pytest.fixture
def odd_ones(tmp_path, monkeypatch):
    """Configure learners that misbehave, in workers started from here."""
    monkeypatch.setitem(registry.LEARNERS, odd.NAME, odd.PLACE)
    for name, value in odd.environment(tmp_path / "python").items():
        monkeypatch.setenv(name, value)
    return lambda **params: {"family": odd.NAME, "params": params}
