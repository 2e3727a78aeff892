import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.averages import Mean
from ensemble_forecast.ensemble.majority import PRIOR, Majority, frequencies, vote_share
from ensemble_forecast.metrics import log_loss

NEVER = Deadline.never()


def probabilities(up):
    return np.stack([1 - up, up], axis=2)


def test_votes_are_counted_as_by_hand():
    up = np.array([[[0.9, 0.8, 0.2, 0.5]], [[0.1, 0.2, 0.3, 0.4]], [[0.6, np.nan, 0.4, np.nan]], [[np.nan] * 4]])
    np.testing.assert_array_equal(vote_share(probabilities(up))[:, 0], [2.5 / 4, 0, 0.5, np.nan])


def test_frequencies_agree_with_a_loop():
    rng = np.random.default_rng(0)
    share = rng.integers(0, 4, size=200) / 3
    truth = (rng.random(200) < 0.2 + 0.5 * share).astype(float)
    worth = 50 / 200
    base = (worth * truth.sum() + PRIOR / 2) / (50 + PRIOR)
    smoothed, weight = [], []
    for votes in range(4):
        mine = truth[share == votes / 3]
        smoothed.append((worth * mine.sum() + PRIOR * base) / (worth * len(mine) + PRIOR))
        weight.append(worth * len(mine) + PRIOR)
    expected = IsotonicRegression().fit(range(4), smoothed, weight).predict(range(4))
    np.testing.assert_allclose(frequencies(share, truth, 3, 50), expected)


def test_more_votes_for_up_never_lower_its_probability(seeded, direction_task):
    rows = seeded.panel_rows(30, 2)
    forecasts, truth = seeded.draw_direction(np.random.default_rng(0), len(rows), 4, np.full(9, 3.0))
    assert (np.diff(Majority().fit(forecasts, truth, rows, direction_task, NEVER).up_K_) >= 0).all()


def test_the_probability_is_how_often_the_vote_was_right(seeded, direction_task):
    rows = seeded.panel_rows(3000, 1)
    forecasts, truth = seeded.draw_direction(np.random.default_rng(0), 3000, 4, np.ones(5))
    combiner = Majority().fit(forecasts, truth, rows, direction_task, NEVER)
    fresh, fresh_truth = seeded.draw_direction(np.random.default_rng(1), 3000, 4, np.ones(5))
    up = combiner.combine(fresh, rows)[..., 1]
    for value in np.unique(up):
        assert fresh_truth[up == value].mean() == pytest.approx(value, abs=0.04)


def test_overconfident_members_do_no_harm(seeded, direction_task):
    rows = seeded.panel_rows(2000, 1)
    forecasts, truth = seeded.draw_direction(np.random.default_rng(0), 2000, 4, np.ones(5))
    odds = 20 * np.log(forecasts[:, :, 1] / forecasts[:, :, 0])
    sure = probabilities(1 / (1 + np.exp(-np.clip(odds, -30, 30))))
    combined = {
        name: each.fit(sure, truth, rows, direction_task, NEVER).combine(sure, rows) for name, each in (("vote", Majority()), ("mean", Mean()))
    }
    losses = {name: log_loss(truth, each, rows.scale, ()) for name, each in combined.items()}
    assert losses["vote"] < 0.66 < losses["mean"]


def test_votes_that_mean_nothing_give_the_base_rate(seeded, direction_task):
    rng = np.random.default_rng(0)
    rows = seeded.panel_rows(2000, 1)
    forecasts = probabilities(rng.random((2000, 4, 3)))
    truth = (rng.random((2000, 4)) < 0.6).astype(float)
    np.testing.assert_allclose(Majority().fit(forecasts, truth, rows, direction_task, NEVER).up_K_, 0.6, atol=0.05)


def test_a_few_overlapping_labels_say_little(seeded, direction_task):
    rows = seeded.single_rows(1, 8, 4)
    up = np.full((8, 4, 2), 0.9)
    combiner = Majority().fit(probabilities(up), np.ones((8, 4)), rows, direction_task, NEVER)
    assert 0.5 < combiner.up_K_[-1] < 0.7, "two independent clusters against a prior of ten"
