"""Every combiner against a slow twin."""

import numpy as np
import pytest
from scipy.optimize import linprog

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.averages import Mean, Median, TrimmedMean
from ensemble_forecast.ensemble.base import Rows
from ensemble_forecast.ensemble.cells import FARTHEST, sample
from ensemble_forecast.ensemble.inverse_loss import InverseLoss
from ensemble_forecast.ensemble.selection import BestSingle, GreedySelection, select
from ensemble_forecast.ensemble.simplex import Simplex, descend, shrinkage
from ensemble_forecast.metrics import cell_loss

NEVER = Deadline.never()
ERRORS = np.array([0.6, 0.7, 1.0, 2.0, 0.8])


@pytest.fixture
def drawn(seeded):
    """Five members of different quality on a panel, one of them missing in some rows."""
    rows = seeded.panel_rows(40, 2)
    rows = Rows(rows.series, rows.window, rows.step, np.random.default_rng(1).uniform(0.5, 2, len(rows)))
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, ERRORS)
    forecasts[5:12, :, :, 3] = np.nan
    truth[3, 2] = np.nan
    return forecasts, truth, rows


def mean_losses(forecasts, truth, rows, task):
    """Mean loss of each member, the median of the others standing in where it is missing: the slow twin."""
    losses = []
    for m in range(forecasts.shape[-1]):
        own = forecasts[..., m].copy()
        for n in np.flatnonzero(np.isnan(own).any(axis=(1, 2))):
            own[n] = np.nanmedian(forecasts[n], axis=-1)
        losses.append(np.nanmean(cell_loss(truth, own, rows.scale, task.quantiles, task.kind)))
    return np.array(losses)


@pytest.mark.parametrize(("combiner", "twin"), [(Mean(), np.mean), (Median(), np.median)])
def test_mean_and_median_do_what_numpy_does_with_the_members_that_serve(combiner, twin, drawn, task):
    forecasts, truth, rows = drawn
    combined = combiner.fit(forecasts, truth, rows, task, NEVER).combine(forecasts, rows)
    for n in range(len(rows)):
        members = [forecasts[n, ..., m] for m in range(5) if np.isfinite(forecasts[n, ..., m]).all()]
        np.testing.assert_allclose(combined[n], np.sort(twin(members, axis=0), axis=-1), rtol=1e-12)


def test_the_trimmed_mean_leaves_out_the_lowest_and_highest(drawn, task):
    forecasts, truth, rows = drawn
    combined = TrimmedMean(trim=0.2).fit(forecasts, truth, rows, task, NEVER).combine(forecasts, rows)
    np.testing.assert_allclose(combined[0], np.sort(np.sort(forecasts[0], axis=-1)[..., 1:4].mean(axis=-1), axis=-1))
    np.testing.assert_allclose(combined[6], np.sort(np.nanmean(forecasts[6], axis=-1), axis=-1))  # a fifth of four members is none


def test_the_median_of_probabilities_is_the_median_log_odds(seeded, direction_task):
    forecasts, truth = seeded.draw_direction(np.random.default_rng(0), 20, 4, np.ones(3))
    rows = seeded.panel_rows(20, 1)
    combined = Median().fit(forecasts, truth, rows, direction_task, NEVER).combine(forecasts, rows)
    np.testing.assert_allclose(combined[..., 1], np.median(forecasts[:, :, 1], axis=-1), rtol=1e-9)


def test_inverse_loss_weighs_by_the_inverse_square(drawn, task):
    weights = 1 / mean_losses(*drawn, task) ** 2
    np.testing.assert_allclose(InverseLoss().fit(*drawn, task, NEVER).weights_M_, weights / weights.sum(), rtol=1e-9)


def test_the_best_single_member_has_the_least_loss(drawn, task):
    weights = BestSingle().fit(*drawn, task, NEVER).weights_M_
    assert weights.tolist() == np.eye(5)[mean_losses(*drawn, task).argmin()].tolist()


def test_greedy_selection_walks_as_the_naive_loop_does(drawn, task):
    cells = sample(*drawn, task)
    bag, best = [], (np.inf, None)
    for _ in range(8):
        scores = [cells.losses(np.mean([cells.values_CQM[..., m] for m in [*bag, candidate]], axis=0)).mean() for candidate in range(5)]
        bag.append(int(np.argmin(scores)))
        best = min(best, (min(scores), tuple(bag)))
    np.testing.assert_allclose(select(cells, 8), np.bincount(best[1], minlength=5) / len(best[1]))


def test_greedy_selection_keeps_a_member_that_is_always_right(seeded, task):
    rows = seeded.panel_rows(40, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.array([0.0, 1.0, 1.0]))
    forecasts[..., 0] = truth[..., None]
    assert GreedySelection().fit(forecasts, truth, rows, task, NEVER).weights_M_.tolist() == [1, 0, 0]


def least_loss(cells):
    """Solve the pinball problem over the simplex as a linear programme: its optimal loss."""
    values = cells.values_CQM.reshape(-1, cells.n_members)
    count, level = len(values), np.tile(cells.quantiles, len(cells.values_CQM))
    cost = np.concatenate([np.zeros(cells.n_members), level, 1 - level]) * 2 / count
    equal = np.block([[values, np.eye(count), -np.eye(count)], [np.ones(cells.n_members), np.zeros(2 * count)]])
    return linprog(cost, A_eq=equal, b_eq=np.append(np.zeros(count), 1), method="highs").fun


