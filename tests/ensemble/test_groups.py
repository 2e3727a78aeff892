import numpy as np

from ensemble_forecast.ensemble.base import weighted
from ensemble_forecast.ensemble.groups import bucket_of, weighted_by_group


def test_buckets_are_nearly_equal_and_in_order():
    assert bucket_of(6, 4).tolist() == [0, 0, 1, 2, 2, 3]
    assert bucket_of(3, 3).tolist() == [0, 1, 2]
    assert bucket_of(5, 1).tolist() == [0] * 5


def test_groups_with_the_same_weights_are_the_plain_weighted_average(seeded):
    forecasts, _ = seeded.draw(np.random.default_rng(0), seeded.panel_rows(30, 1), 4, np.ones(3))
    weights = np.array([0.2, 0.3, 0.5])
    for group, axis in ((np.array([0, 0, 1, 1]), 1), (np.array([0, 0, 1, 2, 2]), 2)):
        grouped = weighted_by_group(forecasts, np.tile(weights, (3, 1))[: group.max() + 1], group, axis, "quantiles")
        assert grouped.tobytes() == weighted(forecasts, weights, "quantiles").tobytes()


def test_a_member_that_misses_one_step_is_left_out_of_the_whole_row(seeded):
    forecasts, _ = seeded.draw(np.random.default_rng(0), seeded.panel_rows(3, 1), 4, np.ones(3))
    forecasts[1, 3, :, 0] = np.nan
    combined = weighted_by_group(forecasts, np.eye(3)[:2], np.array([0, 0, 1, 1]), 1, "quantiles")
    assert np.isnan(combined).all(axis=(1, 2)).tolist() == [False, True, False]
    assert np.isfinite(combined[[0, 2]]).all()
