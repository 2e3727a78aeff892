"""Searches that share a study: two of them over one SQLite file, told apart as two hosts would be. PostgreSQL is tested in test_postgres.py."""

import time

import numpy as np
import optuna
import pytest
import sqlalchemy
from optuna.exceptions import StorageInternalError
from sqlalchemy import exc

from ensemble_forecast import ledger
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, Unfinished
from ensemble_forecast.search import shared
from ensemble_forecast.search.driver import search
from ensemble_forecast.search.due import Entry
from ensemble_forecast.search.history import SEARCH_DIED, STRIKES, History
from ensemble_forecast.search.shared import connect
from ensemble_forecast.search.spaces import parse_space
from ensemble_forecast.search.trials import Trials
from ensemble_forecast.store import RunFolder

SILENCE = "UPDATE trial_heartbeats SET heartbeat = '2026-01-01 00:00:00'"


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/studies.db"


class Search:
    """A search of the shared study, without workers."""

    def __init__(self, path, url, space, name):
        self.folder, self.server = RunFolder(path), connect(url)
        self.server.deadline = Deadline.after(30)
        self.held = self.folder.lock(shared=True)
        self.held.__enter__()
        self.folder._own_ledger = path / f"ledger-{name}-1.jsonl"
        self.history = History(self.folder, shared=True)
        self.trials = Trials(self.folder, self.history, space.tables, 0, "random", "sql", self.server)

    def enter(self, params=None, retry_of=None):
        return self.trials.enter(Entry((0, 0), "ridge", {"penalty": 0.01} if params is None else params, retry_of), 1.0, None)

    def finish(self, job):
        config = {"family": "ridge", "params": job.params}
        report = {"id": job.id, "family": "ridge", "params": job.params, "state": "finished", "value": 0.5, "seconds": 1.0, "started": job.started}
        self.folder.commit(job.id, config, np.zeros((1, 7, 9), np.float32), np.zeros((1, 3), np.int64), report)
        answer = {"state": "finished", "value": 0.5, "windows": [0.5], "seconds": 1.0, "started": job.started, "truncated": True}
        return self.trials.end(job, answer)


@pytest.fixture
def pair(tmp_path, url, space):
    both = [Search(tmp_path / "study", url, space, name) for name in ("one", "two")]
    yield both
    for each in both:
        each.held.__exit__(None, None, None)


def fall_silent(url):
    """Make every trial that runs look as if its search had died long ago."""
    with sqlalchemy.create_engine(url).begin() as connection:
        connection.execute(sqlalchemy.text(SILENCE))


def test_of_two_searches_that_begin_a_trial_one_gets_it(pair):
    one, two = pair
    job = one.enter()
    assert two.enter() is None
    other = two.enter({"penalty": 0.1})
    assert (job.id, other.id) == ("ridge-0001", "ridge-0003")  # an id that was reserved in vain is not used again
    assert two.trials.others_run([other])
    one.finish(job)
    assert two.enter() is None
    assert not two.trials.others_run([other])


def test_the_one_who_looked_too_early_withdraws(pair, monkeypatch):
    one, two = pair
    study = two.trials._studies["ridge"]
    looks, look = [], study._is_taken

    def late(params, trials, *number):
        if not looks:
            looks.append(one.enter())  # between two's look and its entry, one begins the same trial
            return False
        return look(params, trials, *number)

    monkeypatch.setattr(study, "_is_taken", late)
    assert two.enter() is None
    assert looks[0] is not None
    assert one.finish(looks[0])["state"] == "finished"


def test_searches_learn_of_each_others_trials(pair):
    one, two = pair
    one.finish(one.enter())
    assert two.history.best() is None
    two.trials.keep_up([], at_once=True)
    assert (two.history.best()["value"], two.history.n_ended()) == (0.5, 1)
    assert ledger.files(two.folder.path) == [two.folder.path / "ledger-one-1.jsonl"]


def test_draws_of_two_searches_differ(pair):
    draws = [each.trials.draw("ridge", set(), 1.0, None) for each in (*pair, *pair)]
    assert len({repr(sorted(job.params.items())) for job in draws}) == len({job.id for job in draws}) == 4


def test_a_trial_of_a_silent_search_is_due_again_once_and_its_late_answer_is_dropped(pair, url):
    one, two = pair
    job = one.enter()
    one.folder.mark_begun(job.id)
    two.trials.keep_up([], at_once=True)
    assert two.history.due() == []
    fall_silent(url)
    two.trials.keep_up([], at_once=True)
    assert [(params, id) for _, params, id in two.history.due()] == [(job.params, job.id)]
    assert two.history.lines[0]["reason"] == "its search died"
    retry = two.enter(retry_of=job.id)
    assert one.enter() is None
    assert one.finish(job)["state"] == "stale"  # it was not dead after all
    assert one.folder.candidate_ids() == []
    two.finish(retry)
    assert [(line["id"], line["state"]) for line in one.folder.ledger()] == [(job.id, "stale"), (retry.id, "finished")]


