"""A training that was killed goes on to the last bit, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import Diverged
from ensemble_forecast.learners.deep.checkpoints import Checkpoint
from ensemble_forecast.learners.deep.mlp import Mlp
from ensemble_forecast.windows import roles_until

CUTOFF, STEPS = 150, 200

FIT = textwrap.dedent(
    """
    import numpy as np
    from ensemble_forecast.data.panel import Panel
    from ensemble_forecast.data.task import Task
    from ensemble_forecast.deadline import Deadline
    from ensemble_forecast.learners.deep import checkpoints, training
    from ensemble_forecast.learners.deep.mlp import Mlp
    from ensemble_forecast.windows import roles_until

    checkpoints.EVERY_S = 0.0
    write, steps = checkpoints.Checkpoint.write, []

    def write_and_wait(self, state):
        write(self, state)
        if state["progress"]["step"] == 100:
            print("half way", flush=True)
            input()

    checkpoints.Checkpoint.write = write_and_wait
    checkpoints.Checkpoint.due = lambda self: True
    panel = Panel.of([np.random.default_rng(0).normal(size=200).cumsum()])
    Mlp(SETTING).fit(panel, roles_until(panel, Task(horizon=3), np.array([150])), Task(horizon=3), Deadline.never())
    """
)


def checkpoint_at(path):
    """A checkpoint whose name is given, not worked out."""
    checkpoint = Checkpoint(path.parent, ())
    checkpoint._path = path
    return checkpoint


def fit(**setting):
    panel, task = Panel.of([np.random.default_rng(0).normal(size=200).cumsum()]), Task(horizon=3)
    return Mlp(**setting).fit(panel, roles_until(panel, task, np.array([CUTOFF])), task, Deadline.never())


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"optimiser": "momentum", "learning_rate": 1e-2, "schedule": "plateau", "accumulate": 2},
        {"optimiser": "radam", "augmentation": "mixup", "dropout": 0.5, "ema": 0.0},
    ],
)
def test_two_hundred_steps_equal_one_hundred_a_kill_and_one_hundred_more(tmp_path, monkeypatch, setting):
    setting = {"steps": STEPS, "width": 16, "blocks": 1, "batch": 16, **setting}
    expected = fit(**setting)
    script = FIT.replace("SETTING", ", ".join(f"{name}={value!r}" for name, value in setting.items()))
    environment = os.environ | {"ENSEMBLE_FORECAST_CHECKPOINTS": str(tmp_path), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "half way"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(list(tmp_path.glob("*.npz"))) == 1
    monkeypatch.setenv("ENSEMBLE_FORECAST_CHECKPOINTS", str(tmp_path))
    state = checkpoint_at(next(tmp_path.glob("*.npz"))).read()
    assert state["progress"]["step"] == STEPS // 2
    resumed = fit(**setting)
    assert resumed.weights_.keys() == expected.weights_.keys()
    assert all(resumed.weights_[name].tobytes() == expected.weights_[name].tobytes() for name in expected.weights_)
    assert resumed.stopped_ == expected.stopped_
    assert not list(tmp_path.iterdir())


def test_a_training_that_fails_leaves_no_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setenv("ENSEMBLE_FORECAST_CHECKPOINTS", str(tmp_path))
    monkeypatch.setattr(Checkpoint, "due", lambda _self: True)
    with pytest.raises(Diverged):
        fit(steps=20, width=16, blocks=1, batch=16, learning_rate=1e8)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_serves_no_other_training(tmp_path, monkeypatch):
    monkeypatch.setenv("ENSEMBLE_FORECAST_CHECKPOINTS", str(tmp_path))
    values = np.arange(5.0)
    own = Checkpoint.of(Mlp(steps=10), Task(horizon=3), values)
    own.write({"step": 1})
    assert Checkpoint.of(Mlp(steps=10), Task(horizon=3), values).read() == {"step": 1}
    for other in (Checkpoint.of(Mlp(steps=11), Task(horizon=3), values), Checkpoint.of(Mlp(steps=10), Task(horizon=3), values + 1)):
        assert other.read() is None


def test_a_state_comes_back_as_it_was(tmp_path):
    checkpoint = checkpoint_at(tmp_path / "state.npz")
    state = {"tensors": {0: {"step": torch.tensor(3.0)}, 1: [torch.arange(3)]}, "arrays": np.eye(2), "none": None, "inf": float("inf")}
    checkpoint.write(state)
    back = checkpoint.read()
    assert torch.equal(back["tensors"][0]["step"], torch.tensor(3.0))
    assert torch.equal(back["tensors"][1][0], torch.arange(3))
    np.testing.assert_array_equal(back["arrays"], np.eye(2))
    assert (back["none"], back["inf"]) == (None, float("inf"))


def test_nothing_is_kept_unless_a_folder_is_named(monkeypatch):
    monkeypatch.delenv("ENSEMBLE_FORECAST_CHECKPOINTS", raising=False)
    assert Checkpoint.of(1) is None
