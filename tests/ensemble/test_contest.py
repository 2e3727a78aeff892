"""The contest must be right where the right answer is known."""

import numpy as np
import pytest

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.averages import Mean, Median, TrimmedMean
from ensemble_forecast.ensemble.base import Rows
from ensemble_forecast.ensemble.contest import _table, contest
from ensemble_forecast.ensemble.featured import Featured
from ensemble_forecast.ensemble.halves import cross_fitted
from ensemble_forecast.ensemble.inverse_loss import InverseLoss
from ensemble_forecast.ensemble.layered import Layered
from ensemble_forecast.ensemble.rehearsal import NO_TIME
from ensemble_forecast.ensemble.selection import BestSingle, GreedySelection
from ensemble_forecast.ensemble.simplex import Simplex
from ensemble_forecast.errors import BadInput, Unfinished
from ensemble_forecast.metrics import cell_loss
from ensemble_forecast.registry import COMBINERS, find

NEVER = Deadline.never()
SETTINGS = {
    "panel of 120": (lambda seeded: seeded.panel_rows(120, 2), 4),
    "panel of 200, three windows": (lambda seeded: seeded.panel_rows(200, 3), 2),
    "one series": (lambda seeded: seeded.single_rows(4, 94, 7), 7),
    "one series, horizon 1": (lambda seeded: seeded.single_rows(4, 100, 1), 1),
}
in_every_setting = pytest.mark.parametrize("setting", SETTINGS)


def everybody():
    return {
        "mean": Mean(),
        "median": Median(),
        "trimmed_mean": TrimmedMean(),
        "inverse_loss": InverseLoss(),
        "greedy": GreedySelection(),
        "simplex": Simplex(),
    }


def run(seeded, setting, seed, error_M, noise_sd=1.0):
    """Draw one seeded task and run the contest: result, task, horizon."""
    rows, horizon = SETTINGS[setting][0](seeded), SETTINGS[setting][1]
    task = Task(horizon=horizon, quantiles=seeded.quantiles, seed=seed)
    forecasts, truth = seeded.draw(np.random.default_rng(seed), rows, horizon, error_M, noise_sd)
    return contest(forecasts, truth, rows, task, NEVER, everybody()), task


@in_every_setting
@pytest.mark.parametrize("n_members", [3, 8])
def test_equally_good_members_are_averaged(setting, n_members, seeded):
    winners = [run(seeded, setting, seed, np.ones(n_members))[0].winner for seed in range(10)]
    assert winners.count("mean") >= 9, winners


@in_every_setting
@pytest.mark.parametrize(("n_members", "others", "noise_sd"), [(3, 1.0, 1.0), (8, 1.0, 0.5), (8, 3.0, 1.0)])
def test_a_dominant_member_is_followed(setting, n_members, others, noise_sd, seeded):
    """The first member knows all that can be known; the others add errors of their own to it."""
    error_M = np.append(0.1 * noise_sd, np.full(n_members - 1, others))
    right = 0
    for seed in range(10):
        result, task = run(seeded, setting, seed, error_M, noise_sd)
        weight = dict(zip(result.members.tolist(), result.combiner.weights_M_, strict=True)).get(0, 0.0)
        fresh = seeded.panel_rows(1000, 1)
        forecasts, truth = seeded.draw(np.random.default_rng(seed + 1000), fresh, task.horizon, error_M, noise_sd)
        combined = result.combiner.combine(forecasts[..., result.members], fresh)
        loss, alone = (cell_loss(truth, each, fresh.scale, task.quantiles, task.kind).mean() for each in (combined, forecasts[..., 0]))
        right += weight >= 0.8 or loss < 1.01 * alone
    assert right >= 9


def test_weights_that_pay_are_learnt_among_members_that_survive_pruning(seeded):
    """Nine members share one error and the tenth has its own: equal weights waste it."""
    rows, task = seeded.panel_rows(300, 2), Task(horizon=4, quantiles=seeded.quantiles)
    rng = np.random.default_rng(0)
    forecasts, truth = seeded.draw(rng, rows, 4, np.full(2, 0.7), 0.5)
    crowd = forecasts[..., :1] + 0.3 * rng.normal(size=(len(rows), 4, 1, 9))
    result = contest(np.concatenate([crowd, forecasts[..., 1:]], axis=-1), truth, rows, task, NEVER, everybody())
    weights = dict(zip(result.members.tolist(), result.combiner.weights_M_, strict=True))
    assert result.winner in {"greedy", "simplex"}
    assert weights[9] > 0.3
    assert next(standing for standing in result.table if standing.name == result.winner).accepted


