import numpy as np
import pytest
from mapie.regression import ConformalizedQuantileRegressor
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LogisticRegression

from ensemble_forecast import persist
from ensemble_forecast.data.task import DECILES, Task
from ensemble_forecast.ensemble.base import Rows
from ensemble_forecast.ensemble.buckets import bucket_of
from ensemble_forecast.ensemble.calibration import Calibration, independent_times, parts, shifts
from ensemble_forecast.ensemble.conformal_sets import PROMISED, sets
from ensemble_forecast.errors import NotFitted
from ensemble_forecast.metrics import log_loss

LEVELS = np.array([0.1, 0.3, 0.5, 0.7, 0.9])


def below(truth, forecast):
    """Share of the truth below each level."""
    return (truth[..., None] <= forecast).mean(axis=(0, 1))


def narrow(seeded, rng, n_series, factor_H):
    """Normal truth, and forecasts whose widths are off by a factor that depends on the horizon step."""
    rows = seeded.panel_rows(n_series, 1)
    forecasts, truth = seeded.draw(rng, rows, len(factor_H), np.zeros(1))
    return forecasts[..., 0] * factor_H[:, None], truth, rows


def test_nominal_coverage_is_restored_at_every_horizon(seeded, task):
    factor_H = np.array([0.3, 0.5, 0.7, 2.0])
    forecast, truth, rows = narrow(seeded, np.random.default_rng(0), 4000, factor_H)
    calibration = Calibration().fit(forecast, truth, rows, task)
    fresh, fresh_truth, _ = narrow(seeded, np.random.default_rng(1), 4000, factor_H)
    calibrated = calibration.apply(fresh)
    for h in range(4):
        assert np.abs(below(fresh_truth[:, [h]], fresh[:, [h]]) - LEVELS).max() > 0.06
        np.testing.assert_allclose(below(fresh_truth[:, [h]], calibrated[:, [h]]), LEVELS, atol=0.025)


def many_windows(n):
    """Rows of one series, far apart: as many independent times as rows."""
    return Rows(np.zeros(n, dtype=int), np.arange(n), 100 * np.arange(n), np.ones(n))


def test_skew_is_learnt_and_the_median_stays_where_it_is(seeded, task):
    forecast, truth, rows = narrow(seeded, np.random.default_rng(0), 2000, np.full(4, 0.5))
    skewed = np.where(truth > 0, 3 * truth, truth)
    for each, least in ((rows, 1.1), (many_windows(2000), 3)):
        calibrated = Calibration().fit(forecast, skewed, each, task).apply(forecast)
        assert calibrated[..., 2].tobytes() == forecast[..., 2].tobytes()
        assert (np.diff(calibrated, axis=-1) >= 0).all()
        assert (calibrated[..., 4] - forecast[..., 4]).mean() > least * (forecast[..., 0] - calibrated[..., 0]).mean() > 0


def test_with_many_windows_skewed_truth_lies_below_each_level_as_often_as_it_says(seeded, task):
    forecast, truth, _ = narrow(seeded, np.random.default_rng(0), 4000, np.full(4, 0.5))
    skewed = np.where(truth > 0, 3 * truth, truth)
    calibrated = Calibration().fit(forecast, skewed, many_windows(4000), task).apply(forecast)
    np.testing.assert_allclose(below(skewed, calibrated), LEVELS, atol=0.01)


def test_forecasts_too_wide_are_narrowed(seeded, task):
    forecast, truth, rows = narrow(seeded, np.random.default_rng(0), 2000, np.full(4, 3.0))
    calibrated = Calibration().fit(forecast, truth, rows, task).apply(forecast)
    np.testing.assert_allclose(below(truth, calibrated), LEVELS, atol=0.025)


def test_one_shock_to_all_series_of_a_window_moves_little_and_a_lasting_error_moves_much(seeded, task):
    forecast, truth, rows = narrow(seeded, np.random.default_rng(0), 2000, np.ones(4))
    moved = [
        (Calibration().fit(forecast, truth + 1, each, task).apply(forecast) - forecast)[..., [0, 4]].mean(axis=(0, 1))
        for each in (rows, many_windows(2000))
    ]
    assert (np.abs(moved[0]) < 0.15).all()
    assert moved[1] == pytest.approx([1, 1], abs=0.1)


def test_a_shift_beyond_the_median_stops_at_it(seeded, task):
    forecast, truth, _ = narrow(seeded, np.random.default_rng(0), 2000, np.ones(4))
    calibrated = Calibration().fit(forecast, truth + 5, many_windows(2000), task).apply(forecast)
    assert calibrated[..., 2].tobytes() == forecast[..., 2].tobytes()
    assert (calibrated[..., :3] == forecast[..., [2]]).all()


def test_times_are_windows_on_a_panel_and_blocks_of_origins_on_one_series(seeded):
    assert independent_times(seeded.panel_rows(30, 3), 4) == 3
    assert independent_times(seeded.single_rows(1, 40, 4), 4) == 10
    assert independent_times(seeded.panel_rows(0, 1), 4) == 0


