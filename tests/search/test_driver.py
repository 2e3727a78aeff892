import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pytest

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, Unfinished
from ensemble_forecast.search import driver, schedule
from ensemble_forecast.search.driver import search
from ensemble_forecast.search.pool import Pool
from ensemble_forecast.search.space import canonical
from ensemble_forecast.search.spaces import parse_space
from ensemble_forecast.store import RunFolder

LIST = [
    {"family": "naive", "params": {}},
    {"family": "ridge", "params": {"context": 12}},
    {"family": "ridge", "params": {"context": 24}},
    {"family": "ridge", "params": {"context": 12}},
    {"family": "seasonal_naive", "params": {"transform": "asinh"}},
]


@pytest.fixture
def run(run_folder, panel, task, plan_spec, space):
    """Search with the usual arguments."""

    def run(folder=run_folder, space=space, **how):
        usual = {"deadline": Deadline.after(60), "n_workers": 1, "device": "cpu"}
        return search(folder, panel, task, plan_spec, space, **(usual | how))

    return run


def finished(folder):
    return [line for line in folder.ledger() if line["state"] == "finished"]


def assert_consistent(folder):
    """Every finished trial is on disk and in the journal; none stands twice."""
    ids = [line["id"] for line in folder.ledger()]
    assert len(ids) == len(set(ids))
    done = finished(folder)
    assert sorted(line["id"] for line in done) == folder.candidate_ids()
    keys = [canonical(line["family"], line["params"]) for line in done]
    assert len(keys) == len(set(keys))
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder.journal_path)))
    for study in optuna.get_all_study_summaries(storage):
        trials = optuna.load_study(study_name=study.study_name, storage=storage).trials
        told = {trial.user_attrs["trial"]["id"]: trial.value for trial in trials if trial.state == optuna.trial.TrialState.COMPLETE}
        family = study.study_name.rsplit(".", 1)[1]
        assert told == {line["id"]: line["value"] for line in done if line["family"] == family}


def test_portfolio_first_then_draws_until_the_number_is_reached(run, run_folder):
    events = []
    summary = run(n_trials=9, on_event=events.append)
    lines = run_folder.ledger()
    assert [line["id"] for line in lines[:5]] == ["naive-0001", "seasonal_naive-0001", "drift-0001", "ridge-0001", "ridge-0002"]
    assert (lines[3]["params"], lines[4]["params"]["centre"]) == ({"centre": lines[3]["params"]["centre"], "penalty": 0.01}, "last")
    assert all(line["family"] == "ridge" for line in lines[5:])  # the others have nothing to vary
    assert summary.finished + summary.pruned + summary.failed == len(lines) == 9
    assert summary.best["value"] == min(line["value"] for line in finished(run_folder))
    assert [event["line"]["id"] for event in events if event["event"] == "end"] == [line["id"] for line in lines]
    assert events[-1]["best_id"] == summary.best["id"]
    assert_consistent(run_folder)


def test_running_again_does_nothing_and_a_larger_number_goes_on(run, run_folder):
    run(n_trials=6)
    before = run_folder.ledger()
    summary = run(n_trials=6)
    assert (summary.new, summary.nothing_left) == (0, True)
    assert run_folder.ledger() == before
    assert run(n_trials=8).new == 2
    assert run_folder.ledger()[:6] == before
    assert_consistent(run_folder)


def test_a_fixed_list_gives_the_same_bytes_with_one_worker_and_with_two(run, tmp_path):
    folders = [RunFolder(tmp_path / name) for name in ("one", "two")]
    for folder, n_workers in zip(folders, (1, 2), strict=True):
        summary = run(folder, trials=LIST, n_workers=n_workers)
        assert (summary.finished, summary.nothing_left) == (4, True)  # one stands twice in the list
        assert_consistent(folder)
    one, two = (folder.candidates() for folder in folders)
    assert (
        [candidate.id for candidate in one]
        == [candidate.id for candidate in two]
        == ["naive-0001", "ridge-0001", "ridge-0002", "seasonal_naive-0001"]
    )
    for left, right in zip(one, two, strict=True):
        for file in ("forecasts.npy", "origins.npy", "config.json"):
            paths = [folder.path / "candidates" / left.id / file for folder in folders]
            assert paths[0].read_bytes() == paths[1].read_bytes()
        assert left.config == right.config
    assert one[3].config["family"] == "transformed"


