"""Recorded trainings without a GPU: a tape of tensor operations that is run again in place stands for a CUDA graph, and must give the same bits."""

import contextlib
import types

import numpy as np
import pytest
import torch
from smoke import smoke
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.deep import recordings, together, training, updates
from ensemble_forecast.learners.deep.mlp import Mlp
from ensemble_forecast.learners.deep.optimisers import optimiser_for
from ensemble_forecast.learners.deep.recordings import Launcher
from ensemble_forecast.registry import NETS
from ensemble_forecast.windows import Roles

STEPS = 24
FIT = Origins.between(np.full(2, 12), np.full(2, 80))
TASK = Task(horizon=3, season_length=4)
NEVER = Deadline.never()


def as_it_is(value):
    """Keep a tensor's shape, which may still change in place; its numbers are shared."""
    return value.detach() if isinstance(value, torch.Tensor) else value


class Tape(TorchDispatchMode):
    """Notes every operation; run again, each reads and writes the tensors it read and wrote first, whatever the host would do by then."""

    def __init__(self):
        super().__init__()
        self.noted, self.runs = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        read = tree_map(as_it_is, (args, kwargs or {}))
        said = func(*args, **(kwargs or {}))
        if torch.Tag.inplace_view not in func.tags:
            self.noted.append((func, *read, tree_map(as_it_is, said)))
        return said

    def replay(self):
        """Run again; not the first time, for unlike a graph's the recording itself has run."""
        self.runs += 1
        with torch._C._AutoDispatchBelowAutograd():  # where they were noted
            for func, args, kwargs, said in self.noted if self.runs > 1 else []:
                if func._schema.is_mutable:
                    func(*args, **kwargs)
                elif not any(returned.alias_info for returned in func._schema.returns):  # a view is there already
                    again = func(*args, **kwargs)
                    for old, new in zip(tree_leaves(said), tree_leaves(again), strict=True):
                        if isinstance(old, torch.Tensor):
                            old.copy_(new)


@pytest.fixture
def panel():
    step, rng = np.arange(100), np.random.default_rng(0)
    return Panel.of([np.sin(np.pi * step / 2) + 0.1 * rng.normal(size=100).cumsum() for _ in range(2)])


@pytest.fixture
def tapes(monkeypatch):
    """Let tapes stand for graphs, and every net that can be recorded be recorded; tells the tapes that were made."""
    stream, made = types.SimpleNamespace(wait_stream=lambda _: None), []

    def tape():
        made.append(Tape())
        return made[-1]

    stand_ins = {
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": lambda _: contextlib.nullcontext(),
        "get_rng_state": lambda: None,
        "Event": lambda **_: types.SimpleNamespace(record=lambda: None, synchronize=lambda: None),
        "CUDAGraph": tape,
        "graph": lambda tape, **_: tape,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)

    def records(step, net, optimiser, recipe):
        return Launcher(step, records=not recordings.why_never(net, optimiser))

    for module in (training, together):
        monkeypatch.setattr(module, "launcher", records)
    return made


@pytest.fixture(autouse=True)
def _rates_are_tensors(monkeypatch):
    """Keep learning rates as on a GPU, which fused optimisers allow on a CPU too."""

    def built(groups, recipe):
        optimiser = optimiser_for(groups, recipe)
        for group in optimiser.param_groups:
            group["lr"] = torch.tensor(group["lr"])
        return optimiser

    def can(net, optimiser):
        drawn = [getattr(module, "draws_on_host", False) for module in net.modules()]
        return "it draws" if any(drawn) else ""

    monkeypatch.setattr(recordings, "why_never", can)
    for module in (updates, together):
        monkeypatch.setattr(module, "optimiser_for", built)


def same(one, other):
    assert one.stopped_ == other.stopped_
    for name, weights in other.weights_.items():
        np.testing.assert_array_equal(one.weights_[name], weights, err_msg=name)


CHOICES = [
    *((name, {}) for name in NETS),
    ("resnet", {"norm": "batch", "grow_from": 1, "deep_supervision": True, "drop_path": 0.2}),
    ("deep", {"keeps": "segments", "dropout": 0.0, "heads": 2}),
    ("deep", {"keeps": "ends", "dropout": 0.0}),
    ("transformer", {"experts": 3, "decoder": True}),
    *(("mlp", {"augmentation": name}) for name in ("jitter", "scaling", "warp", "mixup")),
    *(("mlp", {"loss": name}) for name in ("mse", "gaussian", "student_t")),
    ("mlp", {"accumulate": 2, "l1": 0.1, "optimiser": "adam"}),
]


@pytest.mark.parametrize(("name", "changed"), CHOICES, ids=str)
def test_a_recorded_training_is_the_unrecorded_one_to_the_bit(name, changed, panel, request):
    learner = smoke(name, **({"steps": STEPS, "batch": 16, "dropout": 0.1} | changed))
    plain = learner.fit(panel, Roles(FIT), TASK, NEVER)
    tapes = request.getfixturevalue("tapes")
    recorded = smoke(name, **({"steps": STEPS, "batch": 16, "dropout": 0.1} | changed)).fit(panel, Roles(FIT), TASK, NEVER)
    grows = name == "autoencoder" or "grow_from" in changed or changed.get("heads", 1) > 1
    assert len(tapes) == (0 if name == "fractal" else 2 if grows else 1)
    assert sum(tape.runs for tape in tapes) == (STEPS - recordings.WARM_UP * len(tapes) if tapes else 0)
    same(recorded, plain)


def test_nets_that_are_recorded_together_are_the_unrecorded_ones(panel, request):
    learner, tasks = Mlp(width=8, blocks=1, context=8, batch=16, steps=STEPS), [Task(horizon=3, season_length=4, seed=seed) for seed in range(3)]
    plain = learner.fit_many(panel, [FIT] * 3, None, tasks, NEVER)
    tapes = request.getfixturevalue("tapes")
    for one, other in zip(learner.fit_many(panel, [FIT] * 3, None, tasks, NEVER), plain, strict=True):
        same(one, other)
    assert [tape.runs for tape in tapes] == [STEPS - recordings.WARM_UP]


def test_a_tape_keeps_what_the_host_decided(panel, request, monkeypatch):
    """A net that asks the host anew in every step is another one when it is recorded: what `draws_on_host` is for, and what this test finds."""
    learner = smoke("fractal", steps=STEPS, batch=16)
    plain = learner.fit(panel, Roles(FIT), TASK, NEVER)
    monkeypatch.setattr(recordings, "why_never", lambda *_: "")
    assert request.getfixturevalue("tapes") == []
    recorded = smoke("fractal", steps=STEPS, batch=16).fit(panel, Roles(FIT), TASK, NEVER)
    with pytest.raises(AssertionError):
        same(recorded, plain)
