"""The batched arithmetic against slow obvious twins, one row and one parameter set at a time."""

import numpy as np
import pytest
from statsmodels.tsa.stattools import acf

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.statistical.decomposition import decompose, is_seasonal
from ensemble_forecast.learners.statistical.histories import cap, forecast_points, histories
from ensemble_forecast.learners.statistical.smoothing import cross, fit_line, project, set_weights, smooth_level, smooth_trend

LENGTHS = (60, 41, 17)  # longest first
SEASON = 4


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    rows = [50 + np.cumsum(rng.normal(size=n)) + 5 * np.sin(np.arange(n) * 2 * np.pi / SEASON) for n in LENGTHS]
    panel = Panel.of(rows)
    return rows, *histories(panel, Origins.ends(panel), SEASON)


def slow_smoothing(y, alpha, beta, phi, gamma, level, trend, season):
    """State-space recursion in the textbook's form; returns the next forecasts' states and the sum of squared errors."""
    squares, season = 0.0, list(season)
    for t, value in enumerate(y):
        forecast = level + phi * trend + season[t % len(season)]
        error = value - forecast
        level, trend = level + phi * trend + alpha * error, phi * trend + beta * error
        season[t % len(season)] += gamma * error
        squares += error**2
    return level, trend, season, squares


def test_histories_are_left_aligned_and_start_at_the_first_observation():
    panel = Panel.of([np.array([np.nan, np.nan, 3.0, np.nan, 5.0, 6.0]), np.array([np.nan, 1.0])])
    y_NL, n_N = histories(panel, Origins(np.array([0, 1, 1]), np.array([4, 1, 0])), 1)
    assert n_N.tolist() == [3, 1, 0]
    assert y_NL[0, :4].tolist() == [3.0, 3.0, 5.0, 0.0]
    assert y_NL[1, :2].tolist() == [1.0, 0.0]
    assert not y_NL[2].any()


@pytest.mark.parametrize("season", [1, 7, 12, 24, 52, 168, 365])
def test_histories_hold_whole_seasons(season):
    assert cap(season) % season == 0
    assert cap(season) >= max(400, 4 * season)


def test_level_smoothing_equals_its_twin(batch):
    rows, y_BL, n_B = batch
    alpha_P, drift_PB = np.array([0.1, 0.7]), np.array([[0.0, 0.5, -1.0], [0.2, 0.0, 0.3]])
    smoothed = smooth_level(y_BL, n_B, alpha_P, drift_PB)
    for p in range(2):
        for b, y in enumerate(rows):
            level, _, _, squares = slow_smoothing(y, alpha_P[p], 0, 1, 0, y[0] - drift_PB[p, b], drift_PB[p, b], [0.0])
            assert smoothed.level_PB[p, b] == pytest.approx(level, rel=1e-12)
            assert smoothed.square_PB[p, b] == pytest.approx(squares, rel=1e-12)


@pytest.mark.parametrize("seasonal", [False, True])
def test_trend_and_season_smoothing_equal_their_twin(batch, seasonal):
    rows, y_BL, n_B = batch
    sets = cross(alpha=[0.2, 0.6], trend_share=[0.0, 0.3], phi=[0.8, 0.98], season_share=[0.0, 0.4])
    level_B, slope_B = np.array([48.0, 50.0, 51.0]), np.array([0.1, -0.2, 0.3])
    season_BM = np.random.default_rng(1).normal(size=(3, SEASON)) * seasonal
    smoothed = smooth_trend(y_BL, n_B, sets, level_B, slope_B, season_BM if seasonal else None)
    for p in range(len(sets["alpha"])):
        alpha, phi = sets["alpha"][p], sets["phi"][p]
        gamma = sets["season_share"][p] * (1 - alpha) * seasonal
        for b, y in enumerate(rows):
            start = (level_B[b] - slope_B[b], slope_B[b], season_BM[b])
            level, trend, season, squares = slow_smoothing(y, alpha, sets["trend_share"][p] * alpha, phi, gamma, *start)
            assert smoothed.level_PB[p, b] == pytest.approx(level, rel=1e-10)
            assert smoothed.trend_PB[p, b] == pytest.approx(phi * trend, rel=1e-8, abs=1e-10)
            assert smoothed.square_PB[p, b] == pytest.approx(squares, rel=1e-10)
            if seasonal:
                assert smoothed.season_MPB[:, p, b] == pytest.approx(season, rel=1e-8, abs=1e-10)


