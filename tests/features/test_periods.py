"""Seasons found in data: those that are there, and none where there is none."""

import numpy as np
import pytest

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.features.periods import _own_correlation, automatic_season


def waves(season, n_series=20, length=None, noise=1.0, seed=4):
    """Series with a sharp seasonal profile, a trend and noise."""
    rng = np.random.default_rng(seed)
    length = length or max(8 * season, 60)
    profile = rng.normal(0, 3, season)
    return [
        50 + 0.1 * np.arange(length) + np.roll(np.tile(profile, length // season + 1)[:length], k) + noise * rng.normal(size=length)
        for k in range(n_series)
    ]


def noise(n_series, length, seed=0):
    return list(np.random.default_rng(seed).normal(100, 10, (n_series, length)))


def walks(n_series, length, seed=0):
    return list(np.random.default_rng(seed).normal(size=(n_series, length)).cumsum(axis=1))


@pytest.mark.parametrize("season", [3, 6, 10, 24, 96])
def test_a_season_is_found_where_the_calendar_has_none(season):
    assert automatic_season(Panel.of(waves(season), freq="10min")) == season


@pytest.mark.parametrize("freq", ["W", "10min", "YS", "2D"])
@pytest.mark.parametrize("make", [noise, walks])
@pytest.mark.parametrize(("n_series", "length"), [(1, 60), (1, 600), (30, 60), (30, 300)])
def test_noise_and_walks_have_no_season(freq, make, n_series, length):
    assert automatic_season(Panel.of(make(n_series, length), freq=freq)) == 1


@pytest.mark.parametrize("make", [noise, walks])
def test_the_calendar_keeps_its_season_where_the_data_show_no_other(make):
    assert automatic_season(Panel.of(make(20, 120), freq="MS")) == 12


def test_the_calendar_gives_way_to_a_season_it_does_not_know():
    assert automatic_season(Panel.of(waves(10, length=200), freq="MS")) == 10


def test_the_calendar_stands_where_the_data_agree_and_show_a_longer_one_too():
    rng = np.random.default_rng(1)
    week = np.repeat(rng.normal(0, 4, 7), 24)
    day = np.tile(rng.normal(0, 4, 24), 7)
    series = [np.tile(day + week, 8) + rng.normal(size=168 * 8) for _ in range(5)]
    assert automatic_season(Panel.of(series, freq="h")) == 24


def test_a_smooth_year_of_weeks_takes_the_length_of_the_calendar_year():
    rng = np.random.default_rng(2)
    step = np.arange(52 * 5)
    series = [10 * np.sin(2 * np.pi * step / 52.18 + phase) + rng.normal(size=len(step)) for phase in rng.uniform(0, 6, 10)]
    assert automatic_season(Panel.of(series, freq="W")) == 52


def test_most_of_a_mixed_panel_decides():
    seasonal, plain = waves(6, n_series=15, length=90), noise(5, 90)
    assert automatic_season(Panel.of(seasonal + plain, freq="2D")) == 6
    assert automatic_season(Panel.of(seasonal[:2] + noise(18, 90), freq="2D")) == 1


def test_short_constant_and_gappy_series_do_not_disturb():
    series = [*waves(6, n_series=10, length=90), *[np.arange(4.0)] * 3, np.zeros(50), np.full(70, 3.0)]
    series[0][10:15] = np.nan
    assert automatic_season(Panel.of(series, freq="2D")) == 6


@pytest.mark.parametrize("series", [[np.arange(4.0)], [np.zeros(100)], [np.array([1.0])]])
def test_a_panel_that_shows_nothing_keeps_the_calendars(series):
    assert automatic_season(Panel.of(series, freq="W")) == 1
    assert automatic_season(Panel.of(series, freq="QS")) == 4


def test_three_cycles_are_not_enough():
    climb = np.tile(np.arange(20.0), 3)
    assert automatic_season(Panel.of([climb + draw for draw in noise(10, 60)], freq="2D")) == 1


@pytest.mark.parametrize("window", [4, 7])
def test_the_correlation_is_that_of_the_series_less_its_centred_moving_average(window):
    values = np.random.default_rng(3).normal(size=40).cumsum()
    kernel = np.ones(window) / window if window % 2 else np.array([0.5, *np.ones(window - 1), 0.5]) / window
    reach = len(kernel) // 2
    rest = [values[t] - sum(weight * values[t - reach + j] for j, weight in enumerate(kernel)) for t in range(reach, 40 - reach)]
    pairs = [(rest[t], rest[t - 3]) for t in range(3, len(rest))]
    slow = np.mean([a * b for a, b in pairs]) / np.mean(np.square(rest))
    assert _own_correlation(values, window, 3) == pytest.approx(slow)
