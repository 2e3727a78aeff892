"""Recordings of steps: when they are made, thrown away and given up. A graph that runs the step again stands for CUDA's."""

import contextlib
import types

import numpy as np
import pytest
import torch
from smoke import smoke

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.deep import recordings
from ensemble_forecast.learners.deep.mlp import Mlp
from ensemble_forecast.learners.deep.optimisers import groups_of, optimiser_for, set_rate
from ensemble_forecast.learners.deep.recordings import AHEAD, WARM_UP, Launcher, launcher
from ensemble_forecast.windows import roles_until

GPU = torch.device("cuda")


class Device:
    """Stands for torch.cuda: recording a step notes it, and replaying runs it on what its input holds by then."""

    def __init__(self):
        self.how, self.waited, self.recording, self.fails = [], 0, False, False
        self.launcher = None

    def step(self, index):
        self.how.append("recorded" if self.recording else "run")
        if self.recording and self.fails:
            raise RuntimeError("operation not permitted\nwhile it is recorded")
        return index.sum()

    @contextlib.contextmanager
    def graph(self, _, **__):
        self.recording = True
        try:
            yield
        finally:
            self.recording = False

    def replay(self):
        self.how.append("replayed")
        self.launcher._said.copy_(self.launcher._index.sum())

    def wait(self):
        self.waited += 1


@pytest.fixture
def device(monkeypatch):
    device = Device()
    stream = types.SimpleNamespace(wait_stream=lambda _: None)
    stand_ins = {
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": lambda _: contextlib.nullcontext(),
        "CUDAGraph": lambda: types.SimpleNamespace(replay=device.replay),
        "graph": device.graph,
        "get_rng_state": lambda: None,
        "Event": lambda **_: types.SimpleNamespace(record=lambda: None, synchronize=device.wait),
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(recordings, "_forget_recording", lambda *_: device.how.append("forgotten"))
    device.launcher = Launcher(device.step, records=True)
    return device


def called(device, times):
    """Call with inputs that differ, and see that each gets its own answer."""
    for number in range(times):
        assert float(device.launcher(torch.tensor([number, 1]))) == number + 1
    return device.how


def test_a_step_is_run_then_recorded_then_replayed(device):
    assert called(device, 6) == ["run"] * WARM_UP + ["recorded"] + ["replayed"] * (6 - WARM_UP)


def test_a_step_that_has_changed_is_recorded_anew(device):
    called(device, 5)
    device.how.clear()
    device.launcher.anew()
    assert device.waited == 5 - WARM_UP  # what was launched has ended
    assert called(device, 5) == ["run"] * WARM_UP + ["recorded"] + ["replayed"] * (5 - WARM_UP)


def test_what_cannot_be_recorded_is_run_and_told(device):
    device.fails = True
    assert called(device, 6) == ["run"] * WARM_UP + ["recorded", "forgotten"] + ["run"] * (6 - WARM_UP)
    assert device.launcher.why_not == "operation not permitted"


def test_the_host_is_never_more_than_a_few_steps_ahead(device):
    called(device, WARM_UP + AHEAD + 5)
    assert device.waited == 5


def test_unrecorded_a_step_is_called_as_it_is(device):
    device.launcher = Launcher(device.step)
    assert called(device, 5) == ["run"] * 5


def on_gpu(n_weights=1000, **group):
    """Stands for an optimiser of weights on a GPU."""
    weight = types.SimpleNamespace(device=GPU, numel=lambda: n_weights)
    return types.SimpleNamespace(param_groups=[{"params": [weight], "capturable": True, **group}])


@pytest.mark.parametrize(
    ("optimiser", "recipe", "records"),
    [
        (on_gpu(), Mlp(), True),
        (on_gpu(), Mlp(steps=20), False),
        (on_gpu(n_weights=10**9), Mlp(), False),
    ],
    ids=["small", "short", "large"],
)
def test_small_nets_in_long_trainings_are_recorded(optimiser, recipe, records, device):
    chosen = launcher(device.step, torch.nn.Linear(1, 1), optimiser, recipe)
    assert (chosen._records, chosen.why_not) == (records, "")


def test_what_the_host_decides_anew_is_told(device):
    drawing = torch.nn.Linear(1, 1)
    drawing.draws_on_host = True
    assert "random numbers" in launcher(device.step, drawing, on_gpu(), Mlp()).why_not
    assert "learning rate" in launcher(device.step, torch.nn.Linear(1, 1), on_gpu(capturable=False), Mlp()).why_not


def test_on_a_cpu_nothing_is_recorded_and_nothing_told():
    net = torch.nn.Linear(2, 2)
    chosen = launcher(net, net, optimiser_for(groups_of(net, Mlp()), Mlp()), Mlp())
    assert (chosen._records, chosen.why_not) == (False, "")


def test_a_rate_on_the_device_is_changed_in_place():
    net = torch.nn.Linear(2, 2)
    optimiser = optimiser_for(groups_of(net, Mlp()), Mlp())
    rates = [torch.tensor(0.0) for _ in optimiser.param_groups]
    for group, rate in zip(optimiser.param_groups, rates, strict=True):
        group["lr"] = rate
    set_rate(optimiser, 0.25, 0.5)
    assert [float(rate) for rate in rates] == [0.25] * len(rates)


@pytest.mark.parametrize(
    ("name", "changed", "times"),
    [("resnet", {"grow_from": 1}, 1), ("autoencoder", {}, 1), ("deep", {"heads": 2}, 1), ("mlp", {}, 0)],
    ids=["growing", "pretrained", "supervised", "plain"],
)
def test_steps_are_recorded_anew_where_the_net_changes(name, changed, times, monkeypatch):
    told = []
    monkeypatch.setattr(Launcher, "anew", lambda self: told.append(self))
    panel, task = Panel.of([np.sin(np.arange(120) / 3)]), Task(horizon=3, season_length=4)
    fitted = smoke(name, **changed).fit(panel, roles_until(panel, task, panel.ends_S), task, Deadline.never())
    assert len(told) == times
    assert "kernel by kernel" not in fitted.diagnosis_
