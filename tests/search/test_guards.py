"""What a trial may do to its worker, to the machine and to the time, and what then becomes of it."""

import os
import re
import signal
import subprocess
import sys
import time

import odd
import pytest

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.memory import free_bytes, resident_bytes, total_bytes
from ensemble_forecast.search import pool as pools
from ensemble_forecast.search.driver import search
from ensemble_forecast.search.pool import Pool
from ensemble_forecast.store import RunFolder

NAIVE = {"family": "naive", "params": {}}
MIB = 2**20


@pytest.fixture
def run(run_folder, panel, task, plan_spec, space):
    def run(trials, seconds=60, **how):
        return search(run_folder, panel, task, plan_spec, space, deadline=Deadline.after(seconds), trials=trials, n_workers=1, device="cpu", **how)

    return run


@pytest.fixture
def pool(run_folder, panel, task, plan_spec):
    with run_folder.lock(), Pool(1, run_folder, panel, task, plan_spec, device="cpu") as pool:
        yield pool


def states(folder):
    return [(line["state"], line["params"].get("tag")) for line in folder.ledger()]


def test_a_trial_that_kills_its_worker_twice_is_poison_and_never_tried_again(run, run_folder, odd_ones):
    trials = [odd_ones(dies=True, tag=1), odd_ones(tag=2)]
    assert run(trials).failed == 1
    assert states(run_folder) == [("stale", 1), ("finished", 2), ("failed", 1)]
    first, _, last = run_folder.ledger()
    assert first["reason"].startswith("its worker died: its process ended with signal 9")
    assert last["reason"].startswith("poison: its worker died")
    assert last["retry_of"] == first["id"]
    assert run(trials).new == 0


def test_a_trial_that_outgrows_its_share_of_the_memory_ends_and_the_search_goes_on(run, run_folder, odd_ones, pool):
    pool._share_bytes = 1500 * MIB
    run([odd_ones(holds_mib=1600, sleeps_s=30, tag=1), odd_ones(tag=2)], pool=pool)
    assert states(run_folder) == [("failed", 1), ("finished", 2)]
    assert "out of memory: its worker held" in run_folder.ledger()[0]["reason"]
    assert "one of 1 may hold 1500 MiB" in run_folder.ledger()[0]["reason"]


def test_a_net_that_would_outgrow_its_worker_is_not_begun(run, run_folder, pool):
    pool._share_bytes = 3000 * MIB
    pool._replace(pool._seats[0])
    deep = {"family": "mlp", "params": {"width": 4096, "blocks": 12, "steps": 10}}
    run([deep, NAIVE], pool=pool)
    assert [line["state"] for line in run_folder.ledger()] == ["failed", "finished"]
    reason = run_folder.ledger()[0]["reason"]
    assert re.fullmatch(r"out of memory at \d+ MiB: its training would hold at least \d{4,5} MiB, and a worker may hold 3000 MiB", reason)


def test_where_the_machine_runs_out_the_largest_worker_is_ended(pool, monkeypatch):
    pool.submit({"job": "open", "id": "a"})
    assert pool.too_large() == {}
    monkeypatch.setattr(pools, "free_bytes", lambda: 0)
    assert pool.too_large() == {}  # to end it would help nobody
    monkeypatch.setattr(pools, "resident_bytes", lambda _: 0.1 * total_bytes())
    assert "0 MiB were left on the machine, and its worker was the largest" in pool.too_large()["a"]


def test_a_worker_that_stays_large_after_a_trial_makes_room_for_a_fresh_one(run, odd_ones, pool):
    (before,) = pool.pids()
    run([odd_ones(tag=1)], pool=pool)
    assert pool.pids() == [before]
    pool._share_bytes = 1.2 * resident_bytes(before)
    run([odd_ones(tag=1), odd_ones(tag=2)], pool=pool)
    assert pool.pids() != [before]


def test_memory_is_that_of_the_container_where_it_has_less(tmp_path, monkeypatch):
    assert 0 < free_bytes() <= total_bytes()
    assert 0 < resident_bytes(os.getpid()) < total_bytes()
    assert resident_bytes(2**30) == 0
    for name, text in {"memory.max": "1000000", "memory.current": "900000", "memory.stat": "anon 5\ninactive_file 200000\n"}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr("ensemble_forecast.memory.CGROUP", tmp_path)
    assert (total_bytes(), free_bytes()) == (1_000_000, 300_000)
    (tmp_path / "memory.max").write_text("max")
    assert total_bytes() > 1_000_000


def test_a_worker_that_is_killed_while_it_starts_hands_its_job_on(run, run_folder, odd_ones, pool):
    killed = []

    def kill(event):
        if event["event"] == "start" and not killed:
            killed.append(pool.pids()[0])
            os.kill(killed[0], signal.SIGKILL)

    run([odd_ones(tag=1)], pool=pool, on_event=kill)
    assert killed
    assert states(run_folder) == [("finished", 1)]


def test_a_learner_that_hangs_does_not_keep_the_search_beyond_its_time(run, run_folder, odd_ones):
    begun = time.monotonic()
    run([NAIVE, odd_ones(sleeps_s=1000)], seconds=12)
    assert time.monotonic() - begun < 14
    assert [line["state"] for line in run_folder.ledger()] == ["finished", "stale"]


def test_ctrl_c_twice_ends_at_once_without_a_traceback_and_the_study_goes_on(tmp_path):
    """The command line, in a process group of its own as in a terminal."""
    command = [sys.executable, "-m", "ensemble_forecast", "search", "--study", "mine", "--workers", "1", "--device", "cpu"]
    how = odd.study_of(tmp_path, [0, 6], "90s")
    folder = RunFolder(tmp_path / "runs" / "mine")
    process = subprocess.Popen(command, start_new_session=True, **how)
    patience = Deadline.after(60)
    while not folder.ledger() and not patience.passed():
        time.sleep(0.1)
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, "Traceback" in said) == (130, False), said
    assert subprocess.run(command, **how).returncode == 0
    assert [line["state"] for line in folder.ledger() if line["state"] != "stale"] == ["finished", "finished"]
