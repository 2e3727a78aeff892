"""Every registered net, crossed with the laws of its module (see learners/deep/nets.py)."""

import pytest
import torch
from smoke import smoke

from ensemble_forecast.learners.deep.blocks import WithLoss
from ensemble_forecast.learners.deep.shapes import Shapes
from ensemble_forecast.registry import NETS

SHAPES = Shapes(context=12, channels=3, extras=2, horizon=4, outputs=5)
every_net = pytest.mark.parametrize("name", NETS)


def module_of(name, *, seed=0, awake=True, **changed):
    """The module of a net; awake: with every parameter that starts at zero (the head) set at random, so that gradients reach the body."""
    learner = smoke(name, **changed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = learner.net(SHAPES).eval()
        for parameter in module.parameters() if awake else ():
            if not parameter.any():
                torch.nn.init.normal_(parameter)
    return module


def inputs(batch):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, SHAPES.context, SHAPES.channels, generator=generator), torch.randn(batch, SHAPES.extras, generator=generator)


def unreached(module):
    """Names of parameters that no loss depends on, neither in training nor in use."""
    for training in (True, False):
        said = module.train(training)(*inputs(16)).square().sum()
        (said + sum(part.own_loss for part in module.modules() if isinstance(part, WithLoss))).backward()
    return [name for name, parameter in module.named_parameters() if parameter.grad is None or not parameter.grad.any()]


@every_net
def test_every_parameter_gets_a_gradient(name):
    assert not unreached(module_of(name))


@every_net
@pytest.mark.parametrize("batch", [1, 3])
def test_the_output_has_a_row_for_every_window(name, batch):
    assert module_of(name)(*inputs(batch)).shape == (batch, SHAPES.horizon, SHAPES.outputs)


@every_net
def test_an_untrained_net_corrects_nothing(name):
    assert not module_of(name, awake=False)(*inputs(3)).any()


@every_net
def test_rows_of_a_batch_do_not_see_each_other(name):
    window_BLC, extras_BE = inputs(6)
    module = module_of(name)
    alone = module(window_BLC, extras_BE)[:1]
    window_BLC[1:], extras_BE[1:] = 1e3, -1e3
    torch.testing.assert_close(module(window_BLC, extras_BE)[:1], alone)


@every_net
@pytest.mark.parametrize("part", ["window", "extras"])
def test_every_input_is_read(name, part):
    window_BLC, extras_BE = (tensor.requires_grad_() for tensor in inputs(16))
    module_of(name)(window_BLC, extras_BE).square().sum().backward()
    gradient = window_BLC.grad if part == "window" else extras_BE.grad
    assert gradient.abs().sum(dim=0).gt(0).all()


def test_the_law_catches_a_parameter_that_does_nothing():
    class Idle(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))

        def forward(self, window_BLC, _):
            return window_BLC.sum() * self.used

    assert unreached(Idle()) == ["idle"]
