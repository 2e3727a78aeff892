"""Nets trained in one pass: the same as one by one, and only where that is so."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import Diverged
from ensemble_forecast.learners.bagged import Bagged
from ensemble_forecast.learners.base import Learner, recipe_for_refit
from ensemble_forecast.learners.deep import finder, nets
from ensemble_forecast.learners.deep.dlinear import DLinear
from ensemble_forecast.learners.deep.finder import SWEPT
from ensemble_forecast.learners.deep.mlp import Mlp
from ensemble_forecast.learners.deep.optimisers import OPTIMISERS
from ensemble_forecast.learners.deep.resnet import ResNet
from ensemble_forecast.learners.deep.together import can_train_together
from ensemble_forecast.windows import Roles

NEVER = Deadline.never()
TASK = Task(horizon=3, season_length=4)
TINY = {"context": 8, "batch": 16, "dropout": 0.0, "learning_rate": 5e-3}
MLP = Mlp(width=8, blocks=1, steps=60, **TINY)


@pytest.fixture
def panel():
    step, rng = np.arange(120), np.random.default_rng(0)
    return Panel.of([np.sin(np.pi * step / 2) + 0.1 * rng.normal(size=120).cumsum() for _ in range(3)])


def draws(count=4):
    """Origins of each member, of different numbers, and those to stop on."""
    rng = np.random.default_rng(1)
    everything = Origins.between(np.full(3, 10), np.full(3, 90))
    fits = [everything.take(np.sort(rng.integers(0, len(everything), 100 + 10 * member))) for member in range(count)]
    return fits, Origins.between(np.full(3, 95), np.full(3, 110)), [replace(TASK, seed=member) for member in range(count)]


def one_by_one(learner, panel, fits, stop, tasks):
    return Learner.fit_many(learner, panel, fits, stop, tasks, NEVER)


def together(learner, panel, fits, stop, tasks, monkeypatch):
    """Fit in one pass, and see that it was one."""
    monkeypatch.setattr(nets, "train", None)
    return learner.fit_many(panel, fits, stop, tasks, NEVER)


@pytest.mark.parametrize("learner", [MLP, DLinear(kernel=5, steps=60, **TINY), replace(MLP, optimiser="rmsprop", ema=0.0, clip=0.1)])
@pytest.mark.parametrize("stopped", [False, True])
def test_one_pass_gives_what_one_by_one_gives(learner, stopped, panel, monkeypatch):
    fits, stop, tasks = draws()
    stop = stop if stopped else None
    alone = one_by_one(learner, panel, fits, stop, tasks)
    for one, other in zip(together(learner, panel, fits, stop, tasks, monkeypatch), alone, strict=True):
        assert one.stopped_ == other.stopped_
        for name, weights in other.weights_.items():
            np.testing.assert_allclose(one.weights_[name], weights, rtol=1e-4, atol=1e-5)
        origins = Origins.ends(panel)
        np.testing.assert_allclose(one.predict(panel, origins, NEVER), other.predict(panel, origins, NEVER), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(np.array(one._curve, float)[1:, :3], np.array(other._curve, float)[1:, :3], rtol=1e-3)


def test_members_stop_each_at_their_own_length(panel, monkeypatch):
    fits, stop, tasks = draws(6)
    lengths = {member.stopped_["steps"] for member in together(replace(MLP, steps=600, width=32), panel, fits, stop, tasks, monkeypatch)}
    assert len(lengths) > 1


def test_dropout_differs_between_members_with_the_same_data(panel, monkeypatch):
    fits, _, tasks = draws(1)
    pair = together(replace(MLP, dropout=0.5), panel, fits * 2, None, tasks * 2, monkeypatch)
    assert not np.array_equal(pair[0].weights_["anchor_HQ"], pair[1].weights_["anchor_HQ"])


@pytest.mark.parametrize(
    "learner",
    [
        replace(MLP, width=4096),
        replace(MLP, accumulate=2),
        replace(MLP, augmentation="jitter"),
        replace(MLP, schedule="plateau"),
        ResNet(width=8, norm="batch", steps=20, **TINY),
    ],
    ids=["large", "accumulating", "augmented", "waiting", "counting"],
)
def test_what_cannot_or_need_not_share_a_pass_is_fitted_one_by_one(learner, panel, monkeypatch):
    monkeypatch.setattr(nets, "train_together", None)
    fits, _, tasks = draws(2)
    assert len(replace(learner, steps=2).fit_many(panel, fits, None, tasks, NEVER)) == 2


def test_a_module_with_counts_cannot_be_mapped():
    assert can_train_together(torch.nn.Linear(2, 2), MLP)
    assert not can_train_together(torch.nn.BatchNorm1d(2), MLP)


def test_a_deadline_cuts_all_short_and_says_so(panel):
    fits, _, tasks = draws(2)
    fitted = replace(MLP, steps=100_000).fit_many(panel, fits, None, tasks, Deadline.after(0.05))
    assert [member.truncated_ for member in fitted] == [True, True]


def test_one_that_blows_up_is_told_of(panel):
    fits, _, tasks = draws(2)
    with pytest.raises(Diverged, match="lower the learning rate"):
        replace(MLP, learning_rate=1e8).fit_many(panel, fits, None, tasks, NEVER)


def test_a_bag_of_nets_is_trained_in_one_pass(panel, monkeypatch):
    monkeypatch.setattr(nets, "train", None)
    fits, stop, _ = draws(1)
    bag = Bagged(member=MLP, copies=3).fit(panel, Roles(fits[0], stop), TASK, NEVER)
    assert len(bag.members_) == 3
    assert np.isfinite(bag.predict(panel, Origins.ends(panel), NEVER)).all()


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_each_net_of_a_pass_may_have_its_own_rate(optimiser, panel, monkeypatch):
    fits, stop, tasks = draws(1)
    recipe = replace(MLP, optimiser=optimiser)
    rates = (1e-4, 1e-2)
    alone = [replace(recipe, learning_rate=rate).fit(panel, Roles(fits[0], stop), tasks[0], NEVER) for rate in rates]
    trained = nets.train_together
    monkeypatch.setattr(nets, "train_together", lambda *given: trained(*given[:6], rates, *given[7:]))
    pair = together(recipe, panel, fits * 2, stop, tasks * 2, monkeypatch)
    for one, other in zip(pair, alone, strict=True):
        for name, weights in other.weights_.items():
            np.testing.assert_allclose(one.weights_[name], weights, rtol=1e-3, atol=1e-5)


def swept(panel, **changed):
    fits, stop, tasks = draws(1)
    recipe = replace(MLP, steps=900, learning_rate=0.0, finder="sweep", **changed)
    return recipe.fit(panel, Roles(fits[0], stop), tasks[0], NEVER)


def test_a_sweep_takes_the_rate_that_is_best_in_the_first_ninth(panel):
    fits, stop, tasks = draws(1)
    rate = swept(panel).stopped_["learning_rate"]
    shorts = [replace(MLP, steps=100, learning_rate=one).fit(panel, Roles(fits[0], stop), tasks[0], NEVER) for one in SWEPT]
    least = [min(point[2] for point in short._curve[1:]) for short in shorts]
    assert rate == SWEPT[int(np.argmin(least))]


def test_a_sweep_says_the_same_one_by_one(panel, monkeypatch):
    rate = swept(panel).stopped_["learning_rate"]
    monkeypatch.setattr(finder, "train_together", None)
    monkeypatch.setattr(nets, "TOGETHER_BELOW", 0)
    assert swept(panel).stopped_["learning_rate"] == rate


def test_the_refit_trains_at_the_rate_that_was_found(panel, monkeypatch):
    recipe = recipe_for_refit(swept(panel))
    assert recipe.learning_rate in SWEPT
    monkeypatch.setattr(nets, "sweep", None)
    fits, _, tasks = draws(1)
    assert recipe.fit(panel, Roles(fits[0]), tasks[0], NEVER).weights_


def test_rates_that_blow_up_lose(panel, monkeypatch):
    monkeypatch.setattr(finder, "SWEPT", (1e-3, 1e6))
    assert swept(panel, clip=1e9).stopped_["learning_rate"] == 1e-3
    monkeypatch.setattr(nets, "TOGETHER_BELOW", 0)
    assert swept(panel, clip=1e9).stopped_["learning_rate"] == 1e-3
