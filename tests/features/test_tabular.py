"""The table of tree learners against a slow loop over its rows, and the laws of causal features."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.features.seasons import cycles, seasonal_naive, seasons_of
from ensemble_forecast.features.stamps import calendar_at, calendar_fields, stamps_at
from ensemble_forecast.features.tabular import Layout, table, window_scale

TASK = Task(horizon=5, season_length=4)


def make_panel(seed=0, freq="D", lengths=(90, 61, 4), n_past=2):
    rng = np.random.default_rng(seed)
    series = [10 + np.cumsum(rng.normal(size=n)) + 3 * np.sin(np.arange(n) * 2 * np.pi / 4) for n in lengths]
    return Panel.of(series, freq=freq, past=[rng.normal(3, 2, size=(n, n_past)) for n in lengths])


def full_table(panel, layout, origins):
    base_NH, scale_N = seasonal_naive(panel, origins, layout.horizon, layout.season), window_scale(panel, origins, layout)
    row_R = np.repeat(np.arange(len(origins)), layout.horizon)
    return table(panel, layout, origins, base_NH, scale_N, row_R, np.tile(np.arange(1, layout.horizon + 1), len(origins)))


def slow_row(panel, layout, series, step, ahead):
    """One row of the table, computed from plain lists of the past, one column after the other."""
    past = list(panel.values(series)[: step + 1])
    last, season, unit = past[-1], layout.season, layout.unit
    one = Origins(np.array([series]), np.array([step]))
    own = float(scale_at(panel, one, season)[0])
    recent = past[-(4 * unit + season) :]
    changes = [abs(b - a) for a, b in zip(recent, recent[season:], strict=False)]
    scale = max(np.mean(changes) if changes else own, 0.2 * own)

    def back(k):
        return past[-1 - k] if 0 <= k < len(past) else math.nan

    scaled = [(value - last) / scale for value in past]
    row = {f"lag_{k}": (back(k) - last) / scale for k in range(1, 8)}
    for w in layout.windows:
        row[f"mean_{w}"], row[f"std_{w}"] = np.mean(scaled[-w:]), np.std(scaled[-w:])
    steps = [abs(b - a) for a, b in itertools.pairwise(scaled)][-2 * unit :]
    row["mean_abs_change"] = np.mean(steps) if steps else 0.0
    before = scaled[-2 * unit : -unit]
    row["season_change"] = np.mean(scaled[-unit:]) - np.mean(before) if before else math.nan
    trend = scaled[-2 * unit :]
    row["slope"] = np.polyfit(np.arange(len(trend)), trend, 1)[0] if len(trend) > 1 else 0.0
    row["log_scale_over_level"] = math.log(scale / np.mean(np.abs(past[-4 * unit :])))
    row["log_scale_over_series"] = math.log(scale / own)
    for p in layout.seasons:
        row[f"since_{p}"] = (last - back(p)) / scale
    offset = panel.offsets[series]
    for j, name in enumerate(layout.past):
        window = panel.past[offset : offset + step + 1, j][-4 * unit :]
        spread = window.std() if window.std() > 1e-9 * abs(window.mean()) else 1.0
        z = (window - window.mean()) / spread
        row |= {f"{name}_z": z[-1], f"{name}_change": z[-1] - z[-2] if len(z) > 1 else math.nan}
        row |= {f"{name}_mean_3": z[-3:].mean(), f"{name}_mean_7": z[-7:].mean(), f"{name}_volatility": z[-7:].std()}
    behind = (season - ahead % season) % season
    base = back(behind) if len(past) >= season else last
    row |= {"h": ahead, "base": (base - last) / scale}
    for p in layout.seasons:
        behind = (p - ahead % p) % p
        phases = [back(behind + k * p) for k in range(3)]
        seen = [value for value in phases if not math.isnan(value)]
        row |= {f"h_mod_{p}": ahead % p, f"phase_{p}_mean": (np.mean(seen) - base) / scale if seen else math.nan}
        row |= {f"phase_{p}_{k + 1}": (phases[k] - base) / scale for k in range(3)}
        row |= {f"phase_{p}_before": (back(behind + 1) - base) / scale}
        row |= {f"phase_{p}_after": (back(behind - 1 if behind else p - 1) - base) / scale}
    stamp = pd.date_range(panel.start_S[series], periods=step + ahead + 1, freq=panel.freq)[-1]
    row |= {f"target_{field}": float(getattr(stamp, {"weekday": "dayofweek"}.get(field, field))) for field in layout.calendar}
    return [row[name] for name in layout.names]


def test_the_table_equals_a_slow_loop_over_its_rows():
    panel = make_panel()
    layout = Layout.of(panel, TASK)
    assert layout.seasons == (4, 7)
    assert layout.calendar == ("weekday",)
    origins = Origins(np.array([0, 0, 1, 1, 2, 2]), np.array([89, 40, 60, 7, 3, 2]))
    fast = full_table(panel, layout, origins)
    slow = [slow_row(panel, layout, s, t, ahead) for s, t in zip(origins.series, origins.step, strict=True) for ahead in range(1, 6)]
    assert fast.dtype == np.float32
    assert fast.shape == (30, len(layout.names))
    np.testing.assert_allclose(fast, np.array(slow), rtol=1e-4, atol=1e-5)


def test_columns_have_names_of_their_own():
    names = Layout.of(make_panel(), TASK).names
    assert len(set(names)) == len(names)


def test_nothing_after_an_origin_is_read():
    panel = make_panel()
    layout = Layout.of(panel, TASK)
    origins = Origins(np.array([0, 1, 2]), np.array([50, 33, 2]))
    whole = full_table(panel, layout, origins)
    assert np.array_equal(full_table(panel.cut(origins.step), layout, origins), whole, equal_nan=True)


@pytest.mark.parametrize("season", [1, 4])
def test_a_row_does_not_depend_on_the_other_origins(season):
    panel = make_panel()
    layout = Layout.of(panel, Task(horizon=5, season_length=season))
    origins = Origins.between(np.array([2, 2, 2]), panel.ends_S)
    whole = full_table(panel, layout, origins).reshape(len(origins), 5, -1)
    for n in (0, 57, len(origins) - 1):
        assert np.array_equal(full_table(panel, layout, origins.take(np.array([n]))), whole[n], equal_nan=True)


def test_units_do_not_matter():
    panel = make_panel(n_past=0)
    larger = Panel.of([1000 * panel.values(i) for i in range(3)])
    layout, origins = Layout.of(panel, TASK), Origins.ends(panel)
    np.testing.assert_allclose(full_table(larger, layout, origins), full_table(panel, layout, origins), rtol=1e-4, atol=1e-5)


def test_a_constant_series_has_finite_features():
    panel = Panel.of([np.zeros(30), np.full(30, 5.0)])
    layout = Layout.of(panel, TASK)
    assert np.isfinite(full_table(panel, layout, Origins.ends(panel))).all()


def test_known_covariates_are_read_at_the_target_step():
    y = np.arange(20.0)
    panel = Panel(
        ids=("a",),
        freq="D",
        start_S=np.array(["2000-01-01"], dtype="datetime64[s]"),
        offsets=np.array([0, 22]),
        lengths_S=np.array([20]),
        y=np.concatenate([y, [np.nan, np.nan]]),
        past=np.empty((22, 0)),
        known=10.0 * np.arange(22.0)[:, None],
        static=np.array([[7.0]]),
        known_names=("promo",),
        static_names=("size",),
    )
    layout = Layout.of(panel, Task(horizon=3))
    rows = full_table(panel, layout, Origins.ends(panel))
    names = list(layout.names)
    assert rows[:2, names.index("promo_target")].tolist() == [200, 210]
    assert rows[:2, names.index("promo_change")].tolist() == [10, 20]
    assert np.isnan(rows[2, names.index("promo_target")])
    assert (rows[:, names.index("size")] == 7).all()


@pytest.mark.parametrize("freq", ["h", "15min", "D", "W", "W-WED", "B", "MS", "ME", "QS", "YS"])
def test_stamps_agree_with_pandas(freq):
    panel = Panel.of([np.arange(40.0), np.arange(30.0)], freq=freq)
    panel.start_S.setflags(write=True)
    panel.start_S[:] = pd.date_range("2001-03-05", periods=2, freq=freq).to_numpy()
    step = np.array([0, 1, 17, 45])
    for series in (0, 1):
        expected = panel.stamps(series, 0, 46)[step]
        got = pd.DatetimeIndex(stamps_at(panel, np.full(4, series), step))
        assert got.month.tolist() == expected.month.tolist()
        assert got.year.tolist() == expected.year.tolist()
        if freq not in {"MS", "ME", "QS", "YS"}:
            assert got.tolist() == expected.tolist()


def test_calendar_fields_agree_with_pandas():
    panel = Panel.of([np.arange(200.0)], freq="6h")
    step = np.arange(0, 230, 7)
    expected = panel.stamps(0, 0, 230)[step]
    fields = calendar_at(panel, np.zeros(len(step), dtype=int), step, ("hour", "weekday", "month"))
    assert fields.tolist() == np.stack([expected.hour, expected.weekday, expected.month], axis=1).astype(float).tolist()


def test_a_calendar_field_needs_four_cycles_of_history():
    assert calendar_fields(Panel.of([np.arange(50.0)], freq="MS")) == ("month",)
    assert calendar_fields(Panel.of([np.arange(30.0)], freq="MS")) == ()
    assert calendar_fields(Panel.of([np.arange(200.0)], freq="h")) == ("hour",)
    assert calendar_fields(Panel.of([np.arange(50.0)], freq="YS")) == ()


def test_hourly_data_tries_the_week_too():
    assert cycles("h")["week"] == 168
    assert seasons_of(Panel.of([np.arange(700.0)], freq="h"), Task(horizon=24, season_length=24)) == (24, 168)
    assert seasons_of(Panel.of([np.arange(300.0)], freq="h"), Task(horizon=24, season_length=24)) == (24,)


def test_the_seasonal_naive_repeats_the_last_season_and_falls_back_to_the_last_value():
    panel = Panel.of([np.arange(10.0), np.array([3.0, 8.0])])
    forecast = seasonal_naive(panel, Origins.ends(panel), 5, 3)
    assert forecast.tolist() == [[7, 8, 9, 7, 8], [8, 8, 8, 8, 8]]
