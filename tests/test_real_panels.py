"""What real panels hold that textbooks do not: every registered learner alone, and the front door, on series of all lengths, scales and kinds."""

import functools

import numpy as np
import pandas as pd
import pytest
from smoke import ready

import ensemble_forecast as ef
from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.registry import LEARNERS, NETS, find
from ensemble_forecast.windows import roles_until

HORIZON, SEASON, LEVELS = 4, 6, (0.1, 0.5, 0.9)
TASK = Task(horizon=HORIZON, season_length=SEASON, quantiles=LEVELS)
NEVER = Deadline.never()
FAMILIES = ["seasonal_naive", "theta", "ets", "ridge", "xgboost"]
BORROWED = {"arima", "ces", "mstl"}  # a library fits them series by series: slowly, with tolerances that have a unit, and not on five steps
QUANTILE_FAMILIES = [name for name in (*LEARNERS, *NETS) if "quantiles" in find(name, "learners", "nets").kinds]
every_family = pytest.mark.parametrize("family", QUANTILE_FAMILIES)
every_family_of_ours = pytest.mark.parametrize("family", [name for name in QUANTILE_FAMILIES if name not in BORROWED])


def wave(length, level=50.0, seed=0):
    rng = np.random.default_rng(seed)
    step = np.arange(length) + seed
    return level * (1 + 0.3 * np.sin(2 * np.pi * step / SEASON) + 0.05 * rng.normal(size=length) + 0.001 * np.arange(length))


