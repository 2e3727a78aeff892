"""A training step as it would be recorded on a GPU: nothing of it may happen on the host. The meta device, which holds no numbers, stands for one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from smoke import smoke
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.learners.deep.augmentation import AUGMENTATIONS
from ensemble_forecast.learners.deep.blocks import Growing
from ensemble_forecast.learners.deep.inputs import View, Windows
from ensemble_forecast.learners.deep.loss import Loss
from ensemble_forecast.learners.deep.losses import OF_CLASS, OF_CORRECTION, loss_for
from ensemble_forecast.learners.deep.mlp import Mlp
from ensemble_forecast.learners.deep.recordings import why_never
from ensemble_forecast.learners.deep.shapes import Anchored, Shapes
from ensemble_forecast.learners.deep.together import _Together
from ensemble_forecast.learners.deep.updates import Updates
from ensemble_forecast.registry import NETS

META = torch.device("meta")
TASK = Task(horizon=3, season_length=4, quantiles=(0.1, 0.5, 0.9))
BATCH = 8


class OnHost(Exception):
    """Something of a step happened on the host."""


class NothingOnHost(TorchDispatchMode):
    """Refuse every operation that reads, makes or takes a tensor elsewhere than on the device, or asks it for a number."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        has_kernel = func is not torch.ops.aten._sample_dirichlet.default  # the only one without
        said = func(*args, **(kwargs or {})) if has_kernel else torch.empty_like(args[0])
        tensors = [leaf for leaf in tree_leaves((args, kwargs, said)) if isinstance(leaf, torch.Tensor)]
        if func.overloadpacket.__name__ in {"_local_scalar_dense", "nonzero"} or any(tensor.device != META for tensor in tensors):
            raise OnHost(str(func))
        return said


def windows():
    """Windows of a short series with covariates of both kinds; some reach back beyond its start."""
    rng = np.random.default_rng(0)
    panel = replace(Panel.of([rng.normal(size=60).cumsum()], past=[rng.normal(size=(60, 2))]), known=rng.normal(size=(60, 1)), known_names=("k",))
    view = View(12, 4, 3, np.zeros(2), np.ones(2), np.zeros(1), np.ones(1))
    return Windows.of(panel, Origins.between(np.array([5]), np.array([50])), view, META)


def net_of(learner, n_outputs=3):
    seen = windows()
    with META:
        body = learner.net(Shapes(context=12, channels=3, extras=seen.n_extras, horizon=3, outputs=n_outputs))
        return Anchored(body, torch.zeros(3, n_outputs if n_outputs > 1 else 3)).train()  # a point has a table of quantiles


def updates_of(learner, monkeypatch, loss: Loss | None = None, **stage):
    """Updates on the device that is none, but for the optimiser's part: that is torch's own."""
    loss = loss or loss_for(TASK, place=META)
    net = net_of(learner, loss.n_outputs)
    for module in net.modules():
        if isinstance(module, Growing):
            module.grow(**stage)
    updates = Updates(net, loss, windows(), learner, None)
    monkeypatch.setattr(updates.optimiser, "step", lambda: None)
    for group in updates.optimiser.param_groups:
        group["capturable"] = True
    return updates


def run(updates, accumulate=1):
    index_AB = torch.zeros(accumulate, BATCH, dtype=torch.int64, device=META)
    with NothingOnHost():
        assert updates.update(index_AB).shape == ()


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("done", [0.0, 0.9])
def test_no_part_of_a_step_happens_on_the_host(name, done, monkeypatch):
    learner = smoke(name, dropout=0.1, batch=BATCH)
    updates = updates_of(learner, monkeypatch, done=done)
    if not why_never(updates.net, updates.optimiser):
        run(updates)
        assert all(weight.grad is not None for name, weight in updates.net.named_parameters() if "anchor" in name)
    else:
        with pytest.raises(OnHost):
            run(updates)


@pytest.mark.parametrize(("keeps", "dropout"), [("segments", 0.0), ("ends", 0.0), ("segments", 0.1), ("ends", 0.1)])
def test_a_deep_net_that_draws_and_computes_again_needs_the_host(keeps, dropout, monkeypatch):
    updates = updates_of(smoke("deep", keeps=keeps, dropout=dropout, batch=BATCH), monkeypatch, done=0.0)
    assert bool(why_never(updates.net, updates.optimiser)) is bool(dropout)
    if not dropout:
        run(updates)


@pytest.mark.parametrize("changed", [*({"augmentation": name} for name in AUGMENTATIONS), {"l1": 0.1}, {"accumulate": 2}], ids=str)
def test_no_choice_of_the_training_needs_the_host(changed, monkeypatch):
    updates = updates_of(Mlp(width=8, blocks=1, batch=BATCH, **changed), monkeypatch)
    run(updates, updates.recipe.accumulate)


@pytest.mark.parametrize("name", [*OF_CORRECTION, *OF_CLASS])
def test_no_loss_needs_the_host(name, monkeypatch):
    balanced = (replace(TASK, kind="direction"), name, np.zeros(3)) if name in OF_CLASS else (TASK, name)
    run(updates_of(Mlp(width=8, blocks=1, batch=BATCH), monkeypatch, loss_for(*balanced, place=META)))


def test_a_loss_on_another_device_is_found_out(monkeypatch):
    updates = updates_of(Mlp(width=8, blocks=1, batch=BATCH), monkeypatch, loss_for(TASK))
    with pytest.raises(RuntimeError, match="expected device"):
        run(updates)


def test_a_net_that_asks_for_a_number_is_found_out(monkeypatch):
    class Asking(torch.nn.Module):
        def forward(self, x):
            return x * float(torch.rand(()))

    updates = updates_of(Mlp(width=8, blocks=1, batch=BATCH), monkeypatch)
    updates.net.body.layers.append(Asking())
    with pytest.raises(OnHost):
        run(updates)


@pytest.mark.parametrize("rates", [(1e-3, 1e-3), (1e-3, 1e-2)])
def test_no_part_of_a_step_of_several_nets_happens_on_the_host(rates, monkeypatch):
    learner, seen = Mlp(width=8, blocks=1, batch=BATCH), windows()
    monkeypatch.setattr(_Together, "_weights_of", lambda *_: None)  # numbers are read at looks only
    monkeypatch.setattr(torch, "Generator", lambda _: torch.default_generator)  # the meta device has none
    together = _Together([net_of(learner), net_of(learner)], loss_for(TASK, place=META), seen, [range(46)] * 2, learner, rates, [0, 1])
    monkeypatch.setattr(together.optimiser, "step", lambda: None)
    with NothingOnHost():
        assert together.update(torch.zeros(2, BATCH, dtype=torch.int64, device=META)).shape == (2,)
    assert all(weight.grad is not None for weight in together.weights.values())
