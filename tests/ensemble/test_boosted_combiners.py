"""Combiners that boost, on panels large enough for their trees; tests/laws holds them to the contract where there are none."""

import functools
from dataclasses import replace

import numpy as np
import pytest

from ensemble_forecast import persist
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble import base
from ensemble_forecast.ensemble.base import Rows, weighted_rows
from ensemble_forecast.ensemble.cells import sample
from ensemble_forecast.ensemble.featured import Featured, descent
from ensemble_forecast.ensemble.residual_boosting import ResidualBoosting
from ensemble_forecast.ensemble.simplex import Simplex
from ensemble_forecast.metrics import cell_loss

NEVER = Deadline.never()
TASK = Task(horizon=4, quantiles=(0.1, 0.5, 0.9))
NORMAL = np.array([-1.2815516, 0.0, 1.2815516])
N_SERIES = 400
COMBINERS = {"featured": Featured, "residual_boosting": functools.partial(ResidualBoosting, least_cells=40.0)}
both = pytest.mark.parametrize("name", COMBINERS)


@functools.cache
def panel(kinds):
    """Four members; with kinds of series, the first two are good where the first trait is positive, the others where it is not.

    The truth also lies a little above everybody where the members disagree by chance, which no weights can see.
    """
    rng = np.random.default_rng(3)
    window = np.repeat(np.arange(2), N_SERIES)
    traits_NF = np.tile(rng.normal(size=(N_SERIES, 3)), (2, 1))
    rows = Rows(np.tile(np.arange(N_SERIES), 2), window, 40 + 4 * window, np.full(len(window), 2.0), traits_NF)
    lean_NM = np.where(traits_NF[:, :1] > 0, [0.3, 0.3, 1.2, 1.2], [1.2, 1.2, 0.3, 0.3]) if kinds else np.full((len(rows), 4), 0.7)
    signal_NH = rng.normal(10, 1, (len(rows), 4))
    point_NHM = signal_NH[..., None] + lean_NM[:, None] * rng.normal(size=(len(rows), 4, 4))
    truth_NH = signal_NH + 0.5 * rng.normal(size=signal_NH.shape) + 1.5 * (np.ptp(point_NHM, axis=-1) > 2)
    return (point_NHM[:, :, None] + NORMAL[:, None]).astype(np.float32), truth_NH, rows


@pytest.fixture(autouse=True)
def _fewer_cells(monkeypatch):
    needs = replace(ResidualBoosting.needs, cells=1000)
    monkeypatch.setattr(ResidualBoosting, "needs", needs)


@functools.cache
def fitted(name, kinds=True):
    forecasts, truth, rows = panel(kinds)
    past = rows.window == 0
    return COMBINERS[name]().fit(forecasts[past], truth[past], rows.take(past), TASK, NEVER)


def loss(combined, kinds=True):
    _, truth, rows = panel(kinds)
    now = rows.window == 1
    return cell_loss(truth[now], combined, rows.scale[now], TASK.quantiles, TASK.kind).mean()


def later(kinds=True):
    forecasts, _, rows = panel(kinds)
    return forecasts[rows.window == 1], rows.take(rows.window == 1)


@both
def test_they_beat_the_simplex_where_they_should(name):
    forecasts, truth, rows = panel(True)
    past = rows.window == 0
    simplex = Simplex().fit(forecasts[past], truth[past], rows.take(past), TASK, NEVER)
    combiner = fitted(name)
    assert combiner.n_trees_ > 0
    assert loss(combiner.combine(*later())) < 0.97 * loss(simplex.combine(*later()))


def test_featured_weights_come_near_to_those_that_know_the_kinds():
    forecasts, rows = later()
    best_NM = np.where(rows.traits_NF[:, :1] > 0, [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5])
    best, equal = (loss(weighted_rows(forecasts, weights_NM, "quantiles")) for weights_NM in (best_NM, np.full_like(best_NM, 0.25)))
    assert equal - loss(fitted("featured").combine(forecasts, rows)) > 0.7 * (equal - best)


def test_without_kinds_of_series_featured_stays_with_the_panel():
    combiner = fitted("featured", False)
    weights_NM = combiner._weights_of(later(False)[1])
    assert np.abs(weights_NM - combiner.panel_M_).mean() < 0.03


@both
def test_a_forecast_does_not_depend_on_the_other_rows(name):
    forecasts, rows = later()
    together = fitted(name).combine(forecasts, rows)
    alone = fitted(name).combine(forecasts[9:10], rows.take(np.array([9])))
    assert alone.tobytes() == together[9:10].tobytes()


@both
def test_members_that_are_missing_are_left_out(name):
    forecasts, rows = later()
    gone = forecasts.copy()
    gone[2, ..., 1:] = np.nan
    gone[3] = np.nan
    combined, whole = fitted(name).combine(gone, rows), fitted(name).combine(forecasts, rows)
    assert np.isnan(combined[3]).all()
    assert np.isfinite(combined[2]).all()
    others = ~np.isin(np.arange(len(rows)), [2, 3])
    np.testing.assert_allclose(combined[others], whole[others], rtol=1e-12)