@pytest.mark.parametrize("quantiles", [DECILES, (0.05, 0.5, 0.8)])
def test_the_parts_of_shifts_sum_to_them(quantiles):
    table = np.sort(np.random.default_rng(0).normal(size=(2, len(quantiles))), axis=1)
    width, skew, place = parts(table, quantiles)
    is_tail = np.array(quantiles) != 0.5
    np.testing.assert_allclose((width + skew + place)[:, is_tail], table[:, is_tail])
    assert (np.stack([width, skew, place])[..., ~is_tail] == 0).all()
    if quantiles == DECILES:
        np.testing.assert_allclose(width, -width[:, ::-1])
        np.testing.assert_allclose(skew, skew[:, ::-1])


def test_one_step_ahead_full_shifts_are_those_of_mapie_up_to_an_order_statistic():
    rng = np.random.default_rng(0)
    truth = rng.gamma(2, size=80)
    bounds = [DummyRegressor(strategy="constant", constant=value).fit([[0.0]], [0.0]) for value in (1.0, 2.0, 1.5)]
    oracle = ConformalizedQuantileRegressor(bounds, confidence_level=0.8, prefit=True).conformalize(np.zeros((80, 1)), truth)
    low, high = oracle.predict_interval(np.zeros((1, 1)), symmetric_correction=False)[1].reshape(2)
    forecast = np.tile([1.0, 1.5, 2.0], (80, 1, 1))
    table = shifts(forecast, truth[:, None], np.ones(80), Task(horizon=1, quantiles=(0.1, 0.5, 0.9)))
    ours = forecast[0, 0] + table[0] * 1.0
    ordered = np.sort(truth)
    for value, expected in ((ours[0], low), (ours[2], high)):
        place = np.abs(ordered - expected).argmin()
        assert ordered[place] == pytest.approx(expected, abs=1e-12), "the bound of MAPIE is an order statistic"
        assert ordered[place - 1] <= value <= ordered[place + 1]
    assert np.mean((truth >= low) & (truth <= high)) >= 0.8


def test_series_without_width_or_variation_do_not_disturb(seeded, task):
    forecast, truth, rows = narrow(seeded, np.random.default_rng(0), 100, np.full(4, 0.5))
    flat = np.zeros((50, 4, 5))
    more = rows.take(np.tile(np.arange(100), 2)[:150])
    calibration = Calibration().fit(np.concatenate([forecast, flat]), np.concatenate([truth, flat[..., 0]]), more, task)
    assert calibration.shifts_BQ_.tobytes() == Calibration().fit(forecast, truth, rows, task).shifts_BQ_.tobytes()
    assert calibration.apply(flat).tobytes() == flat.tobytes()
    only_flat = Calibration().fit(flat, flat[..., 0], rows.take(np.arange(50)), task)
    assert only_flat.apply(forecast).tobytes() == forecast.tobytes()


def test_a_handful_of_scores_moves_little(seeded, task):
    forecast, truth, rows = narrow(seeded, np.random.default_rng(0), 2, np.full(4, 0.2))
    calibrated = Calibration().fit(forecast, truth, rows, task).apply(forecast)
    width = forecast[..., 4] - forecast[..., 0]
    assert np.abs(calibrated - forecast).max() < 0.25 * width.max()


def test_shifts_agree_with_a_loop(seeded):
    task = Task(horizon=6, quantiles=seeded.quantiles)
    forecast, truth, rows = narrow(seeded, np.random.default_rng(0), 100, np.linspace(0.3, 1, 6))
    truth[3, 2] = np.nan
    forecast[5, 1] = 0.0  # no width
    table = shifts(forecast, truth, rows.scale, task)
    bucket_H = [0, 0, 1, 2, 2, 3]
    assert bucket_of(6, 4).tolist() == bucket_H
    for bucket in range(4):
        for q, level in enumerate(task.quantiles):
            scores = []
            for n in range(100):
                for h in range(6):
                    width = forecast[n, h, 4] - forecast[n, h, 0]
                    if bucket_H[h] == bucket and np.isfinite(truth[n, h]) and width > 0:
                        scores.append((truth[n, h] - forecast[n, h, q]) / width)
            assert table[bucket, q] == pytest.approx(np.quantile(scores, level))


@pytest.mark.parametrize(("n_series", "n_buckets"), [(49, 1), (51, 4)])
def test_with_few_scores_a_bucket_all_horizons_are_pooled(n_series, n_buckets, seeded, task):
    forecast, truth, rows = narrow(seeded, np.random.default_rng(0), n_series, np.full(4, 0.5))
    assert Calibration().fit(forecast, truth, rows, task).shifts_BQ_.shape == (n_buckets, 5)


