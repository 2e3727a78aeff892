import numpy as np
import pytest

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.ensemble.traits import LEAST_STEPS, TRAITS, traits_at, without_window

SEASON = 12


@pytest.fixture
def panel():
    rng = np.random.default_rng(0)
    t = np.arange(140)
    holed = 20 + rng.normal(size=60)
    holed[[0, 1, 30]] = np.nan
    return Panel.of(
        [
            100 + 0.5 * t + 10 * np.sin(2 * np.pi * t / 12) + rng.normal(size=140),
            rng.poisson(0.3, 90).astype(float),
            rng.normal(size=70).cumsum() - 40,
            holed,
            np.full(40, 7.0),
            np.zeros(30),
            np.array([5.0]),
            np.array([1.0, 4.0, 2.0, 9.0, 3.0]),
        ]
    )


def correlation(a, b):
    return 0.0 if len(a) < 2 or a.std() == 0 or b.std() == 0 else float(np.corrcoef(a, b)[0, 1])


def slow(y, season):
    """Compute the traits of one history one by one, as a person would."""
    y, n = y[-max(LEAST_STEPS, 4 * season) :], len(y)
    t = np.arange(len(y), dtype=float)
    rest = y - np.polyval(np.polyfit(t, y, 1), t) if len(y) > 1 else y - y.mean()
    change, change_m = np.diff(y), y[season:] - y[:-season]

    def own(x, lag):
        return 0.0 if len(x) <= lag else float(np.clip((x[lag:] * x[:-lag]).mean() / (x**2).mean(), -1, 1))

    standard = (y - y.mean()) / y.std()
    newest = np.diff(y[-max(LEAST_STEPS, 4 * season) // 4 - 1 :]) if len(y) > max(LEAST_STEPS, 4 * season) // 4 else change
    naive = np.abs(change).mean()
    return {
        "length": np.log(n),
        "variation": min(y.std() / np.abs(y).mean(), 10),
        "zeros": (y == 0).mean(),
        "flat": (change == 0).mean(),
        "trend": correlation(t, y),
        "trend_strength": correlation(t, y) ** 2,
        "seasonality": own(rest, season),
        "season_gain": np.log(np.abs(change_m).mean() / naive) if len(change_m) else 0.0,
        "persistence": own(rest, 1),
        "turning": own(change, 1),
        "noise": min((change**2).mean() / y.var(), 10),
        "calm": np.log(np.abs(newest).mean() / naive),
        "place": standard[-1],
        "skewness": (standard**3).mean(),
        "spikes": np.log1p(np.abs(standard).max()),
    }


@pytest.mark.parametrize("index", [0, 1, 2, 7])
def test_they_are_what_their_names_say(panel, index):
    found = dict(zip(TRAITS, traits_at(panel, Origins.ends(panel).take(slice(index, index + 1)), SEASON)[0], strict=True))
    expected = slow(panel.values(index), SEASON)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_series_without_variation_or_history_have_traits_too(panel):
    traits = traits_at(panel, Origins.between(np.zeros(8, dtype=int), panel.ends_S), SEASON)
    assert np.isfinite(traits).all()
    assert np.abs(traits).max() <= 10


def test_they_read_nothing_later_and_nothing_of_other_origins(panel):
    origins = Origins.between(np.full(8, 2), panel.ends_S)
    together = traits_at(panel, origins, SEASON)
    for i, step in ((0, 100), (1, 44), (2, 10), (3, 59), (7, 3)):
        cut = panel.cut(np.where(np.arange(8) == i, step, panel.ends_S))
        alone = traits_at(cut, Origins(np.array([i]), np.array([step])), SEASON)
        assert alone.tobytes() == together[(origins.series == i) & (origins.step == step)].tobytes()


def test_they_do_not_depend_on_the_unit(panel):
    in_thousands = Panel.of([panel.values(i) / 1000 for i in range(8)])
    origins = Origins.ends(panel)
    np.testing.assert_allclose(traits_at(in_thousands, origins, SEASON), traits_at(panel, origins, SEASON), rtol=1e-7, atol=1e-9)


def test_what_rules_are_learnt_from_tells_series_apart_and_not_windows(panel):
    origins = Origins(np.array([2, 0, 2, 1]), np.array([50, 100, 62, 80]))
    traits = traits_at(panel, origins, SEASON)
    blind = without_window(traits, origins.series)
    np.testing.assert_allclose(np.exp(blind[:, 0]), [63, 101, 63, 81])
    np.testing.assert_array_equal(blind[:, 1:], traits[:, 1:])
    assert without_window(np.empty((4, 0)), origins.series).shape == (4, 0)
