"""Trainings whose length is told in passes over the data."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.base import Size, recipe_for_refit
from ensemble_forecast.learners.deep.mlp import Mlp
from ensemble_forecast.learners.deep.schedules import Schedule
from ensemble_forecast.learners.deep.training import Progress, evaluation_points, in_steps
from ensemble_forecast.windows import Roles, roles_until


def fitted(**fields):
    panel = Panel.of([np.random.default_rng(0).normal(size=120).cumsum()])
    task = Task(horizon=1)
    roles = roles_until(panel, task, panel.ends_S, 4)
    given = {"width": 8, "blocks": 0, "context": 8, "batch": 16, "learning_rate": 1e-3, **fields}
    return Mlp(**given).fit(panel, roles, task, Deadline.never()), panel, Roles(roles.fit), task, len(roles.fit)


def test_the_stop_role_is_looked_at_after_every_pass_until_the_last_one():
    learner, _, _, _, n_fit = fitted(epochs=6)
    a_pass = math.ceil(n_fit / 16)
    assert [point[0] for point in learner._curve] == [a_pass * done for done in range(7)]
    assert in_steps(Mlp(epochs=3, batch=8, accumulate=2), 33).steps == 9
    assert in_steps(Mlp(steps=7), 33).steps == 7
    assert evaluation_points(12, 4) == {3, 6, 9, 12}


def test_fifty_looks_without_gain_end_it():
    progress, recipe = Progress(), Mlp(epochs=100, steps=300)
    for look, loss in enumerate([1.0, 0.5, *[0.6] * 50], start=1):
        progress.step = 3 * look
        progress.noted(1.0, loss, 0.0)
        assert progress.is_enough(recipe) == (look == 52)


def test_the_rate_is_halved_after_ten_looks_without_gain():
    schedule = Schedule("plateau", 1000, 0.0, epochs=100)
    factors = []
    for loss in [1.0, *[2.0] * 23]:
        schedule.judge(loss)
        factors.append(schedule.factor(500))
    assert factors == pytest.approx([1.0] * 11 + [0.5] * 11 + [0.25] * 2)


def test_a_refit_makes_as_many_steps():
    learner, panel, roles, task, _ = fitted(epochs=3)
    again = recipe_for_refit(learner)
    assert (again.epochs, again.steps) == (0, learner.stopped_["steps"])
    assert again.fit(panel, roles, task, Deadline.never()).stopped_["steps"] == learner.stopped_["steps"]


def test_work_counts_the_steps_of_all_passes():
    learner, _, _, task, n_fit = fitted(epochs=3)
    size = Size(n_series=1, n_fit=n_fit, n_scored=10, length=120)
    assert learner.work(size, task) == replace(learner, epochs=0, steps=in_steps(learner, n_fit).steps).work(size, task)
