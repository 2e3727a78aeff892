"""What makes a net fractal: paths of every length, each of which can forecast by itself."""

import pytest
import torch

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.fractal import Fractal, FractalNet, Fractals

WIDTH = 16


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def layer():
    return torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH), torch.nn.ReLU())


def test_columns_double_in_depth():
    block = Fractal(4, layer, drop=0.0)
    assert [len(column) for column in block.columns] == [1, 2, 4, 8]


@pytest.mark.parametrize("alone", [0, 1, 2])
def test_a_column_alone_is_its_layers_in_a_row(alone):
    block, x = Fractal(3, layer, drop=0.0), torch.randn(5, WIDTH)
    torch.testing.assert_close(block(x, alone), torch.nn.Sequential(*block.columns[alone])(x))


def test_columns_are_averaged_wherever_they_meet():
    block, x = Fractal(2, layer, drop=0.0), torch.randn(5, WIDTH)
    (shallow,), (first, second) = block.columns
    torch.testing.assert_close(block(x), (shallow(x) + second(first(x))) / 2)


def test_some_columns_are_left_out_in_training_but_never_all():
    block, x = Fractal(2, layer, drop=0.9).train(), torch.randn(5, WIDTH)
    (shallow,), (first, second) = block.columns
    paths = [shallow(x), second(first(x))]
    seen = [min(range(2), key=lambda path: (block(x) - paths[path]).abs().sum().item()) for _ in range(40)]
    assert set(seen) == {0, 1}
    torch.testing.assert_close(block.eval()(x), sum(paths) / 2)


def test_every_path_predicts_by_itself():
    fractals = Fractals([Fractal(3, layer, drop=0.15) for _ in range(2)])
    net = torch.nn.Sequential(torch.nn.Linear(3, WIDTH), fractals, torch.nn.Linear(WIDTH, 1)).train()
    x = torch.randn(512, 3)
    y = (x[:, :1].abs() - x[:, 1:2].clamp(min=0) + x[:, 2:]).sub(0.4)
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(400):
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(net(x), y).backward()
        optimiser.step()
    net.eval()
    explained = []
    for fractals.alone in (None, 0, 1, 2):
        explained.append(1 - float((net(x) - y).detach().square().mean() / y.var()))
    assert min(explained) > 0.8


@pytest.mark.parametrize("drop_path", [-0.1, 1.0])
def test_a_chance_that_leaves_nothing_is_refused(drop_path):
    with pytest.raises(BadInput, match="drop_path"):
        FractalNet(drop_path=drop_path)
