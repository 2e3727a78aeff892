"""The recursive learner against a slow walk through plain lists."""

import math
from dataclasses import replace

import numpy as np
import pytest
import toys

from ensemble_forecast.data.origins import Origins, truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import TooShort
from ensemble_forecast.features.contexts import gather
from ensemble_forecast.features.tabular import Layout, window_scale
from ensemble_forecast.learners.trees import recursive
from ensemble_forecast.learners.trees.boosting import from_bytes
from ensemble_forecast.learners.trees.recursive import RecursiveXgboost
from ensemble_forecast.learners.trees.steps import base_of, one_step, step_columns, window_length
from ensemble_forecast.metrics import coverage, mase
from ensemble_forecast.windows import Roles, roles_until

NEVER = Deadline.never()
SMALL = RecursiveXgboost(rounds=40, depth=4, rows=4000, min_child_weight=5.0)


def make_panel(lengths=(90, 30, 6), freq="D"):
    rng = np.random.default_rng(1)
    panel = Panel.of([10 + np.cumsum(rng.normal(size=n)) + 3 * np.sin(np.arange(n) * np.pi / 2) for n in lengths], freq=freq)
    rows = len(panel.y)
    return replace(panel, known=rng.normal(size=(rows, 1)), known_names=("promo",), static=np.arange(len(lengths), dtype=float)[:, None])


