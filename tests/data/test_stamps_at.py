"""Stamps of many steps at once, against one series at a time."""

import numpy as np
import pytest

from ensemble_forecast.data.panel import Panel


@pytest.mark.parametrize("freq", ["h", "D", "B", "W-SUN", "MS", "QE-DEC", "YS-JAN"])
def test_many_steps_at_once_equal_each_series_by_itself(freq: str) -> None:
    rng = np.random.default_rng(0)
    panel = Panel.of([np.arange(size, dtype=float) for size in (5, 1, 9, 30)], freq=freq)
    calendar = panel.stamps(0, 0, 20).to_numpy().astype("datetime64[s]")
    object.__setattr__(panel, "start_S", calendar[[3, 0, 3, 12]])
    series, step = rng.integers(0, 4, 200), rng.integers(0, 60, 200)
    alone = np.array([panel.stamps(int(i), int(s), 1)[0].to_datetime64() for i, s in zip(series, step, strict=True)])
    np.testing.assert_array_equal(panel.stamps_at(series, step), alone)


def test_no_steps_have_no_stamps() -> None:
    none = np.empty(0, dtype=np.int64)
    assert Panel.of([np.arange(3.0)]).stamps_at(none, none).shape == (0,)


def test_a_step_before_the_beginning_is_refused() -> None:
    with pytest.raises(AssertionError):
        Panel.of([np.arange(3.0)]).stamps_at(np.array([0]), np.array([-1]))
