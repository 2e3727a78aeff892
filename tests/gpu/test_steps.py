"""Training steps on a GPU: they wait for nothing, and recorded they are the same steps."""

import contextlib
import time

import pytest
import torch

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.deep import recordings, training
from ensemble_forecast.learners.deep.checkpoints import Checkpoint
from ensemble_forecast.learners.deep.optimisers import OPTIMISERS
from ensemble_forecast.registry import NETS

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
every_net = pytest.mark.parametrize("name", NETS)
ways = pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "unrecorded"])

BEFORE, WITHIN = recordings.WARM_UP + 2, 12  # steps that set everything up, and steps that must not wait
ROUNDING = 0.02  # of what a training changes: some kernels add in an order of their own


@contextlib.contextmanager
def refusing_to_wait():
    """Raise where an operation waits for the device."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@pytest.fixture
def steps(monkeypatch):
    """Count the steps that are made, and refuse that any but the first ones waits."""
    made, update = [], training._Training.update

    def counted(self):
        made.append(self.progress.step)
        with refusing_to_wait() if BEFORE < len(made) <= BEFORE + WITHIN else contextlib.nullcontext():
            update(self)

    monkeypatch.setattr(training._Training, "update", counted)
    return made


@pytest.fixture
def replays(monkeypatch):
    """Count how often a recording is launched."""
    launched, replay = [], torch.cuda.CUDAGraph.replay

    def counted(self):
        launched.append(self)
        replay(self)

    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", counted)
    return launched


def test_the_mode_of_torch_notices_waiting():
    with refusing_to_wait(), pytest.raises(RuntimeError, match="synchroniz"):
        torch.ones((), device="cuda").item()


@every_net
@ways
def test_no_step_waits_for_the_device(name, recorded, fit, small, steps, monkeypatch):
    if not recorded:
        monkeypatch.setattr(recordings, "LAUNCH_BOUND", 0)
    fit(small(name, steps=200), "cuda")
    assert len(steps) == 200


@pytest.mark.parametrize(
    "changed",
    [
        *({"augmentation": name} for name in ("jitter", "scaling", "warp", "mixup")),
        *({"loss": name} for name in ("mse", "gaussian", "student_t")),
        *({"optimiser": name} for name in OPTIMISERS),
        {"accumulate": 2},
        {"l1": 0.1},
    ],
    ids=str,
)
def test_no_choice_of_the_training_makes_a_step_wait(changed, fit, small, steps):
    fit(small("mlp", **changed), "cuda")
    assert len(steps) == 80


@every_net
def test_a_recorded_training_is_the_unrecorded_one(name, fit, forecast, small, untrained, distance, replays, monkeypatch):
    learner = small(name, dropout=0.1)
    recorded = fit(learner, "cuda")
    if "kernel by kernel" not in recorded.diagnosis_:
        assert len(replays) >= learner.steps - 3 * recordings.WARM_UP
    else:
        assert (name, replays) == ("fractal", [])
    monkeypatch.setattr(recordings, "LAUNCH_BOUND", 0)
    replays.clear()
    assert distance(forecast(recorded, "cuda"), forecast(fit(learner, "cuda"), "cuda"), untrained(learner)) < ROUNDING
    assert not replays


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_recorded_optimiser_is_the_unrecorded_one(optimiser, fit, forecast, small, untrained, distance, replays, monkeypatch):
    learner = small("mlp", optimiser=optimiser)
    recorded = forecast(fit(learner, "cuda"), "cuda")
    assert bool(replays) is (optimiser not in {"sgd", "momentum"})
    monkeypatch.setattr(recordings, "LAUNCH_BOUND", 0)
    assert distance(recorded, forecast(fit(learner, "cuda"), "cuda"), untrained(learner)) < ROUNDING


@pytest.mark.parametrize("changed", [{"keeps": "segments"}, {"keeps": "ends"}, {"heads": 2}], ids=str)
def test_a_deep_net_that_draws_nothing_is_recorded(changed, fit, forecast, small, untrained, distance, replays, monkeypatch):
    learner = small("deep", dropout=0.0, **changed)
    recorded = forecast(fit(learner, "cuda"), "cuda")
    assert replays
    monkeypatch.setattr(recordings, "LAUNCH_BOUND", 0)
    assert distance(recorded, forecast(fit(learner, "cuda"), "cuda"), untrained(learner)) < ROUNDING


class Asking(torch.nn.Module):
    """Waits for the device in every step, and says so nowhere."""

    def forward(self, x_BF):
        return x_BF * (1.0 if float(x_BF.detach().mean()) < 1e9 else 2.0)


def test_what_cannot_be_recorded_is_trained_all_the_same(fit, small, replays, monkeypatch):
    learner = small("mlp", dropout=0.1)
    build = type(learner).net

    def asking(self, shapes):
        net = build(self, shapes)
        net.layers.insert(0, Asking())
        return net

    with monkeypatch.context() as patch:
        patch.setattr(type(learner), "net", asking)
        fitted = fit(learner, "cuda")
    assert "kernel by kernel" in fitted.diagnosis_
    assert not replays
    assert fit(learner, "cuda").stopped_ == {"steps": 80}  # the next one draws and records as if nothing had been
    assert replays


def test_recorded_steps_keep_to_the_deadline(fit, small):
    fit(small("mlp"), "cuda")  # sets libraries up
    begun = time.monotonic()
    fitted = fit(small("mlp", steps=10**7), "cuda", Deadline.after(2.0))
    assert fitted.truncated_
    assert time.monotonic() - begun < 4.0


def test_a_resumed_training_goes_on_as_if_never_killed(fit, forecast, small, untrained, distance, tmp_path, monkeypatch):
    learner, update, made = small("mlp", dropout=0.1), training._Training.update, []
    whole = forecast(fit(learner, "cuda"), "cuda")

    def interrupted(self):
        made.append(self.progress.step)
        if len(made) == 61:
            raise KeyboardInterrupt
        update(self)

    monkeypatch.setenv("ENSEMBLE_FORECAST_CHECKPOINTS", str(tmp_path))
    monkeypatch.setattr(training._Training, "update", interrupted)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "due", lambda _: True)
        patch.setattr(Checkpoint, "remove", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            fit(learner, "cuda")
    resumed = forecast(fit(learner, "cuda"), "cuda")
    assert made == [*range(61), *range(60, 80)]
    assert distance(resumed, whole, untrained(learner)) < ROUNDING