def slow_row(past, scale, layout, weekday, static, promo_now, promo_next):
    """Features of the step after a plain list of values."""

    def back(k):
        return past[-k] if 1 <= k <= len(past) else math.nan

    def moments(values):
        return [float(np.mean(values)), float(np.std(values))]

    last, season, unit = past[-1], layout.season, max(layout.unit, 4)
    base = back(season) if len(past) >= season else last
    row = [(back(1 + k) - last) / scale for k in range(1, 8)] + [(base - last) / scale]
    if season > 1:
        row += [(back(1 + k) - back(1 + k + season)) / scale for k in range(3)]
    for p in layout.seasons:
        row += [(back(k * p) - base) / scale for k in (1, 2, 3)] + [(back(p + 1) - base) / scale, (back(p - 1) - base) / scale]
    for length in sorted({3, max(unit // 2, 3), unit, 2 * unit}):
        row += moments([(value - last) / scale for value in past[-length:]])
    row += [math.log(scale / np.mean(np.abs(past[-2 * unit :])))]
    return [*row, *([weekday] if "weekday" in layout.calendar else []), static, promo_next, promo_next - promo_now]


def slow_path(member, panel, series, step, layout):
    """Forecast one origin step by step, from lists."""
    past = list(panel.values(series)[: step + 1])
    scale = float(window_scale(panel, Origins(np.array([series]), np.array([step])), layout)[0])
    promo = list(panel.known[panel.offsets[series] : panel.offsets[series + 1], 0])
    booster, path = from_bytes(member.booster_), []
    for h in range(layout.horizon):
        now, ahead = (promo[k] if k < len(promo) else math.nan for k in (step + h, step + h + 1))
        weekday = (step + h + 1 + 5) % 7  # 2000-01-01 was a Saturday
        row = slow_row(past, scale, layout, weekday, float(panel.static[series, 0]), now, ahead)
        base = past[-layout.season] if len(past) >= layout.season else past[-1]
        path.append(base + scale * float(booster.inplace_predict(np.array([row], dtype=np.float32))[0]))
        past.append(path[-1])
    return path


@pytest.mark.parametrize("season", [4, 1])
def test_paths_equal_a_slow_walk(season):
    panel, task = make_panel(), Task(horizon=6, season_length=season)
    member = replace(SMALL).fit(panel, roles_until(panel, task, panel.ends_S, 10), task, NEVER)
    layout, origins = Layout.of(panel, task), Origins(np.array([0, 0, 1, 2, 2]), np.array([40, 89, 20, 2, 5]))
    path = member.predict(panel, origins, NEVER)[:, :, 4]
    expected = [slow_path(member, panel, series, step, layout) for series, step in zip(origins.series, origins.step, strict=True)]
    np.testing.assert_allclose(path, expected, rtol=1e-6)


def test_training_rows_ask_what_the_walk_asks():
    panel, task = make_panel(), Task(horizon=3, season_length=4)
    layout, origins = Layout.of(panel, task), Origins.between(np.array([20, 10, 9]), np.array([60, 25, 3]))
    rows = recursive._rows(panel, origins, task, layout, 10_000, "x")
    windows = one_step(origins, 3)
    assert len(rows.target_R) == len(windows)
    for n in (0, 17, len(windows) - 1):
        series, step = int(windows.series[n]), int(windows.step[n])
        own = windows.take(np.array([n]))
        window_NL, scale_N = gather(panel.y, panel, own, window_length(layout)), window_scale(panel, own, layout)
        expected = step_columns(window_NL, scale_N, layout, panel, own.series, own.step)
        assert np.array_equal(rows.x_RF[n], expected[0], equal_nan=True)
        values = panel.values(series)
        assert rows.target_R[n] == pytest.approx((values[step + 1] - values[step + 1 - 4]) / scale_N[0])


def test_one_step_windows_cover_each_horizon_once():
    origins = Origins(np.array([0, 0, 2, 2]), np.array([3, 4, 0, 7]))
    windows = one_step(origins, 3)
    expected = sorted({(s, t + k) for s, t in zip(origins.series, origins.step, strict=True) for k in range(3)})
    assert list(zip(windows.series.tolist(), windows.step.tolist(), strict=True)) == expected


def test_the_base_is_the_last_value_where_a_season_is_missing():
    window = np.array([[np.nan, np.nan, 5.0, 7.0], [1.0, 2.0, 3.0, 4.0]])
    np.testing.assert_array_equal(base_of(window, 4), [7.0, 1.0])
    np.testing.assert_array_equal(base_of(window, 1), [7.0, 4.0])


def test_it_beats_the_seasonal_naive_and_covers_the_truth():
    task, panel = Task(horizon=7, season_length=7), toys.seasonal_panel(n_series=8)
    cutoff_S, origins = np.full(8, 120), Origins.between(np.full(8, 120), np.full(8, 142))
    cut = panel.cut(cutoff_S)
    forecast = replace(SMALL).fit(cut, roles_until(cut, task, cutoff_S, 10), task, NEVER).predict(panel, origins, NEVER)
    outcome, ones = truth(panel, origins, 7), np.ones(len(origins))
    naive = np.stack([panel.y[row - 6 : row + 1] for row in origins.rows(panel)])[..., None].repeat(9, axis=2)
    assert mase(outcome, forecast, ones, task.quantiles) < 0.9 * mase(outcome, naive, ones, task.quantiles)
    assert 0.6 < coverage(outcome, forecast) < 0.92


def test_errors_of_whole_paths_widen_with_the_horizon():
    rng = np.random.default_rng(3)
    panel, task = Panel.of(list(np.cumsum(rng.normal(size=(60, 60)), axis=1))), Task(horizon=8)
    member = replace(SMALL).fit(panel, roles_until(panel, task, panel.ends_S), task, NEVER)
    width_H = member.table_[:, -1] - member.table_[:, 0]
    assert width_H[-1] > 1.8 * width_H[0]  # a random walk: the square root of eight, shrunk by the scale's own noise


def test_nothing_to_learn_from_is_too_short():
    panel = Panel.of([np.arange(4.0)])
    with pytest.raises(TooShort, match="3 steps of history"):
        replace(SMALL).fit(panel, Roles(Origins(np.array([0]), np.array([3]))), Task(horizon=7), NEVER)


def test_blocks_of_origins_change_nothing(monkeypatch):
    panel, task = make_panel(), Task(horizon=4, season_length=4)
    member = replace(SMALL).fit(panel, roles_until(panel, task, panel.ends_S, 10), task, NEVER)
    origins = Origins.between(np.zeros(3, dtype=int), panel.ends_S)
    whole = member.predict(panel, origins, NEVER)
    monkeypatch.setattr(recursive, "BLOCK", 7)
    assert np.array_equal(member.predict(panel, origins, NEVER), whole, equal_nan=True)
    assert np.isnan(whole[origins.step < 2]).all()
    assert np.isfinite(whole[origins.step >= 2]).all()