@pytest.fixture
def hanging(run, run_folder, panel, task, plan_spec):
    """Search with one worker that stops for good when its second trial begins."""

    def search_and_hang(seconds):
        with run_folder.lock(), Pool(1, run_folder, panel, task, plan_spec, device="cpu") as pool:

            def stop(event):
                if event["event"] == "start" and event["running"] == ["ridge"]:
                    os.kill(pool.pids()[0], signal.SIGSTOP)

            return run(trials=LIST[:2], deadline=Deadline.after(seconds), pool=pool, on_event=stop)

    return search_and_hang


def test_what_the_budget_cut_off_is_stale_and_runs_when_the_study_goes_on(hanging, run, run_folder):
    summary = hanging(seconds=8)
    assert (summary.finished, summary.stale, summary.nothing_left) == (1, 1, False)
    stale = run_folder.ledger()[-1]
    assert (stale["id"], stale["state"], stale["reason"]) == ("ridge-0001", "stale", "budget ended")
    assert stale["seconds"] > 0
    again = run(trials=LIST[:2])
    assert (again.new, again.finished, again.stale, again.nothing_left) == (1, 2, 1, True)
    assert (run_folder.ledger()[-1]["id"], run_folder.ledger()[-1]["retry_of"]) == ("ridge-0002", "ridge-0001")
    assert_consistent(run_folder)


def test_a_trial_that_hangs_beyond_its_limit_fails_and_the_search_goes_on(hanging, run_folder, monkeypatch):
    monkeypatch.setattr(schedule, "SHORTEST_LIMIT_S", 2.0)
    monkeypatch.setattr(schedule, "LIMIT_SHARE", 0.0)
    monkeypatch.setattr(driver, "GRACE_S", 0.5)
    summary = hanging(seconds=30)
    assert (summary.finished, summary.failed, summary.nothing_left) == (1, 1, True)
    assert "did not return within its limit" in run_folder.ledger()[-1]["reason"]
    assert_consistent(run_folder)


def test_failures_are_lines_in_the_ledger_never_the_end(run, run_folder):
    summary = run(trials=[{"family": "ridge", "params": {"penlty": 1}}, {"family": "ridge", "params": {"context": "wide"}}, LIST[0]])
    assert (summary.finished, summary.failed) == (1, 2)
    reasons = [line["reason"] for line in run_folder.ledger() if line["state"] == "failed"]
    assert "did you mean 'penalty'" in reasons[0]
    assert "traceback in" in reasons[1]
    assert run(trials=LIST[:1]).new == 0


def test_a_study_without_one_finished_trial_is_unfinished(run):
    with pytest.raises(Unfinished, match=r"no trial of .* has finished.*penlty"):
        run(trials=[{"family": "ridge", "params": {"penlty": 1}}])


def test_a_space_that_fits_no_learner_is_refused_by_table(run):
    with pytest.raises(BadInput, match=r"mine.toml: \[ridge\]: ridge has no field 'penlty'; did you mean 'penalty'"):
        run(space=parse_space({"ridge": {"penlty": 1}}, "mine.toml"))


def test_families_of_another_kind_are_skipped_with_a_word(run_folder, panel, plan_spec, space):
    events = []
    task = Task(horizon=2, season_length=7, kind="direction")
    search(
        run_folder,
        panel,
        task,
        plan_spec,
        space,
        deadline=Deadline.after(60),
        n_trials=3,
        n_workers=1,
        device="cpu",
        metric="log_loss",
        on_event=events.append,
    )
    assert {event["family"] for event in events if event["event"] == "skip"} == {"seasonal_naive", "drift"}
    assert {line["family"] for line in run_folder.ledger()} == {"naive", "ridge"}