def test_strength_grows_with_independent_clusters_not_with_rows(seeded, task):
    forecast, truth, rows = narrow(seeded, np.random.default_rng(0), 50, np.full(4, 0.5))
    assert Calibration().fit(forecast, truth, rows, task).strength_ == 0.5
    single = seeded.single_rows(1, 40, 4)
    forecast, truth = seeded.draw(np.random.default_rng(0), single, 4, np.zeros(1))
    assert Calibration().fit(forecast[..., 0], truth, single, task).strength_ == pytest.approx(10 / 60)


def test_nothing_to_learn_from_is_the_identity(seeded, task, direction_task):
    for each, outputs in ((task, 5), (direction_task, 2)):
        calibration = Calibration().fit(np.empty((0, 4, outputs)), np.empty((0, 4)), seeded.panel_rows(0, 1), each)
        forecast = np.tile(np.linspace(0.2, 0.8, outputs), (3, 4, 1))
        assert calibration.apply(forecast).tobytes() == forecast.tobytes()


def test_rows_nobody_serves_stay_missing_and_do_not_disturb(seeded, task):
    forecast, truth, rows = narrow(seeded, np.random.default_rng(0), 100, np.full(4, 0.5))
    holed = np.concatenate([forecast, np.full((100, 4, 5), np.nan)])
    twice = rows.take(np.tile(np.arange(100), 2))
    calibration = Calibration().fit(holed, np.concatenate([truth, truth]), twice, task)
    assert calibration.shifts_BQ_.tobytes() == Calibration().fit(forecast, truth, rows, task).shifts_BQ_.tobytes()
    assert np.isnan(calibration.apply(holed)[100:]).all()


def labels(rng, n, slope):
    """Labels, and probabilities whose log-odds are the true ones times a factor."""
    odds = rng.normal(size=(n, 4))
    truth = (rng.random((n, 4)) < 1 / (1 + np.exp(-odds))).astype(float)
    up = 1 / (1 + np.exp(-slope * odds))
    return np.stack([1 - up, up], axis=-1), truth


def slope(forecast, truth):
    """Recalibration slope of probabilities, by a library."""
    odds = np.log(forecast[..., 1] / forecast[..., 0]).reshape(-1, 1)
    return LogisticRegression(C=np.inf).fit(odds, truth.ravel()).coef_[0, 0]


def test_overconfident_odds_are_straightened_where_it_pays(seeded, direction_task):
    rows = seeded.panel_rows(1000, 1)
    forecast, truth = labels(np.random.default_rng(0), 1000, 3.0)
    calibration = Calibration().fit(forecast, truth, rows, direction_task)
    fresh, fresh_truth = labels(np.random.default_rng(1), 1000, 3.0)
    mended = calibration.apply(fresh)
    assert slope(fresh, fresh_truth) == pytest.approx(1 / 3, abs=0.03)
    assert slope(mended, fresh_truth) == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(mended.sum(axis=-1), 1)
    scores = [log_loss(fresh_truth, each, rows.scale, ()) for each in (mended, fresh)]
    assert scores[0] < scores[1] - 0.1


def test_odds_that_are_right_are_left_alone(seeded, direction_task):
    kept = 0
    for seed in range(10):
        forecast, truth = labels(np.random.default_rng(seed), 300, 1.0)
        calibration = Calibration().fit(forecast, truth, seeded.panel_rows(300, 1), direction_task)
        kept += calibration.curve_ == "as_is"
        assert abs(slope(calibration.apply(forecast), truth) / slope(forecast, truth) - 1) < 0.3
    assert kept >= 7


@pytest.mark.parametrize("bold", [1.0, 3.0])
def test_sets_hold_what_happens_as_often_as_promised_whether_odds_had_to_be_bent_or_not(bold, seeded, direction_task):
    forecast, truth = labels(np.random.default_rng(0), 2000, bold)
    calibration = Calibration().fit(forecast, truth, seeded.panel_rows(2000, 1), direction_task)
    fresh, fresh_truth = labels(np.random.default_rng(1), 2000, bold)
    for promised, threshold in zip(PROMISED, calibration.thresholds_, strict=True):
        inside = np.take_along_axis(sets(calibration.apply(fresh), threshold), fresh_truth[..., None].astype(int), axis=-1)
        assert inside.mean() == pytest.approx(promised, abs=0.03)


def test_a_calibration_of_odds_is_saved_as_numbers_and_bends_alike_when_loaded(seeded, direction_task, tmp_path):
    forecast, truth = labels(np.random.default_rng(0), 500, 3.0)
    calibration = Calibration().fit(forecast, truth, seeded.panel_rows(500, 1), direction_task)
    assert calibration.curve_ != "as_is"
    persist.save(tmp_path / "one", {"calibration": calibration}, {})
    again = persist.load(tmp_path / "one")[0]["calibration"]
    assert again.apply(forecast).tobytes() == calibration.apply(forecast).tobytes()
    assert again.thresholds_.tobytes() == calibration.thresholds_.tobytes()


def test_an_unfitted_calibration_refuses():
    with pytest.raises(NotFitted):
        Calibration().apply(np.zeros((1, 4, 5)))
