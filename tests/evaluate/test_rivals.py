import numpy as np
import pytest

from ensemble_forecast.data.origins import Origins, outcome
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.evaluate.losses import cell_losses
from ensemble_forecast.evaluate.rivals import NAMES, rivals
from ensemble_forecast.features.contexts import scale_at

LEVELS = (0.1, 0.5, 0.9)


def judged(panel, task, cutoff=599):
    """Rivals fitted until a cutoff, at the origins after it, with the mean of the deciding loss of each."""
    cutoff_S = np.full(panel.n_series, cutoff)
    origins = Origins.between(cutoff_S, panel.ends_S - task.horizon)
    found = rivals(panel, task, cutoff_S, origins)
    truth_NH, scale_N = outcome(panel, origins, task), scale_at(panel, origins, task.season_length)
    return origins, found, {name: np.mean(next(iter(cell_losses(truth_NH, each, scale_N, task).values()))) for name, each in found.items()}


def walk(seed=0, n=1500, memory=0.0):
    rng = np.random.default_rng(seed)
    change = rng.normal(size=n)
    for t in range(1, n):
        change[t] += memory * change[t - 1]
    return 500 + np.cumsum(change)


def test_each_has_its_turn():
    """The best rival of a walk, a noise, a season and a trend is the one that suits it."""
    rng, task = np.random.default_rng(1), Task(horizon=2, season_length=7, quantiles=LEVELS)
    season = 50 + 9 * np.sin(2 * np.pi * np.arange(1500) / 7) + rng.normal(size=1500)
    for values, best in [
        (walk(), {"mean_change", "naive"}),
        (100 + rng.normal(size=1500), {"mean_level"}),
        (season, {"seasonal_naive"}),
        (100 + 3.0 * np.arange(1500) + np.cumsum(rng.normal(size=1500)), {"last_sign", "mean_change"}),
    ]:
        _, _, loss = judged(Panel.of([values]), task)
        assert min(loss, key=loss.get) in best, loss
        assert set(loss) == {"naive", "seasonal_naive", "mean_change", "mean_level", "last_sign"}
        assert set(loss) <= set(NAMES)


def test_without_a_season_there_is_no_seasonal_naive():
    assert "seasonal_naive" not in judged(Panel.of([walk()]), Task(horizon=2, quantiles=LEVELS))[1]


@pytest.mark.parametrize("relative", [True, False])
def test_the_mean_change_has_the_quantiles_of_all_changes_so_far(relative):
    logs = walk(2) / 100
    values = np.exp(logs) if relative else logs - logs.mean()
    task, panel = Task(horizon=3, quantiles=LEVELS), Panel.of([values])
    origins, found, _ = judged(panel, task)
    level = logs if relative else values
    scale_T = np.cumsum(np.abs(np.diff(level, prepend=level[0]))) / np.maximum(np.arange(1500), 1)
    learned = np.arange(299, 597)
    for h in range(3):
        quantiles = np.quantile((level[learned + h + 1] - level[learned]) / scale_T[learned], LEVELS)
        expected = level[origins.step][:, None] + scale_T[origins.step][:, None] * quantiles
        np.testing.assert_allclose(found["mean_change"][:, h], np.exp(expected) if relative else expected)


def test_the_last_sign_moves_the_naive_by_the_mean_change_in_the_last_direction():
    values = walk(3)
    origins, found, _ = judged(Panel.of([values]), Task(horizon=2, quantiles=LEVELS))
    for n in (0, 5, 17):
        step = origins.step[n]
        shift = np.sign(values[step] - values[step - 1]) * np.abs(np.diff(values[: step + 1])).mean()
        np.testing.assert_allclose(found["last_sign"][n], found["naive"][n] + shift)


def test_the_mean_level_has_the_quantiles_of_each_series_until_the_cutoff():
    series = [walk(4), walk(5, 1200)]
    origins, found, _ = judged(Panel.of(series), Task(horizon=2, quantiles=LEVELS))
    for n in (0, len(origins) - 1):
        np.testing.assert_allclose(found["mean_level"][n], [np.quantile(series[origins.series[n]][:600], LEVELS)] * 2)


def test_for_directions_the_last_one_is_worth_what_it_was_worth():
    task, panel = Task(horizon=1, kind="direction"), Panel.of([walk(6, memory=0.5)])
    origins, found, loss = judged(panel, task)
    assert set(found) == {"base_rate", "coin", "last_sign"}
    label = np.diff(panel.y) > 0
    learned = np.arange(299, 599)
    held = (label[learned] == label[learned - 1]).sum()
    rate = (held + 1) / (len(learned) + 2)
    np.testing.assert_allclose(found["last_sign"][:, 0, 1], np.where(label[origins.step - 1], rate, 1 - rate))
    assert min(loss, key=loss.get) == "last_sign"
    assert loss["coin"] == pytest.approx(np.log(2))


@pytest.mark.parametrize("kind", ["quantiles", "direction"])
def test_nothing_after_the_cutoff_is_learnt_and_nothing_after_an_origin_read(kind):
    task, values = Task(horizon=2, season_length=5, kind=kind), walk(7, 700)
    changed = values.copy()
    changed[650:] = 1000 + 50 * np.random.default_rng(0).normal(size=50)
    origins = Origins(np.zeros(51, int), np.arange(599, 650))
    one, other = (rivals(Panel.of([each]), task, np.array([599]), origins) for each in (values, changed))
    for name in one:
        np.testing.assert_array_equal(one[name][:50], other[name][:50], err_msg=name)