def intermittent(length, seed=0):
    """Nine steps in ten without any demand."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(length) < 0.1, rng.poisson(4, length) + 1.0, 0.0)


def fitted(family, panel, task=TASK):
    return ready(family).fit(panel, roles_until(panel, task, panel.ends_S), task, NEVER)


def at_the_ends(family, panel, task=TASK):
    return fitted(family, panel, task).predict(panel, Origins.ends(panel), NEVER)


@functools.cache
def ragged():
    """Lengths from 5 to 2,000 steps, levels from a millionth to a billion, and every odd kind of series."""
    lengths = [5, 7, 9, 13, 20, 30, 60, 200, 2000]
    series = [wave(length, level=10.0 ** (3 * (i % 6) - 6), seed=i) for i, length in enumerate(lengths)]
    series += [intermittent(80), np.zeros(40), np.full(40, 7.0), wave(60) - 50.0, -wave(60), np.array([3.0, 3.0, 3.0, 3.0, 4.0])]
    return Panel.of(series)


@every_family_of_ours
def test_one_panel_of_everything_is_forecast_to_the_last_number(family):
    panel = ragged()
    forecast = at_the_ends(family, panel)
    reach = np.array([np.abs(panel.values(i)).max() for i in range(panel.n_series)])
    assert np.isfinite(forecast).all()
    assert (np.abs(forecast) <= np.where(reach > 0, 10 * reach, 4.0)[:, None, None]).all()  # a series of zeros has no unit but 1


@every_family_of_ours
@pytest.mark.parametrize("factor", [2.0**-20, 2.0**30])
def test_another_unit_gives_the_same_forecast_in_that_unit(family, factor):
    """A millionth and a billion, as powers of two: no rounding differs, so no tree splits elsewhere, and no constant may have a unit."""
    series = [wave(length, seed=i) for i, length in enumerate([12, 40, 60, 60, 90])]
    forecast, scaled = (at_the_ends(family, Panel.of([values * c for values in series])) for c in (1.0, factor))
    np.testing.assert_allclose(scaled / factor, forecast, rtol=1e-6)


@every_family
def test_constant_and_zero_series_stay_what_they_are(family):
    panel = Panel.of([wave(60, seed=i) for i in range(6)] + [np.full(60, 7.0), np.zeros(60)])
    forecast = at_the_ends(family, panel)
    np.testing.assert_allclose(forecast[6], 7.0, atol=0.1)
    np.testing.assert_allclose(forecast[7, :, 1], 0.0, atol=0.5)
    assert (np.abs(forecast[7]) <= 5).all()  # without a change ever the unit of a spread is 1


@every_family
def test_missing_targets_neither_stop_a_learner_nor_poison_it(family):
    whole = [wave(60, seed=i) for i in range(6)]
    holed = [np.where(np.random.default_rng(i).random(60) < 0.2, np.nan, values) for i, values in enumerate(whole)]
    holed[0][:3] = np.nan
    holed[1][-3:] = np.nan
    panel = Panel.of(holed)
    forecast = at_the_ends(family, panel)
    assert np.isfinite(forecast).all()
    assert (np.abs(forecast - 50) < 100).all()


def test_one_giant_does_not_drown_the_small():
    """Ridge over a panel whose series differ by fifteen orders of magnitude is as good on each as on a panel of equals."""
    plain = [wave(80, seed=i) for i in range(20)]
    factors = 10.0 ** np.linspace(-6, 9, 20)
    wild = [values * factor for values, factor in zip(plain, factors, strict=True)]
    even, uneven = at_the_ends("ridge", Panel.of(plain)), at_the_ends("ridge", Panel.of(wild))
    np.testing.assert_allclose(uneven / factors[:, None, None], even, rtol=1e-6)


# ------------------------------------------------------------------ the front door


def long_frame(series, freq="MS", starts=None, **columns):
    """Lay series out as users do; ``starts``: first stamp of each."""
    parts = []
    for i, (name, values) in enumerate(series.items()):
        stamps = pd.date_range(starts[i] if starts else "2010-01-01", periods=len(values), freq=freq)
        parts.append(pd.DataFrame({"unique_id": name, "ds": stamps, "y": values} | {key: made[name] for key, made in columns.items()}))
    return pd.concat(parts, ignore_index=True)


def model_of(frame, **options):
    options = {"horizon": HORIZON, "budget": "8s", "families": FAMILIES, "quantiles": LEVELS, "workers": 2} | options
    return ef.EnsembleForecaster(**options).fit(frame)


@pytest.fixture(scope="module")
def motley():
    """A model of a motley panel: staggered starts and ends, all lengths, scales and kinds."""
    series = {f"w{i}": wave(length, level=10.0 ** (i - 4), seed=i) for i, length in enumerate([40, 55, 70, 70, 70, 90, 90, 90])}
    series |= {f"i{i}": intermittent(70, seed=i) for i in range(6)}
    series |= {"constant": np.full(50, 7.0), "zero": np.zeros(50), "negative": wave(70) - 50, "short": wave(9), "shortest": wave(5)}
    rng = np.random.default_rng(3)
    starts = [pd.Timestamp("2010-01-01") + pd.DateOffset(months=int(rng.integers(0, 24))) for _ in series]
    frame = long_frame(series, starts=starts)
    return frame, model_of(frame, season_length=SEASON)


def test_every_series_of_a_motley_panel_gets_a_forecast(motley):
    frame, model = motley
    forecast = model.predict()
    assert set(forecast["unique_id"]) == set(frame["unique_id"])
    assert np.isfinite(forecast[["mean", "0.1", "0.5", "0.9"]].to_numpy()).all()
    first = forecast.groupby("unique_id")["ds"].min()
    last = frame.groupby("unique_id")["ds"].max()
    assert (first == last + pd.DateOffset(months=1)).all()


def test_demand_now_and_then_is_never_forecast_below_zero_and_usually_small(motley):
    _, model = motley
    forecast = model.predict()
    demand = forecast[forecast["unique_id"].str.startswith("i")]
    assert (demand["0.1"] >= 0).all()
    assert demand["0.5"].between(0, 3).all()


def test_flat_series_are_forecast_flat(motley):
    _, model = motley
    blocks = model.predict().set_index("unique_id")
    np.testing.assert_allclose(blocks.loc["constant", "0.5"], 7.0, rtol=0.02)
    np.testing.assert_allclose(blocks.loc["zero", "0.5"], 0.0, atol=1e-9)


def test_the_large_and_the_small_are_forecast_alike(motley):
    frame, model = motley
    level = frame.groupby("unique_id")["y"].mean()
    forecast = model.predict().groupby("unique_id")["0.5"].mean()
    waves = [name for name in level.index if name.startswith("w")]
    assert ((forecast[waves] / level[waves]).between(0.6, 1.6)).all()


def test_new_series_shorter_than_any_seen_are_served(motley):
    _, model = motley
    new = {"three": np.array([1.0, 2.0, 3.0]), "one": np.array([5.0]), "long": wave(300, level=1e6), "flat": np.full(4, 2.0)}
    forecast = model.predict(long_frame(new)).set_index("unique_id")
    assert set(forecast.index) == set(new)
    assert np.isfinite(forecast[["mean", "0.1", "0.5", "0.9"]].to_numpy()).all()
    np.testing.assert_allclose(forecast.loc["flat", "0.5"], 2.0, atol=0.2)
    assert forecast.loc["long", "0.5"].between(5e5, 2e6).all()


def test_missing_steps_are_masked_where_asked():
    series = {f"s{i}": wave(60, seed=i) for i in range(5)}
    frame = long_frame(series)
    frame.loc[np.random.default_rng(0).random(len(frame)) < 0.1, "y"] = np.nan
    model = model_of(frame, gaps="mask", season_length=SEASON, budget="6s", families=["seasonal_naive", "ridge", "ets"])
    forecast = model.predict()
    assert np.isfinite(forecast["0.5"]).all()
    ahead = {name: wave(60 + HORIZON, seed=i)[60:] for i, name in enumerate(series)}
    error = np.abs(forecast["0.5"].to_numpy() - np.concatenate([ahead[name] for name in forecast["unique_id"].unique()]))
    assert error.mean() < 8  # a season swings by 30


def test_a_promotion_known_ahead_and_a_group_known_for_good_are_used():
    rng = np.random.default_rng(5)
    names = [f"s{i}" for i in range(12)]
    flags = {name: (rng.random(80 + HORIZON) < 0.25).astype(float) for name in names}
    for flag in flags.values():
        flag[80:] = [1.0, 0.0, 1.0, 0.0]
    series = {name: np.where(np.arange(80 + HORIZON) < 80, 50 + 20 * flags[name] + rng.normal(size=80 + HORIZON), np.nan) for name in names}
    frame = long_frame(series, promotion=flags, group={name: float(i % 2) for i, name in enumerate(names)})
    model = model_of(frame, known=["promotion"], static=["group"], season_length=1, families=["naive", "ridge", "xgboost"])
    forecast = model.predict().groupby("unique_id")["0.5"].apply(np.array)
    for path in forecast:
        np.testing.assert_allclose(path, [70, 50, 70, 50], atol=6)
