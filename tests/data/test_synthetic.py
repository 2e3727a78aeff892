"""Synthetic panels: the same from the same seed, and with the variety they promise."""

import numpy as np
import pandas as pd
import pytest

from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.frames import to_panel
from ensemble_forecast.data.synthetic import monthly_panel


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return monthly_panel(1000, 96)


@pytest.fixture(scope="module")
def values_SL(frame: pd.DataFrame) -> np.ndarray:
    return frame["y"].to_numpy().reshape(1000, 96)


def test_the_same_seed_gives_the_same_panel_and_another_seed_another(frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(monthly_panel(1000, 96), frame)
    assert not np.array_equal(monthly_panel(1000, 96, seed=1)["y"], frame["y"])


def test_the_door_takes_it_as_regular_months(frame: pd.DataFrame) -> None:
    panel = to_panel(frame, Columns())
    assert (panel.n_series, panel.freq, set(panel.lengths_S.tolist())) == (1000, "MS", {96})
    assert np.isfinite(panel.y).all()


def test_there_are_intermittent_constant_and_negative_series(values_SL: np.ndarray) -> None:
    shares = {
        "intermittent": ((values_SL == 0).mean(axis=1) > 0.3).mean(),
        "constant": (np.ptp(values_SL, axis=1) == 0).mean(),
        "negative": (values_SL.min(axis=1) < 0).mean(),
    }
    assert 0.02 < shares["intermittent"] < 0.1
    assert 0.002 < shares["constant"] < 0.03
    assert 0.04 < shares["negative"] < 0.12


def test_scales_differ_by_orders_of_magnitude(values_SL: np.ndarray) -> None:
    low, high = np.quantile(np.abs(values_SL).mean(axis=1), [0.05, 0.95])
    assert high > 100 * low


def test_some_seasons_are_strong_and_some_absent(values_SL: np.ndarray) -> None:
    positive_SL = np.log(values_SL[values_SL.min(axis=1) > 0])
    change_SL = np.diff(positive_SL, axis=1)[:, 11:].reshape(len(positive_SL), 7, 12)
    explained_S = change_SL.mean(axis=1).var(axis=1) / np.maximum(change_SL.var(axis=(1, 2)), 1e-12)
    low, high = np.quantile(explained_S, [0.1, 0.9])  # a seventh without any season
    assert low < 0.25
    assert high > 0.7
