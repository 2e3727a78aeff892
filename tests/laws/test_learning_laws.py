"""Every registered net, on a task whose answer is known: what can be explained is, and where there is nothing, nothing is found."""

import numpy as np
import pytest
from smoke import smoke

from ensemble_forecast.data.origins import Origins, truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.registry import NETS
from ensemble_forecast.windows import roles_until

NEVER = Deadline.never()
STEPS = 500
LENGTH, CUTOFF, NOISE = 1500, 1100, 0.3
EXPLAINABLE = 1 / (1 + NOISE**2)  # share of the variance of tomorrow's change that today's covariate explains
TASK = Task(horizon=1)


def explained(name, *, shuffled):
    """Share of the variance of unseen changes that a net's median explains; shuffled: the covariate belongs to other days."""
    rng = np.random.default_rng(7)
    told = rng.normal(size=LENGTH)
    change = np.concatenate([[0.0], told[:-1]]) + NOISE * rng.normal(size=LENGTH)
    shown = rng.permutation(told) if shuffled else told
    panel = Panel.of([change.cumsum()], past=[shown[:, None]])
    setting = {"steps": STEPS, "context": 8, "batch": 64, "dropout": 0.0, "learning_rate": 5e-3}
    net = smoke(name, **setting)
    cutoff_S = np.array([CUTOFF])
    fitted = net.fit(panel.cut(cutoff_S), roles_until(panel.cut(cutoff_S), TASK, cutoff_S), TASK, NEVER)
    later = Origins.between(cutoff_S, np.array([LENGTH - 2]))
    median_N = fitted.predict(panel, later, NEVER)[:, 0, len(TASK.quantiles) // 2]
    last_N, truth_N = panel.y[later.rows(panel)], truth(panel, later, 1)[:, 0]
    return 1 - np.mean((truth_N - median_N) ** 2) / np.var(truth_N - last_N)


@pytest.mark.parametrize("name", NETS)
def test_four_fifths_of_what_can_be_explained_is(name):
    assert explained(name, shuffled=False) > 0.8 * EXPLAINABLE


@pytest.mark.parametrize("name", NETS)
def test_next_to_nothing_is_found_in_shuffled_days(name):
    assert explained(name, shuffled=True) < 0.05
