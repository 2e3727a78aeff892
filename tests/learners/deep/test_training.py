"""The training loop: its schedule, averaging, batches, lengths and failures."""

import copy
import math

import numpy as np
import pytest
import torch

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, Diverged
from ensemble_forecast.learners.deep import devices, training, updates
from ensemble_forecast.learners.deep.corrections import Pinball
from ensemble_forecast.learners.deep.inputs import View, Windows
from ensemble_forecast.learners.deep.mlp import Mlp
from ensemble_forecast.learners.deep.optimisers import groups_of, optimiser_for
from ensemble_forecast.learners.deep.schedules import Schedule
from ensemble_forecast.learners.deep.shapes import Anchored, Shapes

CPU = torch.device("cpu")
TASK = Task(horizon=3, season_length=4, quantiles=(0.1, 0.5, 0.9))


def small_windows(n=64):
    rng = np.random.default_rng(0)
    panel = Panel.of([rng.normal(size=n + 16).cumsum()])
    view = View(context=8, season=4, horizon=3, past_mean_C=np.empty(0), past_std_C=np.empty(0))
    return Windows.of(panel, Origins.between(np.array([8]), np.array([7 + n])), view, CPU)


def small_net(windows, dropout=0.0):
    torch.manual_seed(0)
    shapes = Shapes(context=8, channels=1, extras=windows.n_extras, horizon=3, outputs=3)
    return Anchored(
        Mlp(width=64, blocks=1, dropout=dropout).net(shapes), Pinball(TASK.quantiles).climatology(Pinball(TASK.quantiles).targets(windows))
    )


@pytest.fixture(autouse=True)
def _keep_the_global_state():
    with torch.random.fork_rng():
        yield


def recipe(**changes):
    return Mlp(**{"steps": 40, "batch": 16, "learning_rate": 5e-3, "weight_decay": 0.0, **changes})


def test_the_learning_rate_rises_linearly_and_falls_by_half_a_cosine_to_zero():
    rates = [Schedule("cosine", 200, 0.05).factor(step) for step in range(200)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10)
    assert rates[9] == max(rates) == 1.0
    assert np.diff(rates[9:]).max() < 0
    middle = 10 - 1 + 191 / 2
    assert (rates[math.floor(middle)] + rates[math.ceil(middle)]) / 2 == pytest.approx(0.5, abs=1e-3)
    assert 0 < rates[-1] < 1e-3


def test_a_training_of_one_step_has_a_learning_rate():
    assert Schedule("cosine", 1, 0.05).factor(0) == 1.0


def test_evaluation_points_span_few_steps_to_the_whole_by_square_roots_of_two():
    assert sorted(training.evaluation_points(128)) == [4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128], "a thirty-second, or"
    assert sorted(training.evaluation_points(3200))[:4] == [9, 12, 18, 25], "about eight steps"
    assert training.evaluation_points(1) == {1}


def test_the_average_is_the_recursion_written_out():
    net = torch.nn.Linear(2, 1)
    average = copy.deepcopy(net)
    expected = net.weight.detach().numpy().copy()
    for step in range(30):
        with torch.no_grad():
            net.weight.add_(torch.tensor([[1.0, -0.5]]) * step)
        decay = min(0.998, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * net.weight.detach().numpy()
        updates.update_average(average, net, step, 0.998)
    np.testing.assert_allclose(average.weight.detach().numpy(), expected, rtol=1e-5)


def test_every_pass_sees_every_position_once():
    batches = updates.Batches(10, 4, torch.Generator().manual_seed(1))
    drawn = torch.cat([batches.draw() for _ in range(5)])
    assert sorted(drawn[:10].tolist()) == sorted(drawn[10:].tolist()) == list(range(10))
    assert drawn[:10].tolist() != drawn[10:].tolist()


def test_a_batch_larger_than_the_data_is_filled_by_several_passes():
    batch = updates.Batches(3, 8, torch.Generator().manual_seed(1)).draw()
    assert torch.bincount(batch).tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


def test_the_net_overfits_a_single_batch():
    windows, loss = small_windows(n=16), Pinball(TASK.quantiles)
    net = small_net(windows)
    before = updates.evaluate(net, loss, windows)
    training.train(net, loss, windows, None, recipe(steps=600), 0, Deadline.never())
    assert updates.evaluate(net.eval(), loss, windows) < 0.1 * before


def test_without_a_stop_role_exactly_the_steps_are_made():
    windows = small_windows()
    trained = training.train(small_net(windows), Pinball(TASK.quantiles), windows, None, recipe(steps=37), 0, Deadline.never())
    assert (trained.steps, trained.truncated) == (37, False)


def test_early_stopping_keeps_the_snapshot_that_is_best_on_the_stop_role():
    fit, loss = small_windows(n=16), Pinball(TASK.quantiles)
    stop = small_windows(n=64)
    net = small_net(fit)
    trained = training.train(net, loss, fit, stop, recipe(steps=600), 0, Deadline.never())
    assert trained.steps < 600
    best = copy.deepcopy(net).eval()
    best.load_state_dict({name: torch.from_numpy(array) for name, array in trained.weights.items()})
    assert updates.evaluate(best, loss, stop) <= updates.evaluate(net.eval(), loss, stop)


def test_a_deadline_truncates_and_says_so():
    windows = small_windows()
    trained = training.train(small_net(windows), Pinball(TASK.quantiles), windows, None, recipe(steps=10_000), 0, Deadline.after(0.05))
    assert trained.truncated
    assert 1 <= trained.steps < 10_000


@pytest.mark.parametrize("rate", [1e8, 1e38])
def test_an_exploding_learning_rate_raises_a_clear_error(rate):
    windows = small_windows()
    with pytest.raises(Diverged, match=r"loss must stay below 1000; it was .* after \d+ steps at learning_rate=.*: lower"):
        training.train(small_net(windows), Pinball(TASK.quantiles), windows, None, recipe(learning_rate=rate, steps=20), 0, Deadline.never())


@pytest.mark.parametrize("name", ["adamw", "radam"])
def test_only_matrices_decay(name):
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LayerNorm(3))
    before = copy.deepcopy(net)
    setting = recipe(optimiser=name, weight_decay=0.5)
    optimiser = optimiser_for(groups_of(net, setting), setting)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    assert (net[0].weight.abs() < before[0].weight.abs()).all()
    assert torch.equal(net[0].bias, before[0].bias)
    assert torch.equal(net[1].weight, before[1].weight)


def test_reproducible_code_leaves_the_global_state_alone():
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    with devices.reproducible(3):
        first = torch.rand(4)
        assert torch.get_num_threads() == 1
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    torch.manual_seed(99)
    with devices.reproducible(3):
        assert torch.equal(torch.rand(4), first)


def test_the_device_follows_the_variable(monkeypatch):
    monkeypatch.setenv("ENSEMBLE_FORECAST_DEVICE", "cpu")
    assert devices.device() == CPU
    monkeypatch.setenv("ENSEMBLE_FORECAST_DEVICE", "tpu")
    with pytest.raises(BadInput, match="must be cpu, cuda or auto; got 'tpu'"):
        devices.device()
