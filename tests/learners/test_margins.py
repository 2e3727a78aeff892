import numpy as np
import pytest

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.trees.boosting import from_bytes
from ensemble_forecast.learners.trees.margins import Watched, added, boost

PARAMS = {"max_depth": 2, "eta": 0.3, "min_child_weight": 1.0, "reg_lambda": 0.0}
NEVER = Deadline.never()


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    x_NF = rng.normal(size=(300, 4)).astype(np.float32)
    return x_NF, np.stack([np.sign(x_NF[:, 0]), 2 * np.sign(x_NF[:, 1])], axis=1)


def test_the_first_tree_steps_by_the_mean_slope_of_each_leaf(table):
    x_NF, target_NK = table
    start_NK = np.full_like(target_NK, 0.25)
    trees, count = boost(x_NF, start_NK, lambda margin: margin - target_NK, PARAMS | {"max_depth": 1}, 1, 0, NEVER)
    step_NK = added(from_bytes(trees), x_NF, 2)
    assert count == 1
    for leaf in np.unique(step_NK, axis=0):
        mine = (step_NK == leaf).all(axis=1)
        np.testing.assert_allclose(leaf, 0.3 * (target_NK - start_NK)[mine].mean(axis=0), rtol=1e-4, atol=1e-6)


def test_it_descends_the_loss_it_is_given(table):
    x_NF, target_NK = table
    trees, _ = boost(x_NF, np.zeros_like(target_NK), lambda margin: margin - target_NK, PARAMS, 60, 0, NEVER)
    assert np.abs(added(from_bytes(trees), x_NF, 2) - target_NK).mean() < 0.1


def test_watched_rows_say_how_many_trees_there_are(table):
    x_NF, target_NK = table
    noise_NK = np.random.default_rng(1).normal(size=target_NK.shape)

    def stopped(target):
        watched = Watched(x_NF, np.zeros_like(target), lambda margin: float(((margin - target) ** 2).mean()), 5)
        return boost(x_NF[:, 2:], np.zeros_like(target), lambda margin: margin - noise_NK, PARAMS, 40, 0, NEVER, replace_x(watched))[1]

    def replace_x(watched):
        return Watched(x_NF[:, 2:], watched.start_NK, watched.loss, watched.patience)

    assert stopped(-noise_NK) == 0
    assert stopped(noise_NK) == 40


def test_a_passed_deadline_ends_it_after_a_tree(table):
    x_NF, target_NK = table
    assert boost(x_NF, np.zeros_like(target_NK), lambda margin: margin - target_NK, PARAMS, 50, 0, Deadline.after(0))[1] == 1


def test_a_row_does_not_depend_on_the_others_and_no_rows_are_fine(table):
    x_NF, target_NK = table
    booster = from_bytes(boost(x_NF, np.zeros_like(target_NK), lambda margin: margin - target_NK, PARAMS, 10, 0, NEVER)[0])
    assert added(booster, x_NF[7:8], 2).tobytes() == added(booster, x_NF, 2)[7:8].tobytes()
    assert added(booster, x_NF[:0], 2).shape == (0, 2)
