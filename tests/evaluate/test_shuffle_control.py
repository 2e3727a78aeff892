import time

import numpy as np
import pytest

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.samples import btc_usd_daily
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.evaluate import shuffle_control as module
from ensemble_forecast.evaluate.shuffle_control import SHUFFLES, shuffle_control

BITCOIN = btc_usd_daily()["close"].to_numpy(dtype=float)


def predictable(seed, n=900):
    rng = np.random.default_rng(seed)
    change = rng.normal(size=n)
    for t in range(1, n):
        change[t] += 0.8 * change[t - 1]
    return 300 + np.cumsum(change)


@pytest.mark.parametrize("kind", ["quantiles", "direction"])
@pytest.mark.parametrize(
    "series", [[BITCOIN], [predictable(0)], [predictable(seed, 120) for seed in range(30)]], ids=["bitcoin", "predictable", "panel"]
)
def test_nothing_is_found_once_the_changes_are_shuffled(series, kind):
    answer = shuffle_control(Panel.of(series), Task(horizon=2, season_length=7, kind=kind), Deadline.never())
    assert answer["passed"]
    assert len(answer["p_values"]) == SHUFFLES
    assert answer["wins"] == sum(p_value < 0.05 for p_value in answer["p_values"])


def test_a_control_that_is_not_shuffled_fails(monkeypatch):
    """The same machine finds the skill that is there when the order is kept: the control can fail."""
    monkeypatch.setattr(module, "_shuffled", lambda panel, _: panel)
    answer = shuffle_control(Panel.of([predictable(1)]), Task(horizon=2), Deadline.never())
    assert (answer["wins"], answer["passed"]) == (SHUFFLES, False)


def test_changes_keep_their_values_and_lose_their_order_and_mean():
    values = np.exp(np.cumsum(np.random.default_rng(0).normal(0.01, 0.05, 300)))
    shuffled = module._shuffled(Panel.of([values]), np.random.default_rng(1)).y
    before, after = np.diff(np.log(values)), np.diff(np.log(shuffled))
    np.testing.assert_allclose(np.sort(after), np.sort(before - before.mean()), atol=1e-12)
    assert not np.allclose(after, before - before.mean())
    assert shuffled[0] == pytest.approx(values[0])


def test_its_seconds_are_bounded_however_large_the_panel():
    large = Panel.of([predictable(seed, 3000) for seed in range(60)])
    begun = time.monotonic()
    answer = shuffle_control(large, Task(horizon=2), Deadline.after(0.0))
    assert len(answer["p_values"]) == 1
    assert time.monotonic() - begun < 10


def test_too_little_data_are_told_not_hidden():
    answer = shuffle_control(Panel.of([np.arange(8.0)]), Task(horizon=4), Deadline.never())
    assert answer["p_values"] == []
    assert "not made" in answer["reason"]
