"""Forecasts time series: searches, stacks, saves and honestly judges forecasters.

>>> import ensemble_forecast as ef
>>> ef.EnsembleForecaster(horizon=7, budget="1m")
EnsembleForecaster(budget='1m', horizon=7)
"""

import importlib
from typing import Any

NAMES = {
    "EnsembleForecaster": "ensemble_forecast.forecaster",
    "load": "ensemble_forecast.forecaster",
    "search": "ensemble_forecast.workflow",
    "stack": "ensemble_forecast.workflow",
    "BadInput": "ensemble_forecast.errors",
    "EnsembleForecastError": "ensemble_forecast.errors",
}
__all__ = ["BadInput", "EnsembleForecastError", "EnsembleForecaster", "load", "search", "stack"]


def __getattr__(name: str) -> Any:
    """Load a public name on its first use: ``import ensemble_forecast`` and ``--help`` stay quick."""
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(NAMES[name]), name)


def __dir__() -> list[str]:
    return __all__
