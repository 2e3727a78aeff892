"""Candle covariates: the formulas, and that each value uses its own step only."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.frames import to_panel
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.samples import btc_usd_daily
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.candles import candle_covariates


def candles(gaps="error", **changes):
    frame = btc_usd_daily().rename(columns=str.title).assign(funding=np.arange(1197.0))
    for name, (row, value) in changes.items():
        frame[name] = frame[name].astype(float)
        frame.iloc[row, frame.columns.get_loc(name)] = value
    return to_panel(frame, Columns(target="Close", gaps=gaps))


def test_prices_and_volume_become_range_body_and_log_volume():
    frame, panel = btc_usd_daily(), candle_covariates(candles())
    assert panel.past_names == ("funding", "log_range", "log_body", "log_volume")
    expected = np.column_stack(
        [np.arange(1197), np.log(frame.high / frame.low), np.log(frame.close / frame.open), np.log(1 + frame.volume)],
    )
    np.testing.assert_allclose(panel.past, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(panel.y, frame.close)


def test_each_value_uses_its_own_step_only():
    panel = candles()
    rng = np.random.default_rng(0)
    for origin in (0, 1, 500, 1195):
        past, y = panel.past.copy(), panel.y.copy()
        other = np.arange(1197) != origin
        past[other] *= rng.uniform(0.5, 2, size=past[other].shape)
        y[other] *= rng.uniform(0.5, 2, size=other.sum())
        scrambled = dataclasses.replace(panel, past=past, y=y)
        np.testing.assert_array_equal(candle_covariates(scrambled).past[origin], candle_covariates(panel).past[origin])


def test_cutting_before_or_after_gives_the_same():
    panel = candles()
    cutoff_S = np.array([700])
    np.testing.assert_array_equal(candle_covariates(panel).cut(cutoff_S).past, candle_covariates(panel.cut(cutoff_S)).past)


def test_other_panels_pass_unchanged():
    panel = Panel.of([np.arange(9.0)], past=[np.ones((9, 2))])
    assert candle_covariates(panel) is panel


def test_a_missing_close_has_no_body():
    panel = candle_covariates(candles(gaps="mask", Close=(5, np.nan)))
    assert panel.past[5, panel.past_names.index("log_body")] == 0
    assert np.isfinite(panel.past).all()


def test_a_close_among_the_covariates_is_preferred_to_the_target():
    frame = btc_usd_daily()
    panel = candle_covariates(to_panel(frame.assign(y=np.arange(1197.0)), Columns()))
    assert panel.past_names == ("log_range", "log_body", "log_volume")
    np.testing.assert_allclose(panel.past[:, 1], np.log(frame.close / frame.open), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("column", "value", "rule"), [("Low", 0.0, "price 'low' must be above zero"), ("Close", -1.0, "price 'close'"), ("Volume", -2.0, "volume")]
)
def test_impossible_candles_are_refused_with_series_and_step(column, value, rule):
    with pytest.raises(BadInput, match=rf"series 'Close', step 7 \(2022-01-08 00:00:00\): {rule}"):
        candle_covariates(candles(**{column: (7, value)}))


def test_several_series_are_named_when_refused():
    frame = pd.concat([btc_usd_daily().assign(unique_id=name).reset_index() for name in ("A", "B")], ignore_index=True)
    frame.loc[1197 + 3, "high"] = 0
    with pytest.raises(BadInput, match=r"series 'B', step 3"):
        candle_covariates(to_panel(frame, Columns()))
