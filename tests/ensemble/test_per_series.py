import numpy as np
import pytest

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble import per_series
from ensemble_forecast.ensemble.base import Rows, weighted, weighted_rows
from ensemble_forecast.ensemble.per_series import UNTESTED, PerSeries, row_losses
from ensemble_forecast.ensemble.simplex import Simplex, learn_simplex
from ensemble_forecast.metrics import cell_loss

NEVER = Deadline.never()


@pytest.fixture
def divided(seeded):
    """Two members on a panel: one knows the even series, the other the odd ones."""
    rows = seeded.panel_rows(60, 4)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.array([0.2, 2.0]))
    return np.where((rows.series % 2 == 0)[:, None, None, None], forecasts, forecasts[..., ::-1]), truth, rows


@pytest.fixture
def alike(seeded):
    """Two members that are equally good on every series."""
    rows = seeded.panel_rows(60, 4)
    return *seeded.draw(np.random.default_rng(0), rows, 4, np.array([1.0, 1.0])), rows


def test_series_that_differ_get_weights_of_their_own(divided, task):
    forecasts, truth, rows = divided
    combiner = PerSeries().fit(forecasts, truth, rows, task, NEVER)
    assert combiner.pull_ <= 1
    assert (combiner.weights_SM_[::2, 0] > 0.6).all()
    assert (combiner.weights_SM_[1::2, 1] > 0.6).all()
    losses = [
        np.mean(cell_loss(truth, each.combine(forecasts, rows), rows.scale, task.quantiles, task.kind))
        for each in (combiner, Simplex().fit(forecasts, truth, rows, task, NEVER))
    ]
    assert losses[0] < 0.8 * losses[1]


def test_series_that_are_alike_are_pulled_to_the_panel(alike, task):
    combiner = PerSeries().fit(*alike, task, NEVER)
    assert combiner.pull_ >= 8
    assert np.abs(combiner.weights_SM_ - combiner.panel_M_).max() < 0.15


def test_weights_agree_with_a_loop_over_series(divided, task):
    forecasts, truth, rows = divided
    truth[5, 2] = np.nan
    forecasts[7, ..., 1] = np.nan
    combiner = PerSeries().fit(forecasts, truth, rows, task, NEVER)
    panel = learn_simplex(forecasts, truth, rows, task, NEVER)

    def mean_loss(mask, member):
        losses = []
        for n in np.flatnonzero(mask):
            if np.isfinite(forecasts[n, ..., member]).all():
                one = cell_loss(truth[[n]], forecasts[[n]][..., member], rows.scale[[n]], task.quantiles, task.kind)
                losses.append(np.nanmean(one))
        return np.mean(losses)

    typical = [mean_loss(np.ones(len(rows), dtype=bool), m) for m in range(2)]
    for place, series in enumerate(combiner.series_):
        own = panel * np.array([(typical[m] / mean_loss(rows.series == series, m)) ** 2 for m in range(2)])
        own /= own.sum()
        np.testing.assert_allclose(combiner.weights_SM_[place], (4 * own + combiner.pull_ * panel) / (4 + combiner.pull_), rtol=1e-9)


def test_a_series_that_was_not_there_gets_the_weights_of_the_panel(divided, task):
    forecasts, truth, rows = divided
    combiner = PerSeries().fit(forecasts, truth, rows, task, NEVER)
    for unseen in (-1, 60):
        stranger = Rows(np.full(len(rows), unseen), rows.window, rows.step, rows.scale)
        np.testing.assert_allclose(combiner.combine(forecasts, stranger), weighted(forecasts, combiner.panel_M_, "quantiles"), rtol=1e-12)


def test_one_window_leaves_nothing_to_test_the_pull_on(divided, task):
    forecasts, truth, rows = divided
    first = rows.window == 0
    assert PerSeries().fit(forecasts[first], truth[first], rows.take(first), task, NEVER).pull_ == UNTESTED


def test_without_time_it_is_the_simplex(divided, task):
    forecasts, truth, rows = divided
    combiner, plain = (each.fit(forecasts, truth, rows, task, Deadline.after(0)) for each in (PerSeries(), Simplex()))
    np.testing.assert_allclose(combiner.combine(forecasts, rows), plain.combine(forecasts, rows), rtol=1e-12)


def test_the_pull_is_chosen_without_the_window_that_judges_it(divided, task):
    """Series whose best member changes with every window: what a series did before says nothing, and its own weights only cost."""
    forecasts, truth, rows = divided
    swapped = np.where((rows.window % 2 == 0)[:, None, None, None], forecasts, forecasts[..., ::-1])
    assert PerSeries().fit(swapped[rows.window < 2], truth[rows.window < 2], rows.take(rows.window < 2), task, NEVER).pull_ == np.inf


def test_rows_with_the_same_weights_are_averaged_as_in_base(seeded):
    forecasts, _ = seeded.draw(np.random.default_rng(0), seeded.panel_rows(30, 1), 4, np.ones(3))
    forecasts[2, ..., 1] = np.nan
    forecasts[3] = np.nan
    weights = np.array([0.2, 0.3, 0.5])
    expected = weighted(forecasts, weights, "quantiles")
    np.testing.assert_allclose(weighted_rows(forecasts, np.tile(weights, (30, 1)), "quantiles"), expected, rtol=1e-12)


def test_losses_of_rows_are_missing_where_truth_or_the_member_is(divided, task):
    forecasts, truth, rows = divided
    truth[3], truth[4, 1:] = np.nan, np.nan
    forecasts[6, 2, :, 0] = np.nan
    losses = row_losses(forecasts, truth, rows, task)
    assert np.argwhere(np.isnan(losses)).tolist() == [[3, 0], [3, 1], [6, 0]]
    expected = cell_loss(truth[[4]], forecasts[[4]][..., 1], rows.scale[[4]], task.quantiles, task.kind)[0, 0]
    assert losses[4, 1] == pytest.approx(expected)


def test_where_there_is_more_than_enough_some_series_and_some_origins_of_each_window_choose_the_pull(seeded, monkeypatch):
    monkeypatch.setattr(per_series, "MAX_SERIES", 20)
    panel = seeded.panel_rows(60, 3)
    mask = per_series._enough(panel, 1, 0)
    assert mask.reshape(3, 60).sum(axis=1).tolist() == [20] * 3
    assert (mask.reshape(3, 60) == mask[:60]).all(), "the same series in every window"
    monkeypatch.setattr(per_series, "MAX_VALUES", 4000)
    single = seeded.single_rows(2, 10, 4)
    kept = per_series._enough(single, 1000, 0)
    assert np.flatnonzero(kept).tolist() == [0, 5, 10, 15]
