"""Well-known indicators against TA-Lib, given logarithms as ours are, and a few figures against their definition."""

import math
from itertools import pairwise, permutations

import numpy as np
import pytest
import talib
from candles import candle_panel, walk

from ensemble_forecast.features.market import entropy as entropies
from ensemble_forecast.features.market.candles import candles_of
from ensemble_forecast.features.market.volatility import range_variances
from ensemble_forecast.features.sets import find_set

PANEL = walk(1500, seed=3)
CANDLES = candles_of(PANEL)[0][1]
OPEN, HIGH, LOW, CLOSE = (np.log(x) for x in (CANDLES.open, CANDLES.high, CANDLES.low, CANDLES.close))
LATER = slice(700, None)  # TA-Lib begins its smoothers with a plain mean: by then that is forgotten
UNIT = talib.ATR(HIGH, LOW, CLOSE, 14)


def column(name, panel=PANEL):
    made = find_set(name.split("_")[0])(panel)
    return made.past[:, made.past_names.index(name)]


def aroon(window):
    down, up = talib.AROON(HIGH, LOW, window)
    return up / 100, down / 100


AGAINST_TALIB = {
    "averages_sma_50": lambda: (CLOSE - talib.SMA(CLOSE, 50)) / UNIT,
    "averages_ema_50": lambda: (CLOSE - talib.EMA(CLOSE, 50)) / UNIT,
    "averages_wma_50": lambda: (CLOSE - talib.WMA(CLOSE, 50)) / UNIT,
    "averages_kama_10": lambda: (CLOSE - talib.KAMA(CLOSE, 10)) / UNIT,
    "averages_dema_30": lambda: (CLOSE - talib.DEMA(CLOSE, 30)) / UNIT,
    "averages_tema_30": lambda: (CLOSE - talib.TEMA(CLOSE, 30)) / UNIT,
    "averages_hull_16": lambda: (CLOSE - talib.WMA(2 * talib.WMA(CLOSE, 8) - talib.WMA(CLOSE, 16), 4)) / UNIT,
    "momentum_rsi_14": lambda: talib.RSI(CANDLES.close, 14) / 50 - 1,
    "momentum_macd_12_26": lambda: talib.MACD(CLOSE)[0] / UNIT,
    "momentum_macd_signal_12_26": lambda: talib.MACD(CLOSE)[1] / UNIT,
    "momentum_ultimate": lambda: talib.ULTOSC(HIGH, LOW, CLOSE) / 100,
    "momentum_stochastic_k_14": lambda: talib.STOCH(HIGH, LOW, CLOSE, 14, 3, 0, 3, 0)[0] / 100,
    "momentum_stochastic_d_14": lambda: talib.STOCH(HIGH, LOW, CLOSE, 14, 3, 0, 3, 0)[1] / 100,
    "trend_adx_14": lambda: talib.ADX(HIGH, LOW, CLOSE, 14) / 100,
    "trend_plus_di_14": lambda: talib.PLUS_DI(HIGH, LOW, CLOSE, 14) / 100,
    "trend_minus_di_14": lambda: talib.MINUS_DI(HIGH, LOW, CLOSE, 14) / 100,
    "trend_aroon_up_25": lambda: aroon(25)[0],
    "trend_aroon_down_25": lambda: aroon(25)[1],
    "trend_slope_50": lambda: talib.LINEARREG_SLOPE(CLOSE, 50) * np.sqrt(50) / UNIT,
    "trend_parabolic": lambda: (CLOSE - talib.SAR(HIGH, LOW)) / UNIT,
    "channels_bollinger_20": lambda: (CLOSE - talib.SMA(CLOSE, 20)) / (2 * talib.STDDEV(CLOSE, 20)),
    "channels_donchian_55": lambda: (2 * CLOSE - talib.MAX(HIGH, 55) - talib.MIN(LOW, 55)) / (talib.MAX(HIGH, 55) - talib.MIN(LOW, 55)),
    "volatility_atr_14": lambda: np.log(UNIT),
    "patterns_engulfing": lambda: np.sign(talib.CDLENGULFING(CANDLES.open, CANDLES.high, CANDLES.low, CANDLES.close)),
    "patterns_doji": lambda: np.sign(talib.CDLDOJI(CANDLES.open, CANDLES.high, CANDLES.low, CANDLES.close)),
}


