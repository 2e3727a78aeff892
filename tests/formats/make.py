"""Writes what the tests keep of the present format: PYTHONPATH=tests python tests/formats/make.py

Run once, when `persist.FORMAT` was raised; a folder that is there is never written again: it is what users have.
"""

import sys
from pathlib import Path

from small_ensemble import history, save_ensemble
from smoke import smoke

import ensemble_forecast
from ensemble_forecast import persist
from ensemble_forecast.ensemble.calibration import Calibration
from ensemble_forecast.registry import COMBINERS, LEARNERS, NETS, WRAPPERS, find


def recipes():
    """One of everything that can be saved, unfitted: which fields it has."""
    learners = {name: smoke(name) for name in (*LEARNERS, *NETS, *WRAPPERS)}
    return learners | {f"{name}.combiner": find(name, "combiners")() for name in COMBINERS} | {"conformal": Calibration()}


def make(folder):
    """Write an ensemble with its forecast, and the recipes."""
    save_ensemble(folder / "ensemble")
    persist.save(folder / "recipes", recipes(), {})
    ensemble_forecast.load(folder / "ensemble").predict(history()).to_csv(folder / "forecast.csv", index=False)
    history().to_csv(folder / "history.csv", index=False)


if __name__ == "__main__":
    place = Path(__file__).parent / str(persist.FORMAT)
    sys.exit(f"{place} is there already: raise persist.FORMAT first") if place.exists() else make(place)