def test_an_interrupt_is_passed_on_and_nothing_is_lost(run, run_folder):
    def interrupt(event):
        if event["event"] == "start" and event["done"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(trials=LIST, on_event=interrupt)
    assert [line["state"] for line in run_folder.ledger()] == ["finished", "finished", "stale"]
    assert run_folder.ledger()[-1]["reason"] == "interrupted"
    summary = run(trials=LIST)
    assert (summary.finished, summary.stale, summary.nothing_left) == (4, 1, True)
    assert_consistent(run_folder)


def test_a_trial_that_was_committed_but_not_written_down_is_taken_in(run, run_folder):
    run(trials=LIST[:3])
    path = run_folder.path / "ledger.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    lost = {*run_folder.candidate_ids()} - {line["id"] for line in run_folder.ledger()}
    assert run(trials=LIST[:3]).new == 0
    assert run_folder.ledger()[-1]["id"] == lost.pop()
    assert_consistent(run_folder)


def test_a_lost_journal_is_rebuilt_from_the_ledger(run, run_folder):
    run(n_trials=7)
    run_folder.journal_path.unlink()
    assert run(n_trials=7).new == 0
    assert_consistent(run_folder)


def test_a_trial_whose_forecasts_are_gone_runs_again_under_a_new_id(run, run_folder):
    run(trials=LIST[:2])
    for file in (run_folder.path / "candidates" / "naive-0001").iterdir():
        file.unlink()
    (run_folder.path / "candidates" / "naive-0001").rmdir()
    assert run(trials=LIST[:2]).new == 1
    assert run_folder.candidate_ids() == ["naive-0002", "ridge-0001"]


def test_a_pool_can_be_lent_and_stays_open(run, run_folder, panel, task, plan_spec):
    with run_folder.lock(), Pool(1, run_folder, panel, task, plan_spec, device="cpu") as pool:
        pids = pool.pids()
        run(trials=LIST[:1], pool=pool)
        run(trials=LIST[:2], pool=pool)
        assert pool.pids() == pids
    assert len(finished(run_folder)) == 2


KILLED = Path(__file__).parents[1] / "benchmarks" / "kill_nine.py"


def test_kill_nine_of_the_whole_group_loses_only_what_ran(tmp_path):
    folder, kept = RunFolder(tmp_path / "study"), []
    for pause in (0.3, 0.9):
        process = subprocess.Popen(
            [sys.executable, str(KILLED), "--drive", str(folder.path), "12"], start_new_session=True, stdout=subprocess.PIPE, text=True
        )
        for line in process.stdout:
            if line.startswith("first trial"):
                break
        time.sleep(pause)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        done = [line["id"] for line in finished(folder)]
        assert set(kept) <= set(done)
        kept = done
    subprocess.run([sys.executable, str(KILLED), "--drive", str(folder.path), "12"], check=True, stdout=subprocess.DEVNULL)
    assert set(kept) <= {line["id"] for line in finished(folder)}
    assert sum(line["state"] in {"finished", "pruned", "failed"} for line in folder.ledger()) == 12
    assert_consistent(folder)


def test_a_changed_panel_does_not_change_earlier_windows(tmp_path, panel, task, plan_spec):
    """The engine's law, through the whole search: noise in the test rows leaves every candidate as it was."""
    held = max(int(np.ceil(plan_spec["test"] * 120)), task.horizon)
    y = panel.y.copy().reshape(4, 120)
    y[:, 120 - held :] = 1e5
    folders = [RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")]
    for folder, some in zip(folders, (panel, Panel.of(list(y))), strict=True):
        search(
            folder, some, task, plan_spec, parse_space({"naive": {}}, "x"), deadline=Deadline.after(60), trials=LIST[:2], n_workers=1, device="cpu"
        )
    for id in folders[0].candidate_ids():
        for file in ("forecasts.npy", "origins.npy", "config.json"):
            one, two = ((folder.path / "candidates" / id / file).read_bytes() for folder in folders)
            assert one == two
