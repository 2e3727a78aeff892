"""Averaging and clustering against loops that say the same slowly."""

import numpy as np
import pytest

from ensemble_forecast.ensemble.base import Rows, clusters, weighted

WEIGHTS = np.array([0.5, 0.3, 0.2])


def slow_average(members, weights):
    """Weighted mean of the members that are there, or NaN."""
    there = [(member, weight) for member, weight in zip(members, weights, strict=True) if np.isfinite(member).all() and weight > 0]
    total = sum(weight for _, weight in there)
    return sum(member * weight / total for member, weight in there) if there else np.full(members[0].shape, np.nan)


def with_holes(forecasts_NHQM):
    """Take one member from row 0, a single level of one from row 1, and all members from row 2."""
    holed = forecasts_NHQM.copy()
    holed[0, :, :, 1] = np.nan
    holed[1, 2, 1, 0] = np.nan
    holed[2] = np.nan
    return holed


def test_quantiles_are_averaged_level_by_level_and_missing_members_left_out(seeded):
    forecasts, _ = seeded.draw(np.random.default_rng(0), seeded.panel_rows(6, 1), 4, np.ones(3))
    forecasts = with_holes(forecasts)
    combined = weighted(forecasts, WEIGHTS, "quantiles")
    for n in range(len(forecasts)):
        np.testing.assert_allclose(combined[n], slow_average([forecasts[n, ..., m] for m in range(3)], WEIGHTS), rtol=1e-12)


def test_probabilities_are_averaged_as_log_odds(seeded):
    forecasts, _ = seeded.draw_direction(np.random.default_rng(0), 6, 4, np.ones(3))
    forecasts = with_holes(forecasts)
    combined = weighted(forecasts, WEIGHTS, "direction")
    for n in range(len(forecasts)):
        odds = slow_average([np.log(forecasts[n, :, 1, m] / forecasts[n, :, 0, m]) for m in range(3)], WEIGHTS)
        np.testing.assert_allclose(combined[n, :, 1], np.exp(odds) / (1 + np.exp(odds)), rtol=1e-9)
    np.testing.assert_allclose(combined[3:].sum(axis=-1), 1)
    assert (combined[3:, :, 0] > combined[3:, :, 1]).any(), "probabilities of (down, up) must not be sorted"


def test_crossing_quantiles_come_out_sorted():
    crossing = np.array([3.0, 1.0, 2.0]).reshape(1, 1, 3, 1)
    assert weighted(crossing, np.ones(1), "quantiles").tolist() == [[[1.0, 2.0, 3.0]]]


def test_a_member_without_weight_cannot_serve():
    forecasts = np.array([np.nan, 7.0]).reshape(1, 1, 1, 2)
    assert np.isnan(weighted(forecasts, np.array([1.0, 0.0]), "quantiles")).all()


def test_many_rows_are_averaged_in_blocks_to_the_same_bits(monkeypatch, seeded):
    forecasts, _ = seeded.draw(np.random.default_rng(1), seeded.panel_rows(50, 1), 4, np.ones(3))
    whole = weighted(forecasts, WEIGHTS, "quantiles")
    monkeypatch.setattr("ensemble_forecast.ensemble.base.BLOCK_VALUES", 300)
    assert weighted(forecasts, WEIGHTS, "quantiles").tobytes() == whole.tobytes()


def test_no_rows_combine_to_no_rows():
    assert weighted(np.empty((0, 4, 5, 3)), WEIGHTS, "quantiles").shape == (0, 4, 5)


def test_clusters_are_series_on_a_panel_and_blocks_of_origins_on_few_series(seeded):
    assert len(np.unique(clusters(seeded.panel_rows(30, 3), 4))) == 30
    few = Rows(np.repeat([0, 1], 8), np.zeros(16, dtype=int), np.tile(np.arange(8), 2), np.ones(16))
    assert clusters(few, 4).tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4


@pytest.mark.parametrize("mask", [np.array([True, False, True]), np.array([0, 2])])
def test_rows_are_taken_by_mask_or_position(mask):
    rows = Rows(np.arange(3), np.arange(3), np.arange(3), np.arange(3.0) + 1)
    assert rows.take(mask).scale.tolist() == [1.0, 3.0]