def test_junk_and_explosions_do_not_reach_the_average(seeded, task):
    rows = seeded.panel_rows(100, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.array([0.5, 0.5, 0.5, 0.5]))
    forecasts[..., 1] = 1e12
    result = contest(forecasts, truth, rows, task, NEVER, everybody())
    assert sorted(result.members.tolist()) == [0, 2, 3]
    assert np.abs(result.rehearsed_NHQ).max() < 100


def test_what_happens_in_a_window_does_not_change_its_forecasts(seeded, task):
    rows = seeded.panel_rows(60, 4)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.array([0.3, 0.6, 0.9]))
    changed = np.where(rows.window[:, None] == 2, truth[::-1], truth)
    once, again = (contest(forecasts, each, rows, task, NEVER, everybody(), chosen="simplex") for each in (truth, changed))
    there = rows.window == 2
    assert once.rehearsed_NHQ[there].tobytes() == again.rehearsed_NHQ[there].tobytes()
    assert once.rehearsed_NHQ[~there].tobytes() != again.rehearsed_NHQ[~there].tobytes()
    assert once.table != again.table


def test_a_gain_that_one_window_alone_shows_does_not_win_on_a_panel(seeded, task):
    """The first member knows nearly all in the first window, and is like the others in the second."""
    rows = seeded.panel_rows(200, 2)
    errors = [np.append(first, np.full(4, 1.0)) for first in (0.1, 1.0)]
    drawn = [seeded.draw(np.random.default_rng(0), rows, 4, error_M) for error_M in errors]
    is_first = rows.window == 0
    forecasts = np.where(is_first[:, None, None, None], drawn[0][0], drawn[1][0])
    truth = np.where(is_first[:, None], drawn[0][1], drawn[1][1])
    result = contest(forecasts, truth, rows, task, NEVER, everybody())
    assert result.winner == "mean"


def test_the_best_single_candidate_is_judged_but_never_wins_on_a_panel(seeded, task):
    rows, rng = seeded.panel_rows(200, 3), np.random.default_rng(0)
    forecasts, truth = seeded.draw(rng, rows, 4, np.array([0.3, 0.55]))
    crowd = forecasts[..., 1:] + 0.2 * rng.normal(size=(len(rows), 4, 1, 4))
    result = contest(np.concatenate([forecasts[..., :1], crowd], axis=-1), truth, rows, task, NEVER, {})
    reference = next(standing for standing in result.table if standing.name == "best_single")
    assert reference.gain > 0
    assert not reference.accepted
    assert result.winner == "mean"


def test_the_table_holds_paired_differences_to_the_average(seeded, task):
    rows = seeded.panel_rows(60, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.array([0.5, 0.7, 0.6]))
    truth[70, 1] = np.nan
    result = contest(forecasts, truth, rows, task, NEVER, {"median": Median()}, chosen="median")
    losses = {}
    for name, combiner in (("mean", Mean()), ("median", Median())):
        combined = combiner.fit(forecasts, truth, rows, task, NEVER).combine(forecasts, rows)
        losses[name] = cell_loss(truth, combined, rows.scale, task.quantiles, task.kind)
    standing = next(each for each in result.table if each.name == "median")
    assert standing.loss == pytest.approx(np.nanmean(losses["median"]))
    assert standing.gain == pytest.approx(np.nanmean(losses["mean"] - losses["median"]))
    assert [each.loss for each in result.table] == sorted(each.loss for each in result.table)
    assert {each.name for each in result.table} == {"mean", "median", "best_single"}


