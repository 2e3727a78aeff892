"""The audit: honest sets pass, every planted leak is caught and named, and nothing is found where there is nothing."""

from dataclasses import replace

import leaks
import numpy as np
import pytest
from candles import SETS, appended, candle_panel, daily, walk

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.samples import btc_usd_daily
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.audit import audit, gain_on_shuffled, rank_correlation, refuse_foretelling, shuffled
from ensemble_forecast.features.sets import find_set, with_features
from ensemble_forecast.pipeline import check
from ensemble_forecast.study import FRAME, open_study, silent


def gappy():
    """The bundled candles with a few steps missing."""
    panel, row = daily(), np.arange(1197)
    return replace(panel, y=np.where(np.isin(row % 150, [40, 41, 42]), np.nan, panel.y))


def several():
    """Series that begin and end at stamps of their own."""
    parts = [walk(500, 1), walk(320, 2), walk(400, 3)]
    panel = Panel.of([part.y for part in parts], past=[part.past for part in parts])
    start_S = np.array(["2020-01-01", "2020-03-01", "2020-02-01"], dtype="datetime64[s]")
    return replace(panel, past_names=parts[0].past_names, start_S=start_S)


def audited(panel, *names):
    with_features(panel, names)
    audit(panel, names)


@pytest.mark.parametrize("name", ["candles", *SETS])
def test_every_set_passes_on_candles_with_gaps(name):
    audited(gappy(), name)


@pytest.mark.parametrize("name", ["momentum", "regime", "leaks:honest", "leaks:honest_mean_so_far"])
def test_honest_sets_pass_on_several_series(name):
    audited(gappy(), name)
    if not name.startswith("leaks"):  # those of the tests do not mind where a series ends
        audited(several(), name)


@pytest.mark.parametrize("name", leaks.LEAKS)
def test_every_planted_leak_is_caught_and_named(name):
    panel = gappy()
    column = find_set(f"leaks:{name}")(panel).past_names[-1]
    with pytest.raises(BadInput, match=rf"feature set 'leaks:{name}' looks ahead: its column '{column}' of series 'close', step \d+ \(20"):
        audited(panel, "price", f"leaks:{name}")


def test_of_many_series_a_few_are_recomputed_and_tell_of_all():
    panel = Panel.of([walk(60, seed).y for seed in range(30)], past=[walk(60, seed).past for seed in range(30)])
    panel = replace(panel, past_names=walk(5).past_names)
    audited(panel, "price")
    with pytest.raises(BadInput, match="its column 'peeking_ahead'"):
        audited(panel, "leaks:peeking")


def test_there_are_ten_planted_leaks_and_more():
    assert len(leaks.LEAKS) >= 10


def test_a_leak_stops_the_study_before_anything_is_written(tmp_path):
    settings = check({"source": FRAME, "horizon": 3, "features": ("candles", "momentum", "leaks:centred_window")}, "a test")
    with pytest.raises(BadInput, match="'leaks:centred_window' looks ahead: its column 'smooth'"):
        open_study("leaky", tmp_path, settings, frame=btc_usd_daily(), log=silent)
    assert list(tmp_path.iterdir()) == []
    honest = settings.model_copy(update={"features": ("candles", "momentum", "leaks:honest")})
    study = open_study("honest", tmp_path, honest, frame=btc_usd_daily(), log=silent)
    assert {"log_range", "momentum_rsi_14", "fine"} < set(study.panel.past_names)


def test_a_column_of_the_data_that_is_tomorrows_return_is_flagged():
    panel = daily()
    rng = np.random.default_rng(0)
    tomorrow = np.append(np.diff(np.log(panel.y)), 0.0)
    for name, values in {"itself": tomorrow, "its_sign": -np.sign(tomorrow), "noisy": tomorrow + 0.01 * rng.normal(size=len(tomorrow))}.items():
        with pytest.raises(BadInput, match=f"column '{name}' foretells the next return"):
            refuse_foretelling(appended(panel, name, values))
    refuse_foretelling(appended(panel, "today", np.append(0.0, np.diff(np.log(panel.y)))))


def test_a_price_that_is_noise_around_a_constant_is_not_taken_for_a_leak():
    noise = 1 + 1e-3 * np.random.default_rng(0).random((4, 600))
    panel = candle_panel({"open": noise[0], "high": noise.max(axis=0), "low": noise.min(axis=0), "close": noise[3]})
    audited(panel, "averages", "moments", "leaks:honest")


def test_panels_without_candles_may_hold_covariates_that_foretell():
    y = np.random.default_rng(0).normal(size=300).cumsum()
    panel = Panel.of([y], past=[np.append(np.diff(y), 0.0)[:, None]])
    audited(panel, "candles")


def test_shuffling_keeps_the_candles_and_loses_their_order():
    panel = daily()
    other = shuffled(panel)
    before, after = (np.sort(np.diff(np.log(each.y))) for each in (panel, other))
    np.testing.assert_allclose(after, before, atol=1e-9)
    opened, high, low, _ = other.past[1:].T
    assert (high >= np.maximum(opened, other.y[1:]) * (1 - 1e-9)).all()
    assert (low <= np.minimum(opened, other.y[1:]) * (1 + 1e-9)).all()
    np.testing.assert_array_equal(np.sort(other.past[:, 3]), np.sort(panel.past[:, 3]))
    assert not np.array_equal(shuffled(panel, 1).y, other.y)


@pytest.mark.parametrize("name", SETS)
def test_nothing_is_found_in_shuffled_candles(name):
    assert np.mean([gain_on_shuffled(find_set(name), walk(2400, seed=9), seed) for seed in range(2)]) < 0.01


@pytest.mark.parametrize("name", ["shift_off_by_one", "resampled_bar", "centred_window"])
def test_leaks_are_found_in_shuffled_candles(name):
    assert gain_on_shuffled(find_set(f"leaks:{name}"), walk(2400, seed=9)) > 0.03


def test_a_leak_within_a_set_of_candles_is_named_with_its_own_column():
    with pytest.raises(BadInput, match="its column 'peeking_ahead'"):
        audited(daily(), "leaks:peeking")


def test_rank_correlation_is_that_of_any_rising_function():
    x = np.random.default_rng(0).normal(size=200)
    assert rank_correlation(x, np.exp(3 * x)) == pytest.approx(1)
    assert rank_correlation(x, -(x**3)) == pytest.approx(-1)
    assert rank_correlation(x, np.ones(200)) == 0
