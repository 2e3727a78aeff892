"""What nets see of a window: against a slow twin that handles one origin at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.learners.deep.inputs import BASES, View, Windows, compress, n_extras

CONTEXT, SEASON, HORIZON = 9, 4, 6


@pytest.fixture
def panel():
    rng = np.random.default_rng(5)
    series = [rng.normal(size=n).cumsum() * 10**i + 100 for i, n in enumerate((30, 12, 25))]
    series[2][10] = np.nan
    return Panel.of(series, past=[rng.normal(size=(len(y), 2)) * [1.0, 50.0] for y in series])


@pytest.fixture
def view():
    return View(CONTEXT, SEASON, HORIZON, np.array([0.1, 2.0]), np.array([1.0, 50.0]))


def squeeze(x):
    return x if abs(x) <= 3 else np.sign(x) * (3 + np.log1p(abs(x) - 3))


def slow_inputs(panel, view, series, step):
    """The same by plain loops."""
    y = panel.y_filled[panel.offsets[series] : panel.offsets[series + 1]]
    padding = np.mean([y[min(i, step)] for i in range(4)])
    window = [y[t] if t >= 0 else padding for t in range(step - CONTEXT + 1, step + 1)]
    first = max(step - CONTEXT + 1, 0)
    lag = 1 if view.base == "last" else SEASON
    changes = [abs(y[t] - y[t - lag]) for t in range(first + lag, step + 1)]
    growth = np.sqrt(SEASON / lag)
    scale = growth * scale_at(panel, Origins(np.array([series]), np.array([step])), lag)[0]
    unit = max(growth * np.mean(changes) if changes else 0.0, 0.2 * scale)
    base = []
    for h in range(1, HORIZON + 1):
        t = step if view.base == "last" else step + h - SEASON * int(np.ceil(h / SEASON))
        base.append(y[t] if t >= 0 else y[step])
    x = panel.past[panel.offsets[series] : panel.offsets[series + 1]]
    channels = [[squeeze((v - y[step]) / unit) for v in window]]
    lasts = []
    for c in range(2):
        standard = [(x[t, c] - view.past_mean_C[c]) / view.past_std_C[c] if t >= 0 else 0.0 for t in range(step - CONTEXT + 1, step + 1)]
        channels.append([squeeze((v - np.mean(standard)) / max(np.std(standard), 0.1)) for v in standard])
        lasts.append(squeeze(standard[-1]))
    extras = [np.log(unit / (unit + np.mean(np.abs(window)))), np.log(unit / scale), *[squeeze((b - y[step]) / unit) for b in base], *lasts]
    return np.array(channels).T, np.array(extras), unit, np.array(base), np.clip(unit / scale, 0.2, 5)


@pytest.mark.parametrize("base", BASES)
def test_inputs_equal_a_slow_twin_also_at_the_start_of_a_series(panel, view, base):
    view = replace(view, base=base, lag=BASES[base])
    origins = Origins.between(np.array([2, 2, 2]), np.array([29, 11, 24]))
    windows = Windows.of(panel, origins, view, torch.device("cpu"))
    batch = windows.inputs(torch.arange(len(origins)))
    for n, (series, step) in enumerate(zip(origins.series, origins.step, strict=True)):
        window_LC, extras_E, unit, base_H, weight = slow_inputs(panel, view, series, step)
        np.testing.assert_allclose(batch.window_BLC[n], window_LC, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(batch.extras_BE[n], extras_E, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(batch.unit_B[n], unit)
        np.testing.assert_allclose(batch.base_BH[n], base_H)
        np.testing.assert_allclose(batch.weight_B[n], weight, rtol=1e-6)


def test_outcomes_are_missing_where_the_target_is_or_the_series_ends(panel, view):
    origins = Origins(np.array([0, 1, 2]), np.array([26, 5, 8]))
    outcome_BH = Windows.of(panel, origins, view, torch.device("cpu")).outcome(torch.arange(3)).numpy()
    np.testing.assert_array_equal(outcome_BH[0], [*panel.values(0)[27:], np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(outcome_BH[1], panel.values(1)[6:12])
    np.testing.assert_array_equal(outcome_BH[2], panel.values(2)[9:15])
    assert np.isnan(outcome_BH[2]).tolist() == [False, True, False, False, False, False]


def test_a_given_base_replaces_the_seasonal_naive(panel, view):
    base_NH = np.arange(12.0).reshape(2, 6)
    windows = Windows.of(panel, Origins(np.array([0, 1]), np.array([20, 8]), base_NH), view, torch.device("cpu"))
    np.testing.assert_array_equal(windows.inputs(torch.tensor([1])).base_BH, base_NH[1:])


def test_the_last_value_can_be_corrected_instead_of_the_seasonal_naive(panel, view):
    windows = Windows.of(panel, Origins(np.array([0, 1]), np.array([20, 8])), replace(view, base="last", lag=1), torch.device("cpu"))
    np.testing.assert_array_equal(windows.inputs(torch.arange(2)).base_BH, np.repeat([[panel.values(0)[20]], [panel.values(1)[8]]], HORIZON, axis=1))


@pytest.mark.parametrize("series", [np.zeros(20), np.full(20, 7.0), np.r_[np.full(19, 1e9), 1e9 + 1]])
def test_constant_series_give_finite_inputs(series, view):
    panel = Panel.of([series], past=[np.full((20, 2), np.nan)])
    batch = Windows.of(panel, Origins.between(np.array([2]), np.array([19])), view, torch.device("cpu")).inputs(torch.arange(18))
    assert all(torch.isfinite(part).all() for part in batch)


def test_compression_is_the_identity_within_three_units_and_odd_beyond():
    x = torch.tensor([-100.0, -3.0, -1.0, 0.0, 2.0, 3.0, 4.0])
    expected = [-(3 + np.log(98)), -3, -1, 0, 2, 3, 3 + np.log(2)]
    np.testing.assert_allclose(compress(x), expected, rtol=1e-6)


@pytest.mark.parametrize(("centre", "steps"), [("last", 1), ("season", SEASON), ("mean", CONTEXT)])
def test_a_window_is_centred_as_asked(panel, view, centre, steps):
    origins = Origins(np.array([0]), np.array([20]))
    batch, usual = (Windows.of(panel, origins, replace(view, centre=name), torch.device("cpu")).inputs(torch.arange(1)) for name in (centre, "last"))
    y = panel.values(0)[: 20 + 1]
    shift = (y[-steps:].mean() - y[-1]) / float(usual.unit_B[0])
    assert float(batch.unit_B[0]) == float(usual.unit_B[0])
    np.testing.assert_array_equal(batch.base_BH, usual.base_BH)
    moved = [squeeze((value - y[-1]) / float(usual.unit_B[0]) - shift) for value in y[-CONTEXT:]]
    np.testing.assert_allclose(batch.window_BLC[0, :, 0], moved, rtol=1e-4, atol=1e-5)


def test_known_covariates_stand_behind_the_other_extras_and_missing_ones_are_zero(panel, view):
    known = np.arange(len(panel.y) * 2, dtype=float).reshape(-1, 2)
    known[28] = np.nan
    told = replace(panel, known=known, known_names=("a", "b"))
    wide = replace(view, known_mean_K=np.array([10.0, 20.0]), known_std_K=np.array([2.0, 4.0]))
    windows = Windows.of(told, Origins(np.array([0]), np.array([26])), wide, torch.device("cpu"))
    batch = windows.inputs(torch.arange(1))
    assert batch.extras_BE.shape[1] == windows.n_extras == n_extras(HORIZON, 2, 2)
    expected = np.zeros((HORIZON, 2))
    for h, row in enumerate((27, 28, 29)):  # the series has 30 rows: beyond it nothing is known
        expected[h] = [0.0, 0.0] if row == 28 else [squeeze((known[row, 0] - 10) / 2), squeeze((known[row, 1] - 20) / 4)]
    np.testing.assert_allclose(batch.extras_BE[0, -2 * HORIZON :], expected.ravel(), rtol=1e-5)
