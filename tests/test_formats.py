"""Artefacts of every format there ever was are read, and forecast what they did."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ensemble_forecast
from ensemble_forecast import persist
from ensemble_forecast.encoding import Encoder

FORMATS = Path(__file__).parent / "formats"
every_format = pytest.mark.parametrize("number", persist.READERS)


def test_there_is_a_reader_for_every_format():
    assert list(persist.READERS) == list(range(1, persist.FORMAT + 1))


@every_format
def test_an_ensemble_of_every_format_forecasts_what_it_did(number):
    folder = FORMATS / str(number)
    assert json.loads((folder / "ensemble/manifest.json").read_text())["format"] == number
    then = pd.read_csv(folder / "forecast.csv", parse_dates=["ds"])
    now = ensemble_forecast.load(folder / "ensemble").predict(pd.read_csv(folder / "history.csv"))
    assert list(now) == list(then)
    assert (now["unique_id"] == then["unique_id"]).all()
    assert (now["ds"] == then["ds"]).all()
    np.testing.assert_allclose(now.iloc[:, 2:], then.iloc[:, 2:], rtol=1e-4, err_msg="nets count in 32 bits; another machine may round otherwise")


def assert_holds(node, written, where):
    """Compare what is written, at any depth; what has come since may stand beside it."""
    if isinstance(written, dict):
        for key, value in written.items():
            assert_holds(node[key], value, f"{where}.{key}")
    elif isinstance(written, list):
        assert len(node) == len(written), where
        for place, value in enumerate(written):
            assert_holds(node[place], value, f"{where}.{place}")
    else:
        assert node == written, where


@every_format
def test_a_recipe_of_every_format_keeps_its_fields(number):
    """Whoever adds a field to a recipe, or takes one away, says in `ABSENT` what older files stand for, or raises the format."""
    folder = FORMATS / str(number) / "recipes"
    parts, _ = persist.load(folder)
    assert len(parts) > 50
    for name, part in parts.items():
        written = json.loads((folder / f"{name}.json").read_text())
        assert_holds(Encoder().encode(part, name), written, name)
