import numpy as np
import pytest

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.cells import sample
from ensemble_forecast.ensemble.per_horizon import PerHorizon, buckets
from ensemble_forecast.ensemble.simplex import Simplex, descend
from ensemble_forecast.metrics import cell_loss

NEVER = Deadline.never()


@pytest.fixture
def crossing(seeded):
    """Two members on a panel: one knows the first half of the horizon, the other the second."""
    rows = seeded.panel_rows(250, 2)
    rng = np.random.default_rng(0)
    near, truth = seeded.draw(rng, rows, 4, np.array([0.2, 2.0]))
    far, _ = seeded.draw(rng, rows, 4, np.array([2.0, 0.2]))
    return np.where(np.arange(4)[:, None, None] < 2, near, far), truth, rows


def test_each_bucket_believes_the_member_that_knows_it(crossing, task):
    forecasts, truth, rows = crossing
    combiner = PerHorizon().fit(forecasts, truth, rows, task, NEVER)
    assert combiner.bucket_H_.tolist() == [0, 1, 2, 3]
    assert (combiner.weights_BM_[:2, 0] > 0.6).all()
    assert (combiner.weights_BM_[2:, 1] > 0.6).all()
    np.testing.assert_allclose(combiner.weights_M_, combiner.weights_BM_.mean(axis=0))
    losses = [
        np.mean(cell_loss(truth, each.combine(forecasts, rows), rows.scale, task.quantiles, task.kind))
        for each in (combiner, Simplex().fit(forecasts, truth, rows, task, NEVER))
    ]
    assert losses[0] < 0.95 * losses[1]


def test_the_weights_of_a_bucket_are_half_its_own_and_half_those_of_the_horizon(crossing, task):
    forecasts, truth, rows = crossing
    combiner = PerHorizon().fit(forecasts, truth, rows, task, NEVER)
    whole = Simplex().fit(forecasts, truth, rows, task, NEVER)
    own = descend(sample(forecasts[:, [2]], truth[:, [2]], rows, task), 120, NEVER)
    shrunk = (1 - whole.shrink_) * own + whole.shrink_ / 2
    np.testing.assert_allclose(combiner.weights_BM_[2], 0.5 * shrunk + 0.5 * whole.weights_M_)


@pytest.mark.parametrize(("known_H", "expected"), [([200] * 5, 4), ([200, 200, 200, 200, 199], 2), ([200, 200, 199, 0, 0], 1), ([100] * 5, 1)])
def test_every_bucket_has_enough_scored_rows(known_H, expected):
    scored = np.arange(250)[:, None] < np.array(known_H)
    assert buckets(scored).max() + 1 == expected


@pytest.mark.parametrize("deadline", [NEVER, Deadline.after(0)])
def test_on_few_rows_or_without_time_it_is_the_simplex_of_the_whole_horizon(deadline, crossing, task):
    forecasts, truth, rows = crossing
    kept = np.arange(len(rows)) % (5 if deadline is NEVER else 1) == 0
    combiner, plain = (each.fit(forecasts[kept], truth[kept], rows.take(kept), task, deadline) for each in (PerHorizon(), Simplex()))
    assert combiner.combine(forecasts, rows).tobytes() == plain.combine(forecasts, rows).tobytes()


def test_a_horizon_of_one_step_has_one_bucket(seeded):
    rows = seeded.panel_rows(300, 2)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 1, np.ones(3))
    assert PerHorizon().fit(forecasts, truth, rows, Task(horizon=1, quantiles=seeded.quantiles), NEVER).weights_BM_.shape == (1, 3)