def test_rows_a_contestant_does_not_serve_are_charged(seeded, task):
    rows = seeded.panel_rows(100, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.array([0.5, 0.6]))
    forecasts[(rows.window == 1) & (rows.series >= 50), :, :, 0] = np.nan
    result = contest(forecasts, truth, rows, task, NEVER, {})
    assert np.isnan(result.rehearsed_NHQ).sum() == 0
    losses = [cell_loss(truth, forecasts[..., m], rows.scale, task.quantiles, task.kind) for m in (0, 1)]
    best = [np.where(rows.window[:, None] == window, loss, np.nan) for window, loss in ((0, losses[0]), (1, losses[0]))]
    charged = np.where(
        np.isnan(np.fmax(*best)), losses[1], np.fmax(*best)
    )  # where the best one is missing, the average is the other, the worst there
    assert next(each.loss for each in result.table if each.name == "best_single") == pytest.approx(charged.mean())


def test_with_one_window_the_simplex_is_taken_half_shrunk_and_nothing_is_judged(seeded, task):
    rows = seeded.panel_rows(300, 1)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.array([0.5, 0.6, 0.5]))
    result = contest(forecasts, truth, rows, task, NEVER, everybody())
    assert (result.winner, result.combiner.shrink_, result.table) == ("simplex", 0.5, ())
    halves = cross_fitted(Simplex(), forecasts[..., result.members], truth, rows, task, NEVER)
    assert result.rehearsed_NHQ.tobytes() == halves.tobytes()


def test_a_single_candidate_wins_as_the_average_of_itself(seeded, task):
    rows = seeded.panel_rows(60, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.ones(1))
    result = contest(forecasts, truth, rows, task, NEVER, everybody())
    assert result.winner == "mean"
    np.testing.assert_allclose(result.combiner.combine(forecasts, rows), forecasts[..., 0])


def test_labels_are_contested_too(seeded, direction_task):
    rows = seeded.panel_rows(400, 2)
    forecasts, truth = seeded.draw_direction(np.random.default_rng(0), len(rows), 4, np.array([0.2, 0.3, 3.0]))
    result = contest(forecasts, truth, rows, direction_task, NEVER, everybody())
    assert sorted(result.members.tolist()) == [0, 1]
    np.testing.assert_allclose(result.rehearsed_NHQ.sum(axis=-1), 1)


def test_the_same_seed_gives_the_same_result(seeded):
    once, again = (run(seeded, "one series", 3, np.array([0.5, 0.7, 0.6]))[0] for _ in range(2))
    assert (once.winner, once.table) == (again.winner, again.table)
    assert once.combiner.weights_M_.tobytes() == again.combiner.weights_M_.tobytes()


def test_a_passed_deadline_leaves_contestants_out_and_says_so(seeded, task):
    rows = seeded.panel_rows(60, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.ones(3))
    result = contest(forecasts, truth, rows, task, Deadline.after(0), everybody())
    assert result.winner == "mean"
    assert [each.name for each in result.table if np.isfinite(each.loss)] == ["mean"]
    assert {each.reason for each in result.table if each.name != "mean"} == {NO_TIME}


def test_a_contestant_can_be_chosen_and_an_unknown_one_is_refused(seeded, task):
    rows = seeded.panel_rows(60, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.ones(3))
    result = contest(forecasts, truth, rows, task, NEVER, everybody(), chosen="best_single")
    assert isinstance(result.combiner, BestSingle)
    with pytest.raises(BadInput, match="did you mean 'simplex'"):
        contest(forecasts, truth, rows, task, NEVER, everybody(), chosen="simplx")


def test_without_any_forecast_it_is_unfinished(seeded, task):
    rows = seeded.panel_rows(60, 2)
    with pytest.raises(Unfinished, match="no candidate"):
        contest(np.full((120, 4, 5, 2), np.nan), np.zeros((120, 4)), rows, task, NEVER, everybody())


