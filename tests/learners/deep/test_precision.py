"""Products in bfloat16: where the device has instructions for them, and what becomes of a training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep import devices
from ensemble_forecast.learners.deep.deep import Deep
from ensemble_forecast.learners.deep.devices import in_precision
from ensemble_forecast.learners.deep.mlp import Mlp
from ensemble_forecast.learners.deep.shapes import Shapes
from ensemble_forecast.windows import Roles

SHAPES = Shapes(context=12, channels=1, extras=2, horizon=3, outputs=9)
CPU, GPU = torch.device("cpu"), torch.device("cuda")
TASK = Task(horizon=3, season_length=7)
PANEL = Panel.of([5 * np.sin(2 * np.pi * np.arange(300) / 7) + np.random.default_rng(0).normal(size=300)])
EARLY, LATE = Origins.between(np.array([30]), np.array([240])), Origins.between(np.array([250]), np.array([290]))
STEPS = 60


@pytest.fixture(params=["avx512_bf16", "amx_bf16", "bf16"])
def with_instructions(request, monkeypatch):
    monkeypatch.setattr(devices, "_cpu_words", lambda: frozenset({"avx2", request.param}))


@pytest.fixture
def without_instructions(monkeypatch):
    monkeypatch.setattr(devices, "_cpu_words", lambda: frozenset({"avx2", "avx512_f"}))


def halved(place, precision):
    context = in_precision(place, precision)
    assert not context._enabled or context.fast_dtype is torch.bfloat16
    return context._enabled


def forecast(learner):
    return replace(learner).fit(PANEL, Roles(EARLY), TASK, Deadline.never()).predict(PANEL, LATE, Deadline.never())


@pytest.mark.usefixtures("with_instructions")
def test_a_cpu_with_the_instructions_uses_them_where_it_is_asked_to():
    assert [halved(CPU, precision) for precision in devices.PRECISIONS] == [False, False, True]


@pytest.mark.usefixtures("without_instructions")
def test_a_cpu_without_them_does_not():
    assert [halved(CPU, precision) for precision in devices.PRECISIONS] == [False, False, False]
    assert np.array_equal(forecast(Mlp(steps=STEPS, precision="bfloat16")), forecast(Mlp(steps=STEPS)))


def test_a_gpu_uses_them_unless_it_is_asked_not_to(monkeypatch):
    monkeypatch.setattr(devices.torch, "autocast", lambda kind, dtype, enabled: (kind, dtype, enabled))
    assert [in_precision(GPU, precision) for precision in devices.PRECISIONS] == [("cuda", torch.bfloat16, on) for on in (True, False, True)]


@pytest.mark.usefixtures("with_instructions")
def test_a_training_in_bfloat16_ends_close_to_one_in_float32():
    learner = Mlp(steps=STEPS, dropout=0.0)
    start, full, half = (forecast(each) for each in (replace(learner, steps=1, learning_rate=1e-12), learner, replace(learner, precision="bfloat16")))
    moved, apart = (float(np.sqrt(np.square(other - full).mean())) for other in (start, half))
    assert 0 < apart < 0.1 * moved


@pytest.mark.usefixtures("with_instructions")
@pytest.mark.parametrize("keeps", ["segments", "ends"])
def test_what_runs_again_on_the_way_back_runs_as_it_did(keeps):
    """Gradients of products in bfloat16, computed from what was kept and from what is computed again."""
    window_BLC, extras_BE = torch.randn(16, 12, 1), torch.randn(16, 2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Deep(width=16, blocks=12, keeps=keeps, dropout=0.0).net(SHAPES).train()

    def gradients(keeps):
        net.keeps = keeps
        net.zero_grad()
        with in_precision(CPU, "bfloat16"):
            loss = net(window_BLC, extras_BE).float().square().mean()
        loss.backward()
        return [parameter.grad.clone() for parameter in net.parameters()]

    within = 0.0 if keeps == "segments" else 0.02  # reversed streams are rounded
    for again, kept in zip(gradients(keeps), gradients("all"), strict=True):
        torch.testing.assert_close(again, kept, rtol=within, atol=within * float(kept.abs().max()))


def test_another_precision_is_refused():
    with pytest.raises(BadInput, match="precision must be one of auto, float32, bfloat16; got 'float16'"):
        forecast(Mlp(precision="float16"))