@pytest.mark.parametrize("name", AGAINST_TALIB)
def test_an_indicator_is_that_of_talib(name):
    np.testing.assert_allclose(column(name)[LATER], AGAINST_TALIB[name]()[LATER], rtol=1e-6, atol=1e-7)


def test_range_volatilities_find_the_deviation_that_made_the_candles():
    """Candles of a fine random walk: all estimators see the same variance."""
    rng = np.random.default_rng(4)
    path = np.cumsum(0.01 / np.sqrt(200) * rng.normal(size=(2000, 200)).ravel()).reshape(2000, 200)
    before = np.concatenate([[0.0], path[:-1, -1]])
    made = {"open": before, "high": np.maximum(path.max(axis=1), before), "low": np.minimum(path.min(axis=1), before), "close": path[:, -1]}
    candles = candles_of(candle_panel({name: np.exp(values) for name, values in made.items()}))[0][1]
    for name, variance in range_variances(candles, 1900).items():
        assert np.sqrt(variance[-1]) == pytest.approx(0.01, rel=0.07), name
    assert candles.realised(1900)[-1] == pytest.approx(0.01, rel=0.05)


def test_figures_of_risk_are_those_of_their_definition():
    change, row = np.diff(CLOSE), 1200  # change[row - 1] is that of row
    last = change[row - 100 : row]
    worst = np.sort(last)[:5]
    assert column("risk_value_at_risk_100")[row] == worst[-1]
    assert column("risk_expected_shortfall_100")[row] == pytest.approx(worst.mean())
    assert column("risk_upper_shortfall_100")[row] == pytest.approx(np.sort(last)[-5:].mean())
    day = change[row - 24 : row]
    assert column("risk_sharpe_24")[row] == pytest.approx(day.mean() / day.std() * np.sqrt(24))
    assert column("risk_sortino_24")[row] == pytest.approx(day.mean() / np.sqrt((np.minimum(day, 0) ** 2).mean()) * np.sqrt(24))
    held = CLOSE[row - 23 : row + 1]
    assert column("risk_worst_drawdown_24")[row] == pytest.approx((np.maximum.accumulate(held) - held).max())
    assert column("risk_drawdown_24")[row] == pytest.approx(held[-1] - held.max())


def test_volume_figures_are_those_of_their_definition():
    row, window, volume = 1200, 20, CANDLES.volume
    rows = slice(row - window + 1, row + 1)
    change = np.diff(CLOSE, prepend=np.nan)
    assert column("volume_on_balance_20")[row] == pytest.approx((np.sign(change[rows]) * volume[rows]).sum() / volume[rows].sum())
    typical = (HIGH + LOW + CLOSE) / 3
    vwap = np.average(typical[rows], weights=volume[rows])
    assert column("volume_vwap_20")[row] == pytest.approx((CLOSE[row] - vwap) / UNIT[row], rel=1e-6)
    assert column("volume_rank_100")[row] == pytest.approx(np.mean(volume[row - 99 : row] < volume[row]))


def test_garch_is_its_recursion():
    change = np.diff(CLOSE, prepend=np.nan)
    usual = variance = change[1] ** 2
    for value in change[2:]:
        usual = usual + (value**2 - usual) / 500
        variance = 0.05 * usual + 0.15 * value**2 + 0.80 * variance
    assert column("garch_fast")[-1] == pytest.approx(0.5 * math.log(variance), rel=1e-9)
    assert column("garch_fast_over_usual")[-1] == pytest.approx(0.5 * math.log(variance / usual), rel=1e-8)


def test_permutation_entropy_counts_orders():
    x = np.diff(CLOSE)[-103:]
    orders = list(permutations(range(4)))
    share = np.bincount([orders.index(tuple(np.argsort(x[first : first + 4]))) for first in range(100)], minlength=24) / 100
    slow = -sum(p * math.log(p) for p in share if p > 0) / math.log(24)
    assert column("entropy_permutation_4_100")[-1] == pytest.approx(slow)


