import numpy as np

from ensemble_forecast.ensemble.pruning import are_copies, errors_of, survivors


def test_candidates_far_worse_than_the_best_are_dropped_and_the_rest_come_best_first(seeded, task):
    rows = seeded.panel_rows(200, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.array([3.0, 0.5, 0.2, 0.35]))
    assert survivors(forecasts, truth, rows, task).tolist() == [2, 3, 1]


def test_near_copies_are_dropped_and_the_better_one_stays(seeded, task):
    rows = seeded.panel_rows(200, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.array([0.5, 0.5]))
    worse_copy = forecasts[..., :1] + 0.05 * (forecasts[:, :, 2:3, :1] - truth[..., None, None])
    assert sorted(survivors(np.concatenate([worse_copy, forecasts], axis=-1), truth, rows, task).tolist()) == [1, 2]


def test_a_twin_with_other_widths_is_no_copy(seeded, task):
    rows = seeded.panel_rows(200, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.array([0.5]))
    middle = forecasts[:, :, 2:3]
    twins = np.concatenate([forecasts, middle + 1.4 * (forecasts - middle)], axis=-1)
    assert len(survivors(twins, truth, rows, task)) == 2


def test_two_candidates_are_copies_exactly_where_one_of_them_would_be_dropped(seeded, task):
    rows = seeded.panel_rows(200, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.array([0.5, 0.5]))
    off = forecasts[:, :, 2:3, :1] - truth[..., None, None]
    for share in (0.0, 0.05, 0.09, 0.12):
        pair = np.concatenate([forecasts[..., :1], forecasts[..., :1] + share * off], axis=-1)
        one_K, other_K = (errors_of(pair[..., member].astype(np.float32), truth, rows, task) for member in range(2))
        assert are_copies(one_K, other_K) == (len(survivors(pair, truth, rows, task)) == 1), share
    assert not are_copies(one_K, np.full_like(one_K, np.nan))


def test_copies_of_probabilities_are_told_by_their_log_odds(seeded, direction_task):
    rows, up = seeded.panel_rows(300, 1), np.random.default_rng(0).uniform(0.3, 0.7, (300, 4))
    truth = (up > 0.5).astype(float)
    one_K, same_K, other_K = (errors_of(np.stack([1 - p, p], axis=-1), truth, rows, direction_task) for p in (up, up + 0.001, 1 - up))
    assert are_copies(one_K, same_K)
    assert not are_copies(one_K, other_K)


def test_candidates_that_serve_few_rows_or_none_are_dropped(seeded, task):
    rows = seeded.panel_rows(100, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.full(4, 0.5))
    forecasts[:120, :, :, 0] = np.nan
    forecasts[..., 3] = np.nan
    assert sorted(survivors(forecasts, truth, rows, task).tolist()) == [1, 2]


def test_size_is_a_cap(seeded, task):
    rows = seeded.panel_rows(100, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.full(6, 0.5))
    everyone = survivors(forecasts, truth, rows, task)
    assert survivors(forecasts, truth, rows, task, size=2).tolist() == everyone[:2].tolist()


def test_nobody_survives_where_nobody_serves(seeded, task):
    rows = seeded.panel_rows(30, 1)
    assert len(survivors(np.full((30, 4, 5, 2), np.nan), np.zeros((30, 4)), rows, task)) == 0


def test_near_a_coin_the_tolerance_is_absolute(seeded, direction_task):
    rng, rows = np.random.default_rng(0), seeded.panel_rows(3000, 1)
    up = np.clip(0.5 + 0.05 * rng.normal(size=(3000, 4)), 0.05, 0.95)
    truth = (rng.random((3000, 4)) < up).astype(float)
    coin, loud = np.full_like(up, 0.5), 1 / (1 + np.exp(-6 * (up - 0.5) - 0.6 * rng.normal(size=up.shape)))
    up_NHM = np.stack([up, coin, loud], axis=-1)
    forecasts = np.stack([1 - up_NHM, up_NHM], axis=2)
    assert survivors(forecasts, truth, rows, direction_task).tolist() == [0, 1], "a coin is 0.005 worse, overconfidence 0.04"
