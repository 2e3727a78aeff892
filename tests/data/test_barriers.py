"""The label that says which barrier is met first, against a loop that walks every path."""

import numpy as np
import pytest

from ensemble_forecast.data.barriers import VOLATILITY_STEPS, first_touch
from ensemble_forecast.data.origins import Origins, outcome
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.errors import BadInput
from ensemble_forecast.pipeline import check

TASK = Task(horizon=6, kind="direction", label="barrier", take_profit=0.8, stop_loss=0.5)


def panel(gaps=0.0):
    rng = np.random.default_rng(0)
    series = [np.cumsum(rng.normal(size=length)) for length in (130, 20, 2)]
    for values in series:
        values[1:][rng.random(len(values) - 1) < gaps] = np.nan
    return Panel.of(series)


@pytest.mark.parametrize("gaps", [0.0, 0.15])
def test_the_label_is_the_barrier_that_a_walker_meets_first(gaps):
    here = panel(gaps)
    origins = Origins.between(np.zeros(3, dtype=int), here.ends_S)
    labels = outcome(here, origins, TASK)
    for n, (i, step) in enumerate(zip(origins.series, origins.step, strict=True)):
        filled = here.y_filled[here.offsets[i] : here.offsets[i] + here.lengths_S[i]]
        changes = np.diff(filled[max(0, step - VOLATILITY_STEPS) : step + 1])
        width = np.sqrt(np.mean(changes**2) * 6) if len(changes) else 0.0
        label = 1.0
        for h in range(6):
            if label == 1.0:
                value = here.values(i)[step + 1 + h] if step + 1 + h < here.lengths_S[i] else np.nan
                moved = value - filled[step]
                label = np.nan if np.isnan(value) else 2.0 if moved > 0.8 * width else 0.0 if moved < -0.5 * width else 1.0
            np.testing.assert_equal(labels[n, h], label)
    assert {0.0, 1.0, 2.0} <= set(labels[np.isfinite(labels)])


def test_a_barrier_that_was_met_is_not_met_again_and_a_flat_series_runs_out_of_time():
    changes = np.array([[0.0, 3.0, -9.0, np.nan], [0.0, 0.0, 0.0, 0.0], [np.nan, 9.0, 9.0, 9.0]])
    labels = first_touch(changes, np.ones(3), Task(horizon=4, kind="direction", label="barrier"))
    np.testing.assert_array_equal(labels, [[1, 2, 2, 2], [1, 1, 1, 1], [np.nan] * 4])
    assert (first_touch(np.zeros((1, 2)), np.zeros(1), Task(horizon=2, kind="direction", label="barrier")) == 1).all()


def test_the_width_reads_nothing_after_the_origin():
    here = panel()
    changed = Panel.of([np.concatenate([here.values(0)[:81], 1e6 * here.values(0)[81:]]), here.values(1), here.values(2)])
    before = Origins(np.zeros(60, dtype=int), np.arange(10, 70))
    np.testing.assert_array_equal(outcome(here, before, TASK), outcome(changed, before, TASK))


@pytest.mark.parametrize(
    "settings", [{"kind": "quantiles", "label": "barrier"}, {"kind": "direction", "label": "barrier", "transform": "log"}, {"label": "barrier"}]
)
def test_barriers_are_refused_where_they_mean_nothing(settings):
    with pytest.raises(BadInput, match="label 'barrier' needs kind 'direction' and transform 'none' or 'auto'"):
        check({"source": "x.csv", "horizon": 3} | settings, "test")


def test_distances_without_barriers_are_refused():
    with pytest.raises(BadInput, match="are distances of barriers: set label = 'barrier'"):
        check({"source": "x.csv", "horizon": 3, "kind": "direction", "stop_loss": 0.5}, "test")


def test_a_task_refuses_labels_and_widths_that_make_no_sense():
    with pytest.raises(BadInput, match="label must be one of up, barrier"):
        Task(horizon=1, kind="direction", label="sideways")
    with pytest.raises(BadInput, match="must be above 0"):
        Task(horizon=1, kind="direction", label="barrier", stop_loss=0.0)