def test_sample_entropy_is_that_of_its_definition():
    x = np.diff(CLOSE)[-60:]
    counts = []
    for length in (2, 3):
        patterns = [x[first : first + length] for first in range(len(x) - 2)]
        near = [np.abs(one - other).max() <= 0.2 * x.std() for i, one in enumerate(patterns) for other in patterns[i + 1 :]]
        counts.append(sum(near) + 1)
    assert entropies.sample_entropy(x[None])[0] == pytest.approx(math.log(counts[0] / counts[1]))


@pytest.mark.parametrize("name", ["generalised_2_300", "detrended_300", "rescaled_128"])
def test_hurst_exponents_tell_persistence_from_reversion(name):
    rng = np.random.default_rng(8)
    found = []
    for memory in (-0.5, 0.0, 0.5):
        noise = rng.normal(size=3000)
        change = np.zeros(3000)
        for row in range(1, 3000):
            change[row] = memory * change[row - 1] + 0.01 * noise[row]
        close = np.exp(change.cumsum())
        panel = candle_panel({"open": close, "high": close, "low": close, "close": close})
        found.append(np.nanmean(column(f"hurst_{name}", panel)))
    assert all(later > earlier + 0.05 for earlier, later in pairwise(found))
    assert found[1] == pytest.approx(0.5, abs=0.12)


def test_waves_know_the_phase_of_a_cycle_and_its_octave():
    row = np.arange(600)
    close = np.exp(0.05 * np.sin(2 * np.pi * row / 16))
    panel = candle_panel({"open": close, "high": close * 1.001, "low": close / 1.001, "close": close})
    angle = 2 * np.pi * (row - 0.5) / 16  # of the returns, which lie half a step before the closes
    np.testing.assert_allclose(column("waves_cycle_cosine_16", panel)[100:], np.cos(angle)[100:], atol=1e-6)
    np.testing.assert_allclose(column("waves_energy_16", panel)[100:], 1.0, atol=1e-6)
    np.testing.assert_allclose(column("waves_octave", panel)[100:], 4.0, atol=1e-6)


def test_wavelet_shares_add_up_and_follow_the_scale_of_the_moves():
    names = [f"wavelets_share_{scale}" for scale in (2, 4, 8, 16, 32, "rest")]
    np.testing.assert_allclose(sum(column(name) for name in names)[300:], 1.0)
    noise = np.mean(column("wavelets_share_2")[300:])
    assert noise == pytest.approx(0.5, abs=0.03), "half the energy of white noise lies in the finest scale"


def test_a_pivot_is_known_when_the_rows_after_it_are():
    high = np.concatenate([np.linspace(10, 20, 51), np.linspace(19.8, 15, 25)])
    panel = candle_panel({"open": high, "high": high, "low": high, "close": high})
    since = column("waves_since_pivot_high_5", panel) * 200
    peak = 50
    assert since[peak + 4] > 10
    assert since[peak + 5] == pytest.approx(5)
    assert since[peak + 9] == pytest.approx(9)


def test_the_clock_reads_hour_weekday_and_month():
    panel = walk(24 * 40)  # from Saturday 2000-01-01 00:00
    assert column("clock_hour_sine", panel)[6] == pytest.approx(1)
    assert column("clock_is_weekend", panel)[:73].tolist() == [1.0] * 48 + [0.0] * 25
    assert column("clock_is_europe", panel)[:24].sum() == 9
    assert column("clock_week_cosine", panel)[48] == pytest.approx(1), "Monday at midnight"
    assert column("clock_is_month_end", panel)[[24 * 27, 24 * 28, 24 * 31]].tolist() == [0.0, 1.0, 0.0]


def test_a_streak_counts_rows_of_one_sign():
    close = np.array([10.0, 11, 12, 13, 12, 11, 11, 12])
    made = column("price_streak", candle_panel(dict.fromkeys(("open", "high", "low", "close"), close)))
    np.testing.assert_array_equal(made, [np.nan, 1, 2, 3, -1, -2, 0, 1])