@both
def test_they_survive_save_and_load(name, tmp_path):
    combiner = fitted(name)
    once = combiner.combine(*later())
    persist.save(tmp_path / "art", {"combiner": combiner}, {})
    assert persist.load(tmp_path / "art")[0]["combiner"].combine(*later()).tobytes() == once.tobytes()


@both
def test_the_same_seed_gives_the_same_bits(name):
    once, again = fitted(name), fitted.__wrapped__(name)
    assert (once.n_trees_, once.trees_.tobytes()) == (again.n_trees_, again.trees_.tobytes())
    assert once.weights_M_.tobytes() == again.weights_M_.tobytes()


@both
def test_a_deadline_and_gaps_in_the_truth_do_no_harm(name):
    forecasts, truth, rows = panel(True)
    holed = np.where(np.random.default_rng(0).random(truth.shape) < 0.3, np.nan, truth)
    combiner = COMBINERS[name]().fit(forecasts, holed, rows, TASK, Deadline.after(0))
    assert np.isfinite(combiner.combine(*later())).all()


def test_a_shift_moves_all_quantiles_of_a_cell_alike():
    combiner = fitted("residual_boosting")
    forecasts, rows = later()
    plain = Simplex(shrink=0.0).fit(*panel(True), TASK, NEVER)
    plain.weights_M_ = combiner.weights_M_
    moved_NHQ = combiner.combine(forecasts, rows) - plain.combine(forecasts, rows)
    np.testing.assert_allclose(moved_NHQ, moved_NHQ[..., :1] + np.zeros(3), atol=1e-5)
    assert np.abs(moved_NHQ).max() > 0.1


def test_the_trees_read_the_same_in_blocks(monkeypatch):
    forecasts, rows = later()
    whole = fitted("residual_boosting").combine(forecasts, rows)
    monkeypatch.setattr(base, "BLOCK_VALUES", 100)
    assert fitted("residual_boosting").combine(forecasts, rows).tobytes() == whole.tobytes()


@both
def test_what_a_period_did_to_all_series_is_not_put_down_to_their_length(name):
    """Of equally long series the length names the window; here the first two members are good in the first window, the others in the second."""
    forecasts, truth, rows = panel(False)
    better_NM = np.where(rows.window[:, None] == 0, [1, 1, 0, 0], [0, 0, 1, 1])
    shocked = forecasts + 2.0 * (1 - better_NM)[:, None, None, :] + np.where(rows.window == 0, -1.0, 1.0)[:, None, None, None]
    traits_NF = rows.traits_NF.copy()
    traits_NF[:, 0] = np.log(rows.step + 1.0)
    dated = replace(rows, traits_NF=traits_NF)
    combiner = COMBINERS[name]().fit(shocked, truth, dated, TASK, NEVER)
    now = rows.window == 1
    later_still = replace(dated.take(now), traits_NF=traits_NF[now] + np.array([0.1, 0.0, 0.0]))
    earlier = replace(later_still, traits_NF=traits_NF[~now])
    assert combiner.combine(shocked[now], later_still).tobytes() == combiner.combine(shocked[now], earlier).tobytes()


@pytest.mark.parametrize("kind", ["quantiles", "direction"])
def test_the_slopes_are_those_of_the_loss(kind, seeded):
    """Against finite differences of each row's own mean loss."""
    rows = seeded.panel_rows(6, 1)
    task = Task(horizon=4, quantiles=seeded.quantiles, kind=kind)
    rng = np.random.default_rng(0)
    forecasts, truth = seeded.draw_direction(rng, 6, 4, np.ones(3)) if kind == "direction" else seeded.draw(rng, rows, 4, np.ones(3))
    truth[2, 1], forecasts[4] = np.nan, np.nan
    cells = sample(forecasts, truth, rows, task)
    row_R, slopes = descent(cells)
    assert row_R.tolist() == [0, 1, 2, 3, 5]
    margin_RM = rng.normal(size=(5, 3))

    def row_loss(margin_RM, place):
        mine = cells.take(cells.row_C == row_R[place])
        weights_M = np.exp(margin_RM[place]) / np.exp(margin_RM[place]).sum()
        return mine.losses(mine.values_CQM @ weights_M).mean()

    unit = 3 / cells.member_losses().min()  # so many members, and relative to the best one
    for place in range(5):
        for member in range(3):
            step = 1e-6 * (np.arange(3) == member) * (np.arange(5) == place)[:, None]
            slope = (row_loss(margin_RM + step, place) - row_loss(margin_RM - step, place)) / 2e-6
            assert slopes(margin_RM)[place, member] == pytest.approx(unit * slope, rel=1e-4, abs=1e-7)


def test_with_too_little_they_are_the_simplex(seeded, task):
    rows = seeded.panel_rows(60, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.array([0.5, 0.7, 0.6]))
    for name in COMBINERS:
        combiner = COMBINERS[name]().fit(forecasts, truth, rows, task, NEVER)
        simplex = Simplex().fit(forecasts, truth, rows, task, NEVER)
        np.testing.assert_allclose(combiner.combine(forecasts, rows), simplex.combine(forecasts, rows), rtol=1e-12)
