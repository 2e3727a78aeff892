"""Trials and refits on a real Dask cluster of several processes, whose workers may hang, be killed, or be somebody else's too."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import odd
import pandas as pd
import pytest
from commands import typed
from distributed import Client, LocalCluster

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, Unfinished
from ensemble_forecast.pipeline import check
from ensemble_forecast.search import cluster as clusters
from ensemble_forecast.search import engine, schedule
from ensemble_forecast.search.cluster import connect, own_modules
from ensemble_forecast.search.driver import search
from ensemble_forecast.search.pool import Pool
from ensemble_forecast.store import RunFolder
from ensemble_forecast.study import FRAME, open_study, silent
from ensemble_forecast.workflow import run_search, run_stack

NAIVE = {"family": "naive", "params": {}}
QUICK = [
    {"family": "seasonal_naive", "params": {}},
    {"family": "theta", "params": {}},
    {"family": "ridge", "params": {"context": 12, "transform": "log"}},
    {"family": "ridge", "params": {"context": "wide"}},
]
SLOW = [
    {"family": "extra_trees", "params": {"trees": 10}},
    {"family": "xgboost", "params": {"rounds": 10, "depth": 3}},
    {"family": "mlp", "params": {"steps": 30, "width": 16, "context": 12}},
]


def odd_one(**params):
    return {"family": odd.NAME, "params": params}


@contextmanager
def local_cluster(folder, n_workers=2, **how):
    """Start a cluster whose workers know the odd learner."""
    environment = odd.environment(folder / "python")
    with LocalCluster(n_workers=n_workers, threads_per_worker=1, processes=True, dashboard_address=":0", env=environment, **how) as cluster:
        yield cluster


def url_of(cluster):
    return cluster.scheduler_address.replace("tcp:", "dask:")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with local_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def client(cluster):
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        yield client


@pytest.fixture
def run(run_folder, panel, task, plan_spec, space):
    """Search on a cluster."""

    def run(cluster, trials, seconds=120, n_workers=None, **how):
        with run_folder.lock(), connect(url_of(cluster))(n_workers, run_folder, panel, task, plan_spec, device="cpu") as pool:
            told = how.pop("told", None)
            return search(
                run_folder, panel, task, plan_spec, space, deadline=Deadline.after(seconds), trials=trials, pool=pool,
                on_event=None if told is None else lambda event: told(pool, event), **how,
            )  # fmt: skip

    return run


def states(folder):
    return [(line["state"], line["params"].get("tag")) for line in folder.ledger()]


def outposts(client):
    """Count what searches have laid down on the hosts of the Dask workers: an outpost ends its process before its folder goes."""
    return sum(
        client.run(lambda dask_worker: sum(name.startswith("ensemble_forecast-") for name in os.listdir(dask_worker.local_directory))).values()
    )


def wait_until(true, seconds=20):
    patience = Deadline.after(seconds)
    while not true():
        assert not patience.passed()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def frame():
    day = np.arange(300)
    rng = np.random.default_rng(3)
    return pd.DataFrame({"y": 20 + 5 * np.sin(2 * np.pi * day / 7) + rng.normal(size=300)}, index=pd.date_range("2024-01-01", periods=300))


def searched_and_stacked(frame, runs, trials, hire):
    settings = {"source": FRAME, "horizon": 5, "season": 7, "transform": "auto", "test": 0.2, "windows": 3, "budget": "10m"}
    study = open_study("same", runs, check(settings | {"trials": tuple(trials)}, "test"), frame=frame, log=silent)
    run_search(study, workers=2, device="cpu", hire=hire)
    run_stack(study, Deadline.never(), workers=2, device="cpu", hire=hire)
    return study.folder


@pytest.mark.parametrize("trials", [QUICK, pytest.param([*QUICK, *SLOW], marks=pytest.mark.soak)], ids=["quick", "slow"])
def test_the_same_list_of_trials_gives_the_same_ensemble_as_on_this_host(cluster, client, frame, tmp_path, trials):
    here = searched_and_stacked(frame, tmp_path / "here", trials, Pool)
    there = searched_and_stacked(frame, tmp_path / "there", trials, connect(url_of(cluster)))
    names = [path.relative_to(here.path) for part in ("candidates", "judged", "ensemble") for path in sorted((here.path / part).rglob("*"))]
    assert names == [path.relative_to(there.path) for part in ("candidates", "judged", "ensemble") for path in sorted((there.path / part).rglob("*"))]
    files = [name for name in names if (here.path / name).is_file() and name.name != "report.json"]  # that tells seconds and start times
    assert len(files) > 20
    assert [name for name in files if (here.path / name).read_bytes() != (there.path / name).read_bytes()] == []
    told = [
        sorted((line["id"], line["state"], line["value"], (line["reason"] or "").replace(str(folder.path), "")) for line in folder.ledger())
        for folder in (here, there)
    ]
    assert told[0] == told[1]
    assert "Traceback" in (there.work / "tracebacks" / "ridge-0002.txt").read_text()
    wait_until(lambda: outposts(client) == 0)


@pytest.mark.parametrize("url", ["tcp://host:8786", "dask://", "dask://host", "dask://host:many", "dask://host:8786/path", "host:8786"])
def test_other_addresses_are_refused(url):
    with pytest.raises(BadInput, match=r"--engine must be the address of a Dask scheduler, such as dask://HOST:8786; got"):
        connect(url)


@pytest.mark.parametrize("listens", [False, True])
def test_where_no_scheduler_answers_the_search_says_so_within_seconds(monkeypatch, listens):
    monkeypatch.setattr(engine, "ANSWERS_WITHIN_S", 1.0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        if listens:
            other.listen()
        begun = time.monotonic()
        with pytest.raises(Unfinished, match=r"no Dask scheduler answers at dask://127\.0\.0\.1"):
            connect(f"dask://127.0.0.1:{other.getsockname()[1]}")
        assert time.monotonic() - begun < 4


def test_a_cluster_without_workers_is_named(monkeypatch):
    monkeypatch.setattr(clusters, "ANSWERS_WITHIN_S", 0.5)
    with (
        LocalCluster(n_workers=0, threads_per_worker=1, processes=True, dashboard_address=":0") as empty,
        pytest.raises(Unfinished, match="has no worker: start one"),
    ):
        connect(url_of(empty))


def test_workers_of_another_version_are_refused(cluster, monkeypatch):
    monkeypatch.setattr(engine, "version", lambda _: "9.9")
    with pytest.raises(BadInput, match=r"the Dask worker tcp://.* has ensemble-forecast .*, and this is 9.9: install the same version"):
        connect(url_of(cluster))


def test_the_command_says_in_one_line_what_is_wrong_before_it_reads_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engine, "ANSWERS_WITHIN_S", 1.0)
    told = {}
    for url in ("http://host:8786", "dask://127.0.0.1:9"):
        for verb in (["search", "--study", "btc"], ["stack"]):
            told[url, verb[0]] = typed(*verb, "--engine", url), capsys.readouterr().err
    assert {key: code for key, (code, _) in told.items()} == {key: 2 if key[0].startswith("http") else 3 for key in told}
    assert all(said.startswith("error: ") and said.count("\n") == 1 for _, said in told.values())
    assert [*tmp_path.iterdir()] == []


def test_a_missing_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "ensemble_forecast.search.cluster")
    monkeypatch.delitem(sys.modules, "ensemble_forecast.search.engine")
    assert typed("search", "--study", "btc", "--engine", "dask://host:8786") == 2
    assert 'pip install "ensemble-forecast[distributed]"' in capsys.readouterr().err


def test_nothing_of_dask_is_imported_before_it_is_asked_for():
    imports = "import sys; import ensemble_forecast.cli, ensemble_forecast.workflow, ensemble_forecast.search.reach"
    subprocess.run([sys.executable, "-c", f"{imports}; assert not sys.modules.keys() & {{'dask', 'distributed', 'sqlalchemy'}}"], check=True)


def test_only_modules_of_the_working_directory_travel(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("x = 1")
    nested = {"estimator": "sklearn.pipeline:Pipeline", "params": {"steps": [["last", {"estimator": "mine:Model", "params": {}}]]}}
    assert own_modules({"config": {"family": "scikit_learn", "params": nested}}) == {"mine.py": "x = 1"}
    assert own_modules({"config": nested["estimator"], "limit_s": None, "name": "mine"}) == {}


@pytest.mark.soak
def test_a_trial_runs_again_where_its_dask_worker_was_killed_and_is_poison_after_the_second_time(run, run_folder, tmp_path):
    pids, deaths = {}, []

    def kill_what_runs_the_tagged_trial(pool, event):
        pids.update(pool._client.run(os.getpid, on_error="ignore"))
        seat = next((seat for seat in pool._seats if seat.job and seat.job.get("params", {}).get("tag") in doomed), None)
        if seat is not None and run_folder.has_begun(seat.job["id"]) and seat.job["id"] not in deaths:
            deaths.append(seat.job["id"])
            if doomed[seat.job["params"]["tag"]]:
                doomed[seat.job["params"]["tag"]] -= 1
                os.kill(pids[seat.address], signal.SIGKILL)

    doomed = {1: 1, 2: 2}
    with local_cluster(tmp_path) as mortal:
        summary = run(mortal, [odd_one(tag=tag, sleeps_s=3) for tag in (1, 2, 3)], told=kill_what_runs_the_tagged_trial)
    assert (summary.finished, summary.failed, summary.nothing_left) == (2, 1, True)
    assert sorted(states(run_folder)) == [("failed", 2), ("finished", 1), ("finished", 3), ("stale", 1), ("stale", 2)]
    lines = {(line["state"], line["params"]["tag"]): line for line in run_folder.ledger()}
    assert lines["stale", 1]["reason"].startswith("its worker died: its Dask worker tcp://")
    assert lines["finished", 1]["retry_of"] == lines["stale", 1]["id"]
    assert lines["failed", 2]["reason"].startswith("poison: its worker died: its Dask worker tcp://")


@pytest.mark.soak
def test_a_trial_that_kills_its_process_is_poison_and_harms_no_dask_worker(run, cluster, client, run_folder):
    before = client.run(os.getpid)
    run(cluster, [odd_one(tag=1, dies=True), odd_one(tag=2)], n_workers=1)
    assert states(run_folder) == [("stale", 1), ("finished", 2), ("failed", 1)]
    first, _, last = run_folder.ledger()
    assert first["reason"].startswith("its worker died: its process ended with signal 9")
    assert last["reason"].startswith("poison: its worker died")
    assert client.run(os.getpid) == before


@pytest.mark.soak
def test_a_trial_that_hangs_is_ended_at_its_limit_and_frees_its_seat(run, cluster, run_folder, monkeypatch):
    monkeypatch.setattr(schedule, "SHORTEST_LIMIT_S", 1.0)
    monkeypatch.setattr(schedule, "LIMIT_SHARE", 0.0)
    begun = time.monotonic()
    summary = run(cluster, [odd_one(tag=1, sleeps_s=1000), odd_one(tag=2)], n_workers=1)
    assert (summary.finished, summary.failed, summary.nothing_left) == (1, 1, True)
    assert states(run_folder) == [("failed", 1), ("finished", 2)]
    assert "did not return within its limit" in run_folder.ledger()[0]["reason"]
    assert time.monotonic() - begun < 40


@pytest.mark.soak
def test_waiting_for_what_others_run_on_the_cluster_is_not_held_against_a_trial(run, cluster, client, run_folder, monkeypatch):
    monkeypatch.setattr(schedule, "SHORTEST_LIMIT_S", 1.0)
    monkeypatch.setattr(schedule, "LIMIT_SHARE", 0.0)
    theirs = client.map(time.sleep, [12, 12.1], pure=False)
    time.sleep(0.5)
    assert run(cluster, [odd_one(tag=1), odd_one(tag=2)]).finished == 2
    assert sorted(states(run_folder)) == [("finished", 1), ("finished", 2)]
    assert client.gather(theirs) == [None, None]


@pytest.mark.soak
def test_a_trial_that_outgrows_the_share_of_its_dask_worker_ends_and_the_search_goes_on(run, run_folder, tmp_path):
    with local_cluster(tmp_path, 1, memory_limit="1500MiB") as small:
        run(small, [odd_one(tag=1, holds_mib=1400, sleeps_s=30), odd_one(tag=2)])
    assert states(run_folder) == [("failed", 1), ("finished", 2)]
    assert "out of memory: its worker held" in run_folder.ledger()[0]["reason"]
    assert "one of 1 may hold 1350 MiB" in run_folder.ledger()[0]["reason"]


@pytest.mark.soak
def test_a_cluster_that_goes_away_ends_the_search_and_another_one_takes_it_up(run, cluster, run_folder, tmp_path):
    trials = [odd_one(tag=1), odd_one(tag=2, sleeps_s=5), odd_one(tag=3)]
    with local_cluster(tmp_path, 1) as other:

        def leave(_, event):
            if event["event"] == "end":
                other.close()

        with pytest.raises(Unfinished, match=r"the Dask scheduler at dask://.* has gone"):
            run(other, trials, told=leave)
    assert states(run_folder) == [("finished", 1), ("stale", 2)]
    summary = run(cluster, trials)
    assert (summary.finished, summary.nothing_left) == (3, True)


@pytest.mark.soak
def test_workers_that_join_later_are_used(run, run_folder, tmp_path):
    hosts = set()
    with local_cluster(tmp_path, 1) as growing:

        def grow(pool, event):
            hosts.update(seat.address for seat in pool._seats if seat.job)
            if event["event"] == "end" and len(growing.workers) == 1:
                growing.scale(2)

        assert run(growing, [odd_one(tag=tag, sleeps_s=1.5) for tag in range(8)], told=grow).finished == 8
    assert len(hosts) == 2


def test_a_worker_of_another_version_that_joins_later_is_left_out_with_a_word(cluster, client, run_folder, panel, task, plan_spec, monkeypatch):
    one, other = client.scheduler_info()["workers"]
    monkeypatch.setattr(clusters, "misfits", lambda _: {other: f"{other} is older"})
    with run_folder.lock(), pytest.warns(UserWarning, match="left out: tcp://.* is older"):
        pool = clusters.Cluster(url_of(cluster), None, run_folder, panel, task, plan_spec, device="cpu")
    with pool:
        pool._look()  # says it once
        assert [seat.address for seat in pool._seats] == [one]


@pytest.mark.soak
def test_a_search_waits_for_workers_that_have_all_gone_and_then_gives_up(run, run_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "AWAY_S", 20.0)
    with local_cluster(tmp_path, 1) as emptied:

        def replace_and_then_leave(_, event):
            if event["event"] == "end" and event["line"]["state"] == "finished":
                emptied.scale(0)
                if event["done"] == 1:
                    emptied.scale(1)

        with pytest.raises(Unfinished, match=r"no worker has been left at dask://.* for 20 s"):
            run(emptied, [odd_one(tag=tag, sleeps_s=1) for tag in range(1, 4)], n_workers=1, told=replace_and_then_leave)
    ended = [line for line in run_folder.ledger() if line["state"] != "stale"]
    poison = [line for line in ended if line["reason"] and line["reason"].startswith("poison: ")]  # a trial that both of them took along
    assert [line["state"] for line in ended if line not in poison] == ["finished"] * 2
    assert len(poison) <= 1


@pytest.mark.soak
def test_a_trial_is_compared_with_an_incumbent_and_built_of_a_class_of_ones_own_that_workers_cannot_see(
    run_folder, panel, task, plan_spec, cluster, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("from sklearn.linear_model import Ridge\n\n\nclass Mine(Ridge):\n    pass\n")
    own = {"family": "scikit_learn", "params": {"estimator": "mine:Mine", "params": {"alpha": 1.0}}}
    blank = {"job": "trial", "bars": [], "rungs": [], "limit_s": None, "retry_of": None}
    jobs = [blank | {"id": f"own-{n}", **own, "config": own, "rival": rival} for n, rival in enumerate([None, "own-0", "own-0"])]
    with run_folder.lock(), connect(url_of(cluster))(1, run_folder, panel, task, plan_spec, device="cpu") as pool:
        answers = list(pool.run(jobs, Deadline.after(180)))
    assert [(answer["id"], answer["state"]) for answer in answers] == [(f"own-{n}", "finished") for n in range(3)], answers
    assert run_folder.candidate_ids() == ["own-0", "own-1", "own-2"]


@pytest.mark.soak
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_twice_or_a_killed_driver_leaves_a_cluster_that_can_be_used(cluster, client, tmp_path, blow):
    command = [sys.executable, "-m", "ensemble_forecast", "search", "--study", "mine", "--engine", url_of(cluster)]
    how = odd.study_of(tmp_path, [0, 5, 5], "300s")
    folder = RunFolder(tmp_path / "runs" / "mine")
    process = subprocess.Popen(command, start_new_session=True, **how)
    wait_until(lambda: folder.ledger() and len([*(folder.work / "begun").glob("*")]) == 3, 60)
    for _ in range(2):
        os.killpg(process.pid, blow)
        time.sleep(0.05)
    _, said = process.communicate(timeout=20)
    if blow == signal.SIGINT:
        assert (process.returncode, "Traceback" in said) == (130, False), said
    wait_until(lambda: outposts(client) == 0)
    assert client.submit(sum, [1, 2], pure=False).result(timeout=10) == 3
    again = subprocess.run(command, **how, timeout=240)
    assert (again.returncode, "Traceback" in again.stderr) == (0, False), again.stderr
    assert [line["state"] for line in folder.ledger() if line["state"] != "stale"] == ["finished"] * 3
