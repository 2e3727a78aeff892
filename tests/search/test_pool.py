import os
import signal
import subprocess
import sys
import time

import pytest

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, Unfinished
from ensemble_forecast.search.pool import Pool, has_cuda
from ensemble_forecast.search.protocol import Inbox, encode

SLOW = {"family": "ridge", "params": {"context": 12}}

ALONE = """
import sys, time
import numpy as np
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.search.pool import Pool
from ensemble_forecast.store import RunFolder
run = RunFolder(sys.argv[1])
with run.lock():
    pool = Pool(2, run, Panel.of([np.arange(100.0)]), Task(horizon=3), {"test": 0.0}, device="cpu")
    print(*pool.pids(), flush=True)
    time.sleep(60)
"""


def job(id, config=SLOW):
    return {"job": "trial", "id": id, "family": config["family"], "params": config["params"], "config": config} | {
        "bars": [], "rival": None, "rungs": [], "limit_s": None, "retry_of": None,
    }  # fmt: skip


@pytest.fixture
def pool(run_folder, panel, task, plan_spec):
    with run_folder.lock(), Pool(1, run_folder, panel, task, plan_spec, device="cpu") as pool:
        yield pool


def answers(pool, count):
    got = []
    while len(got) < count:
        got += pool.poll(5)
    return got


def test_messages_come_out_whole_however_they_are_cut():
    sent = [{"a": 1}, {"b": "x\ny"}]
    stream = b"".join(map(encode, sent))
    for size in (1, 2, 7, 100):
        inbox = Inbox()
        assert [message for start in range(0, len(stream), size) for message in inbox.feed(stream[start : start + size])] == sent


def test_a_trial_is_committed_by_its_worker(pool, run_folder):
    pool.submit(job("ridge-0001"))
    assert pool.idle() == []
    (answer,) = answers(pool, 1)
    assert (answer["state"], answer["id"]) == ("finished", "ridge-0001")
    (candidate,) = run_folder.candidates()
    assert candidate.report["value"] == answer["value"]
    assert candidate.report["refit"]["family"] == "ridge"
    assert candidate.report["fit_origins"] > 0


def test_failures_are_told_apart_and_a_traceback_is_kept(pool, run_folder):
    pool.submit(job("a", {"family": "ridge", "params": {"penlty": 1}}))
    (refused,) = answers(pool, 1)
    assert (refused["state"], "penalty" in refused["reason"]) == ("refused", True)
    pool.submit(job("b", {"family": "ridge", "params": {"context": "wide"}}))
    (failed,) = answers(pool, 1)
    assert failed["state"] == "failed"
    assert "Error" in failed["reason"]
    assert "Traceback" in (run_folder.work / "tracebacks" / "b.txt").read_text()


def test_a_worker_that_dies_is_reported_and_replaced(pool):
    pool.submit(job("ridge-0001"))
    answers(pool, 1)
    (pid,) = pool.pids()
    os.kill(pid, signal.SIGSTOP)
    pool.submit(job("ridge-0002"))
    os.kill(pid, signal.SIGKILL)
    (answer,) = answers(pool, 1)
    assert (answer["event"], answer["id"]) == ("died", "ridge-0002")
    assert "signal 9" in answer["reason"]
    assert pool.pids() != [pid]
    pool.submit(job("ridge-0003"))
    assert answers(pool, 1)[0]["state"] == "finished"


def test_killing_a_job_frees_its_seat(pool, run_folder):
    pool.submit(job("ridge-0001"))
    pool.kill("ridge-0001")
    assert pool.idle() == ["cpu"]
    assert pool.running() == {}
    pool.submit(job("ridge-0002"))
    assert answers(pool, 1)[0]["id"] == "ridge-0002"
    assert run_folder.candidate_ids() == ["ridge-0002"]


def test_refits_run_through_the_pool_and_the_deadline_cuts_them_off(pool, tmp_path):
    jobs = [
        {"job": "refit", "id": f"m{i}", "config": SLOW, "fit_origins": 50, "until": "all", "out": str(tmp_path / f"m{i}"), "limit_s": None}
        for i in range(3)
    ]
    done = list(pool.run(jobs, Deadline.after(30)))
    assert sorted(answer["id"] for answer in done) == ["m0", "m1", "m2"]
    assert all((tmp_path / f"m{i}" / "manifest.json").exists() for i in range(3))
    assert list(pool.run(jobs, Deadline.after(0))) == []
    assert pool.running() == {}


def test_workers_end_with_a_driver_that_is_killed(tmp_path):
    driver = subprocess.Popen([sys.executable, "-c", ALONE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    pids = [int(word) for word in driver.stdout.readline().split()]
    driver.kill()
    driver.wait()
    driver.stdout.close()
    patience = Deadline.after(10)
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and not patience.passed():
        time.sleep(0.05)
    assert len(pids) == 2
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_a_pool_that_is_left_leaves_no_process_and_no_panel(run_folder, panel, task, plan_spec):
    with run_folder.lock():
        with Pool(2, run_folder, panel, task, plan_spec, device="cpu") as pool:
            pids = pool.pids()
        assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
        assert list(run_folder.work.glob("panel-*")) == []


def test_workers_that_cannot_start_end_the_search_with_a_reason(run_folder, panel, task, plan_spec, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(run_folder.path))
    run_folder.path.mkdir()
    (run_folder.path / "numpy.py").write_text("raise ImportError('numpy is broken')")
    with run_folder.lock(), Pool(1, run_folder, panel, task, plan_spec, device="cpu") as pool, pytest.raises(Unfinished, match="numpy is broken"):
        answers(pool, 1)


def test_devices_are_named():
    assert not has_cuda("cpu")
    assert has_cuda("cuda")
    with pytest.raises(BadInput, match="auto, cpu, cuda"):
        has_cuda("gpu")


def test_workers_go_over_to_a_gpu_that_serves_more_as_they_become_free(run_folder, panel, task, plan_spec):
    with run_folder.lock(), Pool(2, run_folder, panel, task, plan_spec, device="cuda") as pool:
        assert sorted(pool.idle()) == ["cpu", "cuda"]
        pool.submit(job("ridge-0001"), "cpu")
        pool._hear_of_gpu({"event": "ready", "gpu_sharers": 2, "gpu_part": 0.4})
        assert pool.poll(0) == []
        assert pool.idle() == ["cuda"]
        assert answers(pool, 1)[0]["state"] == "finished"
        assert pool.idle() == ["cuda", "cuda"]
        assert pool._setting["gpu_part"] == 0.4