def test_a_forecast_is_the_weighted_mean_of_the_sets_forecasts(batch):
    rows, y_BL, n_B = batch
    sets = cross(alpha=[0.2, 0.6], trend_share=[0.1], phi=[0.8, 0.98], season_share=[0.3])
    smoothed = smooth_trend(y_BL, n_B, sets, y_BL[:, 0], np.zeros(3), np.zeros((3, SEASON)))
    weight_PB = set_weights(smoothed.square_PB, y_BL, n_B)
    point_BH = project(smoothed, weight_PB, sets["phi"], n_B, 6)
    for b, y in enumerate(rows):
        aic_P = np.array([len(y) * np.log(square / len(y)) for square in smoothed.square_PB[:, b]])
        weight_P = np.exp(-(aic_P - aic_P.min()) / 2)
        for h in range(6):
            each_P = [
                smoothed.level_PB[p, b]
                + smoothed.trend_PB[p, b] * sum(sets["phi"][p] ** k for k in range(h + 1))
                + smoothed.season_MPB[(len(y) + h) % SEASON, p, b]
                for p in range(4)
            ]
            assert point_BH[b, h] == pytest.approx(np.average(each_P, weights=weight_P), rel=1e-10)


def test_the_line_is_the_least_squares_line(batch):
    rows, y_BL, n_B = batch
    value_B, slope_B = fit_line(y_BL, n_B)
    for b, y in enumerate(rows):
        assert [slope_B[b], value_B[b]] == pytest.approx(np.polyfit(np.arange(len(y)), y, 1))


@pytest.mark.parametrize("season", [4, 5])
@pytest.mark.parametrize("multiplicative", [True, False])
def test_season_indices_equal_the_classical_decomposition(season, multiplicative):
    rng, memory, lengths = np.random.default_rng(3), 3, (50, 33)
    pattern = np.array([30.0, -20.0, 10.0, -25.0, 5.0])[:season]
    rows = [(100 if multiplicative else 0) + rng.normal(size=n) + np.resize(pattern, n) + 0.3 * np.arange(n) for n in lengths]
    panel = Panel.of(rows)
    y_BL, n_B = histories(panel, Origins.ends(panel), season)
    found = decompose(y_BL, n_B, season, memory)
    assert (found.is_factor_B == multiplicative).all()
    for b, y in enumerate(rows):
        half = season // 2
        kernel = np.array([0.5, *[1.0] * (season - 1), 0.5]) / season if season % 2 == 0 else np.ones(season) / season
        rest = {t: (y[t], kernel @ y[t - half : t + half + 1]) for t in range(half, len(y) - half)}
        newest = {t: (v / m if multiplicative else v - m) for t, (v, m) in rest.items() if t >= len(y) - half - memory * season}
        index = np.array([np.median([value for t, value in newest.items() if t % season == phase]) for phase in range(season)])
        assert found.index_BM[b] == pytest.approx(index / index.mean() if multiplicative else index - index.mean(), rel=1e-9)
    plain_BL = found.remove(y_BL)
    ahead_BH = found.restore(np.repeat(plain_BL[:, :1], 3, axis=1), np.zeros(2, dtype=int))
    assert ahead_BH[:, 0] == pytest.approx(y_BL[:, 0])


def test_the_seasonality_test_equals_bartletts_formula():
    rng, season = np.random.default_rng(5), 6
    rows = [rng.normal(size=80) + strength * np.resize([1, 0, -1, 0, 1, -1], 80) for strength in np.linspace(0, 0.6, 25)]
    panel = Panel.of(rows)
    found = is_seasonal(*histories(panel, Origins.ends(panel), season), season)
    expected = []
    for y in rows:
        r = acf(y, nlags=season, fft=False)
        expected.append(abs(r[season]) > 1.645 * np.sqrt((1 + 2 * np.sum(r[1:season] ** 2)) / len(y)))
    assert found.tolist() == expected
    assert 0 < sum(expected) < 25


def test_a_forecast_stays_near_its_history():
    panel = Panel.of([np.array([1.0, 3.0, 2.0])])

    def explode(y_BL, n_B, season, horizon):
        return np.array([[1e9, -1e9]])

    assert forecast_points(explode, panel, Origins.ends(panel), 1, 2, Deadline.never()).tolist() == [[6.0, -1.0]]
