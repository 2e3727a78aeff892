"""Transfer: what is taken from an earlier fit, what becomes of it, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ensemble_forecast import persist
from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.mlp import Mlp
from ensemble_forecast.learners.deep.optimisers import groups_of, optimiser_for, set_rate
from ensemble_forecast.learners.deep.resnet import ResNet
from ensemble_forecast.windows import roles_until

NEVER = Deadline.never()
TASK = Task(horizon=4, season_length=1)
MLP = Mlp(width=32, blocks=2, context=16, steps=400, batch=64, learning_rate=5e-3, dropout=0.0)


def waves(count, seed, length=200):
    """Noisy series that all swing alike, each in its own phase, so that there is something to transfer."""
    rng, step = np.random.default_rng(seed), np.arange(length)
    return [np.sin(step / 2 + rng.uniform(0, 7)) + 0.2 * rng.normal(size=length) for _ in range(count)]


def panel_of(name, count=1, seed=0, length=200):
    return Panel.of(waves(count, seed, length), ids=[f"{name}{place}" for place in range(count)])


def fit(learner, panel):
    return learner.fit(panel, roles_until(panel, TASK, panel.ends_S, with_stop=False), TASK, NEVER)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """An MLP that has learnt from eight series, as an ensemble keeps it."""
    panel = panel_of("many", 8)
    until = tuple(str(stamp) for stamp in panel.stamps_at(np.arange(8), panel.ends_S))
    folder = tmp_path_factory.mktemp("transfer") / "ensemble"
    persist.save(folder, {"member.mlp-0001": fit(MLP, panel), "ids": panel.ids, "until": until}, {})
    return folder


def error(learner, panel, new):
    """Mean error of the median over the newer half of a series."""
    origins = Origins.between(np.array([100]), np.array([190]))
    median_NH = learner.predict(new, origins, NEVER)[..., 4]
    truth_NH = new.y[origins.rows(new)[:, None] + np.arange(1, 5)]
    return np.abs(median_NH - truth_NH).mean()


def test_a_start_is_worth_many_steps(saved):
    new = panel_of("new", seed=9)
    known = new.cut(np.array([60]))
    few = replace(MLP, steps=10, learning_rate=1e-3)
    started, fresh = (fit(replace(few, start=start), known) for start in (str(saved), ""))
    assert error(started, known, new) < 0.8 * error(fresh, known, new)


def test_frozen_layers_stay_and_the_last_ones_learn(saved):
    before = persist.load(saved)[0]["member.mlp-0001"].weights_
    after = fit(replace(MLP, steps=20, ema=0.0, start=str(saved), transfer="frozen"), panel_of("new", seed=9)).weights_
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"anchor_HQ", *(name for name in before if "linear.0" in name or name.startswith("body.layers.5.0"))}


def started(saved, **changed):
    """The untrained module, with the pace of its weights."""
    learner, panel = replace(MLP, start=str(saved), **changed), panel_of("new", seed=9)
    given = learner.given(panel, roles_until(panel, TASK, panel.ends_S, with_stop=False).fit, None, TASK)
    return learner, learner.untrained(panel, given, TASK, torch.device("cpu"))[2]


def test_each_layer_is_slower_than_the_one_after_it(saved):
    learner, net = started(saved, layer_decay=0.5)
    shares = [net.pace[name].share for name in net.pace if name.endswith("weight") and "layers" in name]
    assert sorted(set(shares)) == sorted(0.5 ** (place + 1) for place in range(len(set(shares))))
    assert net.pace["body.layers.0.weight"].share == min(shares)
    assert "body.linear.0.weight" not in net.pace
    optimiser = optimiser_for(groups_of(net, learner), learner)
    set_rate(optimiser, 1.0, 0.0)
    rates = {id(parameter): group["lr"] for group in optimiser.param_groups for parameter in group["params"]}
    assert rates[id(net.body.layers[0].weight)] == min(shares)
    assert rates[id(net.body.linear[0].weight)] == 1.0


def test_layers_join_from_the_last_to_the_first(saved):
    learner, net = started(saved, transfer="unfreeze")
    assert net.pace["body.layers.0.weight"].begins == 0.5
    assert net.pace["body.layers.1.3.weight"].begins < 0.5
    optimiser = optimiser_for(groups_of(net, learner), learner)
    first = next(group for group in optimiser.param_groups if any(one is net.body.layers[0].weight for one in group["params"]))
    rates = []
    for done in (0.0, 0.49, 0.5):
        set_rate(optimiser, 0.1, done)
        rates.append(first["lr"])
    assert rates == [0.0, 0.0, 0.1]


def test_what_differs_in_shape_begins_anew(saved):
    _, net = started(saved, blocks=3)
    assert "body.layers.0.weight" in net.pace
    taken = persist.load(saved)[0]["member.mlp-0001"].weights_
    np.testing.assert_array_equal(net.body.layers[0].weight.detach().numpy(), taken["body.layers.0.weight"])


@pytest.mark.parametrize(
    ("learner", "said"),
    [
        (ResNet(width=32, context=16), "holds no resnet to start from; it holds mlp"),
        (replace(MLP, context=12, width=8), "no layer of the mlp in .* has the shape"),
        (replace(MLP, transfer="borrow"), "transfer must be one of fine_tune, frozen, unfreeze"),
    ],
    ids=["family", "shape", "name"],
)
def test_a_start_that_cannot_be_one_is_refused(learner, said, saved):
    with pytest.raises(BadInput, match=said):
        fit(replace(learner, steps=2, start=str(saved)), panel_of("new", seed=9))


def test_a_missing_start_is_refused(tmp_path):
    with pytest.raises(BadInput, match="holds no saved ensemble"):
        fit(replace(MLP, steps=2, start=str(tmp_path / "none")), panel_of("new", seed=9))


def test_weights_that_know_the_future_of_a_series_are_refused(saved):
    whole = panel_of("many", 8)
    assert fit(replace(MLP, steps=2, start=str(saved)), whole).weights_
    with pytest.raises(BadInput, match=r"'many0' up to .* would have seen the future"):
        fit(replace(MLP, steps=2, start=str(saved)), whole.cut(whole.ends_S - 20))
