import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.bagged import Bagged
from ensemble_forecast.learners.base import build
from ensemble_forecast.windows import block_bootstrap, roles_until

RIDGE = {"family": "ridge", "params": {"context": 8}}


def noisy_panel():
    rng = np.random.default_rng(3)
    return Panel.of([np.cumsum(rng.normal(size=160)) + 50])


def fitted(copies, seed=0):
    panel, task = noisy_panel(), Task(horizon=3, seed=seed)
    return Bagged(member=build(RIDGE), copies=copies).fit(panel, roles_until(panel, task, panel.ends_S, 8), task, Deadline.never()), panel


def test_blocks_are_contiguous_runs_of_the_asked_length():
    drawn = block_bootstrap(100, 10, np.random.default_rng(0))
    assert len(drawn) == 100
    assert (np.diff(np.sort(drawn)) <= 1).mean() > 0.8


def test_a_short_list_is_drawn_in_full_length():
    assert len(block_bootstrap(3, 10, np.random.default_rng(0))) == 3


def test_the_bag_is_the_average_of_its_copies():
    bag, panel = fitted(3)
    ends = Origins.ends(panel)
    slow = np.mean([member.predict(panel, ends, Deadline.never()) for member in bag.members_], axis=0)
    np.testing.assert_allclose(bag.predict(panel, ends, Deadline.never()), slow)


def test_copies_differ_and_the_seed_decides_how():
    bag, panel = fitted(2)
    ends = Origins.ends(panel)
    one, two = (member.predict(panel, ends, Deadline.never()) for member in bag.members_)
    assert not np.array_equal(one, two)
    other, _ = fitted(2, seed=1)
    assert not np.array_equal(other.predict(panel, ends, Deadline.never()), bag.predict(panel, ends, Deadline.never()))


def test_a_passed_deadline_leaves_one_copy_and_says_so():
    panel, task = noisy_panel(), Task(horizon=3)
    bag = Bagged(member=build(RIDGE), copies=4).fit(panel, roles_until(panel, task, panel.ends_S, 8), task, Deadline.after(-1))
    assert len(bag.members_) == 1
    assert bag.truncated_
