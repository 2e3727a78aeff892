"""Empirical error tables and the spread they are measured in."""

import numpy as np
import pytest

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.learners.residuals import apply_table, learn_table, sample, spread_at

LEVELS = (0.1, 0.3, 0.5, 0.9)


def ends(*steps):
    return Origins(np.arange(len(steps)), np.array(steps))


def test_a_table_holds_the_quantiles_of_the_scaled_errors():
    rng = np.random.default_rng(0)
    point_NH, scale_N = rng.normal(size=(400, 2)), rng.uniform(1, 5, 400)
    error_NH = rng.normal(size=(400, 2)) * [1.0, 3.0]
    table_HQ = learn_table(point_NH, point_NH + error_NH * scale_N[:, None], scale_N, LEVELS)
    for h in range(2):
        assert table_HQ[h, [0, 1, 3]] == pytest.approx([np.quantile(error_NH[:, h], q) for q in (0.1, 0.3, 0.9)])


def test_biased_errors_do_not_move_the_median():
    point_NH = np.zeros((100, 3))
    table_HQ = learn_table(point_NH, point_NH + 7.0, np.ones(100), LEVELS)
    assert (table_HQ == [0.0, 0.0, 0.0, 7.0]).all()


def test_missing_truth_is_left_out():
    truth_NH = np.repeat(np.arange(200.0)[:, None], 2, axis=1)
    truth_NH[100:] = np.nan
    table_HQ = learn_table(np.zeros((200, 2)), truth_NH, np.ones(200), LEVELS)
    assert table_HQ[:, -1] == pytest.approx(np.quantile(np.arange(100), 0.9))


def test_a_table_is_applied_in_units_of_each_scale():
    forecast_NHQ = apply_table(np.array([[10.0], [20.0]]), np.array([1.0, 100.0]), np.array([[-1.0, -0.5, 0.0, 2.0]]))
    assert forecast_NHQ[0, 0].tolist() == [9.0, 9.5, 10.0, 12.0]
    assert forecast_NHQ[1, 0].tolist() == [-80.0, -30.0, 20.0, 220.0]


def test_a_sample_takes_one_origin_from_every_stretch():
    origins = Origins(np.zeros(1000, dtype=int), np.arange(1000))
    steps = sample(origins, 10, seed=3).step
    assert (steps // 100).tolist() == list(range(10))
    assert (steps == sample(origins, 10, seed=3).step).all()
    assert (steps != sample(origins, 10, seed=4).step).any()
    assert sample(origins, 1000, seed=3) is origins


def test_the_spread_is_the_geometric_mean_of_the_whole_and_the_newest_changes():
    rng = np.random.default_rng(1)
    y = np.cumsum(rng.normal(size=90) * np.linspace(1, 4, 90))
    y[70] = np.nan
    panel, season = Panel.of([y]), 3
    changes = [abs(y[t] - y[t - season]) for t in range(85 - 29, 86) if np.isfinite(y[t] - y[t - season])]
    expected = np.sqrt(scale_at(panel, ends(85), season)[0] * np.mean(changes))
    assert spread_at(panel, ends(85), season)[0] == pytest.approx(expected, rel=1e-12)


def test_the_spread_is_floored_on_a_flat_stretch_and_defined_on_tiny_series():
    flat = np.concatenate([np.tile([0.0, 5.0], 60), np.zeros(60)])
    panel = Panel.of([flat, np.array([4.0]), np.zeros(20)])
    origins = ends(179, 0, 19)
    spread_N, scale_N = spread_at(panel, origins, 1), scale_at(panel, origins, 1)
    assert spread_N[0] == pytest.approx(np.sqrt(0.1) * scale_N[0])
    assert spread_N[1] == scale_N[1]
    assert (spread_N > 0).all()


def test_the_spread_reads_nothing_after_its_origin():
    y = np.random.default_rng(2).normal(size=100)
    scrambled = y.copy()
    scrambled[61:] = 1e6
    assert spread_at(Panel.of([y]), ends(60), 7) == spread_at(Panel.of([scrambled]), ends(60), 7)