def kinds_of_series(seed, differ):
    """Panel of 300 series and two windows; where kinds differ, which half of the members is good is told by the first trait."""
    rng = np.random.default_rng(seed)
    traits_NF = np.tile(rng.normal(size=(300, 3)), (2, 1))
    window = np.repeat(np.arange(2), 300)
    rows = Rows(np.tile(np.arange(300), 2), window, window * 4 + 40, np.ones(600), traits_NF)
    error_NM = np.where(traits_NF[:, :1] > 0, [0.4, 0.4, 1.2, 1.2], [1.2, 1.2, 0.4, 0.4]) if differ else np.full((600, 4), 0.8)
    error_NHM = error_NM[:, None] * rng.normal(size=(600, 4, 4))
    forecasts = error_NHM[:, :, None] + np.array([-1.3, -0.5, 0, 0.5, 1.3])[:, None]
    return forecasts.astype(np.float32), 0.5 * rng.normal(size=(600, 4)), rows


def registered():
    return {name: find(name, "combiners")() for name in COMBINERS}


def test_featured_weights_win_where_series_differ_in_who_is_best(task):
    forecasts, truth, rows = kinds_of_series(0, differ=True)
    result = contest(forecasts, truth, rows, task, NEVER, registered())
    assert result.winner in {"featured", "layered"}
    featured = next(each for each in result.table if each.name == "featured")
    assert featured.gain > 0.05 * featured.loss
    assert featured.accepted


def test_the_average_wins_with_everybody_in_where_all_are_equal(task):
    winners = [contest(*kinds_of_series(seed, differ=False), task, NEVER, registered()).winner for seed in range(3)]
    assert winners == ["mean"] * 3


def test_a_contestant_that_lacks_what_it_needs_is_listed_with_the_reason(seeded, task):
    rows = seeded.panel_rows(60, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.ones(3))
    result = contest(forecasts, truth, rows, task, NEVER, {"featured": Featured()})
    assert next(each.reason for each in result.table if each.name == "featured") == "it needs 200 series to learn from; there are 60"
    with pytest.raises(BadInput, match="'featured' cannot be used here: it needs 200 series"):
        contest(forecasts, truth, rows, task, NEVER, {"featured": Featured()}, chosen="featured")


def test_a_layer_that_wins_is_fitted_with_the_shares_it_was_judged_with(seeded, task):
    rows = seeded.panel_rows(120, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.array([0.4, 0.9, 0.9]), 0.5)
    result = contest(forecasts, truth, rows, task, NEVER, everybody() | {"layered": Layered()}, chosen="layered")
    assert isinstance(result.combiner, Layered)
    assert sum(result.combiner.shares) == pytest.approx(1)
    assert [part.family for part in result.combiner.parts_] == list(result.combiner.over)
    assert np.isfinite(result.rehearsed_NHQ).all()


def test_forecasts_reread_from_disk_give_the_same_bits(task, tmp_path):
    forecasts, truth, rows = kinds_of_series(1, differ=True)
    np.save(tmp_path / "forecasts.npy", forecasts)
    reread = np.load(tmp_path / "forecasts.npy", mmap_mode="r")
    combiners = registered()
    once = contest(forecasts, truth, rows, task, NEVER, combiners)
    again = contest(reread, truth.copy(), rows, task, NEVER, registered())
    assert (once.winner, repr(once.table)) == (again.winner, repr(again.table))
    assert once.combiner.weights_M_.tobytes() == again.combiner.weights_M_.tobytes()
    assert once.rehearsed_NHQ.tobytes() == again.rehearsed_NHQ.tobytes()
    for name in combiners:
        weights = [find(name, "combiners")().fit(each, truth, rows, task, NEVER).weights_M_.tobytes() for each in (forecasts, reread)]
        assert weights[0] == weights[1], name


@pytest.mark.parametrize(("n_series", "share", "accepted"), [(60, 0.003, False), (60, 0.02, True), (1, 0.003, True), (1, 0.0005, False)])
def test_on_a_panel_a_gain_must_be_larger_than_on_a_few_series(n_series, share, accepted):
    """Two windows tell the luck of a period from skill less well than many blocks of time do."""
    n = 240
    rows = Rows(np.arange(n) % n_series, np.repeat([0, 1], n // 2), np.arange(n), np.ones(n))
    average_NH = np.random.default_rng(0).uniform(1, 2, (n, 2))
    table = _table({"mean": average_NH, "simplex": (1 - share) * average_NH}, {}, np.arange(n) // 4, rows, seed=0)
    assert {standing.name: standing.accepted for standing in table} == {"simplex": accepted, "mean": False}