@pytest.mark.parametrize("diverged", [False, True])
def test_descent_reaches_the_optimum_of_the_linear_programme(diverged, drawn, task):
    forecasts, truth, rows = drawn
    keep = np.arange(len(rows)) % 2 == 0
    forecasts = forecasts[keep] + np.where(diverged, [0, 0, 1e12, 0, 0], 0)
    cells = sample(forecasts, truth[keep], rows.take(keep), task)
    weights = descend(cells, 120, NEVER)
    assert cells.losses(cells.values_CQM @ weights).mean() < 1.002 * least_loss(cells)


def test_descent_on_labels_beats_every_point_of_a_grid(seeded, direction_task):
    forecasts, truth = seeded.draw_direction(np.random.default_rng(0), 60, 4, np.array([0.3, 1.0, 2.0]))
    cells = sample(forecasts, truth, seeded.panel_rows(60, 1), direction_task)
    grid = [(a, b, 1 - a - b) for a in np.linspace(0, 1, 41) for b in np.linspace(0, 1, 41) if a + b <= 1]
    best = min(cells.losses(cells.values_CQM @ np.array(point)).mean() for point in grid)
    assert cells.losses(cells.values_CQM @ descend(cells, 120, NEVER)).mean() < best + 2e-5


def test_slopes_are_the_derivative_of_the_loss(drawn, seeded, task, direction_task):
    labels, truth = seeded.draw_direction(np.random.default_rng(0), 30, 4, np.ones(2))
    for cells in (sample(*drawn, task), sample(labels, truth, seeded.panel_rows(30, 1), direction_task)):
        combined = cells.values_CQM.mean(axis=-1)
        direction = np.random.default_rng(1).normal(size=combined.shape)
        moved = [cells.losses(combined + sign * 1e-7 * direction).mean() for sign in (1, -1)]
        assert (moved[0] - moved[1]) / 2e-7 == pytest.approx((cells.slopes(combined) * direction).sum(), rel=1e-3, abs=1e-6)


def test_simplex_weights_are_shrunk_to_equal_ones(drawn, task):
    free, half = Simplex(shrink=0.0).fit(*drawn, task, NEVER), Simplex(shrink=0.5).fit(*drawn, task, NEVER)
    np.testing.assert_allclose(half.weights_M_, 0.5 * free.weights_M_ + 0.1)
    assert free.weights_M_.argmin() == 3, "the worst member counts least"


def test_shrinkage_falls_with_clusters_and_is_at_least_half_on_one_window(seeded):
    assert shrinkage(seeded.panel_rows(200, 2), 4) == 0.25
    assert shrinkage(seeded.panel_rows(60, 2), 4) == pytest.approx(0.4)
    assert shrinkage(seeded.single_rows(2, 5, 4), 4) == 0.75
    assert shrinkage(seeded.panel_rows(200, 1), 4) == 0.5


@pytest.mark.parametrize("combiner", [InverseLoss(), GreedySelection(), Simplex(shrink=0.2)])
def test_permuting_members_permutes_weights(combiner, drawn, task):
    forecasts, truth, rows = drawn
    order = np.array([3, 0, 4, 1, 2])
    weights = combiner.fit(forecasts, truth, rows, task, NEVER).weights_M_.copy()
    permuted = combiner.fit(forecasts[..., order], truth, rows, task, NEVER).weights_M_
    np.testing.assert_allclose(permuted, weights[order], atol=1e-9)


@pytest.mark.parametrize("combiner", [InverseLoss(), GreedySelection(), Simplex(shrink=0.0), BestSingle()])
def test_learnt_weights_leave_out_a_diverged_member(combiner, drawn, task):
    forecasts, truth, rows = drawn
    forecasts[..., 1] = 1e12
    assert combiner.fit(forecasts, truth, rows, task, NEVER).weights_M_[1] < 1e-3


@pytest.mark.parametrize("combiner", [Mean(), Median(), TrimmedMean(), InverseLoss(), GreedySelection(), Simplex(), BestSingle()])
def test_equal_members_are_returned_as_they_are_at_horizon_one_on_one_series(combiner, seeded, task):
    rows = seeded.single_rows(2, 20, 1)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 1, np.ones(1))
    forecasts = np.repeat(forecasts, 4, axis=-1)
    combined = combiner.fit(forecasts, truth, rows, task, NEVER).combine(forecasts, rows)
    np.testing.assert_allclose(combined, forecasts[..., 0], rtol=1e-12)


def test_cells_are_drawn_alike_for_one_seed_and_bounded_in_number(drawn, task):
    once, twice = (sample(*drawn, task, max_values=500) for _ in range(2))
    assert once.values_CQM.tobytes() == twice.values_CQM.tobytes()
    assert once.values_CQM.shape == (100, 5, 5)
    assert len(sample(*drawn, task).truth_C) == 80 * 4 - 1


def test_an_explosion_counts_as_far_off_but_not_farther(drawn, task):
    forecasts, truth, rows = drawn
    forecasts[..., 1] = 1e12
    assert np.abs(sample(forecasts, truth, rows, task).values_CQM).max() == FARTHEST
