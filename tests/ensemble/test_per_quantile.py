from dataclasses import replace

import numpy as np
import pytest

from ensemble_forecast.data.task import DECILES
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import weighted
from ensemble_forecast.ensemble.cells import sample
from ensemble_forecast.ensemble.per_quantile import PerQuantile, level_groups, weighted_by_level
from ensemble_forecast.ensemble.simplex import Simplex, descend
from ensemble_forecast.metrics import cell_loss

NEVER = Deadline.never()


@pytest.fixture
def tails(seeded):
    """Two members on a panel: one knows the lower tail, the other the upper."""
    rows = seeded.panel_rows(200, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.array([0.3, 0.3]))
    forecasts[..., 3:, 0] += 3
    forecasts[..., :2, 1] -= 3
    return forecasts, truth, rows


def test_each_tail_believes_the_member_that_knows_it(tails, task):
    forecasts, truth, rows = tails
    combiner = PerQuantile().fit(forecasts, truth, rows, task, NEVER)
    assert combiner.weights_GM_[0, 0] > 0.65
    assert combiner.weights_GM_[2, 1] > 0.65
    np.testing.assert_allclose(combiner.weights_M_, combiner.weights_GM_[[0, 0, 1, 2, 2]].mean(axis=0))
    combined = combiner.combine(forecasts, rows)
    assert (np.diff(combined, axis=-1) >= 0).all()
    losses = [
        np.mean(cell_loss(truth, each, rows.scale, task.quantiles, task.kind))
        for each in (combined, Simplex().fit(forecasts, truth, rows, task, NEVER).combine(forecasts, rows))
    ]
    assert losses[0] < 0.95 * losses[1]


def test_the_weights_of_a_group_are_half_its_own_and_half_those_of_all_levels(tails, task):
    combiner, whole = (each.fit(*tails, task, NEVER) for each in (PerQuantile(), Simplex()))
    cells = sample(*tails, task)
    own = descend(replace(cells, values_CQM=cells.values_CQM[:, :2], quantiles=(0.1, 0.3)), 120, NEVER)
    np.testing.assert_allclose(combiner.weights_GM_[0], 0.5 * ((1 - whole.shrink_) * own + whole.shrink_ / 2) + 0.5 * whole.weights_M_)


def test_levels_fall_into_low_middle_and_high():
    assert level_groups(DECILES).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert level_groups((0.4, 0.5, 0.9)).tolist() == [0, 0, 1]
    assert level_groups((0.5,)).tolist() == [0]


def test_probabilities_have_no_levels_and_get_the_simplex(seeded, direction_task):
    rows = seeded.panel_rows(100, 2)
    forecasts, truth = seeded.draw_direction(np.random.default_rng(0), len(rows), 4, np.array([0.5, 1.0]))
    combiner, plain = (each.fit(forecasts, truth, rows, direction_task, NEVER) for each in (PerQuantile(), Simplex()))
    assert combiner.combine(forecasts, rows).tobytes() == plain.combine(forecasts, rows).tobytes()


def test_groups_with_the_same_weights_are_the_plain_weighted_average(seeded):
    forecasts, _ = seeded.draw(np.random.default_rng(0), seeded.panel_rows(30, 1), 4, np.ones(3))
    weights = np.array([0.2, 0.3, 0.5])
    grouped = weighted_by_level(forecasts, np.tile(weights, (3, 1)), np.array([0, 0, 1, 2, 2]), "quantiles")
    assert grouped.tobytes() == weighted(forecasts, weights, "quantiles").tobytes()


def test_a_member_that_misses_one_step_is_left_out_of_the_whole_row(seeded):
    forecasts, _ = seeded.draw(np.random.default_rng(0), seeded.panel_rows(3, 1), 4, np.ones(3))
    forecasts[1, 3, :, 0] = np.nan
    combined = weighted_by_level(forecasts, np.eye(3), np.array([0, 0, 1, 2, 2]), "quantiles")
    assert np.isnan(combined).all(axis=(1, 2)).tolist() == [False, True, False]
    assert np.isfinite(combined[[0, 2]]).all()
