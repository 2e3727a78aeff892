"""Windows by doubling: against windows one by one, libraries, and themselves elsewhere in the array."""

import numpy as np
import pytest
import talib
from coreforecast.rolling import rolling_mean, rolling_std
from scipy import stats

from ensemble_forecast.features.market import rolling

RNG = np.random.default_rng(0)
X, Y = RNG.standard_t(3, 400), RNG.normal(size=400)
WINDOWS = (1, 2, 3, 7, 20, 64, 100)


def by_hand(function, *columns, window):
    """Apply a function to every window, one by one."""
    rows = len(columns[0])
    whole = [function(*(x[end - window : end] for x in columns)) if end >= window else np.nan for end in range(1, rows + 1)]
    return np.array(whole, dtype=float)


def worst_fall(window):
    return max(window[first] - window[later] for first in range(len(window)) for later in range(first, len(window)))


ONE_COLUMN = {
    "total": (rolling.total, np.sum),
    "mean": (rolling.mean, np.mean),
    "highest": (rolling.highest, np.max),
    "lowest": (rolling.lowest, np.min),
    "deviation": (rolling.deviation, np.std),
    "age_of_highest": (rolling.age_of_highest, lambda window: len(window) - 1 - np.argmax(window)),
    "weighted_mean": (rolling.weighted_mean, lambda window: np.average(window, weights=np.arange(1, len(window) + 1))),
    "drawdown": (rolling.drawdown, worst_fall),
}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", ONE_COLUMN)
def test_every_window_is_what_it_is_by_hand(name, window):
    ours, slow = ONE_COLUMN[name]
    np.testing.assert_allclose(ours(X, window), by_hand(slow, X, window=window), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("window", [3, 7, 20, 100])
def test_shape_correlation_and_trend_are_those_of_scipy(window):
    skewness, kurtosis = rolling.shape(X, window)
    np.testing.assert_allclose(skewness, by_hand(stats.skew, X, window=window), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(kurtosis, by_hand(stats.kurtosis, X, window=window), rtol=1e-9, atol=1e-9)
    together = by_hand(lambda x, y: np.corrcoef(x, y)[0, 1], X, Y, window=window)
    np.testing.assert_allclose(rolling.correlation(X, Y, window), together, rtol=1e-9, atol=1e-12)
    slope, explained, left = rolling.trend(X, window)
    line = by_hand(lambda x: stats.linregress(np.arange(window), x).slope, X, window=window)
    fit = by_hand(lambda x: stats.linregress(np.arange(window), x).rvalue ** 2, X, window=window)
    np.testing.assert_allclose(slope, line, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(explained, fit, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(left, (1 - fit) * by_hand(np.var, X, window=window), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(("window", "period"), [(64, 8), (64, 64 / 3), (20, 10)])
def test_the_fourier_coefficient_is_the_sum_it_stands_for(window, period):
    turn = np.exp(2j * np.pi * np.arange(window)[::-1] / period) * 2 / window
    slow = [X[end - window : end] @ turn for end in range(window, len(X) + 1)]
    np.testing.assert_allclose(rolling.fourier(X, window, period)[window - 1 :], slow, rtol=1e-9, atol=1e-12)


def test_the_angle_of_the_fourier_coefficient_is_the_phase_of_the_newest_row():
    row = np.arange(400)
    angle = np.angle(rolling.fourier(np.cos(2 * np.pi * row / 16 + 0.3), 64, 16))[100:]
    np.testing.assert_allclose(np.exp(1j * angle), np.exp(1j * (2 * np.pi * row / 16 + 0.3))[100:], atol=1e-12)


def test_libraries_agree():
    np.testing.assert_allclose(rolling.mean(X, 20), rolling_mean(X, 20), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(rolling.deviation(X, 20) * np.sqrt(20 / 19), rolling_std(X, 20), rtol=1e-9)
    np.testing.assert_allclose(rolling.weighted_mean(X, 20), talib.WMA(X, 20), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(rolling.correlation(X, Y, 20), talib.CORREL(X, Y, 20), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(rolling.trend(X, 20)[0], talib.LINEARREG_SLOPE(X, 20), rtol=1e-8, atol=1e-10)


def test_a_value_depends_on_its_window_alone_to_the_bit():
    everything = [rolling.deviation, rolling.weighted_mean, lambda x, w: rolling.shape(x, w)[1], lambda x, w: rolling.trend(x, w)[1]]
    for function in everything:
        whole = function(X, 50)
        for begin in (1, 13, 200):
            np.testing.assert_array_equal(function(X[begin:], 50)[49:], whole[begin + 49 :])


def test_a_spike_leaves_no_trace_once_it_has_left_the_window():
    """Where TA-Lib's running sums keep its rounding, which is why they are not used here."""
    quiet = 1e-3 * RNG.normal(size=300)
    spiked = quiet.copy()
    spiked[100] = 1e9
    np.testing.assert_array_equal(rolling.deviation(spiked, 20)[120:], rolling.deviation(quiet, 20)[120:])
    np.testing.assert_array_equal(rolling.total(spiked, 20)[120:], rolling.total(quiet, 20)[120:])
    assert np.abs(talib.SUM(spiked, 20)[120:] / talib.SUM(quiet, 20)[120:] - 1).max() > 1e-6


def test_equal_rows_have_no_spread_at_all():
    flat = np.full(300, np.log(0.1))
    assert (rolling.deviation(flat, 77)[76:] == 0).all()
    assert (rolling.zscore(flat, 77)[76:] == 0).all()
    for moment in rolling.shape(flat, 77):
        assert (moment[76:] == 0).all()
    assert (rolling.correlation(flat, X[:300], 77)[76:] == 0).all()


def test_missing_rows_make_their_windows_missing_and_no_others():
    holed = X.copy()
    holed[[0, 200]] = np.nan
    unknown = np.isnan(rolling.mean(holed, 10))
    assert np.flatnonzero(unknown).tolist() == [*range(10), *range(200, 210)]


def test_a_short_array_has_no_window():
    assert np.isnan(rolling.mean(X[:5], 6)).all()
    assert np.isnan(rolling.shape(X[:5], 6)[0]).all()
    assert len(rolling.lag(X[:5], 9)) == 5
