"""Trials that share one GPU: two at once, each within its part of the memory."""

import pytest
import torch

from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.base import Size
from ensemble_forecast.learners.deep import sharing
from ensemble_forecast.search.pool import Pool
from ensemble_forecast.store import RunFolder

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

NET = {"family": "mlp", "params": {"steps": 2000, "width": 64}}


def job(id):
    return {"job": "trial", "id": id, **NET, "config": NET, "bars": [], "rival": None, "rungs": [], "limit_s": None, "retry_of": None}


def test_two_trials_run_at_once_on_one_gpu(panel, tmp_path):
    run_folder, patience, answers, together = RunFolder(tmp_path / "study"), Deadline.after(120), [], 0
    with run_folder.lock(), Pool(4, run_folder, panel, Task(horizon=4, season_length=7), {"test": 0.0, "n_windows": 2}, device="cuda") as pool:
        while pool.idle().count("cuda") < 2 and not patience.passed():
            assert pool.poll(1) == []
        assert sorted(pool.idle()) == ["cpu", "cpu", "cuda", "cuda"]
        for id in ("mlp-0001", "mlp-0002"):
            pool.submit(job(id), "cuda")
        while len(answers) < 2 and not patience.passed():
            together += len(pool.running()) == 2
            answers += pool.poll(0.2)
    assert [answer["state"] for answer in answers] == ["finished"] * 2, answers
    assert together
    one, other = run_folder.candidates()
    assert one.forecasts_NHQ.tobytes() == other.forecasts_NHQ.tobytes()


def test_a_process_stays_within_its_part():
    size = Size(n_series=3, n_fit=600, n_scored=100, length=300)
    before = torch.cuda.get_per_process_memory_fraction()
    try:
        said = sharing.take_part(size, Task(horizon=4), 8, None)
        assert 1 <= said["gpu_sharers"] <= 8
        total = torch.cuda.mem_get_info()[1]
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(int(1.1 * said["gpu_part"] * total), dtype=torch.uint8, device="cuda")
        assert torch.empty(2**20, device="cuda").sum().isfinite()
    finally:
        torch.cuda.set_per_process_memory_fraction(before)


def test_what_a_training_takes_is_less_than_was_forecast(fit, small):
    size, task = Size(n_series=3, n_fit=630, n_scored=0, length=300, n_past=1), Task(horizon=4, season_length=7)
    learner = small("transformer", width=128, heads=4, layers=4, batch=512)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    fit(learner, "cuda")
    assert torch.cuda.max_memory_allocated() - held < sharing.DRAWN * learner.memory(size, task)