def test_what_a_silent_search_had_committed_is_taken_in(pair, url):
    one, two = pair
    job = one.enter()
    report = {"id": job.id, "family": "ridge", "params": job.params, "state": "finished", "value": 0.5, "seconds": 1.0, "started": job.started}
    report |= {"windows": [0.5], "truncated": True}
    one.folder.commit(job.id, {"family": "ridge", "params": job.params}, np.zeros((1, 7, 9), np.float32), np.zeros((1, 3), np.int64), report)
    fall_silent(url)
    two.trials.keep_up([], at_once=True)
    assert two.history.best()["id"] == job.id
    assert two.enter() is None


def test_a_trial_that_never_gave_a_sign_of_life_is_given_time_and_then_found(pair, url):
    one, two = pair
    job = one.enter()
    with sqlalchemy.create_engine(url).begin() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM trial_heartbeats"))
    two.trials.keep_up([], at_once=True)
    assert two.history.due() == []
    fall_silent(url)
    two.trials.keep_up([], at_once=True)
    assert [id for _, _, id in two.history.due()] == [job.id]


def test_nothing_is_found_silent_right_after_the_server_was_away(pair, url):
    one, two = pair
    one.enter()
    fall_silent(url)
    two.server.back_at = time.monotonic()
    two.trials.keep_up([], at_once=True)
    assert two.history.due() == []


def test_a_trial_whose_search_died_again_and_again_is_poison(pair, url):
    one, two = pair
    for number in range(STRIKES[SEARCH_DIED] + 1):
        job = one.enter()
        if number:  # the first time nobody had begun it yet: it cannot be blamed
            one.folder.mark_begun(job.id)
        fall_silent(url)
        two.trials.keep_up([], at_once=True)
        one.trials.keep_up([], at_once=True)
    assert [line["state"] for line in two.history.lines] == ["stale"] * STRIKES[SEARCH_DIED] + ["failed"]
    assert two.history.lines[0]["reason"] == "interrupted before it began"
    assert "poison" in two.history.lines[-1]["reason"]
    assert two.history.due() == []


LOST = [exc.OperationalError("SELECT", {}, Exception("server closed the connection")), exc.PendingRollbackError("server closed the connection")]


@pytest.mark.parametrize("cause", LOST, ids=lambda cause: type(cause).__name__)
def test_calls_wait_for_a_server_that_is_away_until_the_deadline(url, monkeypatch, cause):
    monkeypatch.setattr(shared, "AGAIN_S", 0.01)
    server, calls = connect(url), []

    def call(_):
        calls.append(True)
        if len(calls) < 4:
            raise StorageInternalError("commit") from cause
        return "answer"

    server.deadline = Deadline.after(30)
    with pytest.warns(UserWarning, match="is away: the search waits"):
        assert shared._patient(call)(server) == "answer"
    calls.clear()
    server.deadline = Deadline.after(0)
    with pytest.raises(Unfinished, match=r"cannot be reached \(server closed the connection\)"):
        shared._patient(call)(server)


def test_what_the_server_refuses_is_not_tried_again(url):
    def call(_):
        raise StorageInternalError("commit") from exc.DataError("INSERT", {}, Exception("value too long"))

    with pytest.raises(StorageInternalError):
        shared._patient(call)(connect(url))


def test_an_unreachable_server_is_one_line_without_the_password():
    pytest.importorskip("psycopg")
    with pytest.raises(Unfinished, match=r"postgresql\+psycopg://me:\*\*\*@127\.0\.0\.1:1/studies cannot be reached") as refusal:
        connect("postgresql+psycopg://me:secret@127.0.0.1:1/studies")
    assert "\n" not in str(refusal.value)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("wrong", ["studies", "nosuchdatabase://host/studies"])
def test_other_texts_are_refused(wrong):
    with pytest.raises(BadInput, match="must be the URL of a database"):
        connect(wrong)


def test_another_run_folder_and_another_space_are_refused_by_name(tmp_path, url, space, pair):
    with pytest.raises(BadInput, match=r"knows a study 'study\.\w+' of another run folder"):
        Search(tmp_path / "elsewhere" / "study", url, space, "three")
    other = parse_space({"ridge": {"penalty": {"low": 1e-2, "high": 1.0, "log": True}}}, "other.toml")
    with pytest.raises(BadInput, match=r"'study\.ridge' has another search space"):
        Search(tmp_path / "study", url, other, "three")


def test_a_whole_search_runs_on_a_storage_and_goes_on_there(run_folder, panel, task, plan_spec, space, url):
    def run(n_trials):
        return search(
            run_folder,
            panel,
            task,
            plan_spec,
            space,
            deadline=Deadline.after(120),
            n_trials=n_trials,
            n_workers=1,
            device="cpu",
            storage=connect(url),
        )

    assert run(5).new == 5
    summary = run(7)
    assert (summary.new, summary.stale) == (2, 0)
    assert not (run_folder.path / "ledger.jsonl").exists()
    assert not run_folder.journal_path.exists()
    storage = optuna.storages.RDBStorage(url)
    told = [trial for each in storage.get_all_studies() for trial in storage.get_all_trials(each._study_id) if trial.value is not None]
    assert sorted(trial.user_attrs["trial"]["id"] for trial in told) == run_folder.candidate_ids()
